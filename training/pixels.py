"""Decoded photos in one file, row after row: what fine-tuning reads again each epoch.

Rows are read with pread, not mapped into memory, so memory stays flat however many there are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from advisor.errors import DataError, UnreadableImageError
from advisor.vision.images import SIZE, decode, image_id
from training.cache import whole_file
from training.features import Read
from training.parallel import Progress, map_photos

_STAGE = "Decoding photos"
_SHAPE = (SIZE, SIZE, 3)
_ROW = SIZE * SIZE * 3


@dataclass(frozen=True)
class Pixels:
    """A file of decoded photos, 150,528 bytes each; a process opens it for itself."""

    path: Path

    def touch(self) -> None:
        """Say that they are in use: the least recently used go first when the cache is pruned."""
        os.utime(self.path)

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """The photos of the rows, uint8 (rows, 224, 224, 3)."""
        photos = np.empty((len(rows), *_SHAPE), np.uint8)
        with self.path.open("rb", buffering=0) as file:
            for photo, row in zip(photos, rows, strict=True):
                file.seek(int(row) * _ROW)
                file.readinto(photo.data.cast("B"))
        return photos


def write_pixels(reads: Sequence[Read], path: Path, progress: Progress) -> Pixels:
    """Decode the photos into the file, in order, unless an earlier run did.

    The file appears whole or not at all; its name must follow from the photos' contents.
    Raises: DataError if a photo has changed or gone since it was first read.
    """
    pixels = Pixels(path)
    if path.is_file() and path.stat().st_size == len(reads) * _ROW:
        pixels.touch()
        return pixels
    with whole_file(path) as file:
        for done, photo in enumerate(map_photos(lambda: decode_again, reads), start=1):
            file.write(photo.tobytes())
            progress(_STAGE, done, len(reads))
    return pixels


def decode_again(read: Read) -> npt.NDArray[np.uint8]:
    """The pixels of a photo that was read before, uint8 (224, 224, 3).

    Raises: DataError if it has changed or gone since.
    """
    try:
        data = read.file.read()
        if image_id(data) == read.sha256:
            return decode(data)
    except (OSError, UnreadableImageError) as error:
        raise DataError(f"{read.file.name} could be read a moment ago: {error}") from error
    raise DataError(f"{read.file.name} was changed while it was being trained on")
