"""What a careless split would have said: copies of training photos among the test photos."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace

import numpy as np

from training.config import TrainingConfig
from training.figures import Interval, wilson
from training.head import HeadRecipe, train_head
from training.selection import Selection, sides_of
from training.split import Side


@dataclass(frozen=True, kw_only=True)
class HeadAccuracy:
    """Accuracy of a head on test photos, with its 95 % interval."""

    accuracy: float
    interval: Interval | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Leak:
    """The same head on the same features, trained and measured twice.

    together: copies and photos of one product on one side, as the model itself is measured.
    apart: every file for itself; `leaked` of its test photos have a copy, or another photo of
    their product, on another side.
    """

    together: HeadAccuracy
    apart: HeadAccuracy
    leaked: int


def measure_leak(selection: Selection, config: TrainingConfig) -> Leak | None:
    """Compare the two splits; None where no two photos belong together, so that they are equal."""
    if len(set(selection.groups)) == len(selection.groups):
        return None
    seen: Counter[str] = Counter()
    names = []
    for read in selection.reads:  # a copy to the byte is a file of its own, too
        again = seen[read.sha256]
        names.append(f"{read.sha256} {again}" if again else read.sha256)
        seen[read.sha256] += 1
    apart = replace(selection, sides=tuple(sides_of(selection.reads, names, config)))
    measuring = apart.measuring
    elsewhere = {
        group
        for group, side in zip(apart.groups, apart.sides, strict=True)
        if side is not measuring
    }
    tested = apart.groups_of(measuring)
    return Leak(
        together=_measure(selection, config),
        apart=_measure(apart, config),
        leaked=sum(group in elsewhere for group in tested),
    )


def _measure(selection: Selection, config: TrainingConfig) -> HeadAccuracy:
    features, targets = selection.rows(Side.TRAIN)
    recipe = HeadRecipe(**{field.name: getattr(config, field.name) for field in fields(HeadRecipe)})
    head = train_head(features, targets, len(selection.labels), recipe)
    unseen, truth = selection.rows(selection.measuring)
    right = int(np.sum(head.logits(unseen).argmax(axis=1) == truth))
    return HeadAccuracy(
        accuracy=right / len(truth), interval=wilson(right, len(truth)), count=len(truth)
    )
