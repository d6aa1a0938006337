"""Which model is in use, and how another takes its place. Needs no numpy.

The bundles, and which of them is in use, live in a folder or in a bucket, laid out alike:

bundles/<version>/<file>   a bundle
current.json               the model in use, and which were in use before: one file, so that one
                           write switches the model and its history together, or neither
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from advisor.errors import BundleError, NoModelError, NotBetterError, UsageError
from advisor.vision.bundle_info import ANSWERS, INFO, BundleInfo
from advisor.vision.gate import MAX_P, Comparison, compare, judge, read_answers

MAX_HISTORY: Final = 200  # a change a day for half a year; warm functions read it once a minute


@dataclass(frozen=True, kw_only=True)
class Use:
    """A model that was put into use.

    accuracy: on its own test photos. published_at: ISO 8601. previous: the version that a
    rollback goes to, None if there is none. reason: why it was put into use.
    """

    version: str
    accuracy: float
    published_at: str
    previous: str | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class CurrentModel(Use):
    """current.json: the model in use. history: what was in use before it, newest first."""

    history: tuple[Use, ...] = ()

    def to_json(self) -> bytes:
        """The text of current.json."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> CurrentModel:
        """Read current.json.

        Raises: BundleError if it is damaged.
        """
        try:
            raw = json.loads(data)
            history = tuple(Use(**one) for one in raw.pop("history", ()))
            return cls(**raw, history=history)
        except (ValueError, TypeError, AttributeError) as error:
            raise BundleError(f"current.json cannot be read: {error}") from error


class Models(Protocol):
    """Bundles and the one in use: advisor.vision.model_folder.ModelFolder, or a bucket's."""

    @property
    def place(self) -> str:
        """Where they are, for a sentence."""

    def versions(self) -> list[str]:
        """The stored bundles, newest first."""

    def read_file(self, version: str, name: str) -> bytes:
        """A bundle's file.

        Raises: NotFoundError if no bundle of that version is stored; BundleError if it has no
            such file.
        """

    def read_current(self) -> tuple[bytes | None, str]:
        """current.json (None if there is none), and a mark of this state of it."""

    def write_current(self, data: bytes, mark: str) -> None:
        """Replace current.json in one step, if it is still as it was when `mark` was read.

        Raises: UsageError if somebody else replaced it since.
        """


def current_model(models: Models) -> CurrentModel:
    """The model in use.

    Raises: NoModelError if none is published yet.
    """
    data, _ = models.read_current()
    if data is None:
        raise NoModelError(f"no model is published in {models.place} yet")
    return CurrentModel.from_json(data)


def read_bundle_info(models: Models, version: str) -> BundleInfo:
    """bundle.json of a stored bundle. Raises: as Models.read_file."""
    return BundleInfo.from_json(models.read_file(version, INFO))


def check_bundle(models: Models, version: str) -> BundleInfo:
    """Make sure that a stored bundle is whole: every file there, with the hash it should have.

    Raises: NotFoundError, or BundleError that tells which file is missing or differs.
    """
    info = read_bundle_info(models, version)
    if info.version != version:
        raise BundleError(f"bundle {version!r} says of itself that it is {info.version!r}")
    for name, sha256 in info.files.items():
        if hashlib.sha256(models.read_file(version, name)).hexdigest() != sha256:
            raise BundleError(f"{name} of bundle {version!r} is not what its {INFO} says")
    return info


def publish(models: Models, version: str, *, force: str = "", max_p: float = MAX_P) -> CurrentModel:
    """Put a stored bundle into use, if it is sound and better than the model in use.

    The model in use stays as it is. force: the reason to do without the comparison, ""
    for none. max_p: see advisor.vision.gate.judge.
    Raises: NotBetterError with the figures; NotFoundError; BundleError; UsageError if somebody
        else published meanwhile. After each of them the model in use is the one it was.
    """
    info = check_bundle(models, version)
    data, mark = models.read_current()
    current = CurrentModel.from_json(data) if data is not None else None
    if current is None:
        reason, previous = "no model was in use", None
    elif current.version == version:
        return current
    else:
        reason = _gate(models, info, current.version, force=force, max_p=max_p)
        previous = current.version
    return _switch(models, info, current, mark, reason=reason, previous=previous)


def rollback(models: Models, *, reason: str = "") -> CurrentModel:
    """Put the model into use again that was before the one in use; again, the one before that.

    Raises: NoModelError, or UsageError if there is none to go back to; BundleError if that is
        not sound any more.
    """
    data, mark = models.read_current()
    current = current_model(models) if data is None else CurrentModel.from_json(data)
    if current.previous is None:
        raise UsageError(f"nothing to roll back to: no model was in use before {current.version}")
    info = check_bundle(models, current.previous)
    before = next((use for use in current.history if use.version == info.version), None)
    said = f"rolled back from {current.version}" + (f" ({reason})" if reason else "")
    previous = before.previous if before else None
    return _switch(models, info, current, mark, reason=said, previous=previous)


def compare_bundles(models: Models, version: str, other: str) -> Comparison:
    """What both bundles said of the test photos that they share.

    `version` is the new one of the two. Raises: as Models.read_file.
    """
    return _compare(models, read_bundle_info(models, version), read_bundle_info(models, other))


def _gate(models: Models, info: BundleInfo, in_use: str, *, force: str, max_p: float) -> str:
    """Why the bundle may replace the one in use. Raises: NotBetterError."""
    try:
        comparison = _compare(models, info, read_bundle_info(models, in_use))
    except BundleError:
        if not force:
            raise
        return f"forced ({force}), {in_use} cannot be compared with"
    verdict = judge(comparison, in_use, max_p=max_p, force=force)
    if not verdict.publish:
        raise NotBetterError(f"{info.version} is not published: {verdict.reason}")
    return verdict.reason


def _compare(models: Models, info: BundleInfo, other: BundleInfo) -> Comparison:
    return compare(
        read_answers(models.read_file(info.version, ANSWERS)),
        read_answers(models.read_file(other.version, ANSWERS)),
        fresh_labels=info.labels,
        current_labels=other.labels,
    )


def _switch(
    models: Models,
    info: BundleInfo,
    current: CurrentModel | None,
    mark: str,
    *,
    reason: str,
    previous: str | None,
) -> CurrentModel:
    past: tuple[Use, ...] = ()
    if current:
        used = {name: value for name, value in vars(current).items() if name != "history"}
        past = (Use(**used), *current.history)[:MAX_HISTORY]
    fresh = CurrentModel(
        version=info.version,
        accuracy=float(info.metrics["accuracy"]),
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
        previous=previous,
        reason=reason,
        history=past,
    )
    models.write_current(fresh.to_json(), mark)
    return fresh
