"""Photos that strangers send: read out of an HTTP request's body, and named in our bucket."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Final
from uuid import UUID

from advisor.errors import RequestError
from advisor.http import Request, decode_base64
from advisor.naming import path_segment

PREFIX: Final = "uploads/"
MAX_BYTES: Final = 50 * 1024 * 1024  # what a presigned upload may hold
ACCEPTED: Final = "image/*, application/octet-stream, multipart/form-data, application/json"
_KEY = re.compile(r"[^\ud800-\udfff]{1,1024}")  # S3's longest; halves of characters are no text
# A content type as RFC 9110 writes it, without parameters.
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+")


@dataclass(frozen=True)
class UploadedPhoto:
    """A photo that lies in the uploads bucket already."""

    key: str


def read_photo(request: Request, *, max_bytes: int = MAX_BYTES) -> bytes | UploadedPhoto:
    """The photo that a request sends: its bytes, or where they lie.

    The body is the photo itself, a form with a file, or JSON with `image` or `s3_key`.
    Raises: RequestError, saying what was received: 400 for a body that holds no photo, 413
        for more than max_bytes, 415 for a content type that is not ACCEPTED.
    """
    content_type = _content_type(request.headers.get("content-type", ""))
    media_type = content_type.get_content_type()
    if media_type == "application/json":
        photo = _from_json(request.body)
    elif media_type == "multipart/form-data":
        photo = _from_form(request.body, content_type)
    elif _is_photo(media_type):
        photo = request.body
    else:
        received = request.headers.get("content-type", "no content type")
        raise RequestError(415, f"received {received[:100]!r}; expected {ACCEPTED}")
    if isinstance(photo, UploadedPhoto):
        return photo
    if not photo:
        raise RequestError(400, f"{media_type} without a photo: 0 bytes")
    if len(photo) > max_bytes:
        raise RequestError(413, f"a photo of {len(photo)} bytes; at most {max_bytes} are read")
    return photo


def upload_key(upload_id: UUID, filename: str) -> str:
    """The key of an upload: its own folder, and the file's name made safe."""
    name = path_segment(re.split(r"[/\\]", filename)[-1] or "photo")
    # In the key of a form S3 puts the sender's own file name for ${filename}, and boto3 then
    # lets the form upload any number of keys.
    return f"{PREFIX}{upload_id}/{name.replace('$', '%24')}"


def checked_content_type(content_type: str) -> str:
    """The content type of an upload, as its form must send it again.

    Raises: RequestError 415 if no photo has it.
    """
    if not (_MEDIA_TYPE.fullmatch(content_type) and _is_photo(content_type.lower())):
        raise RequestError(
            415,
            f"content_type {content_type[:100]!r}; expected image/* or application/octet-stream",
        )
    return content_type


def json_object(body: bytes) -> dict[str, object]:
    """A body that is a JSON object.

    Raises: RequestError 400 if it is none.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"{len(body)} bytes that are no JSON: {error}") from error
    if not isinstance(value, dict):
        raise RequestError(400, f"JSON {type(value).__name__}; expected an object")
    return value


def _is_photo(media_type: str) -> bool:
    return media_type.startswith("image/") or media_type == "application/octet-stream"


def _from_json(body: bytes) -> bytes | UploadedPhoto:
    value = json_object(body)
    image, key = value.get("image"), value.get("s3_key")
    if isinstance(image, str) and key is None:
        return decode_base64(image)
    if isinstance(key, str) and _KEY.fullmatch(key) and image is None:
        if not key.startswith(PREFIX):  # whether there is such an object is nobody's business
            raise RequestError(400, f"s3_key {key[:100]!r}; expected one of {PREFIX}")
        return UploadedPhoto(key)
    names = ", ".join(sorted(value)[:10]) or "no keys"
    raise RequestError(400, f"JSON with {names[:200]}; expected one text, image or s3_key")


def _from_form(body: bytes, content_type: Message) -> bytes:
    """The first file of a form (RFC 7578); bytes are cut and never decoded."""
    boundary = content_type.get_boundary()
    if not boundary:
        raise RequestError(400, "multipart/form-data without a boundary")
    # errors="replace": a boundary of other characters than ASCII is just not found.
    delimiter = b"\r\n--" + boundary.encode("ascii", "replace")
    parts = (b"\r\n" + body).split(delimiter)[1:-1]
    for part in parts:
        head, found, content = part.partition(b"\r\n\r\n")
        headers = BytesHeaderParser().parsebytes(head.lstrip())
        if found and headers.get_filename() is not None:
            return content
    raise RequestError(400, f"a form of {len(parts)} parts, none of them a file")


def _content_type(value: str) -> Message:
    message = Message()
    message["content-type"] = value.replace("\r", " ").replace("\n", " ")
    return message
