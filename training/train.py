"""One training run, from a folder of photos to a model bundle.

`advisor train` calls `run`; in the cloud a container starts `python -m training.train`.
"""

from __future__ import annotations

import argparse
import functools
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from advisor.errors import AdvisorError, UsageError
from advisor.vision.bundle import check_target, hashes, write_bundle
from training.backbones import Kind, Weights, resolve
from training.cache import prune
from training.calibration import best_temperature, unknown_threshold
from training.config import IN_USE, TrainingConfig
from training.container import (
    bundle_folder,
    images_of,
    keep_over_interruptions,
    note_failure,
)
from training.corrections import correct, read_corrections
from training.dataset import PhotoFile, count_labels, held_out_shop, scan, split_by_size
from training.evaluate import Evaluation
from training.export import Made, cached_graph, make_bundle
from training.features import FeatureCache
from training.head import HeadRecipe, calibrated, cross_fitted, softmax, train_head
from training.manifest import listed, read_manifest
from training.measured import measure_bundle
from training.parallel import Progress
from training.places import local_path
from training.rows import FloatArray, Rows
from training.selection import Selection, learnt_from, select
from training.split import Side
from training.tuning import tune
from training.variants import variant_features

if TYPE_CHECKING:
    from training.stored import Stored

Say = Callable[[str], None]
_GOLDEN_PHOTOS = 3


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What came of a run. accuracy: on `count` test photos. photos: how many on each side."""

    version: str
    accuracy: float
    count: int
    backbone: str
    backbone_source: str
    seconds: float
    labels: tuple[str, ...]
    photos: dict[str, int]
    pruned: dict[str, int]
    unreadable: dict[str, str]
    near_copies: int
    evaluation: Evaluation

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of `advisor train --json`."""
        return asdict(self)


def run(
    images: str, out: str, config: TrainingConfig, *, cache: Path, say: Say, progress: Progress
) -> TrainingResult:
    """Train, where both ends may be S3 URIs.

    images: a folder of category folders, or s3://BUCKET/PREFIX. out: the bundle's folder, or
    s3://BUCKET/models/bundles/, where it is stored under its version.
    Raises: as train, and UsageError for an S3 URI that is not of this form, or a disk that
        does not take or give a file.
    """
    try:
        return _run(images, out, config, cache=cache, say=say, progress=progress)
    except OSError as error:  # no space, no permission
        place = error.filename or f"a file in {cache} or for {out}"
        raise UsageError(f"{place} cannot be read or written: {error.strerror or error}") from error


def train(
    images: str | Path,
    out: Path,
    config: TrainingConfig,
    *,
    cache: Path,
    say: Say,
    progress: Progress,
) -> TrainingResult:
    """Train a model on a folder of category folders and write its bundle to `out`.

    images: the folder, or s3://BUCKET/PREFIX. cache: keeps fetched weights, converted graphs and
    features for the next run. say: told what the user should know, a sentence each. The bundle is
    written whole at the very end; whatever happens before leaves what was there.
    Raises: DataError, BackboneError, UsageError, each saying what was received.
    """
    start = time.perf_counter()
    check_target(out)
    weights_of = functools.cache(functools.partial(resolve, cache=cache, say=say))
    stored = _stored(str(images), config, cache=cache, say=say, weights_of=weights_of)
    scanned = _scan(str(images), config, cache, stored)
    files, corrections = correct(
        [*scanned, *_measuring(config, cache)],
        read_corrections(config.corrections, cache=cache),
    )
    config = as_listed(config, scanned)
    if config.holdout_shop:
        held_out_shop(files, config.holdout_shop)
    # By the number of files first, so that no photo of a hopeless category is decoded.
    labels, _ = split_by_size(count_labels(learnt_from(files, config)), config.min_images)
    weights = weights_of(config.backbone)
    selection = select(
        files,
        labels,
        config,
        FeatureCache(cache / "features", weights, config.precision),
        graph=lambda: cached_graph(weights, cache, say, precision=config.precision),
        progress=progress,
        stored=stored.known if stored else None,
    )
    _tell(selection, config, say)
    graph, made = fit(selection, weights, config, cache=cache, say=say, progress=progress)
    told = {
        "scanned": len(scanned),
        "corrections": corrections,
        "stored_features": sum(bool(read.file.origin) for read in selection.reads),
    }
    made = replace(made, data={**made.data, **told})
    bundle, contents = make_bundle(graph, made, photos=_golden(selection), now=datetime.now(UTC))
    measured = measure_bundle(bundle, selection, config, progress)
    evaluation = measured.evaluation
    contents |= measured.files
    info = replace(bundle.info, metrics=measured.metrics, files=hashes(contents))
    write_bundle(out, contents, info)
    prune(cache, max_bytes=int(config.cache_gb * 1e9))
    return TrainingResult(
        version=info.version,
        accuracy=evaluation.accuracy,
        count=evaluation.count,
        backbone=weights.name,
        backbone_source=weights.source,
        seconds=round(time.perf_counter() - start, 2),
        labels=selection.labels,
        photos=selection.counts(),
        pruned=selection.pruned,
        unreadable=selection.unreadable,
        near_copies=len(selection.copies),
        evaluation=evaluation,
    )


def fit(
    selection: Selection,
    weights: Weights,
    config: TrainingConfig,
    *,
    cache: Path,
    say: Say,
    progress: Progress,
) -> tuple[bytes, Made]:
    """Train the head, fine-tune the backbone unless it is to stay frozen, and calibrate.

    Returns: the graph with a placeholder for a head, and what goes into it.
    """

    def frozen() -> bytes:
        return cached_graph(weights, cache, say, precision=config.precision)

    features, targets = selection.rows(Side.TRAIN)
    recipe = HeadRecipe(**{field.name: getattr(config, field.name) for field in fields(HeadRecipe)})
    if config.distortions:
        features += variant_features(
            selection.of(Side.TRAIN),
            config.distortions,
            frozen,
            FeatureCache(cache / "features", weights, config.precision),
            progress,
        )
        targets = np.concatenate([targets, np.repeat(targets, config.distortions)])
    held_out: FloatArray | Rows
    held_out, truth = selection.rows(Side.VALIDATION)
    head = train_head(features, targets, len(selection.labels), recipe, held_out=(held_out, truth))
    training = asdict(config)
    tuned = None
    if config.blocks:
        tuned = tune(selection, weights, head, config, cache=cache, say=say, progress=progress)
    if tuned is None:
        graph = frozen()
    else:
        graph, head, held_out = tuned.result.graph, tuned.result.head, tuned.held_out
        training["validation_accuracies"] = tuned.result.accuracies
        training["best_epoch"] = tuned.result.best_epoch
    logits = head.logits(held_out)
    temperature = best_temperature(logits, truth)
    head = calibrated(head, temperature)
    # To a backbone that was tuned, now or for the bundle it is of, no training photo is new.
    if tuned is None and weights.kind is not Kind.BUNDLE:
        names = selection.groups_of(Side.TRAIN)
        count = len(names)  # of photos; their variants come after them
        unseen = cross_fitted(
            features, targets[:count], names, len(selection.labels), recipe,
            held_out=(held_out, truth),
        )  # fmt: skip
        logits = np.concatenate([logits, unseen])
        truth = np.concatenate([truth, targets[:count]])
    sure = softmax(logits / np.float32(temperature))
    threshold = unknown_threshold(sure, truth, max_error=config.max_error)
    made = Made(
        weights=weights,
        labels=selection.labels,
        head=head,
        temperature=temperature,
        unknown_threshold=threshold.at,
        data=selection.summary(),
        training=training | {"threshold_shown": threshold.shown},
    )
    return graph, made


def cache_folder() -> Path:
    """Where runs keep what the next one can use: ~/.cache/products-advisor, as XDG has it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "products-advisor"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the arguments and SageMaker's environment say (training/container.py).

    Returns: the exit status: 2 for what cannot be done as asked, 130 if interrupted.
    """
    cache = cache_folder()
    try:
        options = vars(_parser().parse_args(arguments))
        images, out, job = (options.pop(name) for name in ("images", "out", "job"))
        config = TrainingConfig(**options)
        keep_over_interruptions(cache)
        result = run(images, out, config, cache=cache, say=_say, progress=_ignore)
        if job:
            _note_job(job, out, result.version)
    except AdvisorError as error:
        note_failure(os.environ, str(error))
        _say(f"training: {error}")
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        _say("training: interrupted; no bundle was written")
        return 130
    except Exception as error:
        note_failure(os.environ, f"{type(error).__name__}: {error}")
        raise
    _say(f"accuracy {result.accuracy:.4f} on {result.count} photos, {result.seconds} s")
    sys.stdout.write(f"{result.version}\n")
    return 0


def _run(
    images: str, out: str, config: TrainingConfig, *, cache: Path, say: Say, progress: Progress
) -> TrainingResult:
    if not out.startswith("s3://"):
        return train(images, Path(out), config, cache=cache, say=say, progress=progress)
    from advisor.aws.models import ModelStore  # noqa: PLC0415 (boto3, only where S3 is named)

    store = ModelStore.at(out)
    store.check()
    if config.backbone == IN_USE:
        config = replace(config, backbone=store.uri(store.current().version))
    with tempfile.TemporaryDirectory() as temporary:
        bundle = Path(temporary) / "bundle"
        result = train(images, bundle, config, cache=cache, say=say, progress=progress)
        store.upload(bundle)
    return result


def _note_job(job: str, out: str, version: str) -> None:
    from advisor.aws.models import ModelStore  # noqa: PLC0415 (boto3, only where S3 is named)

    ModelStore.at(out).note_job(job, version)


def _stored(
    images: str,
    config: TrainingConfig,
    *,
    cache: Path,
    say: Say,
    weights_of: Callable[[str], Weights],
) -> Stored | None:
    """What is stored of the photos, where it serves this run."""
    if not (config.embeddings and config.manifest and images.startswith("s3://")):
        return None
    from training.stored import read_stored  # noqa: PLC0415 (boto3, only where S3 is named)

    weights = weights_of(config.backbone)
    graph = cached_graph(weights, cache, say, precision=config.precision)
    found = read_stored(images, config.embeddings, graph, folder=cache)
    if found is None:
        say(f"{config.embeddings} has no features of this backbone: photos are read")
    return found


def _scan(
    images: str, config: TrainingConfig, cache: Path, stored: Stored | None
) -> list[PhotoFile]:
    """The photos of the folder, all or those listed."""
    if not config.manifest:
        return scan(local_path(images, cache))
    named = read_manifest(config.manifest, cache=cache)
    unseen = named.keys() - stored.photos.keys() if stored else named.keys()
    files = listed(local_path(images, cache, only=unseen), named)
    return [stored.told(file) for file in files] if stored else files


def _measuring(config: TrainingConfig, cache: Path) -> Iterator[PhotoFile]:
    """The photos of folders for validation and test."""
    for side, place in ((Side.VALIDATION, config.validation), (Side.TEST, config.test)):
        if place:
            yield from scan(local_path(place, cache), side)


def as_listed(config: TrainingConfig, scanned: Sequence[PhotoFile]) -> TrainingConfig:
    """For a side that the manifest gives photos to none is drawn, as where there is a folder."""
    given = {file.side for file in scanned}
    return replace(
        config,
        validation=config.validation or (config.manifest if Side.VALIDATION in given else ""),
        test=config.test or (config.manifest if Side.TEST in given else ""),
    )


def _tell(selection: Selection, config: TrainingConfig, say: Say) -> None:
    for name, reason in selection.unreadable.items():
        say(f"Skipped {name}: {reason}")
    moved = sum(bool(read.file.shop_label) for read in selection.reads)
    if config.corrections:
        say(f"{moved} photos have another label than the shop's, as {config.corrections} says")
    if selection.copies:
        say(f"{len(selection.copies)} photos look the same as another; such are on one side")
    if unused := selection.counts()[Side.UNUSED.value]:
        say(
            f"Left out {unused} photos: a copy of each, or a photo of its product, is among the "
            "validation or test photos"
        )
    if selection.skipped:
        counts = ", ".join(f"{label} ({count})" for label, count in selection.skipped.items())
        say(f"Left out of the validation and test photos, as nothing trains them: {counts}")
    if selection.pruned:
        counts = ", ".join(f"{label} ({count})" for label, count in selection.pruned.items())
        say(f"Left out, with fewer than {config.min_images} photos: {counts}")


def _golden(selection: Selection) -> list[bytes]:
    chosen = sorted(selection.of(Side.TRAIN), key=lambda read: read.sha256)[:_GOLDEN_PHOTOS]
    return [read.file.read() for read in chosen]


class _Parser(argparse.ArgumentParser):
    """Refuses flags as everything else is refused, so that SageMaker is told, too."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; --help names all flags")


def _parser() -> argparse.ArgumentParser:
    # In full, so that a job means the same when there are more flags.
    parser = _Parser(prog="python -m training.train", description=train.__doc__, allow_abbrev=False)
    images, out = images_of(os.environ), bundle_folder(os.environ)
    parser.add_argument(
        "--images",
        required=not images,
        default=images,
        help="folder of category folders, or S3 prefix; a container's channel `images`",
    )
    parser.add_argument(
        "--out",
        required=not out,
        default=out,
        help="folder, or s3://BUCKET/models/bundles/; a container's model folder",
    )
    parser.add_argument(
        "--job", default="", help="note the version in the bundle's bucket under this name"
    )
    for field in fields(TrainingConfig):
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(field.default), default=field.default)
    return parser


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def _ignore(stage: str, done: int, total: int) -> None:
    """A log of a container wants no progress bar."""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)  # how SageMaker stops a job, and spot ends it
    sys.exit(main())
