"""Probabilities that mean what they say, and when to say that a photo is not known."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from training.head import FloatArray, softmax

# Fewer photos tell nothing: one mistake is 2 % of 50, and a dozen without any would make the
# model certain of everything.
MIN_PHOTOS: Final = 50


def best_temperature(logits: FloatArray, targets: npt.NDArray[np.int64]) -> float:
    """The temperature, 0.25 to 8, that makes the targets likeliest; 1.0 with fewer than MIN_PHOTOS.

    logits: float32 (photos, labels), of photos that the head was not trained on.
    """
    if len(targets) < MIN_PHOTOS:
        return 1.0
    grid = np.geomspace(0.25, 8.0, 141)
    return float(grid[int(np.argmin([_loss(logits / t, targets) for t in grid]))])


def unknown_threshold(
    probabilities: FloatArray, targets: npt.NDArray[np.int64], *, max_error: float
) -> float:
    """The lowest best probability at which an answer is given.

    So chosen that at most max_error of the answers were wrong on these photos, of as many
    answered as that allows. With fewer than MIN_PHOTOS: half as much again as chance.
    """
    if len(targets) < MIN_PHOTOS:
        return float(min(0.5, 1.5 / probabilities.shape[1]))
    best = probabilities.max(axis=1)
    order = np.argsort(-best, kind="stable")
    wrong = probabilities.argmax(axis=1)[order] != targets[order]
    errors = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    whole = np.append(np.diff(best[order]) != 0, True)  # equally sure photos are answered together
    allowed = np.flatnonzero((errors <= max_error) & whole)
    return float(best[order][allowed[-1]]) if len(allowed) else 1.0


def _loss(logits: FloatArray, targets: npt.NDArray[np.int64]) -> float:
    chosen = softmax(logits)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())
