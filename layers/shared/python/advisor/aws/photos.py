"""Photos in S3: named, read, addressed, and announced by S3's events through SQS."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus, unquote, unquote_plus

from botocore.exceptions import ClientError

from advisor.aws.clients import client
from advisor.crawling.items import Item
from advisor.crawling.photos import EXTENSIONS
from advisor.errors import NotFoundError, UnreadableImageError
from advisor.naming import label_of, path_segment

if TYPE_CHECKING:  # not every function has what the crawl's messages are read with
    from advisor.crawling.messages import Request
    from advisor.crawling.photos import Photo

IMAGES: Final = "images/"  # the catalog's photos, in the data bucket
ADDRESS_LIFETIME_S: Final = 3600
MAX_HASHED_BYTES: Final = 1 << 28  # some 4 s; ten films in one batch must leave time for photos
PHOTOS_OF_A_PRODUCT: Final = 8  # more are not shown
_NAME_ENDS = re.compile(rf"[0-9a-f]{{12}}\.(?:{'|'.join(EXTENSIONS)})")
_MISSING = frozenset({"NoSuchKey", "404"})
_CHUNK = 1 << 20


@dataclass(frozen=True, order=True)
class PhotoPlace:
    """Where a photo lies."""

    bucket: str
    key: str


@dataclass(frozen=True, kw_only=True)
class StoredPhoto:
    """A photo read from S3.

    data: None for more bytes than were to be read; size and image_id (sha256, hex) are of all
    of them. product_id: which product it shows; "" for an upload.
    """

    place: PhotoPlace
    data: bytes | None
    size: int
    image_id: str
    product_id: str


def catalog_key(of: Photo | Request, shop: str, *, image_id: str, extension: str) -> str:
    """Where a shop's photo is stored: images/<category>/<shop>/<sku>-<image id>.<ext>."""
    return f"{_beginning(of.category, shop, of.sku)}{image_id[:12]}.{extension}"


def category_of(key: str) -> str:
    """The shop's category of a stored photo, by the folder that it lies in."""
    return label_of(key.removeprefix(IMAGES).partition("/")[0])


def photos_of(bucket: str, item: Item) -> list[PhotoPlace]:
    """The stored photos of a product as its page shows it now, by name; a few of many."""
    beginning = _beginning(item.category, item.shop, item.id)
    answer = client("s3").list_objects_v2(Bucket=bucket, Prefix=beginning)
    keys = [stored["Key"] for stored in answer.get("Contents", ())]
    # Another SKU may begin with this one.
    own = [key for key in keys if _NAME_ENDS.fullmatch(key, len(beginning))]
    return [PhotoPlace(bucket, key) for key in own[:PHOTOS_OF_A_PRODUCT]]


def _beginning(category: str, shop: str, sku: str) -> str:
    return f"{IMAGES}{path_segment(category)}/{path_segment(shop)}/{path_segment(sku)}-"


def read_photo(
    place: PhotoPlace, *, max_bytes: int, max_hashed_bytes: int = MAX_HASHED_BYTES
) -> StoredPhoto:
    """Read a photo; of one of more than max_bytes only its hash, in constant memory.

    Raises: NotFoundError if it is not there (any more); UnreadableImageError, without reading
        it, for more than max_hashed_bytes.
    """
    try:
        answer = client("s3").get_object(Bucket=place.bucket, Key=place.key)
    except ClientError as error:
        if error.response["Error"]["Code"] in _MISSING:
            raise NotFoundError(f"no photo {place.key!r}") from error
        raise
    size = answer["ContentLength"]
    if size > max_hashed_bytes:
        answer["Body"].close()
        raise UnreadableImageError(
            f"{place.key!r} of {size} bytes is too large to be read", reason="too many bytes"
        )
    digest, kept = hashlib.sha256(), BytesIO()  # which gives its bytes without a copy
    for chunk in answer["Body"].iter_chunks(_CHUNK):
        digest.update(chunk)
        if size <= max_bytes:
            kept.write(chunk)
    return StoredPhoto(
        place=place,
        data=kept.getvalue() if size <= max_bytes else None,
        size=size,
        image_id=digest.hexdigest(),
        product_id=unquote(answer["Metadata"].get("product-id", "")),
    )


def address(place: PhotoPlace) -> str:
    """A URL at which anyone can see the photo for ADDRESS_LIFETIME_S."""
    url: str = client("s3").generate_presigned_url(
        "get_object",
        Params={"Bucket": place.bucket, "Key": place.key},
        ExpiresIn=ADDRESS_LIFETIME_S,
    )
    return url


def upload_form(place: PhotoPlace, *, content_type: str, max_bytes: int) -> dict[str, Any]:
    """A form that uploads one photo of that type to that place: url, fields, key."""
    fields = {"Content-Type": content_type}
    conditions: list[Any] = [["content-length-range", 1, max_bytes], fields]
    form = client("s3").generate_presigned_post(
        place.bucket,
        place.key,
        Fields=fields,
        Conditions=conditions,
        ExpiresIn=ADDRESS_LIFETIME_S,
    )
    return {**form, "key": place.key}


def photos_under(bucket: str, prefix: str = IMAGES) -> Iterator[PhotoPlace]:
    """Every photo stored under a prefix, page by page."""
    pages = client("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, Prefix=prefix):
        for stored in page.get("Contents", ()):
            yield PhotoPlace(bucket, stored["Key"])


def read_announcement(body: str) -> list[PhotoPlace]:
    """The photos that an SQS message of S3 announces; none in S3's test event.

    A message we cannot read raises ValueError, TypeError or KeyError, and so ends among the
    dead letters, where a person sees it.
    """
    event: Mapping[str, Any] = json.loads(body)
    if event.get("Event") == "s3:TestEvent":
        return []
    return [
        # S3 writes keys into events as HTML forms do: "+" for a space, "%2B" for a plus.
        PhotoPlace(record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"]))
        for record in event["Records"]
        if record["eventName"].removeprefix("s3:").startswith("ObjectCreated:")
    ]


def announcement(places: list[PhotoPlace]) -> str:
    """A message as S3 sends it when photos are stored: what `read_announcement` reads."""
    records = [
        {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "bucket": {"name": place.bucket},
                "object": {"key": quote_plus(place.key, safe="/")},
            },
        }
        for place in places
    ]
    return json.dumps({"Records": records}, separators=(",", ":"))
