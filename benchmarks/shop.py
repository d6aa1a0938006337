"""A shop for measuring crawlers: fast, endless, on loopback, a process of its own.

`python -m benchmarks.shop --pages 3000 --latency-ms 50` prints its address. Each page is a
product with five fields, 40 KB and 150 links to other products; robots.txt keeps nobody out of
them. `/_stats` tells what was asked since the last call, and what the server itself cost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from functools import lru_cache

PAGE_BYTES = 40_000
LINKS = 150
_ROBOTS = b"User-agent: *\nDisallow: /cart\nDisallow: /*?sort=\n"
_WORDS = ("soft", "quiet", "cotton", "oak", "steel", "lamp", "warm", "red", "pocket", "battery")


def page(number: int, count: int, origin: str) -> bytes:
    """The HTML of a product; its links reach every product within a few hops."""
    links = []
    for at in range(LINKS):
        other = (number * LINKS + at + 1) % count
        path = f"/product/{other}"
        href = origin + path if at % 10 == 0 else path  # shops write both
        links.append(
            f'<li><a class="product-img" href="{href}"><span>Thing {other}</span></a></li>\n'
        )
    return (
        f"<!DOCTYPE html><html><head><title>Thing {number}</title></head><body>\n"
        '<div class="nav-breadcrumbs"><a href="/">Home</a><i>/</i>'
        f"<a>Category {number % 12}</a></div>\n"
        f'<h1 class="product-title">Thing {number}</h1><p class="product-id">SKU{number}</p>\n'
        f'<p class="price">&euro;{number % 900 + 10}.99</p><ul>{"".join(links)}</ul>\n'
        f'<div class="product-tab-wrapper"><p>Thing {number} {_words(0, 400)}</p></div>\n'
    ).encode() + _filler()


@lru_cache
def _words(seed: int, count: int) -> str:
    return " ".join(random.Random(seed).choices(_WORDS, k=count))  # noqa: S311 (no secret)


@lru_cache
def _filler() -> bytes:
    """What a shop's pages have in common: menus, scripts, a footer."""
    size = PAGE_BYTES - LINKS * 80 - 3_200
    parts: list[str] = []
    while size > 0:
        parts.append(f'<section class="c{len(parts)}"><p>{_words(len(parts), 25)}</p></section>\n')
        size -= len(parts[-1])
    return "".join([*parts, "</body></html>\n"]).encode()


@dataclass
class Shop:
    """What the connections share."""

    count: int
    latency_s: float
    origin: str = ""
    asked: int = 0
    first: float = 0.0
    last: float = 0.0
    busy_from: float = 0.0
    made: dict[int, bytes] = field(default_factory=dict)

    def answer(self, path: str) -> tuple[bytes, str]:
        if path == "/_stats":
            return json.dumps(self.stats()).encode(), "application/json"
        if path == "/robots.txt":
            return _ROBOTS, "text/plain"
        now = time.time()
        self.first = self.first or now
        self.last = now
        self.asked += 1
        number = int(path.rpartition("/")[2] or 0) if path != "/tvs-headphones/" else 1
        html = self.made.get(number)
        if html is None:
            html = page(number, self.count, self.origin)
            if len(self.made) < 5_000:
                self.made[number] = html
        return html, "text/html; charset=utf-8"

    def stats(self) -> dict[str, float]:
        used = time.process_time()
        found = {
            "asked": self.asked,
            "first": self.first,
            "last": self.last,
            "cpu_s": used - self.busy_from,
        }
        self.asked, self.first, self.last, self.busy_from = 0, 0.0, 0.0, used
        return found


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, GET only."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._heard = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while b"\r\n\r\n" in self._heard:
            request, _, self._heard = self._heard.partition(b"\r\n\r\n")
            path = request.split(b" ", 2)[1].decode()
            if self._shop.latency_s and not path.startswith("/_"):
                asyncio.get_running_loop().call_later(self._shop.latency_s, self._answer, path)
            else:
                self._answer(path)

    def _answer(self, path: str) -> None:
        body, kind = self._shop.answer(path)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        assert isinstance(self._transport, asyncio.WriteTransport)  # noqa: S101 (it is TCP)
        self._transport.write(head.encode() + body)


async def serve(shop: Shop) -> None:
    """Serve on a free port of loopback until the process ends; prints the address."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(shop), "127.0.0.1", 0, backlog=256
    )
    shop.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for number in range(min(shop.count, 5_000)):  # making pages is not what is measured
        shop.made[number] = page(number, shop.count, shop.origin)
    shop.busy_from = time.process_time()
    print(shop.origin, flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--pages", type=int, default=3_000, help="how many products there are")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="wait before each answer")
    options = parser.parse_args()
    asyncio.run(serve(Shop(options.pages, options.latency_ms / 1000)))


if __name__ == "__main__":
    main()
