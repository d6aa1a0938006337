"""The one preprocessing: from a photo's bytes to the model's input, in training and serving.

Training with one decoder and serving with another moved probabilities by up to 0.56, so
everything that turns bytes into pixels is here and named by PREPROCESSING_ID; a bundle made
with another id is refused.
"""

from __future__ import annotations

import hashlib
import math
import os
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)
from PIL import __version__ as pillow_version

from advisor.errors import UnreadableImageError
from advisor.vision.colours import to_srgb
from advisor.vision.guards import (
    MAX_BYTES,
    MeteredFile,
    bounded_memory,
    check_memory,
    check_scans,
    check_size,
    photo_file,
    received,
)

SIZE: Final = 224
# The plugins imported above are the decoders that a photo of a stranger can reach.
ALLOWED_FORMATS: Final = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        GifImagePlugin.GifImageFile,
        AvifImagePlugin.AvifImageFile,
    )
)
# Each further thread takes memory: a photo would be read on one machine and refused on another.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
PREPROCESSING_ID: Final = f"rgb224-draft448-bilinear-gap2-srgb-v3/pillow-{pillow_version}"

# A draft (the JPEG decoder's own down-scaling) of twice the size costs a third of the whole
# decode at cosine .999; a draft of 224 flips labels.
_DRAFT_SIZE = (2 * SIZE, 2 * SIZE)
_BAND_PIXELS = 1_000_000  # what most drafted JPEGs have
# What phones write; docs/decisions/0018-photo-formats.md tells why it is not read.
_HEIC = frozenset({b"ftypheic", b"ftypheix", b"ftypheim", b"ftyphevc", b"ftypmif1"})
_ONE_VALUE = 8  # bytes, of EXIF's largest type of number
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_GREY_MODES = frozenset({"1", "L", "LA", "La"})
_WHITE16 = 65_535
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def image_id(data: bytes) -> str:
    """The photo's name everywhere: sha256 of its bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def read_file(path: Path) -> bytes:
    """The bytes of a photo's file, for `decode`; of a film of gigabytes none is read.

    Raises: OSError if it cannot be read; UnreadableImageError for more than MAX_BYTES.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > MAX_BYTES else file.read(MAX_BYTES + 1)
    _check_bytes(max(size, len(data)))  # a pipe has no size
    return data


def decode(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode an encoded photo to the model's input.

    The first frame where there are several, upright by its EXIF orientation, transparent
    parts on white, colours in sRGB, stretched to a square.

    Returns: RGB, shape (224, 224, 3), values 0..255.
    Raises: UnreadableImageError if the bytes are no image in ALLOWED_FORMATS, are more than
        MAX_BYTES, declare more than MAX_PIXELS pixels or what would take more than MAX_MEMORY
        (both are checked before any is decoded), or break off.
    """
    if not data:
        raise UnreadableImageError("an empty file (0 bytes)", reason="empty")
    _check_bytes(len(data))
    file = photo_file(data)
    with bounded_memory(data), _open(file) as image:
        form, size = image.format or "", image.size
        check_size(form, size, data)
        image.draft("RGB", _DRAFT_SIZE)  # does something for JPEG only
        check_memory(image, size, data)
        check_scans(image, size, data)
        if isinstance(file, MeteredFile):
            file.in_pixels = True
        try:
            return np.array(_square(image))
        except MemoryError:
            raise
        except Exception as error:  # decoders raise whatever the damage leads them to
            came = received(form, size, data)
            raise UnreadableImageError(f"damaged {came}: {error}") from error


def _check_bytes(size: int) -> None:
    if size > MAX_BYTES:
        raise UnreadableImageError(
            f"{size} bytes; at most {MAX_BYTES} are read", reason="too many bytes"
        )


def _open(file: BytesIO) -> Image.Image:
    """The image with its header read and its pixels not."""
    try:
        return Image.open(file, formats=ALLOWED_FORMATS)
    except UnidentifiedImageError as error:
        data = file.getvalue()
        expected = ", ".join(ALLOWED_FORMATS)
        start = "HEIC" if data[4:12] in _HEIC else data[:12].hex(" ")
        text = f"no image in {expected}: {len(data)} bytes beginning with {start}"
        reason = "HEIC" if start == "HEIC" else "other format"
        raise UnreadableImageError(text, reason=reason) from error
    except (MemoryError, UnreadableImageError):
        raise
    except Exception as error:  # a header can be damaged in more ways than Pillow names
        length = len(file.getvalue())
        raise UnreadableImageError(f"damaged header, {length} bytes: {error}") from error


def _square(image: Image.Image) -> Image.Image:
    if image.format in {"WEBP", "AVIF"}:
        pixels = _first_frame(image)
    else:
        image.load()  # what a PNG says after its pixels counts, too
        pixels = image
    scaled = _scale(pixels)
    del pixels
    upright = _UPRIGHT.get(_orientation(image))
    image.close()  # lets its pixels go: a profile may take 50 MB, too
    # None is one that breaks off: Pillow could not put it together.
    scaled = to_srgb(scaled, image.info.get("icc_profile") or b"")
    return scaled.transpose(upright) if upright is not None else scaled  # of 224x224: cheap


def _first_frame(image: Any) -> Image.Image:
    """The pixels of a WebP or AVIF, its decoder and what that holds let go before they are copied.

    Pillow's own load() holds both at a time: 16 bytes for a pixel instead of 12.
    image: has Pillow's private `_decoder`, which differs by format; Pillow is pinned.
    """
    decoder, image._decoder = image._decoder, None
    frame = decoder.get_next() if image.format == "WEBP" else decoder.get_frame(0)
    del decoder
    if frame is None:
        raise UnreadableImageError("the first frame cannot be decoded")
    mode = image.rawmode if image.format == "WEBP" else image.mode
    return Image.frombuffer(mode, image.size, frame[0], "raw", mode, 0, 1)


def _scale(image: Image.Image) -> Image.Image:
    """Bring any size to SIZE x SIZE, and any mode to RGB, L or CMYK."""
    if image.mode.startswith("I;16"):  # grey: Pillow's own conversion clips 256.. to white
        if "transparency" in image.info:
            _whiten(image, image.info["transparency"])
        grey = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        return Image.fromarray(((grey.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.width * image.height > _BAND_PIXELS:
        return _scale_in_bands(image)
    return _flat(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _whiten(image: Image.Image, level: int) -> None:
    """Make the pixels white that a PNG of 16-bit grey declares transparent, in place."""
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        grey = np.array(image.crop(box))
        grey[grey == level] = _WHITE16
        image.paste(Image.fromarray(grey), box)


def _scale_in_bands(image: Image.Image) -> Image.Image:
    """The very pixels of resize(reducing_gap=2.0), with no second copy of the whole photo.

    That resize first averages blocks of pixels; here this is done to some rows at a time, since
    RGB and RGBA copies of 40 MP take 160 MB each.
    """
    across, down = (max(1, length // (2 * SIZE)) for length in image.size)
    size = math.ceil(image.width / across), math.ceil(image.height / down)
    rows = down * max(1, _BAND_PIXELS // (image.width * down))
    reduced = None
    for top in range(0, image.height, rows):
        band = _flat(image.crop((0, top, image.width, min(top + rows, image.height))))
        reduced = reduced or Image.new(band.mode, size)
        reduced.paste(band.reduce((across, down)), (0, top // down))
    assert reduced is not None  # noqa: S101 (an image has rows)
    box = (0, 0, image.width / across, image.height / down)
    return reduced.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)


def _flat(image: Image.Image) -> Image.Image:
    """RGB, L or CMYK as a white page would show it; what transparent pixels hide stays hidden.

    Grey stays grey: its ICC profile, applied later, is one of grey.
    """
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image.convert("LA" if image.mode in _GREY_MODES else "RGBA")
        page = Image.new(image.mode.removesuffix("A"), image.size, "white")
        page.paste(image, mask=image.getchannel("A"))
        return page
    return image if image.mode in {"RGB", "L", "CMYK"} else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where the photo has none.

    EXIF data that cannot be read counts as none, as in every browser: the pixels are sound. So
    does one of many values: Pillow makes a Python number of each, 1.5 GB of a WebP of 40 MB.
    """
    tag = ExifTags.Base.Orientation
    try:
        exif = image.getexif()
        if exif._info is not None and len(exif._info._tagdata.get(tag, b"")) > _ONE_VALUE:
            return 1
        value = exif.get(tag, 1)
    except Exception:  # the EXIF parser raises struct.error, SyntaxError, OSError, ...
        return 1
    return value if isinstance(value, int) else 1
