"""Which photos are trained on, which choose the calibration, and which measure the model."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from enum import Enum


class Side(Enum):
    """The use of a photo."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    UNUSED = "unused"  # its like is in a folder of validation or test photos


def split(
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    test_percent: int,
    validation_percent: int,
    given: Mapping[str, Side] | None = None,
) -> list[Side]:
    """The side of each photo; photos of one group are on one side.

    A group's side follows from its name alone, so it stays where it is when other photos come
    or the folder moves. Only a label that would be left without a training photo, or without
    a test photo though it has two groups, gets one moved.

    labels, groups: of each photo; a group's name must come from content, never from a path.
    given: the side of groups that are not to be split; a label may have no others.
    """
    given = given or {}
    rank = {name: _percentile(name) for name in set(groups) - set(given)}
    sides = {
        name: Side.TEST
        if value < test_percent
        else Side.VALIDATION
        if value < test_percent + validation_percent
        else Side.TRAIN
        for name, value in rank.items()
    }
    by_label: dict[str, set[str]] = defaultdict(set)
    for label, name in zip(labels, groups, strict=True):
        if name in rank:
            by_label[label].add(name)
    for label in sorted(by_label):
        _ensure_training(by_label[label], sides, rank)
    if test_percent:
        _ensure_test(by_label, sides, rank)
    sides |= given
    return [sides[name] for name in groups]


def _ensure_training(names: set[str], sides: dict[str, Side], rank: dict[str, float]) -> None:
    if not any(sides[name] is Side.TRAIN for name in names):
        sides[max(names, key=lambda name: (rank[name], name))] = Side.TRAIN


def _ensure_test(
    by_label: dict[str, set[str]], sides: dict[str, Side], rank: dict[str, float]
) -> None:
    """Move a label's likeliest training group to the test side, if every label can spare it."""
    labels_of: dict[str, list[str]] = defaultdict(list)
    for label, names in by_label.items():
        for name in names:
            labels_of[name].append(label)
    training = Counter(
        label for label, names in by_label.items() for name in names if sides[name] is Side.TRAIN
    )
    for label in sorted(by_label):
        if any(sides[name] is Side.TEST for name in by_label[label]):
            continue
        for name in sorted(by_label[label], key=lambda name: (rank[name], name)):
            touched = labels_of[name]
            if sides[name] is Side.VALIDATION or all(training[other] > 1 for other in touched):
                if sides[name] is Side.TRAIN:
                    training.subtract(touched)
                sides[name] = Side.TEST
                break


def _percentile(name: str) -> float:
    """A number in 0..100, evenly spread over names and always the same for one."""
    digest = hashlib.sha256(f"split:{name}".encode()).digest()
    return 100 * int.from_bytes(digest[:8], "big") / 2**64
