"""Probabilities that mean what they say, and when to say that a photo is not known."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from training.head import softmax
from training.rows import FloatArray

# Fewer photos tell nothing: one mistake is 2 % of 50, and a dozen without any would make the
# model certain of everything.
MIN_PHOTOS: Final = 50
# On 150 draws of 296 of 950 photos, a rule that just kept to 5 % wrong on these was above it on the
# others half the time; at .8 a fifth to a quarter of the time, at .9 a tenth, at .95 a twentieth.
CONFIDENCE: Final = 0.9


def best_temperature(logits: FloatArray, targets: npt.NDArray[np.int64]) -> float:
    """The temperature, 0.25 to 8, that makes the targets likeliest; 1.0 with fewer than MIN_PHOTOS.

    logits: float32 (photos, labels), of photos that the head was not trained on.
    """
    if len(targets) < MIN_PHOTOS:
        return 1.0
    grid = np.geomspace(0.25, 8.0, 141)
    return float(grid[int(np.argmin([_loss(logits / t, targets) for t in grid]))])


class Threshold(NamedTuple):
    """at: the lowest best probability at which an answer is given.

    shown: the photos it was chosen by show that it keeps its promise; else they are too few, or
    none does.
    """

    at: float
    shown: bool


def unknown_threshold(
    probabilities: FloatArray, targets: npt.NDArray[np.int64], *, max_error: float
) -> Threshold:
    """The lowest best probability at which an answer is given.

    The lowest of which these photos show, with CONFIDENCE, that at most max_error of the answers
    are wrong on others (Clopper and Pearson's one-sided bound): a share that these photos merely
    have is exceeded on others every second time. Where they are too few to show it, the one
    that comes nearest to it, of those with at most max_error wrong here; 1.0 where there is none.
    With fewer than MIN_PHOTOS: half as much again as chance.
    """
    if len(targets) < MIN_PHOTOS:
        return Threshold(min(0.5, 1.5 / probabilities.shape[1]), shown=False)
    best = probabilities.max(axis=1)
    order = np.argsort(-best, kind="stable")
    wrong = np.cumsum(probabilities.argmax(axis=1)[order] != targets[order])
    counts = np.arange(1, len(wrong) + 1)
    whole = np.append(np.diff(best[order]) != 0, True)  # equally sure photos are answered together
    allowed = np.flatnonzero((wrong <= max_error * counts) & whole)
    if not len(allowed):
        return Threshold(1.0, shown=False)
    chances = []
    for place in allowed[::-1]:  # the most answers first
        chances.append(_chance(int(wrong[place]), int(counts[place]), max_error))
        if chances[-1] <= 1 - CONFIDENCE:
            break
    at = best[order][allowed[::-1][int(np.argmin(chances))]]
    return Threshold(float(at), shown=chances[-1] <= 1 - CONFIDENCE)


def _chance(wrong: int, count: int, share: float) -> float:
    """How likely at most `wrong` of `count` answers are wrong where `share` of all are."""
    if not 0 < share < 1:
        return float(share <= 0)
    ways = np.cumsum(np.log(np.arange(count, count - wrong, -1) / np.arange(1, wrong + 1)))
    number = np.arange(wrong + 1)
    logs = number * np.log(share) + (count - number) * np.log1p(-share)
    return float(np.exp(logs + np.append(0.0, ways)).sum())


def _loss(logits: FloatArray, targets: npt.NDArray[np.int64]) -> float:
    chosen = softmax(logits)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())
