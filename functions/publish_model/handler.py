"""Publishes a model that is no worse than the one in use, and has all photos seen by it."""

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
from advisor.errors import BundleError, NoModelError, UsageError
from advisor.settings import Settings

PHOTOS_PER_MESSAGE: Final = 10


@dataclass(frozen=True, kw_only=True)
class Services:
    """What this function works with."""

    data_bucket: str
    uploads_bucket: str
    photos_queue_url: str
    models: ModelStore


@dataclass(frozen=True)
class PublishRequest:
    """The event. force: publish even a worse model. reason: why, for the log.

    version: of a stored bundle, or "" where `job` names the training job that made it.
    """

    version: str
    job: str
    force: bool = False
    reason: str = ""

    @classmethod
    def from_event(cls, event: dict[str, Any]) -> PublishRequest:
        """Read the event.

        Raises: UsageError if it names neither a version nor a job, or both.
        """
        version, job = (event.get(name, "") for name in ("version", "job"))
        if not isinstance(version, str) or not isinstance(job, str) or bool(version) == bool(job):
            raise UsageError(
                f"version is {version!r} and job {job!r}; expected the version of a stored bundle,"
                " or the name of the training job that made it"
            )
        return cls(version, job, event.get("force") is True, str(event.get("reason") or ""))


@dataclass(frozen=True)
class Verdict:
    """Whether a model may be published, and why."""

    publish: bool
    reason: str


@cache
def default_services() -> Services:
    """The services that the settings name."""
    settings = Settings.from_env(os.environ)
    return Services(
        data_bucket=settings.data_bucket,
        uploads_bucket=settings.uploads_bucket,
        photos_queue_url=settings.photos_queue_url,
        models=ModelStore(settings.data_bucket),
    )


def handler(
    event: dict[str, Any],
    context: object,  # noqa: ARG001 (Lambda passes it)
    *,
    services: Callable[[], Services] = default_services,
) -> dict[str, Any]:
    """Publish the model that the event names, unless it is worse than the one in use.

    Returns: published, version, accuracy, previous, requeued (photos), reason.
    Raises: UsageError for an event that names no bundle; NotFoundError, BundleError if no whole
        bundle of that version is stored.
    """
    use = services()
    request = PublishRequest.from_event(event)
    version = request.version or use.models.version_of_job(request.job)
    if missing := use.models.missing_files(version):
        raise BundleError(f"bundle {version!r} lacks {', '.join(missing)}")
    fresh = use.models.read_info(version)
    current = _current(use.models)
    verdict = judge(fresh, current, force=request.force, why=request.reason)
    requeued = 0
    if verdict.publish:
        published = use.models.publish(version)
        photos = photos_under(use.data_bucket)
        if published.previous is None:  # until now no model could label what was uploaded
            photos = chain(photos, photos_under(use.uploads_bucket, ""))
        requeued = requeue(photos, use.photos_queue_url)
    result = {
        "published": verdict.publish,
        "version": version,
        "accuracy": _accuracy(fresh),
        "previous": current["version"] if current else None,
        "requeued": requeued,
        "reason": verdict.reason,
    }
    _logger().info("judged a model", extra=result)
    return result


def judge(
    fresh: dict[str, Any], current: dict[str, Any] | None, *, force: bool = False, why: str = ""
) -> Verdict:
    """Whether a model may take the place of the one in use. Both: bundle.json; current may be None.

    Accuracies are compared only where both know the same labels: otherwise they were measured
    on other questions.
    """
    if current is None:
        return Verdict(True, "no model was in use")
    ours, theirs = _accuracy(fresh), _accuracy(current)
    figures = f"accuracy {ours:.4g} against {theirs:.4g} of {current['version']}"
    if force:
        return Verdict(True, f"forced ({why or 'no reason given'}): {figures}")
    if set(fresh["labels"]) != set(current["labels"]):
        return Verdict(True, "its labels are not those of the model in use: nothing to compare")
    if ours < theirs:
        return Verdict(False, f"worse than the model in use: {figures}; force publishes it anyway")
    return Verdict(True, f"no worse than the model in use: {figures}")


def requeue(photos: Iterator[PhotoPlace], queue_url: str) -> int:
    """Announce the photos again, so that the model in use sees them; how many they are."""
    count = 0
    while batch := list(islice(photos, PHOTOS_PER_MESSAGE * MAX_BATCH)):
        send_batch(queue_url, [announcement(part) for part in _parts(batch, PHOTOS_PER_MESSAGE)])
        count += len(batch)
    return count


def _current(models: ModelStore) -> dict[str, Any] | None:
    """bundle.json of the model in use; None if there is none."""
    try:
        return models.read_info(models.current().version)
    except NoModelError:
        return None


def _accuracy(info: dict[str, Any]) -> float:
    return float(info["metrics"]["accuracy"])


def _parts(places: list[PhotoPlace], size: int) -> Iterator[list[PhotoPlace]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]


@cache
def _logger() -> Logger:
    return Logger(service="publish_model")
