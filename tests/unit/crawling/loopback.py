"""Small servers on loopback for the crawl's tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO

JPEG = b"\xff\xd8\xff\xe0" + b"photo " * 20


@dataclass
class Answer:
    """One answer; `then` is given from the second request on. stream: writes all of it instead."""

    body: bytes | str = b""
    status: int = 200
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    then: Answer | None = None
    stream: Callable[[BinaryIO], None] | None = None


class Shop(ThreadingHTTPServer):
    """Serves `pages` by path with query; `asked` lists the paths in the order they came,
    `headers` what came with them."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, pages: Mapping[str, Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages = dict(pages)
        self.asked: list[str] = []
        self.headers: list[Message] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(pages: Mapping[str, Answer] | None = None) -> Iterator[Shop]:
    """A shop that serves until the block ends."""
    with Shop(pages or {}) as shop:
        thread = threading.Thread(target=shop.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield shop
        finally:
            shop.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    server: Shop

    def do_GET(self) -> None:
        with self.server.lock:
            again = self.path in self.server.asked
            self.server.asked.append(self.path)
            self.server.headers.append(self.headers)
        answer = self.server.pages.get(self.path, Answer("nothing here", status=404))
        if again and answer.then:
            answer = answer.then
        if answer.stream:
            self.close_connection = True
            with suppress(OSError):  # the fetcher hung up
                answer.stream(self.wfile)
            return
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        self.send_response(answer.status)
        if answer.content_type:
            self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:  # the fetcher hung up on a body that is too large
            self.close_connection = True

    def handle(self) -> None:
        with suppress(OSError):  # the fetcher hung up
            super().handle()

    def log_message(self, *_: object) -> None:
        """Quiet."""


def product_page(sku: str, *, category: str = "hats", links: str = "", **more: object) -> Answer:
    """A product page with JSON-LD; a field of None is left out."""
    product = {
        "@context": "https://schema.org",
        "@type": "Product",
        "sku": sku,
        "name": f"Thing {sku}",
        "category": category,
        "description": f"A thing called {sku}.",
        "image": f"/photos/{sku}.jpg",
        "offers": {"@type": "Offer", "price": "12.50", "priceCurrency": "EUR"},
        **more,
    }
    kept = {name: value for name, value in product.items() if value is not None}
    text = json.dumps(kept).replace("</", "<\\/")  # as shops do, or a script's end is its end
    script = f'<script type="application/ld+json">{text}</script>'
    return Answer(f"<html><head>{script}</head><body>{links}</body></html>")


def listing(*paths: str) -> Answer:
    """A page that links to the paths."""
    return Answer("".join(f'<a href="{path}">x</a>' for path in paths))


def shop_of(count: int) -> dict[str, Answer]:
    """A shop of `count` products, ten a listing page, each with a photo of its own."""
    pages: dict[str, Answer] = {}
    for at in range(count):
        pages[f"/p/{at}"] = product_page(f"S{at}", links=str(listing("/", "/p/0").body))
        pages[f"/photos/S{at}.jpg"] = Answer(JPEG + str(at).encode(), content_type="image/jpeg")
    last = (count - 1) // 10
    for number in range(last + 1):
        products = [f"/p/{at}" for at in range(number * 10, min(count, number * 10 + 10))]
        following = [f"/?page={number + 1}"] if number < last else []
        pages["/" if number == 0 else f"/?page={number}"] = listing(*products, *following)
    return pages


def tagged(pages: dict[str, Answer]) -> dict[str, Answer]:
    """The pages and photos with an ETag; from the second request on the shop says: unchanged."""
    for path, page in pages.items():
        page.headers["ETag"] = f'"{path}"'
        page.then = Answer(status=304)
    return pages
