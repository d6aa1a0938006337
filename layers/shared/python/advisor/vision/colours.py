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

# Of the 53 profiles in Debian's colord-data, icc-profiles-free and argyll-ref the largest has 0.43
# MB. One of 8 MB takes 0.1 s and 52 MB to read.
MAX_PROFILE_BYTES: Final = 8 * 1024 * 1024
_KEPT_BYTES: Final = 1024 * 1024  # of a profile whose transform is kept; eight are
_TAGS: Final = 132  # where a profile's table of tags begins, of twelve bytes each
_MAX_TAGS: Final = 100  # littlecms reads no profile with more
# sRGB's own profile comes in many variants that differ by a rounding or the foot of its curve.
_SAME: Final = 2


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The image in RGB, in sRGB's colours.

    image: mode RGB, L or CMYK. profile: its ICC profile; one that is empty, cannot be read, has
    more than MAX_PROFILE_BYTES, belongs to another kind of image or says sRGB changes nothing.
    """
    transform = None
    if 0 < len(profile) <= MAX_PROFILE_BYTES:
        build = _kept_transform if len(profile) <= _KEPT_BYTES else _transform
        transform = build(profile, image.mode)
    return image.convert("RGB") if transform is None else transform.apply(image)


def _transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    from PIL import ImageCms  # noqa: PLC0415 (most photos have no profile)

    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(_bounded(profile))),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if _is_srgb(transform, mode) else transform


_kept_transform = lru_cache(maxsize=8)(_transform)  # some ms each; shops and cameras have few


def _bounded(profile: bytes) -> bytes:
    """The profile without its tags D2B0 to D2B3, beside which the standard wants others (ICC.1).

    They may be programs of any length, which littlecms runs for 36,000 colours: 32 KB of them
    took 16 s. What else it reads takes as long as its size.
    """
    if b"D2B" not in profile:
        return profile
    bounded = bytearray(profile)
    count = min(int.from_bytes(profile[_TAGS - 4 : _TAGS], "big"), _MAX_TAGS)
    for tag in range(_TAGS, _TAGS + 12 * count, 12):
        if bounded[tag : tag + 3] == b"D2B":
            bounded[tag : tag + 1] = b"d"  # a name that nobody looks for
    return bytes(bounded)


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
