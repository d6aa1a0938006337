"""From a folder's files to the photos of a run: read, pruned, grouped, split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.errors import DataError
from training.config import TrainingConfig
from training.dataset import PhotoFile, count_labels, split_by_size
from training.duplicates import Fingerprints, group, near_copies
from training.features import FeatureCache, Known, Read, read_photos
from training.parallel import Progress
from training.rows import Rows
from training.split import Side, split


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The photos of a run: readable ones of kept labels, each with its side.

    pruned: labels with too few photos, and how many. unreadable: why, by photo.
    skipped: labels of validation and test folders that are not trained, and how many photos.
    groups: of each photo; photos of one group are copies, near-copies or of one product.
    copies: pairs of photos whose contents differ and that look the same, by their index; as few
    as link all of them.
    vectors: float32 (rows, features), of the photos' rows.
    """

    reads: tuple[Read, ...]
    sides: tuple[Side, ...]
    labels: tuple[str, ...]
    pruned: dict[str, int]
    unreadable: dict[str, str]
    skipped: dict[str, int]
    groups: tuple[str, ...]
    copies: tuple[tuple[int, int], ...]
    vectors: Rows

    @property
    def measuring(self) -> Side:
        """Whose photos measure the model: the test's, or where it has none the validation's."""
        return Side.TEST if Side.TEST in self.sides else Side.VALIDATION

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
        targets = np.array([index[read.file.label] for read in reads], np.int64)
        return self.vectors.of([read.row for read in reads if read.row is not None]), targets

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
            "skipped": self.skipped,
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
    stored: Known | None = None,
) -> Selection:
    """Read the photos of the labels, leave out what cannot be learnt from, and split the rest.

    cache, graph, stored: as of read_photos.

    Raises: DataError if no photo can be read, fewer than two labels are left, or no photo
        can be set aside for the test.
    """
    wanted = set(labels)
    reads, known = read_photos(
        [file for file in files if file.label in wanted], graph, cache, progress, stored
    )
    unreadable = {read.file.name: read.reason for read in reads if read.row is None}
    readable = [read for read in reads if read.row is not None]
    if not readable:
        name, reason = next(iter(unreadable.items()))
        raise DataError(f"none of {len(reads)} photos can be read, {name} first: {reason}")
    counts = count_labels(file for file in files if not file.measures) | dict.fromkeys(labels, 0)
    counts |= count_labels(learnt_from((read.file for read in readable), config))
    kept, pruned = split_by_size(counts, config.min_images)
    readable = [read for read in readable if read.file.label in kept]
    groups, copies = _groups(readable, known.fingerprints)
    sides = sides_of(readable, groups, config)
    _check_sides(readable, sides, config)
    return Selection(
        reads=tuple(readable),
        sides=tuple(sides),
        labels=kept,
        pruned=pruned,
        unreadable=unreadable,
        skipped=count_labels(file for file in files if file.measures and file.label not in kept),
        groups=tuple(groups),
        copies=tuple(copies),
        vectors=known.vectors,
    )


def learnt_from(files: Iterable[PhotoFile], config: TrainingConfig) -> Iterator[PhotoFile]:
    """The photos that the split may train on: what only measures teaches a category nothing."""
    return (file for file in files if _own_side(file, config) in {None, Side.TRAIN})


def _own_side(file: PhotoFile, config: TrainingConfig) -> Side | None:
    """What a photo is for, None where the split says."""
    if config.holdout_shop and file.shop == config.holdout_shop:
        return Side.TEST
    return file.side


def sides_of(reads: Sequence[Read], groups: Sequence[str], config: TrainingConfig) -> list[Side]:
    """The side of each photo; those of one group are on one.

    What belongs together with photos that are given for validation or test, and is not given for
    it, is left out, so that just those measure; copies of a held out shop's photos measure with
    them, and what belongs together with a photo that is given to train on is trained on.
    """
    own = [_own_side(read.file, config) for read in reads]
    given: dict[str, Side] = {}
    for side in (Side.TRAIN, Side.VALIDATION, Side.TEST):  # the later, the stronger
        given |= {name: side for name, its in zip(groups, own, strict=True) if its is side}
    sides = split(
        [read.file.label for read in reads],
        groups,
        test_percent=0 if config.holdout_shop or config.test else config.test_percent,
        validation_percent=0 if config.validation else config.validation_percent,
        given=given,
    )
    if config.holdout_shop:
        return sides
    return [
        Side.UNUSED if name in given and its is not side is not Side.TRAIN else side
        for name, its, side in zip(groups, own, sides, strict=True)
    ]


def _check_sides(reads: Sequence[Read], sides: Sequence[Side], config: TrainingConfig) -> None:
    shop = f"the shop {config.holdout_shop!r}" if config.holdout_shop else ""
    for side, place in (
        (Side.TEST, shop or config.test),
        (Side.VALIDATION, config.validation),
    ):
        if place and side not in sides:
            raise DataError(
                f"{place} has no readable photo of a category that is trained"
                + (", other than copies of test photos" if side is Side.VALIDATION else "")
            )
    learnt = {read.file.label for read, side in zip(reads, sides, strict=True)
              if side is Side.TRAIN}  # fmt: skip
    if alone := sorted({read.file.label for read in reads} - learnt):
        raise DataError(
            f"without {shop or 'the validation and test photos'} and copies of these nothing "
            f"is left to train {', '.join(alone)} on"
        )
    if Side.TEST not in sides and config.test_percent:
        raise DataError(
            "no photo can be set aside for the test: every category shows copies of one photo "
            "or one product only"
        )


def _groups(reads: Sequence[Read], marks: Fingerprints) -> tuple[list[str], list[tuple[int, int]]]:
    """The group of each photo, named by content, and the pairs of near-copies, by index.

    marks: of all contents, by the photos' rows.
    """
    first: dict[str, int] = {}
    for index, read in enumerate(reads):
        first.setdefault(read.sha256, index)
    contents = list(first.values())
    rows = np.array([reads[index].row for index in contents], np.int64)
    found = near_copies(marks.of(rows))
    pairs = [(contents[one], contents[other]) for one, other in found]
    # Photos of one content share it, and so all that its first photo shares.
    keys = chain(
        ((index, read.sha256) for index, read in enumerate(reads)),
        ((index, ("of", read.file.product_id)) for index, read in enumerate(reads)
         if read.file.product_id),
        ((index, pair) for pair in pairs for index in pair),
    )  # fmt: skip
    roots = group(len(reads), keys)
    # A product's id outlives its photos, so it names the group where there is one.
    products: dict[int, str] = {}
    hashes: dict[int, str] = {}
    for root, read in zip(roots, reads, strict=True):
        for names, name in ((products, read.file.product_id), (hashes, read.sha256)):
            if name:
                names[root] = min(names.get(root, name), name)
    return [products.get(root) or hashes[root] for root in roots], pairs
