"""Makes one small photo of each kind that people send, and what decode() gives for it.

Run `python -m tests.images.make` after a wanted change of the preprocessing, and look at the
difference: models trained before it are refused from then on.
"""

from __future__ import annotations

import struct
import zlib
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
    """Write the photos, then the golden array of each as a PNG, for people to look at, too."""
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
    Image.merge("LA", (grey, alpha)).save(folder / "grey-alpha.png")
    Image.fromarray(np.asarray(grey, np.uint16) * 257).save(folder / "grey16.png")
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
