"""What a photo's bytes are, by their first bytes: a host's word for it is often wrong."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (b"GIF87a", "image/gif", "gif"),
    (b"GIF89a", "image/gif", "gif"),
    (b"BM", "image/bmp", "bmp"),
)


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
    for magic, content_type, extension in _MAGIC:
        if data.startswith(magic):
            return content_type, extension
    return None
