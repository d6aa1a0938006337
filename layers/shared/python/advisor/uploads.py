"""Photos that strangers send: read out of an HTTP request's body, and named in our bucket."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any, Final
from uuid import UUID

from advisor.errors import RequestError
from advisor.http import Request, decode_base64
from advisor.naming import path_segment

PREFIX: Final = "uploads/"
MAX_BYTES: Final = 50 * 1024 * 1024  # what a presigned upload may hold; a request's photos together
MAX_PHOTOS: Final = 10  # in one request; API Gateway waits 30 s for the answer
ACCEPTED: Final = "image/*, application/octet-stream, multipart/form-data, application/json"
ANY_PHOTO: Final = "application/octet-stream"
_MAX_KEY_BYTES = 1024  # S3's longest
_MAX_PARTS = 100  # of a form; Python takes some time for each
_MAX_HEADER_BYTES = 8192  # of a part of a form; its parser's time grows with the square
# A content type as RFC 9110 writes it, without parameters.
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+")


@dataclass(frozen=True)
class UploadedPhoto:
    """A photo that lies in the uploads bucket already."""

    key: str


SentPhoto = bytes | UploadedPhoto | RequestError


@dataclass(frozen=True)
class SentPhotos:
    """The photos of one request, in its order; RequestError in the place of one that is none.

    several: they were sent as several, be it that there is only one.
    """

    photos: tuple[SentPhoto, ...]
    several: bool


def read_photo(request: Request, *, max_bytes: int = MAX_BYTES) -> bytes | UploadedPhoto:
    """The photo that a request sends: its bytes, or where they lie.

    The body is the photo itself, a form with a file, or JSON with `image` or `s3_key`.
    Raises: RequestError, saying what was received: 400 for a body that holds no photo, 413
        for more than max_bytes, 415 for a content type that is not ACCEPTED.
    """
    sent, several = _sent(request)
    if several:
        raise RequestError(400, f"{len(sent)} photos sent as several; expected one")
    return _read(sent[0], max_bytes)


def read_photos(request: Request, *, max_bytes: int = MAX_BYTES) -> SentPhotos:
    """The photos that a request sends: as `read_photo`, a form with files, or JSON with `images`.

    Raises: RequestError as `read_photo`, and 413 for more than MAX_PHOTOS, or more than max_bytes
        together.
    """
    sent, several = _sent(request)
    if not several:
        return SentPhotos((_read(sent[0], max_bytes),), several=False)
    if len(sent) > MAX_PHOTOS:
        raise RequestError(413, f"{len(sent)} photos; at most {MAX_PHOTOS} are read at once")
    photos = tuple(_read_or_error(one, max_bytes) for one in sent)
    total = sum(len(one) for one in photos if isinstance(one, bytes))
    if total > max_bytes:
        raise RequestError(413, f"photos of {total} bytes together; at most {max_bytes} are read")
    return SentPhotos(photos, several=True)


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


def json_object(body: bytes) -> dict[str, Any]:
    """A body that is a JSON object.

    Raises: RequestError 400 if it is none.
    """
    try:
        text = body.decode(json.detect_encoding(body))  # json.loads itself lets half a pair pass
        value = json.loads(text)
        if "\\u" in text:  # which may escape half of a UTF-16 pair: no table takes it
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"{len(body)} bytes that are no JSON: {error}") from error
    if not isinstance(value, dict):
        raise RequestError(400, f"JSON {type(value).__name__}; expected an object")
    return value


def _is_photo(media_type: str) -> bool:
    return media_type.startswith("image/") or media_type == ANY_PHOTO


def _sent(request: Request) -> tuple[Sequence[object], bool]:
    """What stands for a photo in a body, one at least: bytes, or JSON; and whether as several."""
    content_type = _content_type(request.headers.get("content-type", ""))
    media_type = content_type.get_content_type()
    if media_type == "application/json":
        value = json_object(request.body)
        images = value.get("images")
        if images is None:
            return [value], False
        if not isinstance(images, list) or not images:
            raise RequestError(400, f"images is {_short(images)}; expected a list of objects")
        if value.keys() & {"image", "s3_key"}:
            raise RequestError(400, f"JSON with {_names(value)}; expected images alone")
        return images, True
    if media_type == "multipart/form-data":
        files = _files(request.body, content_type)
        return files, len(files) > 1
    if not _is_photo(media_type):
        received = request.headers.get("content-type", "no content type")
        raise RequestError(415, f"received {received[:100]!r}; expected {ACCEPTED}")
    return [request.body], False


def _read(sent: object, max_bytes: int) -> bytes | UploadedPhoto:
    if not isinstance(sent, bytes | dict):
        raise RequestError(400, f"{_short(sent)} among images; expected an object")
    photo = _from_json(sent) if isinstance(sent, dict) else sent
    if isinstance(photo, UploadedPhoto):
        return photo
    if not photo:
        raise RequestError(400, "a photo of 0 bytes")
    if len(photo) > max_bytes:
        raise RequestError(413, f"a photo of {len(photo)} bytes; at most {max_bytes} are read")
    return photo


def _read_or_error(sent: object, max_bytes: int) -> SentPhoto:
    """One of several photos; what is wrong with it does not lose the others."""
    try:
        return _read(sent, max_bytes)
    except RequestError as error:
        return error


def _from_json(value: dict[str, Any]) -> bytes | UploadedPhoto:
    image, key = value.get("image"), value.get("s3_key")
    if isinstance(image, str) and key is None:
        return decode_base64(image)
    if isinstance(key, str) and 0 < len(key.encode()) <= _MAX_KEY_BYTES and image is None:
        if not key.startswith(PREFIX):  # whether there is such an object is nobody's business
            raise RequestError(400, f"s3_key {key[:100]!r}; expected one of {PREFIX}")
        return UploadedPhoto(key)
    raise RequestError(400, f"JSON with {_names(value)}; expected one text, image or s3_key")


def _names(value: dict[str, Any]) -> str:
    return (", ".join(sorted(value)[:10]) or "no keys")[:200]


def _files(body: bytes, content_type: Message) -> list[bytes]:
    """The files of a form (RFC 7578), one at least; bytes are cut and never decoded.

    A file's part has a file name, as it should have, or at least a photo's content type.
    Raises: RequestError 400 for a form that breaks off; 413 for more parts, or more bytes of their
        headers, than a form has.
    """
    boundary = _parameter(content_type, Message.get_boundary)
    if not boundary:
        raise RequestError(400, "multipart/form-data without a boundary")
    # errors="replace": a boundary of other characters than ASCII is just not found.
    delimiter = b"\r\n--" + boundary.encode("ascii", "replace")
    before, *parts = (b"\r\n" + body).split(delimiter, _MAX_PARTS + 2)
    if len(parts) > _MAX_PARTS + 1:
        raise RequestError(413, f"a form of more than {_MAX_PARTS} parts")
    if not parts:
        raise RequestError(400, f"{len(before) - 2} bytes without the boundary of a form")
    if not parts.pop().startswith(b"--"):
        raise RequestError(400, f"a form that breaks off in part {len(parts) + 1}")
    files = []
    for part in parts:
        head, found, content = part.partition(b"\r\n\r\n")
        if not found:
            continue
        if len(head) > _MAX_HEADER_BYTES:
            raise RequestError(
                413,
                f"a form with a header of {len(head)} bytes; at most {_MAX_HEADER_BYTES} are read",
            )
        headers = BytesHeaderParser().parsebytes(head.lstrip())
        named = _parameter(headers, Message.get_filename) is not None
        if named or _is_photo(headers.get_content_type()):
            files.append(content)
    if not files:
        raise RequestError(400, f"a form of {len(parts)} parts, none of them a file")
    return files


def _parameter(headers: Message, read: Callable[[Message], str | None]) -> str | None:
    try:
        return read(headers)
    except Exception as error:  # the parser raises whatever odd parameters lead it to
        raise RequestError(400, f"a form with headers that cannot be read: {error}") from error


def _short(value: object) -> str:
    return repr(value)[:100]


def _content_type(value: str) -> Message:
    message = Message()
    message["content-type"] = value.replace("\r", " ").replace("\n", " ")
    return message
