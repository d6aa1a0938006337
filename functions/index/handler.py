"""Brings the categories' indexes and the list of products up to date.

The indexes of a new model come into use when they are complete.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from aws_lambda_powertools import Logger

from advisor.aws.catalog import CatalogTables
from advisor.aws.embeddings import EmbeddingRow, EmbeddingTable, shelf_of
from advisor.aws.indexes import CurrentIndexes, IndexStore
from advisor.aws.listings import ListingStore
from advisor.aws.models import ModelStore
from advisor.aws.photos import photos_under
from advisor.catalog.categories import Vote
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
        indexes=IndexStore(settings.data_bucket, Path(tempfile.gettempdir()) / "advisor-indexes"),
    )


def handler(
    event: dict[str, Any],
    context: object,  # noqa: ARG001 (Lambda passes it)
    *,
    services: Callable[[], Services] = default_services,
) -> dict[str, Any]:
    """Index the photos that the model in use has seen, and list all products anew.

    The event's `force`: put the indexes into use whether complete or not.
    Returns: products (listed), complete (false: too few photos have an embedding of this model
        yet; ask again), published, model_version, photos, categories, rebuilt (categories), reason.
    """
    use = services()
    products = {one.product_id: one for one in use.catalog.all()}
    votes: list[Vote] = []
    result = _index(use, products, votes, force=event.get("force") is True)
    listed = use.listings.build(products.values(), votes)
    _logger().info("indexed", extra=result | {"products": listed})
    return result | {"products": listed}


def _index(
    use: Services, products: Mapping[str, Product], votes: list[Vote], *, force: bool
) -> dict[str, Any]:
    """Bring the indexes up to date; what the model says of the products' photos goes to `votes`."""
    try:
        version = use.models.current().version
    except NoModelError:
        return {"complete": False, "published": False, "reason": "no model is published yet"}
    before = use.indexes.current()
    same_model = before is not None and before.model_version == version
    seen: set[tuple[str, str]] = set()
    fresh = CurrentIndexes(model_version=version, built_at=datetime.now(UTC).isoformat())
    earlier = before.categories if before and same_model else {}
    for label in use.models.read_info(version)["labels"]:
        rows = list(use.embeddings.rows(version, label))
        shelf = shelf_of(rows)
        votes += [_vote(row, products) for row in rows if row.product_id in products]
        if shelf.photos:
            fresh.categories[label] = use.indexes.store(
                version, label, shelf, before=earlier.get(label)
            )
            seen.update((photo.product_id, photo.photo) for photo in shelf.photos)
    expected = sum(1 for _ in photos_under(use.data_bucket))
    complete = len(seen) >= COMPLETE * expected
    result = {
        "model_version": version,
        "photos": len(seen),
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
    )


@cache
def _logger() -> Logger:
    return Logger(service="index")
