"""Photos that try to take a decoder's memory or time, of at most 50 MB each, made by hand.

`python -m benchmarks.hostile_files FOLDER` writes them; some minutes, 1.5 GB.
"""

from __future__ import annotations

import argparse
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.images import icc
from tests.images.make import exif_of_one_tag, many_tables_webp

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
    yield from _costly()
    yield from _random_bytes()


def _photos() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Large photos as cameras and scanners might make them, which are then cut, too."""
    yield "photo-baseline.jpg", lambda: _encode(_noisy(8000, 5000), "JPEG", quality=93)
    yield "photo-progressive.jpg", lambda: _encode(_noisy(8000, 5000), "JPEG", progressive=True)
    yield "photo.png", lambda: _encode(_noisy(4700, 3500), "PNG", compress_level=1)
    yield "photo.gif", lambda: _encode(_noisy(6000, 4000).quantize(64), "GIF")
    for quality in (80, 100):
        yield f"photo-{quality}.webp", partial(_twelve_megapixels, "WEBP", quality, method=0)
        for sampling in ("4:2:0", "4:4:4"):
            yield (
                f"photo-{quality}-{sampling.replace(':', '')}.avif",
                partial(_twelve_megapixels, "AVIF", quality, speed=10, subsampling=sampling),
            )


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
        "webp": ((3650, 3665), (16_383, 816), (16_383, 2400)),
        "avif": ((3750, 3753), (32_768, 429), (32_768, 1200)),
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
    # The most pixels of other kinds that are let through.
    for mode, width, height, sampling in (
        ("L", 6300, 6300, "4:0:0"),
        ("RGB", 4360, 4365, "4:2:0"),
        ("RGB", 4240, 4240, "4:2:2"),
        ("RGB", 4020, 4025, "4:4:4"),
        ("RGBA", 3525, 3530, "4:4:4"),
    ):
        name = f"bomb-{mode}-{sampling.replace(':', '')}.avif"
        yield name, _flat(mode, width, height, "AVIF", subsampling=sampling)
    for name in ("deep", "grain", "lying"):
        yield f"{name}.avif", (_tests() / "hostile" / f"{name}.avif").read_bytes
    for mode in ("RGB", "RGBA"):
        yield f"bomb-lossless-{mode}.webp", _flat(mode, 3650, 3665, "WEBP", lossless=True)
        frames = [Image.new(mode, (3650, 3665), number) for number in (1, 2)]
        options = {"save_all": True, "append_images": frames[1:], "method": 0}
        yield f"bomb-animated-{mode}.webp", partial(_encode, frames[0], "WEBP", **options)
    yield "many-tables.webp", many_tables_webp
    for mode, width in (("RGB", 5200), ("CMYK", 4600), ("L", 6300)):
        yield (
            f"bomb-progressive-{mode}.jpg",
            _flat(mode, width, 5000, "JPEG", progressive=True, subsampling=0),
        )
    progressive = _flat("L", 6300, 6300, "JPEG", progressive=True)
    for count in (5_200_000, 90):
        yield f"scans-{count}.jpg", _scans(progressive, count)
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
    twelve = _flat("RGB", 4032, 3024, "WEBP")
    for kind in (b"XMP ", b"EXIF", b"ICCP", b"JUNK"):
        name = kind.decode().strip().lower()
        yield f"{name}.webp", _webp_with(kind, bytes(49 * MB))
        # The most that is let through, with few pixels and with many.
        yield f"{name}-small.webp", _webp_with(kind, bytes(32_300_000))
        yield f"{name}-large.webp", _webp_with(kind, bytes(4_700_000), twelve, (4032, 3024))
    box = struct.pack(">I4s", 49 * MB, b"free").ljust(49 * MB, b"\0")
    avif = _small("rgb.avif")
    yield "free.avif", _inserted(avif, int.from_bytes(avif[:4], "big"), box, 1)


def _costly() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Profiles and EXIF that take more than their bytes."""
    large, small = _flat("RGB", 65_500, 610, "JPEG"), _flat("RGB", 64, 64, "JPEG")
    profiles = {
        "table": partial(icc.large_table, 136),
        "program": partial(icc.display_p3_with_program, 1000, 1000),
    }
    for name, make in profiles.items():
        yield f"icc-{name}-large.jpg", partial(_jpeg_with_profile, large, make)
        yield f"icc-{name}-small.jpg", partial(_jpeg_with_profile, small, make)
    for size in (40 * MB, 32_300_000):
        yield f"exif-values-{size}.webp", _webp_with(b"EXIF", exif_of_one_tag(size)[6:])
    plain = Image.new("RGB", (64, 64))
    yield "exif-values.png", partial(_encode, plain, "PNG", exif=exif_of_one_tag(8_000_000))
    for count in (16, 120):
        yield f"exif-values-{count}.jpg", partial(_jpeg_with_exif, count)


def _jpeg_with_profile(make: Callable[[], bytes], profile: Callable[[], bytes]) -> bytes:
    data, whole = make(), profile()
    pieces = [whole[at : at + 65_519] for at in range(0, len(whole), 65_519)]
    segments = b"".join(
        struct.pack(">HH12sBB", 0xFFE2, 16 + len(piece), b"ICC_PROFILE", number, len(pieces))
        + piece
        for number, piece in enumerate(pieces, 1)
    )
    return data[:2] + segments + data[2:]


def _jpeg_with_exif(count: int) -> bytes:
    """EXIF in so many segments, whose resolution's unit is all of its bytes."""
    data, room = _flat("RGB", 64, 64, "JPEG")(), 65_000
    exif = exif_of_one_tag(count * room - 100)[6:]
    tag = struct.pack("<H", 0x0112)
    exif = exif.replace(tag, struct.pack("<H", 0x0128), 1)
    pieces = [exif[at : at + room] for at in range(0, len(exif), room)]
    segments = b"".join(
        struct.pack(">HH6s", 0xFFE1, 8 + len(piece), b"Exif") + piece for piece in pieces
    )
    return data[:2] + segments + data[20:]  # without JFIF, whose resolution would do


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


def _twelve_megapixels(form: str, quality: int, **options: Any) -> bytes:
    """What most phones take, encoded anew."""
    return _encode(_noisy(4032, 3024), form, quality=quality, **options)


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


def _webp_with(
    kind: bytes,
    content: bytes,
    make: Callable[[], bytes] | None = None,
    size: tuple[int, int] = (120, 90),
) -> Callable[[], bytes]:
    """A photo (of tests/images, unless another is made) in the extended form, with one large
    chunk of a kind."""

    def extended() -> bytes:
        image = (make() if make else _small("rgb.webp"))[12:]
        flags = {b"XMP ": 4, b"EXIF": 8, b"ICCP": 32}.get(kind, 0)
        head = struct.pack("<4sIB3x", b"VP8X", 10, flags)
        head += b"".join((side - 1).to_bytes(3, "little") for side in size)
        large = struct.pack("<4sI", kind, len(content)) + content
        body = b"WEBP" + head + (large + image if kind == b"ICCP" else image + large)
        return struct.pack("<4sI", b"RIFF", len(body)) + body

    return extended


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)
