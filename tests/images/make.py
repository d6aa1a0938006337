"""Makes one small photo of each kind that people send, and what decode() gives for it.

Run `python tests/images/make.py` after a wanted change of the preprocessing, and look at the
difference: models trained before it are refused from then on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from advisor.vision.images import decode

HERE = Path(__file__).parent
GOLDEN = HERE / "golden.npz"
ORIENTATION = 0x0112


def main() -> None:
    """Write the photos, then the golden arrays of all of them."""
    make_photos(HERE)
    photos = sorted(
        path for path in HERE.iterdir() if path.suffix in {".jpg", ".png", ".webp", ".gif"}
    )
    arrays = {photo.name: decode(photo.read_bytes()) for photo in photos}
    np.savez_compressed(GOLDEN, allow_pickle=False, **arrays)


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

    Image.fromarray(_scene(1200, 900)).save(folder / "large.jpg", quality=30)  # drafted
    scene.save(folder / "rgb.jpg")
    scene.save(folder / "progressive.jpg", progressive=True)
    scene.save(folder / "turned.jpg", exif=exif)
    scene.convert("CMYK").save(folder / "cmyk.jpg")
    grey.save(folder / "grey.jpg")
    scene.save(folder / "rgb.png")
    see_through.save(folder / "alpha.png")
    palette.save(folder / "palette.png")
    palette.save(folder / "palette-transparent.png", transparency=3)
    grey.convert("1").save(folder / "one-bit.png")
    Image.merge("LA", (grey, alpha)).save(folder / "grey-alpha.png")
    Image.fromarray(np.asarray(grey, np.uint16) * 257).save(folder / "grey16.png")
    scene.save(folder / "rgb.webp")
    see_through.save(folder / "alpha.webp", lossless=True)
    palette.save(folder / "animated.gif", save_all=True, append_images=[grey.convert("P")])


def _scene(width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    red, green = 255 * x, 255 * y * y
    blue = np.where((x - 0.3) ** 2 + (y - 0.6) ** 2 < 0.04, 230, 40)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


if __name__ == "__main__":
    main()
