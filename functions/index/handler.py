"""Brings the categories' indexes and the list of products up to date.

The indexes of a new model come into use when they are complete.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from aws_lambda_powertools import Logger

from advisor.aws.catalog import CatalogTables
from advisor.aws.doubts import DoubtStore
from advisor.aws.embeddings import EmbeddingRow, EmbeddingTable
from advisor.aws.indexes import CurrentIndexes, IndexStore
from advisor.aws.listings import ListingStore
from advisor.aws.models import ModelStore
from advisor.aws.photos import photos_under
from advisor.aws.reviews import CATEGORY, MatchPins, ReviewTable, category_pins
from advisor.aws.vectors import index_store
from advisor.catalog.categories import Vote
from advisor.catalog.doubts import Doubt, ProductPhoto, alike, find_doubts
from advisor.catalog.pins import Pins
from advisor.catalog.products import Product
from advisor.errors import NoModelError
from advisor.settings import Settings

# Labels of a new model come in over minutes; some photos cannot be read and never get one.
COMPLETE: Final = 0.95


@dataclass(frozen=True, kw_only=True)
class Services:
    """What this function works with."""

    data_bucket: str
    models: ModelStore
    embeddings: EmbeddingTable
    catalog: CatalogTables
    listings: ListingStore
    indexes: IndexStore
    doubts: DoubtStore
    reviews: ReviewTable


@cache
def default_services() -> Services:
    """The services that the settings name."""
    settings = Settings.from_env(os.environ)
    return Services(
        data_bucket=settings.data_bucket,
        models=ModelStore(settings.data_bucket),
        embeddings=EmbeddingTable(settings.embeddings_table),
        catalog=CatalogTables(settings.products_table),
        listings=ListingStore(settings.data_bucket, Path(tempfile.gettempdir())),
        indexes=index_store(
            settings.indexes, settings.data_bucket, Path(tempfile.gettempdir()) / "advisor-indexes"
        ),
        doubts=DoubtStore(settings.data_bucket),
        reviews=ReviewTable(settings.reviews_table),
    )


def handler(
    event: dict[str, Any],
    context: object,  # noqa: ARG001 (Lambda passes it)
    *,
    services: Callable[[], Services] = default_services,
) -> dict[str, Any]:
    """Index the photos that the model in use has seen, and list all products anew.

    The event's `force`: put the indexes into use whether complete or not.
    Returns: products (listed), doubts (matches to be reviewed), complete (false: too few photos
        have an embedding of this model yet; ask again), published, model_version, photos,
        categories, rebuilt (categories), reason.
    """
    use = services()
    products = {one.product_id: one for one in use.catalog.all()}
    seen = Seen.of(products)
    result = _index(use, seen, force=event.get("force") is True)
    pinned = category_pins(use.reviews.all(CATEGORY))
    result |= {
        "products": use.listings.build(products.values(), seen.votes, pinned),
        "doubts": use.doubts.publish(seen.doubts(MatchPins(use.reviews).get())),
    }
    _logger().info("indexed", extra=result)
    return result


@dataclass
class Seen:
    """What the model in use says of the photos of these products, gathered row by row.

    photos: product and place of each. votes: of each. best: a photo of each product, the one the
    model is surest of.
    compared: the products whose embedding is needed; those of all would not fit.
    """

    products: Mapping[str, Product]
    compared: frozenset[str]
    photos: set[tuple[str, str]] = field(default_factory=set)
    votes: list[Vote] = field(default_factory=list)
    best: dict[str, tuple[float, ProductPhoto]] = field(default_factory=dict)

    @classmethod
    def of(cls, products: Mapping[str, Product]) -> Seen:
        """Before a photo was seen."""
        groups = alike(products.values())
        return cls(products, frozenset(one.product_id for found in groups for one in found))

    def passing(self, rows: Iterable[EmbeddingRow]) -> Iterator[EmbeddingRow]:
        """The rows, each taken in as it passes."""
        for row in rows:
            self.photos.add((row.product_id, row.photo_key))
            self._vote(row)
            yield row

    def _vote(self, row: EmbeddingRow) -> None:
        """Take in what a photo tells; one of a product that is gone is left out."""
        if row.product_id not in self.products:
            return
        self.votes.append(_vote(row, self.products))
        if row.probability > self.best.get(row.product_id, (0.0, None))[0]:
            embedding = row.embedding if row.product_id in self.compared else None
            photo = ProductPhoto(row.photo_key, row.image_id, embedding)
            self.best[row.product_id] = row.probability, photo

    def doubts(self, pins: Pins) -> list[Doubt]:
        """The pairs of products that may be one, for a person to look at."""
        photos = {known: photo for known, (_, photo) in self.best.items()}
        images = {known: photo.image_id for known, photo in photos.items()}
        return find_doubts(alike(self.products.values(), images), photos, pins)


def _index(use: Services, everything: Seen, *, force: bool) -> dict[str, Any]:
    """Bring the indexes up to date; what the model says of the photos goes to `everything`."""
    try:
        version = use.models.current().version
    except NoModelError:
        return {"complete": False, "published": False, "reason": "no model is published yet"}
    before = use.indexes.current()
    same_model = before is not None and before.model_version == version
    fresh = CurrentIndexes(model_version=version, built_at=datetime.now(UTC).isoformat())
    earlier = before.categories if before and same_model else {}
    for label in use.models.read_info(version)["labels"]:
        rows = everything.passing(use.embeddings.rows(version, label))
        stored = use.indexes.store(version, label, rows, before=earlier.get(label))
        if stored:
            fresh.categories[label] = stored
    expected = sum(1 for _ in photos_under(use.data_bucket))
    complete = len(everything.photos) >= COMPLETE * expected
    result = {
        "model_version": version,
        "photos": len(everything.photos),
        "expected": expected,
        "categories": len(fresh.categories),
        "rebuilt": sum(one != earlier.get(label) for label, one in fresh.categories.items()),
    }
    if not (complete or same_model or force):
        why = "too few photos are labelled"
        return {"complete": False, "published": False, "reason": why} | result
    changed = before is None or replace(fresh, built_at=before.built_at) != before
    if changed:
        use.indexes.publish(fresh)
    return {"complete": complete, "published": changed, "reason": ""} | result


def _vote(row: EmbeddingRow, products: Mapping[str, Product]) -> Vote:
    item = products[row.product_id].item
    return Vote(
        shop=item.shop,
        category=item.category,
        product_id=row.product_id,
        photo=row.photo_key,
        label=row.label,
        probability=row.probability,
        image_id=row.image_id,
    )


@cache
def _logger() -> Logger:
    return Logger(service="index")
