"""The categories' indexes in S3, and the ones in use.

index/<model>/<category>/<build>/<file>   an index, never changed once it is there
index/current.json    {"model_version", "built_at", "categories": {label: {"prefix", "photos"}}}

current.json is written last and whole: a reader sees all of a build or all of the one before.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Protocol
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from advisor.aws.clients import client
from advisor.aws.embeddings import EmbeddingRow, shelf_of
from advisor.aws.objects import read_json, remove_old
from advisor.aws.remembered import MAX_AGE_S, Remembered
from advisor.catalog.index import FILES, CategoryIndex, write_index
from advisor.catalog.similarity import SimilarPhoto, best_of_each_product
from advisor.naming import path_segment

ROOT = "index/"
CURRENT = f"{ROOT}current.json"
KEEP_S = 3600.0  # longer than the function may run
PHOTOS_PER_PRODUCT = 4  # so many photos are looked at for one product that is asked for


@dataclass(frozen=True)
class StoredIndex:
    """Where a category's index lies, and how many photos it holds."""

    prefix: str
    photos: int


@dataclass(frozen=True, kw_only=True)
class CurrentIndexes:
    """index/current.json: the model whose embeddings are indexed, and each category's index."""

    model_version: str
    built_at: str
    categories: dict[str, StoredIndex] = field(default_factory=dict)

    @property
    def photos(self) -> int:
        """Rows in all categories; a photo that may be of two is counted twice."""
        return sum(one.photos for one in self.categories.values())


class PhotoIndex(Protocol):
    """What finds photos of one category."""

    def search(self, query: npt.NDArray[np.float32], *, limit: int) -> list[SimilarPhoto]:
        """See `CategoryIndex.search`."""


@dataclass(frozen=True)
class IndexStore:
    """The indexes of one bucket. cache: a folder where those in use are kept on disk.

    keep_s: what is younger is not removed: another build may be about to publish it.
    """

    root: ClassVar[str] = ROOT
    bucket: str
    cache: Path
    keep_s: float = KEEP_S

    def current(self) -> CurrentIndexes | None:
        """The indexes in use; None before the first were built."""
        value = read_json(self.bucket, self._current_key)
        if value is None:
            return None
        categories = {label: StoredIndex(**stored) for label, stored in value["categories"].items()}
        return CurrentIndexes(**value | {"categories": categories})

    def publish(self, fresh: CurrentIndexes) -> None:
        """Make these the indexes in use, in one write; remove those that no reader asks for."""
        before = self.current()
        client("s3").put_object(
            Bucket=self.bucket,
            Key=self._current_key,
            Body=json.dumps(asdict(fresh), ensure_ascii=False).encode(),
            ContentType="application/json",
        )
        kept = {one.prefix for one in fresh.categories.values()}
        kept |= {one.prefix for one in before.categories.values()} if before else set()
        self._remove_others(kept)

    def store(
        self,
        model_version: str,
        label: str,
        rows: Iterable[EmbeddingRow],
        *,
        before: StoredIndex | None,
    ) -> StoredIndex | None:
        """Build a category's index and store it; `before` itself if nothing has changed.

        None for a category without photos.
        """
        shelf = shelf_of(rows)
        if not shelf.photos:
            return None
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "index"
            earlier = self._mapped(before) if before else None
            if not write_index(folder, shelf, before=earlier):
                assert before is not None  # noqa: S101 (only then it says so)
                return before
            build = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
            prefix = f"{self.root}{path_segment(model_version)}/{path_segment(label)}/{build}/"
            for file in FILES:
                client("s3").upload_file(str(folder / file), self.bucket, prefix + file)
        return StoredIndex(prefix, len(shelf.photos))

    def open(self, stored: StoredIndex) -> PhotoIndex:
        """A stored index, to be searched."""
        return self._mapped(stored)

    def _mapped(self, stored: StoredIndex) -> CategoryIndex:
        """An index that was fetched once (whole or not at all) and mapped."""
        folder = self.cache / stored.prefix.replace("/", "~")
        if not folder.is_dir():
            self.cache.mkdir(parents=True, exist_ok=True)
            half = Path(tempfile.mkdtemp(prefix=".half-", dir=self.cache))
            try:
                with ThreadPoolExecutor(len(FILES)) as threads:
                    list(threads.map(lambda file: self._fetch(stored.prefix, file, half), FILES))
                half.rename(folder)
            except OSError:
                if not folder.is_dir():  # another thread may have been first
                    raise
            finally:
                shutil.rmtree(half, ignore_errors=True)
        return CategoryIndex.open(folder)

    def forget_others(self, current: CurrentIndexes) -> None:
        """Remove from the disk what is not in use any more."""
        kept = {one.prefix.replace("/", "~") for one in current.categories.values()}
        for folder in self.cache.glob("index~*") if self.cache.is_dir() else ():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, prefix: str, file: str, folder: Path) -> None:
        client("s3").download_file(self.bucket, prefix + file, str(folder / file))

    def _remove_others(self, kept: Collection[str]) -> None:
        remove_old(
            self.bucket,
            self.root,
            keep_s=self.keep_s,
            gone=lambda key: key != self._current_key and f"{key.rpartition('/')[0]}/" not in kept,
        )

    @property
    def _current_key(self) -> str:
        return f"{self.root}current.json"


class IndexedPhotos:
    """A `PhotoSearch` over the indexes in use, which a warm function keeps open."""

    def __init__(self, store: IndexStore, *, max_age_s: float = MAX_AGE_S) -> None:
        """max_age_s: whether others were published is asked at most so often."""
        self._store = store
        self._current: CurrentIndexes | None = None
        self._remembered = Remembered("indexes", self._follow, max_age_s=max_age_s)
        self._open: dict[str, PhotoIndex] = {}

    @property
    def model_version(self) -> str:
        """The model whose embeddings can be searched for; "" before an index was built."""
        current = self._remembered.get()
        return current.model_version if current else ""

    def similar(
        self, labels: Sequence[str], query: npt.NDArray[np.float32], *, limit: int
    ) -> list[SimilarPhoto]:
        """See `PhotoSearch`. A category without an index has no photo."""
        categories = self._current.categories if self._current else {}
        found = [
            one
            for label in labels
            if label in categories
            for one in self._index(categories[label]).search(
                query, limit=PHOTOS_PER_PRODUCT * limit
            )
        ]
        return best_of_each_product(found, limit=limit)

    def _follow(self) -> CurrentIndexes | None:
        fresh = self._store.current()
        if fresh != self._current and fresh is not None:
            prefixes = {one.prefix for one in fresh.categories.values()}
            self._open = {at: one for at, one in self._open.items() if at in prefixes}
            self._store.forget_others(fresh)
        self._current = fresh
        return fresh

    def _index(self, stored: StoredIndex) -> PhotoIndex:
        if stored.prefix not in self._open:
            self._open[stored.prefix] = self._store.open(stored)
        return self._open[stored.prefix]
