"""HTTP answers shared by the functions: JSON, and RFC 9457 problem documents."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from advisor.errors import (
    AdvisorError,
    NoModelError,
    NotFoundError,
    RequestError,
    UnreadableImageError,
)

PROBLEM_JSON = "application/problem+json"


def status_of(error: AdvisorError) -> int:
    """The one place where an error becomes an HTTP status."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, UnreadableImageError):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    if isinstance(error, NotFoundError):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, NoModelError):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.BAD_REQUEST


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
