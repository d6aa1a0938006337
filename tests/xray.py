"""What Lambda runs beside a traced function: X-Ray's daemon, which is told of parts of calls."""

from __future__ import annotations

import json
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any, Self

TRACE = "1-5759e988-bd862e3fe1be46a994272793"
LAMBDAS = "53995c3f42cd8ad8"  # the id of Lambda's own segment
TIMEOUT_S = 30


class Daemon:
    """A daemon on loopback, while the block lasts."""

    def __enter__(self) -> Self:
        self._socket = socket(AF_INET, SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(TIMEOUT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def address(self) -> str:
        """What Lambda gives a function as AWS_XRAY_DAEMON_ADDRESS."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def told(self, *, until: str) -> list[dict[str, Any]]:
        """The parts that were told of, up to one of that name; a test fails where none comes."""
        parts: list[dict[str, Any]] = []
        while not parts or parts[-1]["name"] != until:
            header, _, document = self._socket.recv(1 << 16).partition(b"\n")
            assert json.loads(header) == {"format": "json", "version": 1}
            parts.append(json.loads(document))
        return parts


def trace_id(*, sampled: bool) -> str:
    """What Lambda gives a call as _X_AMZN_TRACE_ID."""
    return f"Root={TRACE};Parent={LAMBDAS};Sampled={int(sampled)};Lineage=1:a87bd80c:1"


def tree(parts: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Who is part of whom, by names; a request to AWS by its operation."""
    names = {one["id"]: name_of(one) for one in parts} | {LAMBDAS: "Lambda"}
    return {(names[one["parent_id"]], name_of(one)) for one in parts}


def name_of(part: dict[str, Any]) -> str:
    """A part's name; with it the operation, of a request to AWS."""
    return " ".join([part["name"], part["aws"]["operation"]]) if "aws" in part else part["name"]
