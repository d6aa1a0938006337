"""Copies and near-copies: photos that must not stand on both sides of a split.

A fingerprint's hash finds candidates and its thumbnail decides. Measured on 3,068
photos of clothes and 1,223 of other products: a copy at 80 % size and JPEG quality 60 lies
within 6 bits and 1.4 grey levels of its original; the hash alone would also have merged 1,490
pairs of different clothes (both on a plain background), the thumbnail none.

Among a million photos not every pair can be compared. Hashes within 6 bits agree in two of their
eight bytes, and thumbnails within 4 grey levels are as bright as each other within 4: only what
does so is compared, once for each two bytes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from training.rows import Rows

MAX_BITS = 6
MAX_GREY_LEVELS = 4
_MAX_DISTANCE = MAX_GREY_LEVELS * 16 * 16 * 3  # of two thumbnails, in sum
_BYTES = 8  # of a hash: two that differ in 6 bits agree in 2 bytes at least
_BRIGHTNESS_BITS = 18  # of a thumbnail's sum and _MAX_DISTANCE more
# Sums of blocks in which two that look the same differ by _MAX_DISTANCE at most, too: above less
# below, left less right, one diagonal less the other, red and green less blue.
_TONES = np.array(
    [(down, right, down * right, colour)
     for down in (1, -1) for right in (1, -1) for colour in (1, 1, -1)]
)  # fmt: skip
_CELLS = 32  # of 2 * _MAX_DISTANCE each way from 0
_CELL_BITS = 7
_CROWDED = 30  # pairs for a photo; a million with hashes like those of clothes have 2
_AT_ONCE = 4096  # thumbnails in memory
_PAIRS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Fingerprints:
    """Those of many photos. dhashes: uint64 (photos,). thumbnails: uint8 (photos, 768)."""

    dhashes: npt.NDArray[np.uint64]
    thumbnails: Rows

    def of(self, numbers: npt.NDArray[np.int64]) -> Fingerprints:
        """Those of the numbers, in their order."""
        return Fingerprints(self.dhashes[numbers], self.thumbnails.of(numbers))


def near_copies(marks: Fingerprints) -> list[tuple[int, int]]:
    """Pairs of indices, lower first, that link the photos that look the same: chains of them, too.

    No more than link them: of three photos two pairs, so there are fewer pairs than photos. Each
    pair looks the same by itself.
    """
    if len(marks.dhashes) < 2:
        return []
    blocks = _blocks(marks.thumbnails)
    brightness = blocks.sum(axis=1, dtype=np.int64)
    bands, hashes = _bands(marks.dhashes)
    links = _Links(marks)
    kept = links.add_identical(blocks, brightness)
    tones = blocks[kept].astype(np.int64) @ _TONES
    for one, other in combinations(range(_BYTES), 2):
        pair = bands[kept, one].astype(np.int64) << 8 | bands[kept, other]
        for left, right in _near(pair, brightness[kept], tones, links.labels[kept]):
            lefts, rights = kept[left], kept[right]
            unlike = hashes[lefts] ^ hashes[rights]
            alike = np.bitwise_count(unlike) <= MAX_BITS
            lefts, rights, unlike = lefts[alike], rights[alike], unlike[alike]
            # Met already where the two agree in two bands that come before these.
            agree = unlike.view(np.uint8).reshape(-1, _BYTES)[:, :other] == 0
            new = agree.sum(axis=1) == 1
            lefts, rights = lefts[new], rights[new]
            distances = np.abs(blocks[lefts] - blocks[rights]).sum(axis=1, dtype=np.int64)
            links.add(lefts[distances <= _MAX_DISTANCE], rights[distances <= _MAX_DISTANCE])
    return sorted(links.pairs)


class _Links:
    """Pairs that look the same; a pair whose photos are linked already is not looked at.

    labels: of each photo, the same for those that are linked.
    """

    def __init__(self, marks: Fingerprints) -> None:
        self.pairs: list[tuple[int, int]] = []
        self._marks = marks
        self.labels = np.arange(len(marks.dhashes))
        self._members: dict[int, list[int]] = {}  # by label, of those with two members or more

    def add_identical(
        self, blocks: npt.NDArray[np.int16], brightness: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Link photos whose fingerprints are the same to the byte; returns one of each.

        A thousand white photos are half a million pairs.
        """
        hashes = self._marks.dhashes
        order = np.lexsort((brightness, hashes))
        before, after = order[:-1], order[1:]
        same = (hashes[before] == hashes[after]) & (blocks[before] == blocks[after]).all(axis=1)
        left_out = np.zeros(len(order), bool)
        for start in range(0, len(after[same]), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            lefts, rights = before[same][some], after[same][some]
            thumbnails = self._marks.thumbnails
            equal = (thumbnails[lefts] == thumbnails[rights]).all(axis=1)
            self._link(lefts[equal], rights[equal])
            left_out[rights[equal]] = True
        return np.flatnonzero(~left_out)

    def add(self, lefts: npt.NDArray[np.int64], rights: npt.NDArray[np.int64]) -> None:
        """Link those of the pairs that look the same by their thumbnails."""
        while True:
            apart = self.labels[lefts] != self.labels[rights]
            lefts, rights = lefts[apart], rights[apart]
            if not len(lefts):
                return
            some, others = lefts[:_AT_ONCE], rights[:_AT_ONCE]
            thumbnails = self._marks.thumbnails
            distances = np.abs(thumbnails[some].astype(np.int16) - thumbnails[others])
            alike = distances.sum(axis=1) <= _MAX_DISTANCE
            self._link(some[alike], others[alike])
            lefts, rights = lefts[_AT_ONCE:], rights[_AT_ONCE:]

    def _link(self, lefts: npt.NDArray[np.int64], rights: npt.NDArray[np.int64]) -> None:
        for pair in zip(lefts.tolist(), rights.tolist(), strict=True):
            large, small = (int(self.labels[number]) for number in pair)
            if large == small:
                continue
            groups = {label: self._members.pop(label, [label]) for label in (large, small)}
            if len(groups[large]) < len(groups[small]):
                large, small = small, large
            self.labels[groups[small]] = large
            self._members[large] = groups[large] + groups[small]
            self.pairs.append((min(pair), max(pair)))


def _blocks(thumbnails: Rows) -> npt.NDArray[np.int16]:
    """Sums over the quarters of thumbnails and their colours, (photos, 12).

    Two thumbnails differ by no less than their sums do.
    """
    blocks = np.empty((len(thumbnails), 12), np.int16)
    for start in range(0, len(thumbnails), _AT_ONCE):
        numbers = np.arange(start, min(start + _AT_ONCE, len(thumbnails)))
        quarters = thumbnails[numbers].reshape(-1, 2, 8, 2, 8, 3)
        blocks[numbers] = quarters.sum(axis=(2, 4), dtype=np.int16).reshape(-1, 12)
    return blocks


def _bands(
    dhashes: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
    """The hashes with their bits in another order, as bytes (photos, 8) and as numbers.

    A byte has a bit of each row and each column: neighbours say much the same, so that this
    halves the pairs that agree in two bytes.
    """
    order = [8 * row + (3 * row + band) % 8 for band in range(_BYTES) for row in range(8)]
    bits = np.unpackbits(dhashes.astype(">u8").view(np.uint8).reshape(-1, _BYTES), axis=1)
    bands = np.ascontiguousarray(np.packbits(bits[:, order], axis=1))
    return bands, bands.view(np.uint64).ravel()


def _near(
    keys: npt.NDArray[np.int64],
    brightness: npt.NDArray[np.int64],
    tones: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs of places with one key whose brightness differs by _MAX_DISTANCE or less.

    Some at a time. Where there are many, as of photos on a plain background, only those that may
    be as near in the first tones, too, once or twice. labels: places of one label are no pair where
    nothing else is between them: else thousands of frames of a film would be met 28 times.
    """
    ordered = (keys << _BRIGHTNESS_BITS) + brightness
    order = np.argsort(ordered, kind="stable")
    ordered = ordered[order]
    places = np.arange(len(keys))
    counts = np.searchsorted(ordered, ordered + _MAX_DISTANCE, "right") - places - 1
    last = np.flatnonzero(np.append(np.diff(labels[order]) != 0, True))  # of those of one label
    linked = np.minimum(last[np.searchsorted(last, places)] - places, counts)
    counts -= linked
    if counts.sum() > _CROWDED * len(keys) and tones.shape[1]:
        for shift in (0, _MAX_DISTANCE):  # two that are near share a cell with or without it
            cells = (tones[:, 0] + shift) // (2 * _MAX_DISTANCE) + _CELLS
            yield from _near(keys << _CELL_BITS | cells, brightness, tones[:, 1:], labels)
        return
    ends = np.cumsum(counts)
    start = 0
    while start < len(keys):
        before = ends[start] - counts[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, "right")))
        some = counts[start:stop]
        left = np.repeat(np.arange(start, stop), some)
        first = np.repeat(ends[start:stop] - some - before, some)
        right = left + linked[left] + 1 + np.arange(len(left)) - first
        yield order[left], order[right]
        start = stop


def group(count: int, keys: Iterable[tuple[int, Hashable]]) -> list[int]:
    """The group of each of `count` photos: photos that share any key are in one group.

    keys: photos, by index, with a key that each has; in any order.
    Returns: for each photo the lowest index in its group.
    """
    parents = list(range(count))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first: dict[Hashable, int] = {}
    for index, key in keys:
        one, other = sorted((root(first.setdefault(key, index)), root(index)))
        parents[other] = one
    return [root(index) for index in range(count)]
