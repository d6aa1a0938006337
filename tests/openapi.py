"""What docs/openapi.json says of an answer; the functions' tests hold their answers against it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

FILE = Path(__file__).parents[1] / "docs" / "openapi.json"


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@cache
def _validator(route: str, status: int, content_type: str) -> Any:
    method, path = route.split()
    responses = document()["paths"][path][method.lower()]["responses"]
    schema = responses[str(status)]["content"][content_type]["schema"]
    return jsonschema_rs.validator_for(schema | {"components": document()["components"]})


def checked_answer(route: str, response: dict[str, Any]) -> Any:
    """The JSON of an answer, which must be one that the document knows of the route."""
    value = json.loads(response["body"])
    headers = {name.lower(): text for name, text in response["headers"].items()}
    assert not any(name.startswith("access-control") for name in headers)
    if route.split()[1] in document()["paths"]:
        _validator(route, response["statusCode"], headers["content-type"]).validate(value)
    else:
        assert response["statusCode"] == 404
    assert ("retry-after" in headers) == (response["statusCode"] in (429, 503))
    return value
