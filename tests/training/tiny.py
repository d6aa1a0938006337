"""Small things the tests of vision and training share: photos, a bundle, a quiet progress."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from advisor.vision.bundle import write_bundle
from training.backbones import local
from training.export import Made, make_bundle
from training.head import Head

HERE = Path(__file__).parent
BACKBONE = HERE / "tiny_backbone.keras"
GRAPH = HERE / "tiny_graph.tflite"
LABELS = ("blue", "green, dark", "red")
COLOURS = {"blue": (30, 40, 200), "green, dark": (20, 160, 40), "red": (210, 40, 30)}


def photo(colour: tuple[int, int, int], *, seed: int = 0, form: str = "PNG") -> bytes:
    """An encoded photo of one colour with blotches, of which no two seeds look alike."""
    rng = np.random.default_rng(seed)
    blotches = rng.integers(-30, 31, (6, 8, 3))
    pixels = np.clip(np.array(colour) + blotches, 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).resize((96, 64), Image.Resampling.NEAREST).save(file, form)
    return file.getvalue()


def make_photos(folder: Path, *, each: int) -> Path:
    """A folder of category folders with `each` photos of each colour."""
    for start, (label, colour) in enumerate(COLOURS.items()):
        (folder / label).mkdir(parents=True)
        for number in range(each):
            data = photo(colour, seed=1000 * start + number)
            (folder / label / f"{number}.png").write_bytes(data)
    return folder


def make_tiny_bundle(folder: Path, *, bias: tuple[float, float, float] = (0, 0, 0)) -> str:
    """Write a sound bundle of the tiny graph whose biases decide; returns its version."""
    made = Made(
        weights=local(BACKBONE),
        labels=LABELS,
        head=Head(np.zeros((8, 3), np.float32), np.array(bias, np.float32)),
        temperature=1.0,
        unknown_threshold=0.4,
        data={},
        training={},
    )
    photos = [photo(colour) for colour in COLOURS.values()]
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    bundle, files = make_bundle(GRAPH.read_bytes(), made, photos=photos, now=now)
    info = replace(bundle.info, metrics={"accuracy": 0.5, "count": 2})
    write_bundle(folder, files, info)
    return info.version


def ignore(*_: object) -> None:
    """A progress, and a say, that nobody watches."""
