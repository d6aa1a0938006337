"""The classifier of the model in use, kept over the calls of a warm function."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from advisor.aws.models import ModelStore
from advisor.vision.classifier import Classifier


def current_classifier(store: ModelStore, *, cache_dir: Path, max_age_s: float = 60) -> Classifier:
    """The classifier of the model in use, loaded once and kept while it is in use.

    Whether another one was published is asked at most every max_age_s seconds.
    Raises: NoModelError if none is published; BundleError if the bundle is not sound.
    """
    held = _held(store, cache_dir)
    if held.classifier is None or time.monotonic() - held.checked_at >= max_age_s:
        version = store.current().version
        if held.classifier is None or held.classifier.version != version:
            held.classifier = Classifier.load(store.download(version, cache_dir / version))
        held.checked_at = time.monotonic()
    return held.classifier


def classifier_of(store: ModelStore, version: str, *, cache_dir: Path) -> Classifier:
    """The classifier of one version, kept while that is asked for.

    Raises: NotFoundError if no bundle of it is stored; BundleError if the bundle is not sound.
    """
    held = _held(store, cache_dir)
    if held.classifier is not None and held.classifier.version == version:
        return held.classifier
    if held.earlier is None or held.earlier.version != version:
        held.earlier = Classifier.load(store.download(version, cache_dir / version))
    return held.earlier


@dataclass
class _Held:
    classifier: Classifier | None = None
    checked_at: float = 0.0
    earlier: Classifier | None = None


@cache
def _held(_store: ModelStore, _cache_dir: Path) -> _Held:
    return _Held()
