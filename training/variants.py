"""Distorted variants of photos for a head on frozen features, cached like the photos' own.

A fixed number of each photo: how each looks follows from the photo's content and its number
alone, so that the next run, whatever its seed, finds its features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from advisor.vision.images import SIZE
from advisor.vision.interpreter import Model
from training.duplicates import Fingerprint
from training.features import FeatureCache, Features, Read
from training.head import FloatArray
from training.parallel import Progress, map_photos
from training.pixels import decode_again

_STAGE = "Reading distorted photos"
_VERSION = 1  # of `distort`: features of what another one made are not found
_MIN_AREA: Final = 0.5  # of the photo, that is shown of it
_MAX_ASPECT: Final = 4 / 3
_BRIGHTNESS: Final = 0.3
_WRITE_EVERY = 500
_UNMARKED = Fingerprint(0, b"")  # variants are not compared with photos


def distort(photo: npt.NDArray[np.uint8], sha256: str, number: int) -> npt.NDArray[np.uint8]:
    """A part of the photo, scaled to its size, mirrored or not, and brighter or darker.

    photo: uint8 (224, 224, 3), as is the result. sha256: of its content, hexadecimal. Equal
    arguments give equal pixels.
    """
    rng = np.random.default_rng((int(sha256, 16), number))
    stretch = _MAX_ASPECT ** rng.uniform(-0.5, 0.5)
    side = np.sqrt(rng.uniform(_MIN_AREA, 1.0)) * SIZE
    width, height = min(side * stretch, SIZE), min(side / stretch, SIZE)
    left, top = rng.uniform(0, SIZE - width), rng.uniform(0, SIZE - height)
    box = (left, top, left + width, top + height)
    image = Image.fromarray(photo).resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image, np.float32) * rng.uniform(1 - _BRIGHTNESS, 1 + _BRIGHTNESS)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    return np.asarray(np.clip(np.rint(pixels), 0, 255), np.uint8)


def variant_features(
    reads: Sequence[Read],
    count: int,
    graph: Callable[[], bytes],
    cache: FeatureCache,
    progress: Progress,
) -> FloatArray:
    """Features of `count` variants of each photo, float32 (photos * count, features).

    The variants of a photo follow one another. graph: gives the .tflite, asked for only where a
    variant is new. Raises: DataError if a photo has changed or gone since it was first read.
    """
    keys = [[_key(read.sha256, number) for number in range(count)] for read in reads]
    wanted = [(read.file, key) for read, its in zip(reads, keys, strict=True) for key in its]
    known = {key: read.features for key, read in cache.find_all(wanted).items()}
    new = {
        read.sha256: read
        for read, its in zip(reads, keys, strict=True)
        if any(key not in known for key in its)
    }
    if new:
        known |= _compute(list(new.values()), count, graph(), cache, progress)
    return np.array(
        [found.vector for its in keys for key in its if (found := known[key])], np.float32
    )


def _compute(
    reads: Sequence[Read], count: int, graph: bytes, cache: FeatureCache, progress: Progress
) -> dict[str, Features | None]:
    def make() -> Callable[[Read], list[Read]]:
        model = Model(graph)

        def variants(read: Read) -> list[Read]:
            photo = decode_again(read)
            shown = [distort(photo, read.sha256, number) for number in range(count)]
            vectors = [np.array(model.run(one).embedding, np.float32) for one in shown]
            return [
                Read(read.file, _key(read.sha256, number), Features(vector, _UNMARKED))
                for number, vector in enumerate(vectors)
            ]

        return variants

    computed: dict[str, Features | None] = {}
    unsaved: list[Read] = []
    try:
        for done, variants in enumerate(map_photos(make, reads), start=1):
            unsaved += variants
            computed |= {one.sha256: one.features for one in variants}
            progress(_STAGE, done, len(reads))
            if len(unsaved) >= _WRITE_EVERY:
                cache.put(unsaved)
                unsaved = []
    finally:  # after Ctrl-C, too, what was computed stays
        cache.put(unsaved)
    return computed


def _key(sha256: str, number: int) -> str:
    return hashlib.sha256(f"{sha256} {number} {_VERSION}".encode()).hexdigest()
