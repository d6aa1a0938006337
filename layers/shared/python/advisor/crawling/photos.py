"""What a photo's bytes are, by their first bytes: a host's word for it is often wrong."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass

EXTENSIONS = ("jpg", "png", "gif", "bmp", "webp", "avif")
_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (b"GIF87a", "image/gif", "gif"),
    (b"GIF89a", "image/gif", "gif"),
    (b"BM", "image/bmp", "bmp"),
)
_ISPE = re.compile(rb"ispe.{4}(.{8})", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A photo as the shop serves it. image_id: sha256 of the bytes, hex."""

    product_id: str
    category: str
    url: str
    data: bytes
    content_type: str
    extension: str
    image_id: str

    @property
    def short_side_px(self) -> int | None:
        """The shorter side in pixels, None where the first bytes do not tell."""
        size = pixels_of(self.data)
        return min(size) if size else None

    @property
    def sku(self) -> str:
        """The shop's own id of the product it shows."""
        return self.product_id.partition(":")[2]


def make_photo(data: bytes, *, product_id: str, category: str, url: str) -> Photo | None:
    """A photo of these bytes, or None when they do not begin like an image we know."""
    found = image_type(data)
    if found is None:
        return None
    return Photo(
        product_id=product_id,
        category=category,
        url=url,
        data=data,
        content_type=found[0],
        extension=found[1],
        image_id=hashlib.sha256(data).hexdigest(),
    )


def image_type(data: bytes) -> tuple[str, str] | None:
    """(content type, file extension) of an encoded image, or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp", "webp"
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):  # not its relatives, as HEIC
        return "image/avif", "avif"
    for magic, content_type, extension in _MAGIC:
        if data.startswith(magic):
            return content_type, extension
    return None


def pixels_of(data: bytes) -> tuple[int, int] | None:
    """(width, height) as an image's header tells, without decoding it; None if it does not."""
    found = image_type(data)
    if found is None:
        return None
    try:
        return _PIXELS[found[1]](data)
    except (struct.error, IndexError):  # cut short
        return None


def _png_pixels(data: bytes) -> tuple[int, int] | None:
    return struct.unpack(">II", data[16:24])


def _gif_pixels(data: bytes) -> tuple[int, int] | None:
    return struct.unpack("<HH", data[6:10])


def _bmp_pixels(data: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack("<ii", data[18:26])
    return abs(width), abs(height)  # a negative height means rows from the top


def _jpeg_pixels(data: bytes) -> tuple[int, int] | None:
    """From the start-of-frame segment (ITU T.81, B.2.2)."""
    at = 2
    while data[at] == 0xFF:
        marker, length = struct.unpack(">BH", data[at + 1 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + max(length, 2)
    return None


def _webp_pixels(data: bytes) -> tuple[int, int] | None:
    """From the first chunk: lossy, lossless or extended (RFC 9649, section 2)."""
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", data[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        width, height = data[24:27], data[27:30]
        return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    return None


def _avif_pixels(data: bytes) -> tuple[int, int] | None:
    """The largest of its images (ISO/IEC 23008-12, 6.5.3): others are its alpha or its tiles."""
    return max((struct.unpack(">II", one[1]) for one in _ISPE.finditer(data[:65536])), default=None)


_PIXELS = {
    "avif": _avif_pixels,
    "png": _png_pixels,
    "gif": _gif_pixels,
    "bmp": _bmp_pixels,
    "jpg": _jpeg_pixels,
    "webp": _webp_pixels,
}
