"""The softmax head, trained in numpy; training/tflite.py puts it into the graph."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from training.rows import FloatArray, Rows

FOLDS: Final = 3
_CHUNK = 512
_WATCH_EVERY = 100


@dataclass(frozen=True)
class Head:
    """kernel: float32 (features, labels). bias: float32 (labels,). Both as float16 holds them."""

    kernel: FloatArray
    bias: FloatArray

    def logits(self, features: FloatArray | Rows) -> FloatArray:
        """What it says of features (photos, features): float32 (photos, labels)."""
        said = np.empty((len(features), len(self.bias)), np.float32)
        for some in _chunks(np.arange(len(features))):
            said[some] = features[some] @ self.kernel + self.bias
        return said

    def probabilities(self, features: FloatArray) -> FloatArray:
        """Softmax probabilities, float32 (photos, labels), of features (photos, features)."""
        return softmax(features @ self.kernel + self.bias)


@dataclass(frozen=True, kw_only=True)
class HeadRecipe:
    """How a head is trained; the fields are those of TrainingConfig."""

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    head_smoothing: float = 0.0
    patience: int = 0


# Matrices this small take two cores 12 times as long as one, and all that others had of them.
@threadpool_limits.wrap(limits=1)  # type: ignore[untyped-decorator]  # it has no types
def train_head(
    features: FloatArray | Rows,
    targets: npt.NDArray[np.int64],
    label_count: int,
    recipe: HeadRecipe,
    *,
    held_out: tuple[FloatArray | Rows, npt.NDArray[np.int64]] | None = None,
    of: npt.NDArray[np.int64] | None = None,
) -> Head:
    """Fit a softmax head with Adam on batches in which every label is equally likely.

    features: float32 (photos, features), at least one. targets: (photos,), indices of labels; one
    without a photo is not drawn. held_out: as features and targets, of validation photos; where
    their loss has not fallen for recipe.patience hundred steps, training ends, and the head of the
    lowest is given. of: numbers of the photos to train on, ascending; all without it.
    The same arguments give the same head.
    """
    rng = np.random.default_rng(recipe.seed)
    of = np.arange(len(features)) if of is None else of
    mean, scale = _mean_and_scale(features, of)  # folded back into the head below
    by_label = of[np.argsort(targets[of], kind="stable")]
    counts = np.bincount(targets[of], minlength=label_count)
    starts = np.cumsum(counts) - counts
    present = np.flatnonzero(counts)
    kernel = np.zeros((features.shape[1], label_count), np.float32)
    bias = np.zeros(label_count, np.float32)
    adam_kernel, adam_bias = _Adam.like(kernel), _Adam.like(bias)
    watched = recipe.patience and held_out is not None and len(held_out[1]) > 0
    best, lowest, waited = (kernel.copy(), bias.copy()), np.inf, 0
    for step in range(1, recipe.steps + 1):
        labels = present[rng.integers(0, len(present), recipe.batch_size)]
        places = (rng.random(recipe.batch_size) * counts[labels]).astype(np.int64)
        rows = by_label[starts[labels] + places]
        batch = np.asarray((features[rows] - mean) / scale, np.float32)
        error = softmax(np.asarray(batch @ kernel + bias, np.float32))
        # The gradient of the cross-entropy with smoothed labels.
        error[np.arange(len(rows)), labels] -= 1.0 - recipe.head_smoothing
        error -= recipe.head_smoothing / label_count
        error /= len(rows)
        # Cosine decay: the last steps average out the noise of the sampling.
        rate = recipe.learning_rate * 0.5 * (1 + np.cos(np.pi * step / recipe.steps))
        kernel -= rate * (adam_kernel.step(batch.T @ error, step) + recipe.weight_decay * kernel)
        bias -= rate * adam_bias.step(error.sum(0), step)
        if watched and held_out is not None and step % _WATCH_EVERY == 0:
            loss = _loss(_unscaled(kernel, bias, mean, scale).logits(held_out[0]), held_out[1])
            waited = 0 if loss < lowest else waited + 1
            if loss < lowest:
                best, lowest = (kernel.copy(), bias.copy()), loss
            if waited == recipe.patience:
                break
    if watched:
        kernel, bias = best
    head = _unscaled(kernel, bias, mean, scale)
    return _rounded(head.kernel, head.bias)


def cross_fitted(
    features: FloatArray | Rows,
    targets: npt.NDArray[np.int64],
    groups: Sequence[str],
    label_count: int,
    recipe: HeadRecipe,
    *,
    held_out: tuple[FloatArray | Rows, npt.NDArray[np.int64]],
) -> FloatArray:
    """What heads that have not seen a photo's group say of it: logits, float32 (photos, labels).

    FOLDS heads are trained on all but a share of the groups each, and asked about that share.
    groups, targets: of each photo asked about, the first ones of features; others: as train_head.
    """
    digests = (hashlib.sha256(f"fold:{name}".encode()).digest() for name in groups)
    folds = np.array([int.from_bytes(digest[:8], "big") % FOLDS for digest in digests])
    logits = np.zeros((len(targets), label_count), np.float32)
    for fold in range(FOLDS):
        asked, learnt = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if not len(learnt):  # one group in all
            continue
        head = train_head(features, targets, label_count, recipe, held_out=held_out, of=learnt)
        for some in _chunks(asked):
            logits[some] = head.logits(features[some])
    return logits


def _unscaled(kernel: FloatArray, bias: FloatArray, mean: FloatArray, scale: FloatArray) -> Head:
    """For features as they are, the head of those that have mean 0 and deviation 1."""
    kernel = np.asarray(kernel / scale[:, np.newaxis], np.float32)
    return Head(kernel, np.asarray(bias - mean @ kernel, np.float32))


def _mean_and_scale(
    features: FloatArray | Rows, of: npt.NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of each feature, without a second copy of all of them."""
    total, squares = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for some in _chunks(of):
        total += features[some].sum(axis=0, dtype=np.float64)
    mean = total / len(of)
    for some in _chunks(of):
        squares += ((features[some] - mean) ** 2).sum(axis=0)
    return mean.astype(np.float32), (np.sqrt(squares / len(of)) + 1e-3).astype(np.float32)


def _chunks(rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


def _loss(logits: npt.NDArray[np.floating], targets: npt.NDArray[np.int64]) -> float:
    chosen = softmax(np.asarray(logits, np.float32))[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def calibrated(head: Head, temperature: float) -> Head:
    """The head whose logits are divided by the temperature."""
    return _rounded(head.kernel / temperature, head.bias / temperature)


def placeholder(feature_count: int) -> Head:
    """The head that a graph is made with, before any is trained: random, of two labels."""
    rng = np.random.default_rng(feature_count)
    return _rounded(rng.normal(0, 0.02, (feature_count, 2)), rng.normal(0, 0.02, 2))


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


@dataclass
class _Adam:
    """Adam's running moments of one array (Kingma and Ba, 2015)."""

    first: FloatArray
    second: FloatArray

    @classmethod
    def like(cls, array: FloatArray) -> _Adam:
        return cls(np.zeros_like(array), np.zeros_like(array))

    def step(self, gradient: FloatArray, number: int) -> FloatArray:
        self.first += np.float32(0.1) * (gradient - self.first)
        self.second += np.float32(0.001) * (gradient * gradient - self.second)
        first = self.first / (1 - 0.9**number)
        second = self.second / (1 - 0.999**number)
        return np.asarray(first / (np.sqrt(second) + 1e-8), np.float32)


def _rounded(kernel: npt.NDArray[np.floating], bias: npt.NDArray[np.floating]) -> Head:
    """A head of the values that float16 can hold, so that numpy and the graph compute alike."""
    return Head(
        kernel.astype(np.float16).astype(np.float32), bias.astype(np.float16).astype(np.float32)
    )
