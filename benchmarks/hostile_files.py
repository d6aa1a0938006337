"""Photos that try to take a decoder's memory or time, of at most 50 MB each, made by hand.

`python -m benchmarks.hostile_files FOLDER` writes them; some minutes, 1.5 GB.
"""

from __future__ import annotations

import argparse
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MB = 1024 * 1024
MOST = 50 * MB
PNG = b"\x89PNG\r\n\x1a\n"
_random = np.random.default_rng(0)


def write(folder: Path) -> list[Path]:
    """Every file, written once; sorted by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in _files():
        path = folder / name
        if path.exists():
            continue
        print(f"making {name}", file=sys.stderr)
        data = make()
        if len(data) > MOST:
            raise ValueError(f"{name} has {len(data)} bytes; expected at most {MOST}")
        path.write_bytes(data)
    whole = [path for path in sorted(folder.iterdir()) if ".cut" not in path.suffixes]
    for path in whole:
        if path.name.startswith("photo"):
            _truncate(path)
    return sorted(folder.iterdir())


def _truncate(path: Path) -> None:
    data = path.read_bytes()
    for tenth in range(1, 10):
        path.with_suffix(f".{tenth}.cut").write_bytes(data[: len(data) * tenth // 10])


def _files() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield from _photos()
    yield from _bombs()
    yield from _padded()
    yield from _random_bytes()


def _photos() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Large photos as cameras and scanners might make them, which are then cut, too."""
    yield "photo-baseline.jpg", lambda: _encode(_noisy(8000, 5000), "JPEG", quality=93)
    yield "photo-progressive.jpg", lambda: _encode(_noisy(8000, 5000), "JPEG", progressive=True)
    yield "photo.png", lambda: _encode(_noisy(4700, 3500), "PNG", compress_level=1)
    yield "photo.webp", lambda: _encode(_noisy(4200, 2600), "WEBP", quality=80, method=0)
    yield "photo.gif", lambda: _encode(_noisy(6000, 4000).quantize(64), "GIF")
    yield "photo.avif", lambda: _encode(_noisy(3900, 2600), "AVIF", speed=10)


def _bombs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Few bytes, many pixels: as many as are let through, and far more."""
    sizes = ((6300, 6300), (65_535, 610), (610, 65_535), (65_500, 65_500), (65_535, 1))
    for width, height in sizes:
        for colour in (0, 2, 3, 6):
            yield f"bomb-{width}x{height}-{colour}.png", _png(width, height, colour)
        yield f"bomb-{width}x{height}.gif", _gif(width, height)
    yield "bomb-adam7.png", _png(6300, 6300, 6, interlaced=True)
    yield "bomb-16bit.png", _png(4600, 4600, 6, bits=16)
    flat = {
        "jpg": ((6300, 6300), (65_500, 610), (65_500, 447), (65_500, 65_500)),
        "webp": ((3300, 3400), (16_383, 690), (16_383, 2400)),
        "avif": ((3200, 3250), (16_384, 635), (32_768, 1200)),
    }
    forms = {"jpg": "JPEG", "webp": "WEBP", "avif": "AVIF"}
    for suffix, shapes in flat.items():
        for width, height in shapes:
            if width * height < 10**8:
                for mode in ("RGB", "RGBA") if suffix != "jpg" else ("RGB", "CMYK", "L"):
                    yield (
                        f"bomb-{width}x{height}-{mode}.{suffix}",
                        _flat(mode, width, height, forms[suffix]),
                    )
    yield "bomb-4:4:4.avif", _flat("RGBA", 3200, 3250, "AVIF", subsampling="4:4:4")
    yield "bomb-lossless.webp", _flat("RGBA", 3300, 3400, "WEBP", lossless=True)
    for mode, width in (("RGB", 5200), ("CMYK", 4600), ("L", 6300)):
        yield (
            f"bomb-progressive-{mode}.jpg",
            _flat(mode, width, 5000, "JPEG", progressive=True, subsampling=0),
        )
    progressive = _flat("L", 6300, 6300, "JPEG", progressive=True)
    for count in (5_200_000, 90):
        yield f"scans-{count}.jpg", _scans(progressive, count)
    yield "lying.avif", (_tests() / "hostile" / "lying.avif").read_bytes
    for form in ("GIF", "WEBP", "PNG", "AVIF"):
        yield f"animated.{form.lower()}", _animated(form)


def _padded() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Small photos among much that is none."""
    png, jpeg, gif = (_small(name) for name in ("rgb.png", "rgb.jpg", "palette.gif"))
    chunks = {
        "private-empty": _chunk(b"prVt", b""),
        "text": _chunk(b"tEXt", b"key\0" + bytes(60_000)),
        "text-zipped": _chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(900_000))),
        "pixels-empty": _chunk(b"IDAT", b""),
        "frames": _chunk(b"fcTL", struct.pack(">5I2H2B", 0, 120, 90, 0, 0, 1, 1, 0, 0)),
    }
    for name, chunk in chunks.items():
        most = (MOST - len(png)) // len(chunk)
        for count in {min(10_000, most), most}:
            yield f"chunks-{name}-{count}.png", _inserted(png, 33, chunk, count)
    end = len(png) - 12
    for name in ("text", "private-empty"):
        count = (MOST - len(png)) // len(chunks[name])
        yield f"chunks-after-{name}.png", _inserted(png, end, chunks[name], count)
    big = _chunk(b"tEXt", b"key\0" + bytes(49 * MB))
    yield "one-text.png", _inserted(png, 33, big, 1)
    yield "one-text-after.png", _inserted(png, end, big, 1)
    resource = b"8BIM\4\4\0\0\0\0\0\0"
    segments = {
        "app-empty": b"\xff\xe5\0\x02",
        "app": b"\xff\xe5\xff\xff" + bytes(65_533),
        "exif": b"\xff\xe1\xff\xff" + b"Exif\0\0" + bytes(65_527),
        "icc": b"\xff\xe2\xff\xff" + b"ICC_PROFILE\0\1\1" + bytes(65_519),
        "photoshop": (b"\xff\xed\xff\xff" + b"Photoshop 3.0\0" + resource * 5459).ljust(
            65_537, b"\0"
        ),
        "comment-empty": b"\xff\xfe\0\x02",
        "fill": b"\xff",
        "junk": b"\0",
    }
    for name, segment in segments.items():
        count = (MOST - len(jpeg)) // len(segment)
        yield f"segments-{name}.jpg", _inserted(jpeg, 2, segment, count)
    yield "trailing.jpg", _inserted(jpeg, len(jpeg), b"\0" * MB, 49)
    comment = b"\x21\xfe\xff" + bytes(255) + b"\0"
    start = gif.index(b",\0\0\0\0")
    yield "comments.gif", _inserted(gif, start, comment, (MOST - len(gif)) // len(comment))
    yield "comments-empty.gif", _inserted(gif, start, b"\x21\xfe\0", 10_000_000)
    for kind in (b"XMP ", b"EXIF", b"ICCP", b"JUNK"):
        yield f"{kind.decode().strip().lower()}.webp", _webp_with(kind, 49 * MB)
    box = struct.pack(">I4s", 49 * MB, b"free").ljust(49 * MB, b"\0")
    avif = _small("rgb.avif")
    yield "free.avif", _inserted(avif, int.from_bytes(avif[:4], "big"), box, 1)


def _random_bytes() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for name in ("rgb.jpg", "rgb.png", "rgb.webp", "animated.gif", "rgb.avif"):
        data = (_tests() / name).read_bytes()
        for kept in (12, 40, len(data) // 2):
            yield (
                f"random-after-{kept}-{name}",
                _inserted(data[:kept], kept, _random.bytes(5 * MB), 1),
            )
    yield "random.jpg", _inserted(b"", 0, _random.bytes(MB), 50)


def _tests() -> Path:
    return Path(__file__).resolve().parent.parent / "tests" / "images"


def _small(name: str) -> bytes:
    if name.endswith(".gif"):
        return _encode(Image.open(_tests() / "palette.png"), "GIF")
    return (_tests() / name).read_bytes()


def _noisy(width: int, height: int) -> Image.Image:
    """Detail at all scales, as a photo has, with a sensor's noise."""
    rough = _random.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    image = Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)
    noise = _random.integers(0, 12, (height, width, 1), np.uint8)
    return Image.fromarray(np.minimum(np.asarray(image), 243) + noise)


def _encode(image: Image.Image, form: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _flat(mode: str, width: int, height: int, form: str, **options: Any) -> Callable[[], bytes]:
    fast = {"AVIF": {"speed": 10}, "WEBP": {"method": 0}, "JPEG": {}}[form]
    return lambda: _encode(Image.new(mode, (width, height), 1), form, **fast, **options)


def _scans(make: Callable[[], bytes], count: int) -> Callable[[], bytes]:
    """The same JPEG with further scans, of no pixel."""
    scan = bytes.fromhex("ffda 0008 01 01 00 01 3f 00")

    def more() -> bytes:
        data = make()
        return _inserted(data, len(data) - 2, scan, count)()

    return more


def _animated(form: str) -> Callable[[], bytes]:
    frames = [Image.new("RGB", (500, 500), (number, 0, 0)) for number in range(200)]
    return lambda: _encode(frames[0], form, save_all=True, append_images=frames[1:])


def _inserted(data: bytes, at: int, piece: bytes, count: int) -> Callable[[], bytes]:
    return lambda: data[:at] + piece * count + data[at:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(
    width: int, height: int, colour: int, *, bits: int = 8, interlaced: bool = False
) -> Callable[[], bytes]:
    def make() -> bytes:
        channels = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
        header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
        zipped = zlib.compressobj(9)
        row = bytes(1 + channels * width * bits // 8)
        rows = height + 4 * interlaced if width * height <= 10**8 else 100  # cut off after 100
        body = b"".join(zipped.compress(row) for _ in range(rows)) + zipped.flush()
        chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", body), _chunk(b"IEND", b"")]
        if colour == 3:
            chunks.insert(1, _chunk(b"PLTE", bytes(768)))
        return PNG + b"".join(chunks)

    return make


def _gif(width: int, height: int) -> Callable[[], bytes]:
    """A canvas of that size, and on it one frame that Pillow made, of at most 40 MP."""

    def make() -> bytes:
        frame = (width, height) if width * height < 4 * 10**7 else (100, 100)
        data = bytearray(_encode(Image.new("P", frame), "GIF"))
        data[6:10] = struct.pack("<HH", width, height)
        return bytes(data)

    return make


def _webp_with(kind: bytes, length: int) -> Callable[[], bytes]:
    """A small photo in the extended form, with one large chunk of a kind."""

    def make() -> bytes:
        image = _small("rgb.webp")[12:]
        flags = {b"XMP ": 4, b"EXIF": 8, b"ICCP": 32}.get(kind, 0)
        extended = struct.pack("<4sIB3x", b"VP8X", 10, flags)
        extended += (119).to_bytes(3, "little") + (89).to_bytes(3, "little")
        large = struct.pack("<4sI", kind, length) + bytes(length)
        body = b"WEBP" + extended + (large + image if kind == b"ICCP" else image + large)
        return struct.pack("<4sI", b"RIFF", len(body)) + body

    return make


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
