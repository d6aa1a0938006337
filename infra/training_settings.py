"""How and when models are trained, as cdk.json says under `training`; each has a default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from infra.shops import SCHEDULE

_MEASURING = ("validation", "test")
# No wildcard, which would let the job read more.
_PREFIX = re.compile(r"s3://[a-z0-9.-]{3,63}/[^*?$]*[^*?$/]/?")
_INSTANCE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")


class TrainingError(Exception):
    """`training` cannot be used; the text is one sentence for whoever wrote it."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """instance: of SageMaker. spot: two thirds cheaper, and may be interrupted; it goes on then.

    time_limit_h: a job that takes longer is stopped. schedule: train then in any case, "" never.
    check: see then whether at least new_photos are new since the newest model, "" never.
    publish_max_p: how likely a new model's gain over the one in use may be by chance.
    hyperparameters: flags of `python -m training.train`, as {"min-images": "50"}. The S3 prefixes
    of `validation` and `test` the job may read.
    """

    instance: str = "ml.m5.xlarge"
    spot: bool = True
    time_limit_h: int = 4
    volume_gb: int = 50
    schedule: str = ""
    check: str = ""
    new_photos: int = 1000
    publish_max_p: float = 0.05
    hyperparameters: Mapping[str, str] = field(default_factory=dict)

    def measuring(self) -> Iterator[tuple[str, str]]:
        """Bucket and prefix of the photos for validation and test, where they are told."""
        for name in _MEASURING:
            if uri := self.hyperparameters.get(name, ""):
                bucket, _, prefix = uri.removeprefix("s3://").partition("/")
                yield bucket, prefix.rstrip("/")


def read_training(value: object) -> TrainingSettings:
    """The settings under `training`.

    Raises: TrainingError naming the setting and what is wrong with it.
    """
    if not isinstance(value, dict):
        raise TrainingError(f"training is {value!r}; expected an object")
    known = {one.name: one for one in fields(TrainingSettings)}
    for name, given in value.items():
        if name not in known:
            raise TrainingError(f"training has {name!r}; expected some of {', '.join(known)}")
        _check(name, given)
    return TrainingSettings(**value)


def _check(name: str, given: Any) -> None:
    wanted = {
        "instance": (isinstance(given, str) and bool(_INSTANCE.fullmatch(given)),
                     "an instance type like ml.m5.xlarge"),
        "spot": (isinstance(given, bool), "true or false"),
        "time_limit_h": (_whole(given, 1, 24 * 5), "hours, 1 to 120"),
        "volume_gb": (_whole(given, 10, 16_384), "gigabytes, 10 to 16384"),
        "new_photos": (_whole(given, 1, 10**9), "a number of photos, at least 1"),
        "schedule": (_schedule(given), 'a schedule like rate(7 days), or ""'),
        "check": (_schedule(given), 'a schedule like rate(1 day), or ""'),
        "publish_max_p": (isinstance(given, int | float) and 0 <= given <= 1, "0 to 1"),
        "hyperparameters": (
            isinstance(given, dict) and all(isinstance(one, str) for one in given.values()),
            "texts by name",
        ),
    }  # fmt: skip
    fits, expected = wanted[name]
    if not fits:
        raise TrainingError(f"training.{name} is {given!r}; expected {expected}")
    for flag in _MEASURING if name == "hyperparameters" else ():
        if flag in given and not _PREFIX.fullmatch(given[flag]):
            raise TrainingError(
                f"training.hyperparameters has {flag} as {given[flag]!r}; expected "
                "s3://BUCKET/PREFIX"
            )


def _whole(given: Any, least: int, most: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and least <= given <= most


def _schedule(given: Any) -> bool:
    return isinstance(given, str) and (given == "" or bool(SCHEDULE.fullmatch(given)))
