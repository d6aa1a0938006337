"""A shop full of traps, and a canary beside it that must see nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from advisor.crawling import decide, loop
from advisor.crawling.addresses import AddressPolicy
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.fetch import Fetcher
from advisor.crawling.finish import PAGE_BUDGET
from advisor.crawling.folder import CrawlFolder
from advisor.crawling.spiders.schema_org import SchemaOrg
from tests.unit.crawling.loopback import JPEG, Answer, Shop, listing, product_page, serving

PAGE_BYTES = 1_000_000
CALENDAR = 100  # pages of it: what the page budget of the test leaves
LINKS = 500  # of one page: fewer than in earnest, to be quick
CATEGORIES = {
    "up": "../../x",
    "device": "CON",
    "emoji": "\U0001f600" * 300,
    "format": "%s%n {0.__class__} ${HOME} $(id)",
    "markup": "<script>alert(1)</script>[bold]",
    "nul": "a\x00b\x1b[2J",
    "absolute": "/etc/passwd",
}
_SCOPE = '<div itemscope itemtype="https://schema.org/Product" itemref="{}">'


def _drip(start: bytes, more: bytes) -> Answer:
    """An answer that goes on for ever, a little at a time."""

    def stream(out: BinaryIO) -> None:
        out.write(start)
        while True:
            out.write(more)
            time.sleep(0.02)

    return Answer(stream=stream)


def _flood(start: bytes, more: bytes) -> Answer:
    """An answer that goes on for ever, as fast as it is read."""

    def stream(out: BinaryIO) -> None:
        out.write(start)
        while True:
            out.write(more * 1000)

    return Answer(stream=stream)


def _bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(1_000_000)) for _ in range(megabytes))
    return packed + packer.flush()


def _to(url: str) -> Answer:
    return Answer(status=302, headers={"Location": url})


@contextmanager
def _canary() -> Iterator[tuple[int, list[bytes]]]:
    """(port, what it received). It listens on v4 and v6; even a connection is too much."""
    received: list[bytes] = []
    server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)

    def listen() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            received.append(b"connected")
            connection.close()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield server.getsockname()[1], received
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def _private(port: int) -> list[str]:
    """Addresses of the canary, and of what else no shop has a business with."""
    hosts = [
        "127.0.0.1", "localhost", "127.1", "0177.0.0.1", "[::127.0.0.1]",
        "2130706433", "0x7f000001", "0.0.0.0",  # noqa: S104 (asked for, not bound)
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
        "user:word@127.0.0.1", "LOCALHOST.",
    ]  # fmt: skip
    return [
        *(f"http://{host}:{port}/secret" for host in hosts),
        f"https://127.0.0.1:{port}/secret",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/latest/meta-data/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        f"gopher://127.0.0.1:{port}/_x",
        f"//127.0.0.1:{port}/secret",
        "http://[broken",
    ]


def _traps(canary_port: int) -> dict[str, Answer]:
    """By path, every trap that can be met on a page."""
    private = _private(canary_port)
    ok = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
    gzipped = {"Content-Encoding": "gzip"}
    traps = {f"/away{at}": _to(url) for at, url in enumerate(private)}
    traps |= {
        "/loop": _to("/loop2"),
        "/loop2": _to("/loop"),
        **{f"/hop{at}": _to(f"/hop{at + 1}") for at in range(30)},
        "/self": _to("/self"),
        "/endless": _drip(ok + b"\r\n", b"<p>"),
        "/endless-chunks": _flood(
            ok + b"Transfer-Encoding: chunked\r\n\r\n", b"64\r\n" + b"x" * 100 + b"\r\n"
        ),
        "/slow-headers": _drip(ok, b"X"),
        "/huge-header": _flood(ok + b"X: ", b"x"),
        "/many-headers": _flood(ok, b"X: y\r\n"),
        "/continue": _flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        "/silent": _drip(b"", b""),
        "/garbage": Answer(stream=lambda out: out.write(b"\x00\xff" * 500) and None),
        "/bomb": Answer(_bomb(50), headers=gzipped),
        "/endless-gzip": _flood(
            ok + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03", b"n"
        ),
        "/not-gzip": Answer("no", headers=gzipped),
        "/large": Answer(b"<p>" * PAGE_BYTES),
        "/links": Answer("".join(f"<a href=/l/{at}>" for at in range(6_000))),
        "/elements": Answer("<b>" * 300_000),
        "/nested": Answer("<div>" * 5_000),
        "/nested-json": _script("[" * 200_000),
        "/long-number": _script('{"@type":"Product","sku":' + "9" * 9_000 + "}"),
        "/references": _script(
            json.dumps(
                [{"@id": "x", "offers": [{"price": 1}] * 1_000}]
                + [{"@type": "Product", "offers": {"@id": "x"}}] * 900
            )
        ),
        "/goods": _script(json.dumps([{"@type": "Product"}] * 1_500)),
        "/itemref": Answer(
            _SCOPE.format("x")
            + "<div id=x><p itemprop=a itemscope itemref=x></p><p itemprop=b itemscope itemref=x>"
        ),
        "/itemrefs": Answer(_SCOPE.format("y " * 2_500) + "<p id=y itemprop=name>"),
        "/itemprops": Answer(
            _SCOPE.format("") + "<span itemprop=name>" * 5_000 + "x" * (PAGE_BYTES // 2)
        ),
        "/markup": Answer(
            str(product_page("", name="NAME").body).replace("NAME", r"\u003cb\u003e" * 60_000)
        ),
        "/huge-price": product_page("", offers={"price": "1e999999999", "priceCurrency": "EUR"}),
        "/long-link": listing("/" + "x" * 100_000),
        "/odd-links": listing("javascript:alert(1)", "http://[", "\x00", "mailto:x", *private),
        "/binary": Answer(bytes(range(256)) * 100),
        "/empty": Answer(""),
        **{f"/calendar/{at}": listing(f"/calendar/{at + 1}") for at in range(2_000)},
    }
    return traps


def _script(text: str) -> Answer:
    return Answer(f'<script type="application/ld+json">{text}</script>')


def _healthy(canary_port: int) -> dict[str, Answer]:
    """By path, products that are to be found in spite of all."""
    goods = {
        f"/p/{name}": product_page(name, category=category, description=category)
        for name, category in CATEGORIES.items()
    }
    goods |= {
        "/p/latin": _as(product_page("latin", brand="h\u00fcte"), "latin-1", "text/html"),
        "/p/wrong": _as(
            product_page("wrong", brand="h\u00fcte"), "utf-8", "text/html; charset=utf-17"
        ),
        "/p/lying": _as(
            product_page("lying", brand="h\u00fcte"), "utf-8", "text/html; charset=utf-16"
        ),
        "/p/broken": Answer("</p><b><table><i>" + str(product_page("broken").body)[:-14] + "<a hr"),
        "/p/nuls": Answer(str(product_page("nuls").body).replace("<body>", "\x00<bo\x00dy>\x00")),
        "/p/thief": product_page("thief", image=_private(canary_port)),
        "/p/half": product_page("half", name="\ud800x", image="/photos/\ud800.jpg"),
        "/p/album": product_page("album", image=[f"/photos/album{at}" for at in range(150)]),
        "/p/bait": product_page("bait", image=["/photos/away", "/photos/page", "/photos/endless"]),
    }
    return goods


def _as(answer: Answer, encoding: str, content_type: str) -> Answer:
    text = str(answer.body).encode().decode("unicode-escape")  # as shops write it
    return Answer(text.encode(encoding), content_type=content_type)


def _shop(canary_port: int) -> dict[str, Answer]:
    traps, goods = _traps(canary_port), _healthy(canary_port)
    robots = "User-agent: *\nDisallow: /forbidden\n" + "".join(
        f"Sitemap: {url}\n" for url in _private(canary_port)
    )
    met = [path for path in traps if not path.startswith(("/hop", "/calendar", "/loop2"))]
    return {
        "/robots.txt": Answer(robots + "#" * 5_000_000, content_type="text/plain"),
        "/": listing(*met, "/hop0", "/calendar/0", "/forbidden", *goods),
        "/photos/away": _to(f"http://127.0.0.1:{canary_port}/secret.jpg"),
        "/photos/page": Answer("<html>", content_type="image/jpeg"),
        "/photos/endless": _flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        **{f"/photos/{path[3:]}.jpg": Answer(JPEG + path.encode()) for path in goods},
        **traps,
        **goods,
    }


@dataclass
class Crawled:
    """What is left after the crawl."""

    root: Path
    reason: str
    counts: dict[str, int]
    items: dict[str, dict[str, Any]]
    photos: list[dict[str, Any]]
    canary: list[bytes]
    shop: Shop
    seconds: float


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    root = tmp_path_factory.mktemp("hostile") / "out"
    with _canary() as (canary_port, seen), serving() as shop:
        shop.pages = _shop(canary_port)
        identity = {"spider": "schema-org", "base_url": shop.url, "shop": "hostile"}
        started = time.monotonic()
        settings = CrawlSettings(
            page_bytes=PAGE_BYTES,
            photo_bytes=PAGE_BYTES,
            total_s=4,  # a healthy page on a busy machine takes a tenth
            read_s=2,
            first_backoff_s=0.01,
            max_attempts=2,
            max_pages=CALENDAR,
        )
        with (
            pytest.MonkeyPatch.context() as patch,
            CrawlFolder(root, identity=identity, settings=settings) as folder,
        ):
            patch.setattr(decide, "_MAX_LINKS", LINKS)
            crawl = loop.Crawl(
                SchemaOrg(shop.url),
                shop="hostile",
                frontier=folder.frontier,
                sink=folder,
                fetcher=Fetcher(
                    AddressPolicy.for_base_url(shop.url),
                    settings=settings,
                ),
                settings=settings,
            )
            crawl.seed()
            reason = crawl.run()
            folder.end(reason)
            counts = dict(folder.frontier.counts())
        seconds = time.monotonic() - started
        yield Crawled(
            root, reason, counts, {item["id"]: item for item in _lines(root / "items.jsonl")},
            _lines(root / "photos.jsonl"), seen, shop, seconds,
        )  # fmt: skip


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_canary_sees_nothing(crawled: Crawled) -> None:
    assert crawled.canary == []


def test_the_crawl_ends(crawled: Crawled) -> None:
    assert crawled.reason == PAGE_BUDGET  # but for it, the calendar would go on for ever
    assert crawled.seconds < 60  # 10 when idle: no page took a time that grows by squares


def test_every_healthy_product_is_found(crawled: Crawled) -> None:
    goods = {path.removeprefix("/p/") for path in _healthy(1)}
    assert set(crawled.items) == goods
    for name, category in CATEGORIES.items():
        text = category.removeprefix("<script>alert(1)</script>").partition("\x00")[0]
        assert crawled.items[name]["category"].startswith(text)
    brands = [crawled.items[name]["brand"] for name in ("latin", "wrong", "lying")]
    assert brands == ["h\u00fcte"] * 3
    pictured = {photo["product_id"].partition(":")[2] for photo in crawled.photos}
    assert pictured == goods - {"thief", "bait", "half", "album"}
    assert crawled.items["half"]["title"] == "x"
    assert len(crawled.items["album"]["images"]) == 100


def test_every_trap_is_counted(crawled: Crawled) -> None:
    errors = {
        name.removeprefix("errors:"): count
        for name, count in crawled.counts.items()
        if name.startswith("errors:")
    }
    assert errors == {
        "redirect to another site": len(_private(1)) - 3,
        "forbidden address": 21,  # redirects to other schemes; photos there, each a different one
        "http 302": 1,  # an address that cannot be read is no redirect
        "redirects": 2,  # a chain of 30, /self; /loop ends where it is seen already
        "timeout": 3,  # /endless, /slow-headers, /silent
        "too large": 8,  # /endless-*, /continue, /bomb, /large, /*-header*, a photo
        "connection": 1,  # /garbage
        "bad encoding": 1,
        "too many elements": 1,
        "too many links": 1,
        "json-ld": 3,  # /nested-json, /long-number, /references
        "not an image": 1,
        "http 404": LINKS + 100,  # the album's photos
        "too many photos": 1,
        "too many items": 1,
        "microdata": 3,  # /itemref, /itemrefs, /itemprops
        "robots": 1,  # of the 5 MB the first part is read
    }
    assert crawled.counts["dropped:no id"] == 2  # /huge-price, /markup
    assert "/forbidden" not in crawled.shop.asked


def test_no_trap_is_asked_more_often_than_its_retries(crawled: Crawled) -> None:
    asked = Counter(crawled.shop.asked)
    assert max(asked.values()) <= 2
    assert asked["/hop5"] == 1
    assert "/hop6" not in asked


def test_nothing_is_written_outside_the_folder_or_under_a_strange_name(crawled: Crawled) -> None:
    assert [path.name for path in crawled.root.parent.iterdir()] == [crawled.root.name]
    files = [path.relative_to(crawled.root) for path in (crawled.root / "images").rglob("*.jpg")]
    assert len(files) == len(crawled.photos)
    for file in files:
        assert len(file.parts) == 3
        assert file.parts[1].upper() != "CON"
        assert file.as_posix().isprintable()
        assert all(len(part.encode()) < 255 for part in file.parts)
