"""A photo's colours as its ICC profile means them, brought to sRGB."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from itertools import chain, product
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

# sRGB's own profile comes in many variants that differ by a rounding or the foot of its curve.
_SAME: Final = 2


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The image in RGB, in sRGB's colours.

    image: mode RGB, L or CMYK. profile: its ICC profile; one that is empty, cannot be read,
    belongs to another kind of image or says sRGB changes nothing.
    """
    transform = _transform(profile, image.mode) if profile else None
    return image.convert("RGB") if transform is None else transform.apply(image)


@lru_cache(maxsize=8)  # building one takes some ms, and shops and cameras have few
def _transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    from PIL import ImageCms  # noqa: PLC0415 (most photos have no profile)

    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB"), mode, "RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if _is_srgb(transform, mode) else transform


def _is_srgb(transform: ImageCmsTransform, mode: str) -> bool:
    """Whether colours from all over RGB (or all greys) stay what they are."""
    if mode == "CMYK":
        return False
    if mode == "L":
        probe = Image.frombytes("L", (256, 1), bytes(range(256)))
    else:
        colours = product(range(0, 256, 17), repeat=3)
        probe = Image.frombytes("RGB", (256, 16), bytes(chain.from_iterable(colours)))
    difference = np.asarray(transform.apply(probe), int) - np.asarray(probe.convert("RGB"))
    return bool(np.abs(difference).max() <= _SAME)
