"""TLS, against servers on loopback with certificates of the tests' own authority."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
import pytest
import trustme
from click.testing import CliRunner

from advisor.crawling.addresses import AddressPolicy
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.fetch import Fetcher
from advisor.crawling.messages import Request
from advisor.errors import FetchError
from cli.crawl import command
from tests.unit.crawling.loopback import Shop, serving, shop_of

NAME = "shop.test"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def _resolved_and_trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names ending in .test are on this machine; the authority stands for the public ones."""
    real = socket.getaddrinfo

    def here(host: str, *rest: Any, **more: Any) -> list[Any]:
        return real("127.0.0.1" if host.endswith(".test") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "authority.pem"))


@contextmanager
def _serving_tls(certificate: trustme.LeafCert) -> Iterator[Shop]:
    with serving(shop_of(2)) as shop:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        shop.socket = context.wrap_socket(
            shop.socket, server_side=True, do_handshake_on_connect=False
        )
        yield shop


def _url(shop: Shop) -> str:
    return f"https://{NAME}:{shop.server_port}"


def _fetch(url: str, **limits: float) -> bytes:
    settings = CrawlSettings().with_overrides(limits)
    fetcher = Fetcher(AddressPolicy.for_base_url(url), settings=settings)
    try:
        return fetcher.fetch(Request(f"{url}/")).body
    finally:
        fetcher.close()


def test_a_right_certificate_is_taken_for_the_name_though_the_socket_goes_to_an_address(
    authority: trustme.CA,
) -> None:
    asked: list[str | None] = []
    with _serving_tls(authority.issue_cert(NAME)) as shop:
        context: Any = shop.socket
        context.context.sni_callback = lambda _socket, name, _context: asked.append(name)
        assert b"/p/0" in _fetch(_url(shop))
        assert shop.headers[0]["Host"] == f"{NAME}:{shop.server_port}"
    assert asked == [NAME]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("name", "certificate is not valid for 'shop.test'"),
        ("authority", "unable to get local issuer certificate"),
        ("time", "certificate has expired"),
    ],
)
def test_a_wrong_certificate_gets_no_request_and_is_one_sentence(
    authority: trustme.CA, wrong: str, sentence: str
) -> None:
    certificate = {
        "name": lambda: authority.issue_cert("other.test"),
        "authority": lambda: trustme.CA().issue_cert(NAME),
        "time": lambda: authority.issue_cert(
            NAME,
            not_before=datetime(2001, 1, 1, tzinfo=UTC),
            not_after=datetime(2002, 1, 1, tzinfo=UTC),
        ),
    }[wrong]()
    with _serving_tls(certificate) as shop:
        with pytest.raises(FetchError, match=sentence) as caught:
            _fetch(_url(shop))
        assert shop.asked == []
    assert caught.value.reason == "certificate"
    assert str(caught.value).startswith(f"{_url(shop)}/ is not to be trusted: ")


def test_a_crawl_ends_at_once_where_the_shop_has_a_certificate_of_another(
    authority: trustme.CA, tmp_path: Path
) -> None:
    with _serving_tls(authority.issue_cert("other.test")) as shop:
        options = ["--base-url", _url(shop), "--out", str(tmp_path / "out")]
        limits = ["-s", "first_backoff_s=0.01", "--json"]
        result = CliRunner().invoke(command, ["schema-org", *options, *limits])
        assert shop.asked == []
    assert result.exit_code == 3
    assert json.loads(result.stdout)["errors"] == {"robots.txt certificate": 1}
    assert "is not to be trusted: Hostname mismatch" in result.stderr


def test_a_crawl_over_tls_brings_items_and_photos(authority: trustme.CA, tmp_path: Path) -> None:
    with _serving_tls(authority.issue_cert(NAME)) as shop:
        options = ["--base-url", _url(shop), "--out", str(tmp_path / "out"), "--json"]
        result = CliRunner().invoke(command, ["schema-org", *options])
    figures = json.loads(result.stdout)
    assert (figures["items"], figures["photos"], figures["errors"]) == (2, 2, {})


@pytest.mark.parametrize(
    "greeting",
    [b"", b"\x16\x03\x03\x40\x00\x02"],  # silence; a server's hello of 16 KiB, byte by byte
)
def test_a_handshake_that_never_ends_runs_out_of_time(greeting: bytes) -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(greeting)
                while not over.wait(0.02):
                    connection.sendall(b"\x00" if greeting else b"")

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(FetchError) as caught:
            _fetch(f"https://{NAME}:{server.getsockname()[1]}", total_s=0.3, connect_s=3600)
        over.set()
        thread.join()
    assert (caught.value.reason, caught.value.retryable) == ("timeout", True)
