"""HTTP for the functions: API Gateway's events in, JSON and RFC 9457 problem documents out."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
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


@dataclass(frozen=True)
class Request:
    """A request as API Gateway's HTTP API hands it over (payload format 2.0).

    route: the route it matched, "POST /classify". headers: names in lower case. path: the
    parameters of the route, decoded.
    """

    route: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    path: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Self:
        """Read an event.

        Raises: RequestError 400 if it says that its body is base64 and it is not.
        """
        body = event.get("body") or ""
        return cls(
            route=event["routeKey"],
            query=event.get("queryStringParameters") or {},
            headers={name.lower(): value for name, value in event.get("headers", {}).items()},
            body=decode_base64(body) if event.get("isBase64Encoded") else body.encode(),
            path={
                name: unquote(value) for name, value in (event.get("pathParameters") or {}).items()
            },
        )

    def integer(self, name: str, *, default: int, least: int, most: int) -> int:
        """A whole number of the query string.

        Raises: RequestError 400 if it is none, or not from least to most.
        """
        text = self.query.get(name)
        if text is None:
            return default
        # Short before int() sees it: a long one takes time.
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
        if value is None or not least <= value <= most:
            raise RequestError(400, f"{name} is {text[:50]!r}; expected {least} to {most}")
        return value


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
    return _response(status, JSON, dumps(value))


def problem(error: AdvisorError) -> dict[str, Any]:
    """API Gateway's form of a problem document."""
    status = status_of(error)
    return _response(status, PROBLEM_JSON, problem_body(status, str(error)))


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


def problem_body(status: int, detail: str) -> str:
    """An RFC 9457 problem document as JSON text: type, title, status, detail."""
    return dumps(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
        }
    )


def dumps(value: Any) -> str:
    """Compact JSON, unicode kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _response(status: int, content_type: str, body: str) -> dict[str, Any]:
    return {
        "statusCode": int(status),
        "headers": {"content-type": content_type, "cache-control": "no-store"},
        "body": body,
        "isBase64Encoded": False,
    }
