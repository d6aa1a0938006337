"""Fine-tuning as the training process sees it: what it gives to TensorFlow, and what it gets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from advisor.errors import NotTunableError
from advisor.vision.images import PREPROCESSING_ID
from advisor.vision.interpreter import Model
from training.backbones import Kind, Weights
from training.config import AUTO, TrainingConfig
from training.features import Read
from training.fine_tune import FineTuned, FineTuneJob, FineTuneRecipe, fine_tune
from training.head import Head
from training.parallel import Progress, map_photos
from training.pixels import Pixels, write_pixels
from training.rows import FloatArray
from training.selection import Selection
from training.split import Side
from training.tensorflow_process import follow_in_tensorflow

_LEAST_STEPS = 10  # in an epoch: six photos are not learnt from in one step
_VERSION = 2  # of the loop: another one must not go on from this one's checkpoints


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """result: of the TensorFlow process. held_out: its features of the validation photos."""

    result: FineTuned
    held_out: FloatArray


def tune(
    selection: Selection,
    weights: Weights,
    head: Head,
    config: TrainingConfig,
    *,
    cache: Path,
    say: Callable[[str], None],
    progress: Progress,
) -> Tuned | None:
    """Fine-tune the backbone with a head that has converged.

    Returns: None, after saying why, where the backbone cannot be fine-tuned and it was not
        asked for.
    Raises: BackboneError where it was asked for, or the tuned graph fails a gate.
    """
    try:
        if weights.kind is Kind.BUNDLE:  # known before any photo is decoded for it
            raise NotTunableError(
                f"{weights.name} of {weights.source} cannot be fine-tuned: a .tflite has no "
                "trainable variable"
            )
        job = _job(selection, weights, head, config, cache=cache, progress=progress)
        say(f"Fine-tuning {weights.name} with TensorFlow, {job.recipe.epochs} epochs")
        result = follow_in_tensorflow(fine_tune, job, say=say, progress=progress)
    except NotTunableError as error:
        if config.fine_tune != AUTO:
            raise
        say(f"{error}; only its head is trained")
        return None
    held_out = features_of(result.graph, job.pixels, job.validation[:, 0].tolist())
    return Tuned(result=result, held_out=held_out)


def _job(
    selection: Selection,
    weights: Weights,
    head: Head,
    config: TrainingConfig,
    *,
    cache: Path,
    progress: Progress,
) -> FineTuneJob:
    train = _some(selection.of(Side.TRAIN), config)
    held_out = selection.of(Side.VALIDATION)
    reads = [*train, *held_out]
    recipe = _recipe(config, len(train))
    pixels = write_pixels(reads, cache / "pixels" / f"{_name(reads)}.u8", progress)
    index = {label: number for number, label in enumerate(selection.labels)}
    rows = np.array([(row, index[read.file.label]) for row, read in enumerate(reads)], np.int64)
    contents = [
        _VERSION, weights.sha256, weights.kind.value, pixels.path.name, asdict(recipe),
        hashlib.sha256(rows.tobytes() + head.kernel.tobytes()).hexdigest(), len(train),
    ]  # fmt: skip
    name = hashlib.sha256(repr(contents).encode()).hexdigest()[:24]
    return FineTuneJob(
        weights=weights,
        head=head,
        pixels=pixels,
        train=rows[: len(train)],
        validation=rows[len(train) :],
        recipe=recipe,
        checkpoint=cache / "checkpoints" / f"{name}.npz",
        precision=config.precision,
    )


def _some(reads: Sequence[Read], config: TrainingConfig) -> list[Read]:
    """The photos to fine-tune on: all, or as many drawn from each label as are looked at."""
    if len(reads) <= config.fine_tune_photos:
        return list(reads)
    rng = np.random.default_rng(config.seed)
    chosen = rng.choice(len(reads), config.fine_tune_photos, replace=False)
    return [reads[number] for number in np.sort(chosen)]


def _recipe(config: TrainingConfig, photo_count: int) -> FineTuneRecipe:
    seen = min(photo_count * config.epochs, config.fine_tune_photos)
    return FineTuneRecipe(
        blocks=config.blocks,
        epochs=config.epochs,
        steps=max(_LEAST_STEPS, seen // config.epochs // config.fine_tune_batch),
        learning_rate=config.fine_tune_rate,
        weight_decay=config.fine_tune_decay,
        batch_size=config.fine_tune_batch,
        label_smoothing=config.label_smoothing,
        min_area=config.min_area,
        max_area=config.max_area,
        max_aspect=config.max_aspect,
        colour=config.colour,
        dropout=config.dropout,
        small_share=config.small_share,
        seed=config.seed,
    )


def _name(reads: Sequence[Read]) -> str:
    content = "".join(f"{read.sha256}\n" for read in reads)
    return hashlib.sha256(f"{PREPROCESSING_ID}\n{content}".encode()).hexdigest()[:24]


def features_of(graph: bytes, pixels: Pixels, rows: Sequence[int]) -> FloatArray:
    """The graph's embeddings of decoded photos, float32 (rows, features), with all cores."""

    def make() -> Callable[[int], FloatArray]:
        model = Model(graph)
        return lambda row: np.array(model.run(pixels.read([row])[0]).embedding, np.float32)

    return np.stack(list(map_photos(make, rows)))
