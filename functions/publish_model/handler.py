"""Publishes a model that is better than the one in use, or goes back to the one before it.

Whichever model comes into use has every photo of the catalog seen by it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import Any, Final

from aws_lambda_powertools import Logger

from advisor.aws.models import ModelStore
from advisor.aws.photos import PhotoPlace, announcement, photos_under
from advisor.aws.queues import MAX_BATCH, send_batch
from advisor.errors import NotBetterError, UsageError
from advisor.settings import Settings
from advisor.vision.gate import MAX_P
from advisor.vision.publishing import CurrentModel, publish, read_bundle_info, rollback

PHOTOS_PER_MESSAGE: Final = 10


@dataclass(frozen=True, kw_only=True)
class Services:
    """What this function works with."""

    data_bucket: str
    uploads_bucket: str
    photos_queue_url: str
    models: ModelStore
    max_p: float = MAX_P


@dataclass(frozen=True)
class PublishRequest:
    """The event. version: of a stored bundle; or job: the training job that made one.

    rollback: or go back to the model before the one in use. force: publish even a model
    that is not better; then reason tells why.
    """

    version: str = ""
    job: str = ""
    rollback: bool = False
    force: bool = False
    reason: str = ""

    @classmethod
    def from_event(cls, event: dict[str, Any]) -> PublishRequest:
        """Read the event.

        Raises: UsageError if it names not exactly one of version, job and rollback, or is forced
            without a reason.
        """
        version, job = (event.get(name, "") for name in ("version", "job"))
        rollback, force = (event.get(name) is True for name in ("rollback", "force"))
        if not isinstance(version, str) or not isinstance(job, str) or (
            bool(version) + bool(job) + rollback != 1
        ):  # fmt: skip
            raise UsageError(
                f"version is {version!r} and job {job!r}; expected the version of a stored bundle,"
                " or the name of the training job that made it, or rollback"
            )
        reason = str(event.get("reason") or "").strip()
        if force and not reason:
            raise UsageError("force without a reason; expected one, for the history")
        return cls(version, job, rollback, force, reason)


@cache
def default_services() -> Services:
    """The services that the settings name."""
    settings = Settings.from_env(os.environ)
    return Services(
        data_bucket=settings.data_bucket,
        uploads_bucket=settings.uploads_bucket,
        photos_queue_url=settings.photos_queue_url,
        models=ModelStore(settings.data_bucket),
        max_p=float(settings.publish_max_p),
    )


def handler(
    event: dict[str, Any],
    context: object,  # noqa: ARG001 (Lambda passes it)
    *,
    services: Callable[[], Services] = default_services,
) -> dict[str, Any]:
    """Publish the model that the event names, if it is better than the one in use; or roll back.

    Returns: published, version, accuracy, previous, requeued (photos), reason. A model that is
        not better is an answer, not an error: nothing failed.
    Raises: UsageError for an event that names no bundle, and where there is nothing to go back
        to; NotFoundError, BundleError if no sound bundle of that version is stored.
    """
    use = services()
    request = PublishRequest.from_event(event)
    if request.rollback:
        return _told(rollback(use.models, reason=request.reason), use)
    version = request.version or use.models.version_of_job(request.job)
    force = request.reason if request.force else ""
    try:
        return _told(publish(use.models, version, force=force, max_p=use.max_p), use)
    except NotBetterError as error:
        info = read_bundle_info(use.models, version)
        result = {
            "published": False,
            "version": version,
            "accuracy": float(info.metrics["accuracy"]),
            "previous": use.models.current().version,
            "requeued": 0,
            "reason": str(error),
        }
        _logger().info("kept the model in use", extra=result)
        return result


def _told(current: CurrentModel, use: Services) -> dict[str, Any]:
    """Have the photos seen by the model that has come into use, and tell about it."""
    photos = photos_under(use.data_bucket)
    if current.previous is None:  # until now no model could label what was uploaded
        photos = chain(photos, photos_under(use.uploads_bucket, ""))
    result = {
        "published": True,
        "version": current.version,
        "accuracy": current.accuracy,
        "previous": current.previous,
        "requeued": requeue(photos, use.photos_queue_url),
        "reason": current.reason,
    }
    _logger().info("published a model", extra=result)
    return result


def requeue(photos: Iterator[PhotoPlace], queue_url: str) -> int:
    """Announce the photos again, so that the model in use sees them; how many they are."""
    count = 0
    while batch := list(islice(photos, PHOTOS_PER_MESSAGE * MAX_BATCH)):
        send_batch(queue_url, [announcement(part) for part in _parts(batch, PHOTOS_PER_MESSAGE)])
        count += len(batch)
    return count


def _parts(places: list[PhotoPlace], size: int) -> Iterator[list[PhotoPlace]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]


@cache
def _logger() -> Logger:
    return Logger(service="publish_model")
