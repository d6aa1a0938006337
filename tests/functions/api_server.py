"""The functions behind a loopback server, which hands requests over as API Gateway does."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

Event = dict[str, Any]
Answer = Callable[[Event], dict[str, Any]]


def event_of(
    route: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> Event | None:
    """The event (payload format 2.0) of a request; None if the path is not of that route."""
    template = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", route.partition(" ")[2])
    found = re.fullmatch(template, path)
    if not found:
        return None
    pairs = sorted(parse_qsl(query, keep_blank_values=True), key=lambda pair: pair[0])
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": unquote(path),
        "headers": {name.lower(): value for name, value in headers.items()},
        # Of a name that is given twice the values are joined by commas.
        "queryStringParameters": {
            name: ",".join(value for _, value in values)
            for name, values in groupby(pairs, key=lambda pair: pair[0])
        }
        or None,
        "pathParameters": {name: unquote(value) for name, value in found.groupdict().items()},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
        "requestContext": {},
    }


@contextmanager
def serving_api(answers: Mapping[str, Answer]) -> Iterator[str]:
    """The address of an API of these routes, while the block runs; a fault of ours is a 500."""

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            at = urlsplit(self.path)
            self.send(*self._answer(at.path, at.query, body))

        do_GET = do_POST = do_DELETE = _any  # noqa: N815 (http.server's names)

        def _answer(self, path: str, query: str, body: bytes) -> tuple[int, dict[str, str], str]:
            for route, answer in answers.items():
                if not route.startswith(f"{self.command} "):
                    continue
                if event := event_of(route, path, query, dict(self.headers.items()), body):
                    try:
                        said = answer(event)
                    except Exception as error:
                        return 500, {"content-type": "text/plain"}, repr(error)
                    return said["statusCode"], said["headers"], said["body"]
            return 404, {"content-type": "application/json"}, '{"message":"Not Found"}'

        def send(self, status: int, headers: dict[str, str], body: str) -> None:
            data = body.encode()
            self.send_response(status)
            for name, value in (headers | {"content-length": str(len(data))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
