"""Distorted variants of photos for a head on frozen features, cached like the photos' own.

A fixed number of each photo: how each looks follows from the photo's content and its number
alone, so that the next run, whatever its seed, finds its features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from advisor.vision.fingerprints import Fingerprint
from advisor.vision.images import SIZE
from advisor.vision.interpreter import Model
from training.features import FeatureCache, Features, Found, Read
from training.parallel import Progress, map_photos
from training.pixels import decode_again
from training.rows import Rows

_STAGE = "Reading distorted photos"
_VERSION = 1  # of `distort`: features of what another one made are not found
_MIN_AREA: Final = 0.5  # of the photo, that is shown of it
_MAX_ASPECT: Final = 4 / 3
_BRIGHTNESS: Final = 0.3
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
) -> Rows:
    """Features of `count` variants of each photo, float32 (variants, features).

    The variants of a photo follow one another. graph: gives the .tflite, asked for only where a
    variant is new. Raises: DataError if a photo has changed or gone since it was first read.
    """
    wanted = {
        _key(read.sha256, number): (read, number) for read in reads for number in range(count)
    }

    def compute(new: Sequence[str]) -> Iterator[Found]:
        of_photo: dict[str, list[str]] = {}
        for key in new:
            of_photo.setdefault(wanted[key][0].sha256, []).append(key)
        photos = list(of_photo.values())  # the new variants of each, which follow one another
        found = map_photos(_make_reader(graph(), wanted), photos)
        return cache.keeping(chain.from_iterable(found), _STAGE, progress, len(new))

    known = cache.known(list(wanted), compute)
    return known.vectors.of(
        [known.rows[_key(read.sha256, number)] for read in reads for number in range(count)]
    )


def _make_reader(
    graph: bytes, wanted: Mapping[str, tuple[Read, int]]
) -> Callable[[], Callable[[Sequence[str]], list[Found]]]:
    def make() -> Callable[[Sequence[str]], list[Found]]:
        model = Model(graph)

        def variants(keys: Sequence[str]) -> list[Found]:
            read = wanted[keys[0]][0]
            photo = decode_again(read)
            found = []
            for key in keys:
                shown = distort(photo, read.sha256, wanted[key][1])
                vector = np.array(model.run(shown).embedding, np.float32)
                found.append(Found(key, Features(vector, _UNMARKED)))
            return found

        return variants

    return make


def _key(sha256: str, number: int) -> str:
    return hashlib.sha256(f"{sha256} {number} {_VERSION}".encode()).hexdigest()
