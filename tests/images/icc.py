"""ICC profiles (version 2.4, ICC.1:2001-04), written by hand: nobody's copyright."""

from __future__ import annotations

import struct
from itertools import product

_D50 = (0.9642, 1.0, 0.8249)


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _gamma(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def _curve(levels: list[int]) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(f">I{len(levels)}H", len(levels), *levels)


def _profile(device: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = b"made by tests/images/icc.py\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {b"desc": name, b"cprt": b"text\0\0\0\0" + text, b"wtpt": _xyz(*_D50), **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI", start + len(body), b"\0\0\0\0", 0x02400000)
    header += device + space + connection + struct.pack(">6H", 2026, 11, 22, 0, 0, 0) + b"acsp"
    header = header.ljust(68, b"\0") + _fixed(*_D50)
    return header.ljust(128, b"\0") + table + body


def _rgb(red: bytes, green: bytes, blue: bytes, curve: bytes, **more: bytes) -> bytes:
    tags = {b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    tags |= {name.encode(): data for name, data in more.items()}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def _srgb_level(number: int) -> int:
    value = number / 1023
    linear = value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
    return round(65535 * linear)


_SRGB_CURVE = _curve([_srgb_level(number) for number in range(1024)])

# Colorants of sRGB and of Display P3, adapted to D50.
SRGB = _rgb(
    _xyz(0.43607, 0.22249, 0.01392),
    _xyz(0.38515, 0.71687, 0.09708),
    _xyz(0.14307, 0.06061, 0.71410),
    _SRGB_CURVE,
)
_P3 = (
    _xyz(0.51512, 0.24120, -0.00105),
    _xyz(0.29198, 0.69225, 0.04189),
    _xyz(0.15710, 0.06657, 0.78407),
    _SRGB_CURVE,
)
DISPLAY_P3 = _rgb(*_P3)
LINEAR_GREY = _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(1.0)})


def _inks() -> bytes:
    """A press that prints duller than the plain formula: a table of two steps an ink."""
    ramp = bytes(range(256))
    colours = b""
    for cyan, magenta, yellow, black in product((0, 1), repeat=4):
        light = 100 * (1 - 0.35 * cyan) * (1 - 0.5 * magenta) * (1 - 0.08 * yellow)
        light *= 1 - 0.85 * black
        a = (1 - black) * (-35 * cyan + 70 * magenta - 5 * yellow)
        b = (1 - black) * (-45 * cyan - 5 * magenta + 85 * yellow)
        colours += bytes((round(light * 2.55), round(a) + 128, round(b) + 128))
    table = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table + 4 * ramp + colours + 3 * ramp})


INKS = _inks()


def display_p3_with_program(elements: int, segments: int) -> bytes:
    """Display P3 which tells its colours a second time (D2B0), by a program that makes all black.

    A run of it goes through `elements` curves of so many segments.
    """
    breaks = b"".join(struct.pack(">f", number / segments) for number in range(1, segments))
    segment = b"parf" + bytes(8) + struct.pack(">4f", 1, 0, 0, 0)  # (0 x + 0)^1 + 0
    curve = b"curf" + bytes(4) + struct.pack(">HH", segments, 0) + breaks + segments * segment
    curves = b"cvst" + bytes(4) + struct.pack(">HH", 3, 3)
    curves += 3 * struct.pack(">II", 36, len(curve)) + curve
    program = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, elements)
    program += elements * struct.pack(">II", 16 + 8 * elements, len(curves)) + curves
    return _rgb(*_P3, D2B0=program)


def large_table(side: int) -> bytes:
    """An RGB profile whose colours are a table of side^3 bytes three times; it makes all grey."""
    curve = b"para" + bytes(8) + _fixed(1)
    size = bytes((side, side, side)).ljust(16, b"\0")
    table = size + b"\1\0\0\0" + b"\x80" * (3 * side**3)
    table += bytes(-len(table) % 4)
    curves = 32 + 3 * len(curve)
    data = b"mAB " + bytes(4) + b"\3\3\0\0"
    data += struct.pack(">5I", 32, 0, 0, curves, curves + len(table))
    return _profile(b"mntr", b"RGB ", b"Lab ", {b"A2B0": data + 3 * curve + table + 3 * curve})
