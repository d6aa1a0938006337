"""Figures that say how sure they are: intervals, calibration, accuracy by coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

BINS: Final = 15  # of equal width, as Guo et al. (2017) have it
_Z = 1.959964  # 95 % of a normal distribution lie within so many deviations

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Photos whose best probability is above `above` and at most `to`.

    confidence: their mean best probability. accuracy: the share of them answered correctly.
    """

    above: float
    to: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What answering only the surest `coverage` of the photos comes to.

    threshold: the least best probability among them. accuracy: on them.
    """

    coverage: float
    threshold: float
    accuracy: float


def wilson(right: int, count: int) -> Interval | None:
    """The 95 % confidence interval of a share (Wilson, 1927); None of nothing.

    Sound for few photos and for shares near 0 and 1, where the textbook's is not.
    """
    if not count:
        return None
    share, spread = right / count, _Z * _Z / count
    middle = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    # At 0 and 1 an end of it is the share itself, but for the last digit.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def calibration_curve(
    best: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]
) -> tuple[Bin, ...]:
    """Bins that hold a photo. best: (photos,), the best probability. right: (photos,)."""
    number = _bins(best)
    return tuple(
        Bin(
            above=index / BINS,
            to=(index + 1) / BINS,
            count=int(chosen.sum()),
            confidence=float(best[chosen].mean()),
            accuracy=float(right[chosen].mean()),
        )
        for index in range(BINS)
        if (chosen := number == index).any()
    )


def _bins(best: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    number: npt.NDArray[np.int64] = np.ceil(best * BINS).astype(np.int64) - 1
    return np.clip(number, 0, BINS - 1)


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: how far, on average, probabilities lie from the truth."""
    count = sum(one.count for one in bins)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in bins) / count


def calibration_noise(best: npt.NDArray[np.floating]) -> float:
    """The calibration error of so many photos if every probability meant just what it says.

    A sum of answers that are right with probabilities p lies sqrt(2 / pi * sum(p (1 - p))) off its
    mean, on average (a normal distribution's mean deviation); so much shows in each bin.
    """
    number = _bins(best)
    variances = np.bincount(number, weights=best * (1 - best), minlength=BINS)
    return float(np.sqrt(2 / np.pi * np.maximum(variances, 0)).sum() / len(best))


def coverage_curve(
    best: npt.NDArray[np.floating], right: npt.NDArray[np.bool_], *, steps: int = 20
) -> tuple[Coverage, ...]:
    """Accuracy when the least sure answers are withheld: all photos first, then ever fewer."""
    order = np.argsort(-best, kind="stable")
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    counts = sorted({math.ceil(len(order) * step / steps) for step in range(1, steps + 1)})
    return tuple(
        Coverage(
            coverage=count / len(order),
            threshold=float(best[order[count - 1]]),
            accuracy=float(accuracy[count - 1]),
        )
        for count in reversed(counts)
    )


def accuracy_at(curve: Sequence[Coverage], coverage: float) -> float:
    """The accuracy at the point of the curve nearest to a coverage."""
    return min(curve, key=lambda point: abs(point.coverage - coverage)).accuracy
