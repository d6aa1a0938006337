"""What a training run in the cloud would be made of, and whether it is worth its while."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any

from aws_lambda_powertools import Logger

from advisor.aws.models import ModelStore
from advisor.aws.photos import IMAGES, category_of, photos_under
from advisor.aws.reviews import PHOTO, ReviewTable, corrections
from advisor.errors import UsageError
from advisor.settings import Settings


@cache
def default_models() -> ModelStore:
    """The models of the data bucket."""
    settings = Settings.from_env(os.environ)
    return ModelStore(settings.data_bucket)


@cache
def default_reviews() -> ReviewTable:
    """What people decided."""
    settings = Settings.from_env(os.environ)
    return ReviewTable(settings.reviews_table)


def handler(
    event: dict[str, Any],
    context: object,  # noqa: ARG001 (Lambda passes it)
    *,
    models: Callable[[], ModelStore] = default_models,
    reviews: Callable[[], ReviewTable] = default_reviews,
) -> dict[str, Any]:
    """Count the photos, and write what a job is made of to models/jobs/<job>.

    event: job, and input with least_new: train only if at least so many photos are new since
        the newest bundle was made (0, if not given: in any case).
    Returns: train, photos, new, manifest (an S3 URI: the photos to train on; "" where
        there are none), corrections (an S3 URI, "" where there are none), reason.
    Raises: UsageError for an event that cannot be used.
    """
    job, asked = event.get("job"), event.get("input") or {}
    least_new = asked.get("least_new", 0) if isinstance(asked, dict) else None
    if not isinstance(job, str) or not job or not isinstance(least_new, int) or least_new < 0:
        raise UsageError(
            f"job is {job!r} and input {asked!r}; expected the job's name, and least_new as a "
            "number of photos"
        )
    store = models()
    counts, listing = Counter[str](), BytesIO()  # some 100 MB of a million photos
    for place in photos_under(store.bucket):
        name = place.key.removeprefix(IMAGES)
        if _is_in_a_category(name):
            counts[category_of(place.key)] += 1
            listing.write(json.dumps({"path": name}, ensure_ascii=False).encode() + b"\n")
    photos, before = counts.total(), store.scanned_photos()
    new = photos - before
    plan = {
        "train": new >= least_new,
        "photos": photos,
        "new": new,
        "manifest": store.note_photos(job, listing) if photos and new >= least_new else "",
        "corrections": store.note_corrections(job, corrections(reviews().all(PHOTO))),
        "reason": f"{new} of {photos} photos are new since the newest model; "
        f"at least {least_new} are asked for",
    }
    store.note_plan(job, plan | {"per_category": dict(sorted(counts.items()))})
    _logger().info("planned a training", extra={"job": job, **plan})
    return plan


def _is_in_a_category(name: str) -> bool:
    """Whether training would find it there: not beside the categories, hidden, or a mere folder."""
    parts = name.split("/")
    return len(parts) > 1 and not any(part.startswith(".") or not part for part in parts)


@cache
def _logger() -> Logger:
    return Logger(service="plan_training")
