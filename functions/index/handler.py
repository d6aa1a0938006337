"""Brings the categories' indexes up to date, and those of a new model into use when complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from aws_lambda_powertools import Logger

from advisor.aws.embeddings import EmbeddingTable
from advisor.aws.indexes import CurrentIndexes, IndexStore
from advisor.aws.models import ModelStore
from advisor.aws.photos import photos_under
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
    indexes: IndexStore


@cache
def default_services() -> Services:
    """The services that the settings name."""
    settings = Settings.from_env(os.environ)
    return Services(
        data_bucket=settings.data_bucket,
        models=ModelStore(settings.data_bucket),
        embeddings=EmbeddingTable(settings.embeddings_table),
        indexes=IndexStore(settings.data_bucket, Path(tempfile.gettempdir()) / "advisor-indexes"),
    )


def handler(
    event: dict[str, Any],
    context: object,  # noqa: ARG001 (Lambda passes it)
    *,
    services: Callable[[], Services] = default_services,
) -> dict[str, Any]:
    """Index the photos that the model in use has seen. The event's `force`: complete or not.

    Returns: complete (false: too few photos have an embedding of this model yet; ask again),
        published, model_version, photos, categories, rebuilt (categories).
    """
    use = services()
    try:
        version = use.models.current().version
    except NoModelError:
        return _told(complete=False, published=False, reason="no model is published yet")
    before = use.indexes.current()
    same_model = before is not None and before.model_version == version
    seen: set[tuple[str, str]] = set()
    fresh = CurrentIndexes(model_version=version, built_at=datetime.now(UTC).isoformat())
    earlier = before.categories if before and same_model else {}
    for label in use.models.read_info(version)["labels"]:
        shelf = use.embeddings.load(version, label)
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
    if not (complete or same_model or event.get("force") is True):
        return _told(
            complete=False, published=False, reason="too few photos are labelled", **result
        )
    changed = before is None or replace(fresh, built_at=before.built_at) != before
    if changed:
        use.indexes.publish(fresh)
    return _told(complete=complete, published=changed, reason="", **result)


def _told(**result: Any) -> dict[str, Any]:
    _logger().info("indexed", extra=result)
    return result


@cache
def _logger() -> Logger:
    return Logger(service="index")
