"""From a folder's files to the photos of a run: read, pruned, grouped, split."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.errors import DataError
from training.config import TrainingConfig
from training.dataset import PhotoFile, count_labels, split_by_size
from training.duplicates import group, near_copies
from training.features import FeatureCache, Read, read_photos
from training.parallel import Progress
from training.rows import FloatArray, Rows
from training.split import Side, split


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The photos of a run: readable ones of kept labels, each with its side.

    pruned: labels with too few photos, and how many. unreadable: why, by photo.
    groups: of each photo; photos of one group are copies, near-copies or of one product.
    copies: pairs of photos whose contents differ and that look the same, by their index.
    """

    reads: tuple[Read, ...]
    sides: tuple[Side, ...]
    labels: tuple[str, ...]
    pruned: dict[str, int]
    unreadable: dict[str, str]
    groups: tuple[str, ...]
    copies: tuple[tuple[int, int], ...]

    def of(self, side: Side) -> list[Read]:
        """The photos of one side, in order."""
        return [read for read, its in zip(self.reads, self.sides, strict=True) if its is side]

    def groups_of(self, side: Side) -> list[str]:
        """The groups of the photos of one side, in order."""
        return [name for name, its in zip(self.groups, self.sides, strict=True) if its is side]

    def counts(self) -> dict[str, int]:
        """How many photos each side has."""
        counts = Counter(self.sides)
        return {side.value: counts[side] for side in Side}

    def rows(self, side: Side) -> tuple[Rows, npt.NDArray[np.int64]]:
        """Features (photos, features) on disk, and indices of labels (photos,), of one side."""
        index = {label: number for number, label in enumerate(self.labels)}
        reads = self.of(side)
        width = next(read.features.vector.size for read in self.reads if read.features)
        vectors = [read.features.vector for read in reads if read.features]
        targets = np.array([index[read.file.label] for read in reads], np.int64)
        return Rows(vectors, width), targets

    def matrix(self, side: Side) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """As rows, in memory."""
        rows, targets = self.rows(side)
        return rows[np.arange(len(rows))], targets

    def summary(self) -> dict[str, Any]:
        """The `data` of bundle.json; manifest_sha256 is over content, side and label of each."""
        lines = sorted(
            f"{read.sha256} {side.value} {read.file.label}\n"
            for read, side in zip(self.reads, self.sides, strict=True)
        )
        return {
            "manifest_sha256": hashlib.sha256("".join(lines).encode()).hexdigest(),
            "photos": len(self.reads),
            **self.counts(),
            "per_label": count_labels(read.file for read in self.reads),
            "pruned": self.pruned,
            "unreadable": self.unreadable,
            "near_copies": len(self.copies),
        }


def select(
    files: Sequence[PhotoFile],
    labels: tuple[str, ...],
    config: TrainingConfig,
    cache: FeatureCache,
    *,
    graph: Callable[[], bytes],
    progress: Progress,
) -> Selection:
    """Read the photos of the labels, leave out what cannot be learnt from, and split the rest.

    Raises: DataError if no photo can be read, fewer than two labels are left, or no photo
        can be set aside for the test.
    """
    wanted = set(labels)
    reads = read_photos([file for file in files if file.label in wanted], graph, cache, progress)
    unreadable = {read.file.name: read.reason for read in reads if read.features is None}
    readable = [read for read in reads if read.features is not None]
    if not readable:
        name, reason = next(iter(unreadable.items()))
        raise DataError(f"none of {len(reads)} photos can be read, {name} first: {reason}")
    # What measures a shop never trained on does not count as something to learn from.
    counts = count_labels(files) | dict.fromkeys(labels, 0)
    counts |= count_labels(read.file for read in readable if not _is_held_out(read, config))
    kept, pruned = split_by_size(counts, config.min_images)
    readable = [read for read in readable if read.file.label in kept]
    groups, copies = _groups(readable)
    sides = split(
        [read.file.label for read in readable],
        groups,
        test_percent=config.test_percent,
        validation_percent=config.validation_percent,
        held_out={
            name for read, name in zip(readable, groups, strict=True) if _is_held_out(read, config)
        },
    )
    _check_sides(readable, sides, config)
    return Selection(
        reads=tuple(readable),
        sides=tuple(sides),
        labels=kept,
        pruned=pruned,
        unreadable=unreadable,
        groups=tuple(groups),
        copies=tuple(copies),
    )


def _is_held_out(read: Read, config: TrainingConfig) -> bool:
    return bool(config.holdout_shop) and read.file.shop == config.holdout_shop


def _check_sides(reads: Sequence[Read], sides: Sequence[Side], config: TrainingConfig) -> None:
    if config.holdout_shop:
        shop = repr(config.holdout_shop)
        if Side.TEST not in sides:
            raise DataError(f"the shop {shop} has no readable photo of a category that is trained")
        learnt = {read.file.label for read, side in zip(reads, sides, strict=True)
                  if side is Side.TRAIN}  # fmt: skip
        alone = sorted({read.file.label for read in reads} - learnt)
        if alone:
            raise DataError(
                f"without the shop {shop} and copies of its photos nothing is left to train "
                f"{', '.join(alone)} on"
            )
    elif Side.TEST not in sides:
        raise DataError(
            "no photo can be set aside for the test: every category shows copies of one photo "
            "or one product only"
        )


def _groups(reads: Sequence[Read]) -> tuple[list[str], list[tuple[int, int]]]:
    """The group of each photo, named by content, and the pairs of near-copies, by index."""
    first: dict[str, int] = {}
    for index, read in enumerate(reads):
        first.setdefault(read.sha256, index)
    contents = list(first.values())
    marks = [reads[index].features for index in contents]
    found = near_copies([features.fingerprint for features in marks if features is not None])
    pairs = [(contents[one], contents[other]) for one, other in found]
    shared: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for pair in pairs:
        for index in pair:
            shared[reads[index].sha256].append(pair)
    keys = [
        [read.sha256, read.file.product_id or read.sha256, *shared[read.sha256]] for read in reads
    ]
    roots = group(len(reads), keys)
    photos: dict[int, list[Read]] = defaultdict(list)
    for root, read in zip(roots, reads, strict=True):
        photos[root].append(read)
    of_root = {root: _group_name(members) for root, members in photos.items()}
    return [of_root[root] for root in roots], pairs


def _group_name(members: Sequence[Read]) -> str:
    """A product's id outlives its photos, so it names the group where there is one."""
    products = {read.file.product_id for read in members} - {""}
    return min(products or {read.sha256 for read in members})
