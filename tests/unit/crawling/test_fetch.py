"""The fetcher against small servers on loopback."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest
from urllib3.util.wait import wait_for_read

from advisor.crawling import fetch
from advisor.crawling.addresses import AddressPolicy
from advisor.crawling.crawl_settings import USER_AGENT, CrawlSettings
from advisor.crawling.fetch import Fetcher, fetch_following
from advisor.crawling.messages import MAX_HOPS, Request, Response, retry_after_s
from advisor.errors import FetchError, ForbiddenAddressError
from tests.unit.crawling.loopback import Answer, Shop, serving


def _fetcher(shop: Shop, **limits: float) -> Fetcher:
    settings = CrawlSettings().with_overrides(limits)
    return Fetcher(AddressPolicy.for_base_url(shop.url), settings=settings)


@contextmanager
def _saying(*connections: Sequence[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """(address, requests) of a server that gives each connection its answers, then closes it.

    b"": it closes the connection in place of an answer.
    """
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answers in connections:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.settimeout(60)  # or a test that fails waits for ever
                with connection, suppress(OSError):
                    for answer in answers:
                        asked.append(connection.recv(65536))
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # or a test that fails waits for ever
            thread.join()


def _got(url: str, *paths: str) -> list[Response]:
    fetcher = Fetcher(AddressPolicy.for_base_url(url), settings=CrawlSettings(total_s=60))
    try:
        return [fetcher.fetch(Request(url + path)) for path in paths]
    finally:
        fetcher.close()


def _ok(body: bytes, *headers: bytes) -> bytes:
    lines = (b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_a_connection_is_used_again() -> None:
    with _saying([_ok(b"a"), _ok(b"b"), _ok(b"c")]) as (url, asked):
        assert [one.body for one in _got(url, "/1", "/2?x=%C3%BC", "/a b")] == [b"a", b"b", b"c"]
    targets = [one.partition(b"\r\n")[0] for one in asked]
    assert targets == [f"GET /{at} HTTP/1.1".encode() for at in ("1", "2?x=%C3%BC", "a%20b")]
    assert all(f"\r\nHost: {url[7:]}\r\n".encode() in one for one in asked)


def test_a_connection_that_the_host_closed_meanwhile_costs_nothing() -> None:
    with _saying([_ok(b"a")], [_ok(b"b")]) as (url, asked):
        fetcher = Fetcher(AddressPolicy.for_base_url(url))
        fetcher.fetch(Request(f"{url}/1"))
        ((connection,),) = fetcher._idle.values()
        assert wait_for_read(connection, timeout=60)  # it is closed
        assert fetcher.fetch(Request(f"{url}/2")).body == b"b"
        fetcher.close()
    assert [one[:6] for one in asked] == [b"GET /1", b"GET /2"]


def test_a_new_connection_that_is_closed_without_an_answer_is_no_answer() -> None:
    with _saying([b""]) as (url, _), pytest.raises(FetchError, match="closed before") as caught:
        _got(url, "/")
    assert (caught.value.reason, caught.value.retryable) == ("connection", True)


@pytest.mark.parametrize("more", [b"HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nx", b"x"])
def test_what_a_host_sends_unasked_answers_no_request(more: bytes) -> None:
    with _saying([_ok(b"a") + more, _ok(b"stale")], [_ok(b"b")]) as (url, _):
        answers = [(one.status, one.body) for one in _got(url, "/1", "/2")]
    assert answers == [(200, b"a"), (200, b"b")]


def test_a_connection_that_the_host_will_close_is_not_used_again() -> None:
    with _saying([_ok(b"a", b"Connection: close"), _ok(b"stale")], [_ok(b"b")]) as (url, _):
        assert [one.body for one in _got(url, "/1", "/2")] == [b"a", b"b"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3  \r\nabc\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n3\r\nabc\r\n"
        b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
        b"HTTP/1.1 200 OK\r\n\r\nabc",
        b"HTTP/1.0 200\r\nContent-Type: text/html\r\n\r\nabc",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\n"
        + _ok(b"abc"),
        _ok(b"abc", b"Connection: Upgrade, close", b"Upgrade: h2,h2c"),
        _ok(b"abc", b"X-Name: h\xfcte"),
        _ok(b"abc", b"X-Name: one\x01two"),
        _ok(b"abc", b"X-Name: one\r\n two"),
    ],
)
def test_a_body_ends_where_it_says_in_any_of_the_ways_there_are(answer: bytes) -> None:
    with _saying([answer]) as (url, _):
        (response,) = _got(url, "/")
    assert (response.status, response.body) == (200, b"abc")
    assert "retry-after" not in response.headers  # of an answer before the answer


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nabc",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
def test_half_an_answer_or_none_is_worth_another_try(answer: bytes) -> None:
    with _saying([answer]) as (url, _), pytest.raises(FetchError) as caught:
        _got(url, "/")
    assert (caught.value.reason, caught.value.retryable) == ("connection", True)


def test_an_unchanged_page_has_no_body_and_keeps_the_connection() -> None:
    answers = [b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 9\r\n\r\n', _ok(b"b")]
    with _saying(answers) as (url, _):
        first, second = _got(url, "/1", "/2")
    assert (first.status, first.body, first.headers["etag"]) == (304, b"", '"1"')
    assert second.body == b"b"


def test_what_a_host_says_of_a_page_adds_no_header_when_it_is_sent_back() -> None:
    with _saying([_ok(b"a")]) as (url, asked):
        fetcher = Fetcher(AddressPolicy.for_base_url(url))
        fetcher.fetch(Request(url, conditions=(("If-None-Match", '"1"\r\nEvil: \x002'),)))
        fetcher.close()
    assert b'\r\nif-none-match: "1"evil: 2\r\n' in asked[0].lower()


def test_a_name_whose_look_up_never_ends_runs_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20))
    fetcher = Fetcher(AddressPolicy(), settings=CrawlSettings(connect_s=0.2))
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(Request("http://shop.test/"))
    over.set()
    assert (caught.value.reason, caught.value.retryable) == ("timeout", True)


def test_connections_are_kept_to_the_hosts_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_MAX_HOSTS", 1)
    with (
        _saying([_ok(b"a"), _ok(b"kept")], [_ok(b"d")]) as (one, _),
        _saying([_ok(b"b"), _ok(b"c")]) as (other, _),
    ):
        named = {("127.0.0.1", int(url.rpartition(":")[2])) for url in (one, other)}
        fetcher = Fetcher(AddressPolicy(frozenset(named)))
        bodies = [fetcher.fetch(Request(f"{url}/")).body for url in (one, other, other, one)]
        fetcher.close()
    assert bodies == [b"a", b"b", b"c", b"d"]


def test_fetches_a_page_and_keeps_what_the_host_says_of_it() -> None:
    with serving({"/": Answer("hello", headers={"Retry-After": "3"})}) as shop:
        fetcher = _fetcher(shop)
        response = fetcher.fetch(Request(f"{shop.url}/"))
        fetcher.close()
    assert (response.status, response.body) == (200, b"hello")
    assert response.content_type == "text/html"
    assert retry_after_s(response, now=0) == 3


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with serving({"/": Answer(status=302, headers={"Location": "b?x=1"})}) as shop:
        response = _fetcher(shop).fetch(Request(f"{shop.url}/"))
        assert response.location == f"{shop.url}/b?x=1"
        assert shop.asked == ["/"]


def test_a_redirect_to_a_private_address_gets_no_request() -> None:
    with serving() as canary, serving() as shop:
        shop.pages["/robots.txt"] = Answer(status=301, headers={"Location": f"{canary.url}/x"})
        with pytest.raises(ForbiddenAddressError, match=r"127\.0\.0\.1"):
            fetch_following(_fetcher(shop), Request(f"{shop.url}/robots.txt"))
        assert canary.asked == []


@pytest.mark.parametrize(
    "target", ["/robots.txt", "/again", "http://[", "gopher://shop/", "file:///etc/passwd"]
)
def test_redirects_that_lead_nowhere_end(target: str) -> None:
    pages = {
        "/robots.txt": Answer(status=301, headers={"Location": target}),
        "/again": Answer(status=301, headers={"Location": "/robots.txt"}),
    }
    with serving(pages) as shop:
        try:
            response = fetch_following(_fetcher(shop), Request(f"{shop.url}/robots.txt"))
        except FetchError as error:
            assert error.reason in ("redirects", "forbidden address")
        else:
            assert response.status == 301  # an address that cannot be read is no redirect
        assert len(shop.asked) <= 2


def test_a_chain_of_redirects_is_bounded() -> None:
    pages = {f"/{at}": Answer(status=302, headers={"Location": f"/{at + 1}"}) for at in range(99)}
    with serving(pages) as shop:
        with pytest.raises(FetchError, match="without end"):
            fetch_following(_fetcher(shop), Request(f"{shop.url}/0"))
        assert len(shop.asked) == MAX_HOPS + 1


def test_a_body_that_is_too_large_is_refused() -> None:
    with serving({"/": Answer(b"x" * 5000)}) as shop:
        with pytest.raises(FetchError, match="larger than 4999") as caught:
            _fetcher(shop, page_bytes=4999).fetch(Request(f"{shop.url}/"))
        assert (caught.value.reason, caught.value.retryable) == ("too large", False)
        fetcher = _fetcher(shop, page_bytes=1, photo_bytes=5000)
        assert len(fetcher.fetch(Request(f"{shop.url}/", "photo")).body) == 5000


def test_the_body_of_a_redirect_is_bounded_too() -> None:
    answer = Answer(b"x" * 5000, status=302, headers={"Location": "/b", "Set-Cookie": "a=b"})
    with serving({"/": answer}) as shop:
        fetcher = _fetcher(shop, page_bytes=4999)
        with pytest.raises(FetchError, match="larger than"):
            fetcher.fetch(Request(f"{shop.url}/"))


def test_a_gzip_bomb_is_not_blown_up() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(300)) + packer.flush()
    answer = Answer(bomb, headers={"Content-Encoding": "gzip"})
    with serving({"/": answer}) as shop:
        tracemalloc.start()
        with pytest.raises(FetchError, match="larger than"):
            _fetcher(shop, page_bytes=1_000_000).fetch(Request(f"{shop.url}/"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 20_000_000


def test_compressed_pages_are_decompressed_and_broken_ones_refused() -> None:
    pages = {
        "/good": Answer(gzip.compress(b"hello" * 1000), headers={"Content-Encoding": "gzip"}),
        "/bad": Answer(b"no gzip at all", headers={"Content-Encoding": "gzip"}),
        "/unasked": Answer(b"?", headers={"Content-Encoding": "gzip, BR"}),
    }
    with serving(pages) as shop:
        fetcher = _fetcher(shop)
        assert fetcher.fetch(Request(f"{shop.url}/good")).body == b"hello" * 1000
        for path in ("/bad", "/unasked"):
            with pytest.raises(FetchError) as caught:
                fetcher.fetch(Request(f"{shop.url}{path}"))
            assert caught.value.reason == "bad encoding"
    assert shop.headers[0]["Accept-Encoding"] == "gzip, deflate"


def test_a_page_that_never_ends_runs_out_of_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                with suppress(OSError):  # the fetcher hung up
                    for _ in range(1000):  # then the host does: that is no timeout
                        if stop.wait(0.02):
                            return
                        connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        fetcher = Fetcher(
            AddressPolicy.for_base_url(url), settings=CrawlSettings(total_s=0.3, read_s=5)
        )
        with pytest.raises(FetchError) as caught:
            fetcher.fetch(Request(url))
        stop.set()
        thread.join()
    assert caught.value.reason == "timeout"


def test_a_host_that_is_down_is_worth_another_try() -> None:
    with serving() as shop:
        fetcher = _fetcher(shop)
    with pytest.raises(FetchError, match="cannot be reached: Connection refused") as caught:
        fetcher.fetch(Request(f"{shop.url}/"))
    assert (caught.value.reason, caught.value.retryable) == ("connection", True)


@pytest.mark.parametrize(
    "url",
    ["ftp://shop.test/", "file:///etc/passwd", "//shop.test", "http://", "http://" + "a" * 300],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        Fetcher(AddressPolicy()).fetch(Request(url))
    assert not caught.value.retryable


def test_private_addresses_are_refused_without_a_connection() -> None:
    with serving() as canary:
        with pytest.raises(ForbiddenAddressError):
            Fetcher(AddressPolicy()).fetch(Request(f"{canary.url}/"))
        assert canary.asked == []


def test_proxies_and_credentials_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving({"/": Answer("direct")}) as shop:
        assert _fetcher(shop).fetch(Request(f"{shop.url}/")).body == b"direct"


def test_the_user_agent_names_the_product() -> None:
    assert USER_AGENT.startswith("ProductsAdvisor/")


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("h\u00fcte".encode(), "text/html; charset=utf-8", "h\u00fcte"),
        ("h\u00fcte".encode("latin-1"), "text/html; charset=iso-8859-1", "h\u00fcte"),
        ("h\u00fcte".encode("latin-1"), "text/html", "h\u00fcte"),
        ("h\u00fcte".encode(), "text/html", "h\u00fcte"),
        ("<meta charset=windows-1251>\u0448".encode("cp1251"), "text/html", "\u0448"),
        ("h\u00fcte".encode("utf-16"), "text/html", "h\u00fcte"),
        (b"nul\x00byte", "text/html; charset=no-such-charset", "nulbyte"),
    ],
)
def test_text_is_read_in_its_charset(body: bytes, content_type: str, text: str) -> None:
    response = Response(url="u", status=200, body=body, headers={"content-type": content_type})
    assert response.page().html.endswith(text)


def test_retry_after_as_a_date() -> None:
    def answer(text: str) -> Response:
        return Response(url="u", status=503, headers={"retry-after": text})

    assert retry_after_s(answer("Thu, 01 Jan 1970 00:01:00 GMT"), now=50) == 10
    assert retry_after_s(answer("Thu, 01 Jan 1970 00:00:00 GMT"), now=50) == 0
    assert retry_after_s(answer("soon"), now=50) is None
    assert retry_after_s(answer(""), now=50) is None


def test_headers_and_cookies_go_to_the_shop_alone() -> None:
    with serving({"/": Answer("a")}) as shop, serving({"/": Answer("b")}) as photos:
        port = photos.server_port
        policy = AddressPolicy(frozenset({("127.0.0.1", shop.server_port), ("localhost", port)}))
        settings = CrawlSettings(
            user_agent="Ours/2", headers={"X-Store": "7"}, cookies={"currency": "EUR", "a": "b"}
        )
        fetcher = Fetcher(policy, settings=settings)
        fetcher._sites = {"127.0.0.1"}
        fetcher.fetch(Request(f"{shop.url}/"))
        fetcher.fetch(Request(f"http://localhost:{port}/", "photo"))
        fetcher.close()
    own, other = shop.headers[0], photos.headers[0]
    assert (own["X-Store"], own["Cookie"]) == ("7", "currency=EUR; a=b")
    assert own["User-Agent"] == other["User-Agent"] == "Ours/2"
    assert other["X-Store"] is other["Cookie"] is None


def test_headers_reach_a_shop_at_an_ipv6_address() -> None:
    policy = AddressPolicy.for_base_url("http://[::1]:8080/")
    fetcher = Fetcher(policy, settings=CrawlSettings(headers={"X-Store": "7"}))
    assert fetcher._headers_for(Request("http://[::1]:8080/a"))["X-Store"] == "7"
    assert "X-Store" not in fetcher._headers_for(Request("http://[::2]:8080/a"))


def test_a_shop_that_sets_cookies_without_end_starts_anew() -> None:
    pages = {
        f"/{at}": Answer("a", headers={"Set-Cookie": f"c{at}={'x' * 3_000}"}) for at in range(9)
    }
    with serving(pages) as shop:
        policy = AddressPolicy.for_base_url(shop.url)
        fetcher = Fetcher(policy, settings=CrawlSettings(keep_cookies=True))
        for path in pages:
            fetcher.fetch(Request(f"{shop.url}{path}"))
        fetcher.close()
    sizes = [len(headers["Cookie"] or "") for headers in shop.headers]
    assert max(sizes) == 2 * 3_000 + len("c0=; c1=")
    assert sizes[3] == 0


@pytest.mark.parametrize("kept", [True, False])
def test_cookies_of_the_shop_are_kept_for_all_threads_where_asked_for(kept: bool) -> None:
    with serving({"/": Answer("a", headers={"Set-Cookie": "session=1; Path=/"})}) as shop:
        policy = AddressPolicy.for_base_url(shop.url)
        fetcher = Fetcher(policy, settings=CrawlSettings(keep_cookies=kept, cookies={"a": "b"}))
        fetcher.fetch(Request(f"{shop.url}/"))
        thread = threading.Thread(target=fetcher.fetch, args=[Request(f"{shop.url}/")])
        thread.start()
        thread.join()
        fetcher.close()
    assert shop.headers[0]["Cookie"] == "a=b"
    assert shop.headers[1]["Cookie"] == ("a=b; session=1" if kept else "a=b")
