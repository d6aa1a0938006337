"""HTTP for the functions: API Gateway's events in, JSON and RFC 9457 problem documents out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, Final, Generic, Self, TypeVar
from urllib.parse import unquote

from advisor.errors import (
    AdvisorError,
    NoModelError,
    NotFoundError,
    RequestError,
    UnreadableImageError,
)

# Errors that are answered. All others are our own fault: they escape, are counted as errors of
# the function, and API Gateway answers 500.
ANSWERED = (RequestError, UnreadableImageError, NotFoundError, NoModelError)
JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
MAX_ID_BYTES: Final = 2048  # of a DynamoDB partition key
# When it may go better: a throttled table soon, a service without a model once one is published.
RETRY_AFTER_S: Final[Mapping[int, int]] = {
    HTTPStatus.TOO_MANY_REQUESTS: 2,
    HTTPStatus.SERVICE_UNAVAILABLE: 60,
}
_OF_NUMBERS: Final = frozenset("0123456789.eE+-")
Default = TypeVar("Default", int, None)


@dataclass(frozen=True)
class Request:
    """A request as API Gateway's HTTP API hands it over (payload format 2.0).

    route: the route it matched, "POST /classify". headers: names in lower case. path: the
    parameters of the route, decoded. caller: whom IAM let in, as an ARN; "unknown" for a public
    route, and where API Gateway does not say (the emulator).
    """

    route: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    path: Mapping[str, str] = field(default_factory=dict)
    caller: str = "unknown"

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Self:
        """Read an event.

        Raises: RequestError 400 if it says that its body is base64 and it is not.
        """
        body = event.get("body") or ""
        identity = (event.get("requestContext", {}).get("authorizer") or {}).get("iam") or {}
        return cls(
            route=event["routeKey"],
            query=event.get("queryStringParameters") or {},
            headers={name.lower(): value for name, value in event.get("headers", {}).items()},
            body=decode_base64(body) if event.get("isBase64Encoded") else body.encode(),
            path={
                name: unquote(value) for name, value in (event.get("pathParameters") or {}).items()
            },
            caller=str(identity.get("userArn") or "unknown"),
        )

    def id(self, name: str) -> str:
        """An id of the path.

        Raises: NotFoundError for one that no row of a table can have.
        """
        value = self.path[name]
        size = len(value.encode())
        if not 0 < size <= MAX_ID_BYTES:
            raise NotFoundError(f"nothing has an id of {size} bytes: {value[:50]!r}...")
        return value


@dataclass(frozen=True, kw_only=True)
class Whole(Generic[Default]):
    """A whole number of the query string, from least to most. about: what the document says."""

    name: str
    about: str
    default: Default
    least: int
    most: int

    def of(self, request: Request) -> int | Default:
        """Raises: RequestError 400 if it is none, or not from least to most."""
        text = request.query.get(self.name)
        if text is None:
            return self.default
        # Short before int() sees it: a long one takes time.
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
        if value is None or not self.least <= value <= self.most:
            raise _refused(self.name, text, f"{self.least} to {self.most}")
        return value


@dataclass(frozen=True, kw_only=True)
class Share:
    """A number from 0 to 1 of the query string; 0 where there is none."""

    name: str
    about: str
    default: ClassVar[float] = 0.0

    def of(self, request: Request) -> float:
        """Raises: RequestError 400 if it is none, or not from 0 to 1."""
        text = request.query.get(self.name, str(self.default))
        try:  # float() knows more: nan, spaces, "1_0", digits of other scripts
            value = float(text) if set(text) <= _OF_NUMBERS else -1
        except ValueError:
            value = -1
        if not 0 <= value <= 1:
            raise _refused(self.name, text, "0 to 1")
        return value


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of some words of the query string; the first where there is none."""

    name: str
    about: str
    words: tuple[str, ...]

    @property
    def default(self) -> str:
        """What holds where the query string says nothing."""
        return self.words[0]

    def of(self, request: Request) -> str:
        """Raises: RequestError 400 if it is none of them."""
        text = request.query.get(self.name, self.default)
        if text not in self.words:
            raise _refused(self.name, text, " or ".join(self.words))
        return text


@dataclass(frozen=True, kw_only=True)
class Words:
    """A text of the query string; "" where there is none."""

    name: str
    about: str
    default: ClassVar[str] = ""

    def of(self, request: Request) -> str:
        """Any text."""
        return request.query.get(self.name, self.default)


Parameter = Whole[int] | Whole[None] | Share | Choice | Words


def _refused(name: str, text: str, expected: str) -> RequestError:
    return RequestError(400, f"{name} is {text[:50]!r}; expected {expected}")


def decode_base64(text: str) -> bytes:
    """The bytes of a base64 text.

    Raises: RequestError 400 if it is none.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise RequestError(400, f"{len(text)} characters that are no base64: {error}") from error


def answer(value: Any, status: int = HTTPStatus.OK) -> dict[str, Any]:
    """API Gateway's form of a JSON answer."""
    return _response(status, JSON, value)


def problem(error: AdvisorError) -> dict[str, Any]:
    """API Gateway's form of a problem document; of a 429 or 503 it says when to try again."""
    said = problem_of(error)
    response = _response(said["status"], PROBLEM_JSON, said)
    if seconds := RETRY_AFTER_S.get(said["status"]):
        response["headers"]["retry-after"] = str(seconds)
    return response


def problem_of(error: AdvisorError) -> dict[str, Any]:
    """An error as an RFC 9457 problem document: type, title, status, detail."""
    status = status_of(error)
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": str(error),
    }


def status_of(error: AdvisorError) -> int:
    """The one place where an error (of those ANSWERED) becomes an HTTP status."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, UnreadableImageError):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    if isinstance(error, NotFoundError):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, NoModelError):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def dumps(value: Any) -> str:
    """Compact JSON, unicode kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _response(status: int, content_type: str, value: Any) -> dict[str, Any]:
    return {
        "statusCode": int(status),
        "headers": {"content-type": content_type, "cache-control": "no-store"},
        "body": dumps(value),
        "isBase64Encoded": False,
    }
