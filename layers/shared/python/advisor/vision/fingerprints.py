"""What tells that two photos are copies of one; training keeps them on one side of its split.

A 64-bit difference hash finds candidates and a 16x16 thumbnail decides (training/duplicates.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

_THUMBNAIL: Final = (16, 16)
_HASH_BYTES: Final = 8


@dataclass(frozen=True)
class Fingerprint:
    """What two copies of a photo share. dhash: 64 bits. thumbnail: 768 bytes, RGB 16x16."""

    dhash: int
    thumbnail: bytes

    def to_bytes(self) -> bytes:
        """776 bytes that from_bytes reads."""
        return self.dhash.to_bytes(_HASH_BYTES, "big") + self.thumbnail

    @classmethod
    def from_bytes(cls, data: bytes) -> Fingerprint:
        """What to_bytes gave."""
        return cls(int.from_bytes(data[:_HASH_BYTES], "big"), data[_HASH_BYTES:])


def fingerprint(photo: npt.NDArray[np.uint8]) -> Fingerprint:
    """The fingerprint of a decoded photo, uint8 (224, 224, 3)."""
    image = Image.fromarray(photo)
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    thumbnail = image.resize(_THUMBNAIL, Image.Resampling.BOX)
    return Fingerprint(int.from_bytes(bits.tobytes(), "big"), thumbnail.tobytes())
