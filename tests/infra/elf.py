"""Which libraries, and which versions of them, a native file asks for (System V ABI, gABI 4.1)."""

from __future__ import annotations

import re
import struct

_NEEDED_VERSIONS = 0x6FFFFFFE  # SHT_GNU_verneed
_DYNAMIC = 6  # SHT_DYNAMIC
_NEEDED = 1  # DT_NEEDED


def needed_libraries(data: bytes) -> list[str]:
    """Of a 64-bit ELF file: ["libc.so.6", ...]. Raises: ValueError if it is none."""
    sections = _sections(data)
    found = []
    for _, kind, _, _, begin, size, strings, *_ in sections:
        if kind == _DYNAMIC:
            names = sections[strings][4]
            for tag, value in struct.iter_unpack("<qQ", data[begin : begin + size]):
                if tag == _NEEDED:
                    found.append(_text(data, names + value))
    return found


def needed_versions(data: bytes) -> list[tuple[str, tuple[int, ...]]]:
    """Of a 64-bit ELF file: [("GLIBC", (2, 34)), ...]. Raises: ValueError if it is none."""
    sections = _sections(data)
    found = []
    for _, kind, _, _, begin, _, strings, files, _, _ in sections:
        if kind != _NEEDED_VERSIONS:
            continue
        start, names = begin, sections[strings][4]
        for _ in range(files):
            _, symbols, _, first, following = struct.unpack_from("<HHIII", data, start)
            at = start + first
            for _ in range(symbols):
                _, _, _, name, after = struct.unpack_from("<IHHII", data, at)
                text = _text(data, names + name)
                if match := re.fullmatch(r"(\w+?)_([\d.]+)", text):
                    found.append((match[1], tuple(map(int, match[2].split(".")))))
                at += after
            start += following
    return found


def _sections(data: bytes) -> list[tuple[int, ...]]:
    if data[:5] != b"\x7fELF\x02":
        raise ValueError(f"no 64-bit ELF file: it begins with {data[:5]!r}")
    (offset,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    return [struct.unpack_from("<IIQQQQIIQQ", data, offset + size * n) for n in range(count)]


def _text(data: bytes, begin: int) -> str:
    return data[begin : data.index(b"\0", begin)].decode()
