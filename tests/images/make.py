"""Makes one small photo of each kind that people send, and what decode() gives for it.

Run `python -m tests.images.make` after a wanted change of the preprocessing, and look at the
difference: models trained before it are refused from then on.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from advisor.vision.images import decode
from tests.images import icc

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
SUFFIXES = frozenset({".jpg", ".png", ".webp", ".gif", ".avif"})
ORIENTATION = 0x0112


def main() -> None:
    """Write the photos, then the golden array of each as a PNG, for people to look at, too.

    hostile/deep.avif and grain.avif are by libavif's avifenc, from one colour of 3400x3410 and
    4360x4365 pixels, with `-d 10 -y 444` and `-d 8 -y 420 -a film-grain-test=1`: Pillow writes
    neither ten bits nor grain.
    """
    make_photos(HERE)
    (HERE / "hostile" / "lying.avif").write_bytes(lying_avif())
    photos = sorted(path for path in HERE.iterdir() if path.suffix in SUFFIXES)
    for photo in photos:
        pixels = decode(photo.read_bytes())
        Image.fromarray(pixels).save(GOLDEN / f"{photo.name}.png", optimize=True)


def make_photos(folder: Path) -> None:
    """A scene without symmetry, in every mode and format."""
    scene = Image.fromarray(_scene(120, 90))
    grey = scene.convert("L")
    alpha = Image.linear_gradient("L").resize(scene.size)
    see_through = scene.copy()
    see_through.putalpha(alpha)
    palette = scene.quantize(32)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    cmyk = scene.convert("CMYK")
    more = {"save_all": True, "append_images": [Image.new("RGB", scene.size)], "duration": 100}

    Image.fromarray(_scene(1200, 900)).save(folder / "large.jpg", quality=30)  # drafted
    scene.save(folder / "rgb.jpg")
    scene.save(folder / "progressive.jpg", progressive=True)
    scene.save(folder / "turned.jpg", exif=exif)
    scene.save(folder / "wide-gamut.jpg", icc_profile=icc.DISPLAY_P3)
    scene.save(folder / "srgb-profile.jpg", icc_profile=icc.SRGB)
    cmyk.save(folder / "cmyk.jpg")  # Pillow writes Adobe's kind: the marker, and inverted
    cmyk.save(folder / "cmyk-profile.jpg", icc_profile=icc.INKS)
    (folder / "ycck.jpg").write_bytes(_ycck(cmyk))
    grey.save(folder / "grey.jpg")
    grey.save(folder / "grey-profile.jpg", icc_profile=icc.LINEAR_GREY)
    scene.save(folder / "rgb.png")
    see_through.save(folder / "alpha.png")
    see_through.save(folder / "wide-gamut-alpha.png", icc_profile=icc.DISPLAY_P3)
    palette.save(folder / "palette.png")
    palette.save(folder / "palette-transparent.png", transparency=3)
    grey.convert("1").save(folder / "one-bit.png")
    grey_alpha = Image.merge("LA", (grey, alpha))
    grey_alpha.save(folder / "grey-alpha.png")
    grey_alpha.save(folder / "grey-alpha-profile.png", icc_profile=icc.LINEAR_GREY)
    grey16 = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    grey16.save(folder / "grey16.png")
    grey16.save(folder / "grey16-transparent.png", transparency=grey16.getpixel((60, 45)))
    (folder / "rgb16.png").write_bytes(png16(np.asarray(scene, np.uint16) * 257))
    scene.save(folder / "animated.png", **more)
    scene.save(folder / "rgb.webp")
    see_through.save(folder / "alpha.webp", lossless=True)
    scene.save(folder / "animated.webp", **more)
    palette.save(folder / "animated.gif", save_all=True, append_images=[grey.convert("P")])
    scene.save(folder / "rgb.avif", max_threads=1)
    see_through.save(folder / "alpha.avif", max_threads=1)
    scene.save(folder / "turned.avif", exif=exif, max_threads=1)
    scene.save(folder / "animated.avif", max_threads=1, **more)


def lying_avif() -> bytes:
    """An AVIF whose container says 100x100 and whose stream is 13,500x13,500, in 1.6 KB."""
    true, said = (struct.pack(">II", size, size) for size in (13_500, 100))
    file = BytesIO()
    Image.new("L", (13_500, 13_500)).save(file, "AVIF", speed=10, quality=1)
    return file.getvalue().replace(true, said)


def exif_of_one_tag(size: int) -> bytes:
    """EXIF whose orientation is so many bytes of fractions."""
    entry = struct.pack("<HHII", ORIENTATION, 5, size // 8, 26)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + b"\3" * size


def many_tables_webp() -> bytes:
    """A lossless WebP of 1024x1024 pixels, 295 KB, with 65,536 sets of Huffman tables.

    One for each 4x4 pixels, which libwebp builds all at once: 382 MB. By the WebP Lossless
    Bitstream Specification (RFC 9649, section 3); names are its own.
    """
    stream = _Bits()
    put = stream.put
    for value, bits in ((0x2F, 8), (1023, 14), (1023, 14), (1, 1), (0, 3)):  # signature to version
        put(value, bits)
    put(0, 1)  # no transform
    put(0, 1)  # no color cache
    put(1, 1)  # meta prefix codes: an entropy image tells the set of each block
    put(0, 3)  # a block is 4x4
    put(0, 1)  # the entropy image has no color cache
    _put_all_bytes(put, 256 + 24)  # green and lengths
    _put_all_bytes(put, 256)  # red
    for _ in range(3):  # blue, alpha, distance
        _put_one_symbol(put)
    for number in range(65_536):  # its pixels: the set's number in red and green
        put(_reversed(number & 255), 8)
        put(_reversed(number >> 8), 8)
    for _ in range(65_536 * 5):
        _put_one_symbol(put)
    data = stream.to_bytes()
    return struct.pack("<4sI4s4sI", b"RIFF", 12 + len(data), b"WEBP", b"VP8L", len(data)) + data


class _Bits:
    """A stream of bits, the least significant of each byte first."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def put(self, value: int, count: int) -> None:
        self._bits.append(f"{value:0{count}b}"[::-1])

    def to_bytes(self) -> bytes:
        """All of it, filled up with zeros to an even count of bytes."""
        bits = "".join(self._bits)
        count = (len(bits) + 15) // 16 * 2
        return int(bits[::-1], 2).to_bytes(count, "little")


def _put_one_symbol(put: Callable[[int, int], None]) -> None:
    """A simple code: one symbol, of one bit, 0; each use of it takes no bit."""
    put(0b0001, 4)


def _put_all_bytes(put: Callable[[int, int], None], alphabet: int) -> None:
    """A code of eight bits for each of 256 symbols; what the alphabet has besides has none."""
    put(0, 1)  # a normal code
    order = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8)  # kCodeLengthCodeOrder
    put(len(order) - 4, 4)
    for length in order:
        put(1 if length in {0, 8} else 0, 3)  # one bit for "0", one for "8"
    put(0, 1)  # lengths of the whole alphabet follow
    for symbol in range(alphabet):
        put(1 if symbol < 256 else 0, 1)


def _reversed(byte: int) -> int:
    return int(f"{byte:08b}"[::-1], 2)


def png16(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write. pixels: uint16 (h, w, 3)."""
    height, width, _ = pixels.shape
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    rows = np.hstack([np.zeros((height, 1), np.uint8), rows])  # filter 0 before each
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _ycck(cmyk: Image.Image) -> bytes:
    """Adobe's other CMYK: inks as YCbCr and black, told by the 2 at the end of its marker."""
    *inks, black = cmyk.split()
    luma = Image.merge("RGB", inks).convert("YCbCr").point(lambda level: 255 - level)
    file = BytesIO()
    Image.merge("CMYK", (*luma.split(), black)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def _scene(width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    red, green = 255 * x, 255 * y * y
    blue = np.where((x - 0.3) ** 2 + (y - 0.6) ** 2 < 0.04, 230, 40)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


if __name__ == "__main__":
    main()
