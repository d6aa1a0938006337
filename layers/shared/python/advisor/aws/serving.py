"""The classifier of the model in use, kept over the calls of a warm function."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from advisor.aws.models import ModelStore
from advisor.errors import BundleError, NotFoundError
from advisor.vision.classifier import Classifier
from advisor.vision.publishing import CurrentModel


def current_classifier(
    store: ModelStore, *, cache_dir: Path, max_age_s: float = 60, version: str = ""
) -> Classifier:
    """The classifier of the model in use, loaded once and kept while it is in use.

    Whether another one was published is asked at most every max_age_s seconds. When that, or
    loading what was published, fails, the one in use goes on answering, at a cold start the one
    that was in use before; with a max_age_s of 0 it is an error.
    version: asks for a model by name: the one in use or the one before it.
    Raises: NoModelError if none is published; BundleError if the bundle is not sound;
        NotFoundError for another version.
    """
    held = _held(store, cache_dir)
    if held.current is None or time.monotonic() - held.checked_at >= max_age_s:
        published = None
        try:
            published = store.current()
            held.follow(published)
        except Exception:
            before = held.current or _before(published)
            if before is None or not max_age_s:
                raise
            logging.getLogger(__name__).exception("the model before stays in use")
            held.follow(before)
        held.checked_at = time.monotonic()
    assert held.current is not None  # noqa: S101 (follow has set it)
    known = [one for one in (held.current.version, held.current.previous) if one]
    if version and version not in known:
        raise NotFoundError(f"no model {version[:100]!r} in use; there is {' and '.join(known)}")
    return held.load(version or held.current.version)


def classifier_of(store: ModelStore, version: str, *, cache_dir: Path) -> Classifier:
    """The classifier of one version, published or not, kept until the next one is published.

    Raises: NotFoundError if no bundle of it is stored; BundleError if the bundle is not sound.
    """
    return _held(store, cache_dir).load(version)


@dataclass
class _Held:
    """What a warm function holds of one store."""

    store: ModelStore
    cache_dir: Path
    current: CurrentModel | None = None
    checked_at: float = 0.0
    classifiers: dict[str, Classifier] = field(default_factory=dict)

    def follow(self, current: CurrentModel) -> None:
        """Put a model into use once it is loaded, and let go of all but it and the one before."""
        self.load(current.version)
        self.current = current
        kept = {current.version, current.previous}
        for version in self.classifiers.keys() - kept:
            del self.classifiers[version]
        # Versions sort by age. Newer ones may be another process's, which knows more than we.
        oldest = min(filter(None, kept))
        for folder in self.cache_dir.iterdir():
            if folder.name < oldest and not folder.name.startswith("."):
                shutil.rmtree(folder, ignore_errors=True)

    def load(self, version: str) -> Classifier:
        """The classifier of a version, fetched and loaded the first time."""
        if version not in self.classifiers:
            folder = self.store.download(version, self.cache_dir / version)
            try:
                self.classifiers[version] = Classifier.load(folder)
            except BundleError:  # it may be mended in the store
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return self.classifiers[version]


def _before(published: CurrentModel | None) -> CurrentModel | None:
    """What was published before a model, as if it were in use."""
    if published is None or published.previous is None:
        return None
    return replace(published, version=published.previous, previous=None)


@cache
def _held(store: ModelStore, cache_dir: Path) -> _Held:
    return _Held(store, cache_dir)
