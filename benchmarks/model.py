"""A model for benchmarks of speed: the default backbone's shape, weights that have learned nothing.

How long a model takes does not depend on what it has learned.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from advisor.vision.bundle import write_bundle
from advisor.vision.images import PREPROCESSING_ID
from benchmarks.photos import CACHE
from training.backbones import local
from training.config import DEFAULT_BACKBONE
from training.export import Made, cached_graph, make_bundle
from training.head import Head
from training.tensorflow_process import in_tensorflow

ROOT: Final = Path(__file__).resolve().parent.parent
GOODS: Final = ROOT / "build" / "goods" / "images"
LABELS: Final = tuple(f"category {number}" for number in range(10))
PHOTO: Final = (1632, 1224)  # 2 megapixels


@dataclass(frozen=True)
class Untrained:
    """One network twice: as a bundle, and as a SavedModel of float32 (n, 224, 224, 3), 0 to 255."""

    bundle: Path
    saved_model: Path


def untrained() -> Untrained:
    """The model, made once (half a minute of TensorFlow)."""
    recipe = f"{DEFAULT_BACKBONE} {PREPROCESSING_ID} {LABELS} 1"
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    folder = ROOT / "build" / "benchmarks" / f"model-{digest}"
    made = Untrained(folder / "bundle", folder / "saved_model")
    if not made.bundle.is_dir():
        print("making a model, once", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        backbone = folder / "backbone.keras"
        in_tensorflow(_make, str(backbone), str(made.saved_model))
        _bundle(backbone, made.bundle)
    return made


def photos(count: int) -> Sequence[bytes]:
    """So many of the demo goods' photos as JPEGs of 2 megapixels."""
    paths = sorted(GOODS.glob("*.jpg"))[:count]
    if not paths:
        raise SystemExit(f"no photos in {GOODS}; `make build/goods/.fetched` fetches them")
    return [_two_megapixels(path) for path in paths]


def _two_megapixels(path: Path) -> bytes:
    file = BytesIO()
    with Image.open(path) as photo:
        photo.convert("RGB").resize(PHOTO).save(file, "JPEG", quality=90)
    return file.getvalue()


def _make(backbone: str, saved_model: str) -> None:
    """In the TensorFlow process: write both."""
    import keras

    keras.utils.set_random_seed(7)
    network = keras.applications.MobileNetV2(
        (224, 224, 3), alpha=0.5, include_top=False, weights=None, pooling="avg"
    )
    network.save(backbone)
    whole = keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1),
            network,
            keras.layers.Dense(len(LABELS), activation="softmax"),
        ]
    )
    whole.export(saved_model, format="tf_saved_model", verbose=False)


def _bundle(backbone: Path, folder: Path) -> None:
    weights = local(backbone)
    graph = cached_graph(weights, CACHE, lambda _: None)
    made = Made(
        weights=weights,
        labels=LABELS,
        head=Head(np.zeros((1280, len(LABELS)), np.float32), np.zeros(len(LABELS), np.float32)),
        temperature=1.0,
        unknown_threshold=0.5,
        data={},
        training={},
    )
    bundle, files = make_bundle(graph, made, photos=photos(3), now=datetime.now(UTC))
    write_bundle(folder, files, replace(bundle.info, metrics={"accuracy": 0.1, "count": 0}))
