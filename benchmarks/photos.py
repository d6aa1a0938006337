"""Embeddings of photos for the benchmarks, by the backbone that `advisor train` would use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.vision.classifier import unit
from advisor.vision.images import decode
from advisor.vision.interpreter import Model
from training.backbones import resolve
from training.config import DEFAULT_BACKBONE
from training.export import cached_graph

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "products-advisor"


@cache
def model(backbone: str = DEFAULT_BACKBONE) -> Model:
    """The backbone's graph, fetched and converted once."""
    weights = resolve(backbone, cache=CACHE, say=_say)
    _say(f"backbone: {weights.name}")
    return Model(cached_graph(weights, CACHE, _say), num_threads=2)


def embed(photos: Iterable[bytes], backbone: str = DEFAULT_BACKBONE) -> npt.NDArray[np.float32]:
    """The photos' embeddings: float32 (photos, 1280), each of unit length."""
    runner = model(backbone)
    return np.stack([unit(np.array(runner.run(decode(one)).embedding)) for one in photos])


def photos_under(folders: Sequence[Path]) -> list[Path]:
    """Every JPEG below the folders, sorted."""
    return sorted(path for folder in folders for path in folder.rglob("*.jpg"))


def _say(text: str) -> None:
    print(text, file=sys.stderr)
