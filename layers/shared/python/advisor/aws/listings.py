"""The list of all products in S3, made from the products table, and the mapped categories.

listing/<build>.sqlite    a list (advisor.catalog.listing), never changed once it is there
listing/current.json      {"key", "products", "built_at", "mapped", "disagreements"}, written last
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from advisor.aws.clients import client
from advisor.aws.objects import read_json, remove_old
from advisor.aws.remembered import MAX_AGE_S, Remembered
from advisor.catalog.categories import Shelved, Vote, disagreements, map_categories
from advisor.catalog.listing import Listing, write_listing
from advisor.catalog.products import Product

ROOT = "listing/"
CURRENT = f"{ROOT}current.json"
KEEP_S = 3600.0  # longer than the function may run
MOST_DISAGREEMENTS = 1_000  # a person looks at the most confident first


@dataclass(frozen=True)
class ListingStore:
    """The list of one bucket. cache: a folder where the one in use is kept on disk.

    keep_s: what is younger is not removed: another build may be about to publish it.
    """

    bucket: str
    cache: Path
    keep_s: float = KEEP_S

    def build(
        self,
        products: Collection[Product],
        votes: Sequence[Vote],
        pins: Mapping[Shelved, str] | None = None,
    ) -> int:
        """Make the list anew and put it into use, in one write; returns its products.

        pins: what people said of shops' categories.
        """
        shelves = {(one.item.shop, one.item.category) for one in products}
        mapped = map_categories(votes, pins, shelves=shelves)
        photos = {vote.product_id: vote.photo for vote in votes}
        key = f"{ROOT}{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}.sqlite"
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "list.sqlite"
            count = write_listing(path, products, mapped=mapped, photos=photos)
            client("s3").upload_file(str(path), self.bucket, key)
        before = self.current()
        amiss = disagreements(votes, mapped)[:MOST_DISAGREEMENTS]
        fresh = {
            "key": key,
            "products": count,
            "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "mapped": [one.to_dict() for one in mapped],
            "disagreements": [one.to_dict() for one in amiss],
        }
        client("s3").put_object(
            Bucket=self.bucket,
            Key=CURRENT,
            Body=json.dumps(fresh, ensure_ascii=False).encode(),
            ContentType="application/json",
        )
        self._remove_others({key, before["key"] if before else ""})
        return count

    def current(self) -> dict[str, Any] | None:
        """listing/current.json; None before the first list was made."""
        return read_json(self.bucket, CURRENT)

    def fetch(self, key: str) -> Listing:
        """The list of a key, fetched once; others are removed from the disk."""
        path = self.cache / key.replace("/", "~")
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            half = self.cache / f".{uuid4().hex}"
            client("s3").download_file(self.bucket, key, str(half))
            half.replace(path)
            for other in self.cache.glob("listing~*"):
                if other != path:
                    other.unlink(missing_ok=True)
        return Listing(path)

    def _remove_others(self, kept: set[str]) -> None:
        remove_old(
            self.bucket,
            ROOT,
            keep_s=self.keep_s,
            gone=lambda key: key.endswith(".sqlite") and key not in kept,
        )


class CurrentListing:
    """The list in use, which a warm function keeps open."""

    def __init__(self, store: ListingStore, *, max_age_s: float = MAX_AGE_S) -> None:
        """max_age_s: whether another one was made is asked at most so often."""
        self._store = store
        self._open: tuple[Listing, dict[str, Any]] | None = None
        self._current = Remembered("products", self._follow, max_age_s=max_age_s)

    def get(self) -> tuple[Listing, dict[str, Any]] | None:
        """The list and what listing/current.json says of it; None before the first was made."""
        return self._current.get()

    def _follow(self) -> tuple[Listing, dict[str, Any]] | None:
        about = self._store.current()
        if about is None:
            self._open = None
        elif self._open is None or about["key"] != self._open[1]["key"]:
            self._open = self._store.fetch(about["key"]), about
        return self._open
