from __future__ import annotations

import socket

import pytest

from advisor.crawling.addresses import AddressPolicy, is_public
from advisor.crawling.fetch import Fetcher
from advisor.crawling.messages import Kind, Request
from advisor.errors import FetchError, ForbiddenAddressError
from tests.unit.crawling.loopback import Answer, serving


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0",  # noqa: S104 (asked for, not bound)
        "100.64.0.1", "100.100.100.200", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1",
        "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::", "::127.0.0.1", "::8.8.8.8",
        "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "64:ff9b::a9fe:a9fe", "fec0::1", "fe80::1%1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:db8::1", "3fff::1", "5f00::1", "100::1",
        "4000::1", "168.63.129.16", "::ffff:168.63.129.16", "192.0.0.192", "192.88.99.1",
        "198.18.0.1", "203.0.113.1", "240.0.0.1", "0.1.2.3", "192.0.2.1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::808:808", "::ffff:8.8.8.8",
        "2002:808:808::1", "2a00:1450:4001:800::200e", "192.0.1.1", "168.63.129.17",
    ],
)  # fmt: skip
def test_a_public_address_is_accepted(address: str) -> None:
    assert is_public(address)


def _names(*addresses: str) -> object:
    return lambda host, port, **_: [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
    ]


def test_every_address_of_a_name_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _names("93.184.215.14", "127.0.0.1"))
    with pytest.raises(ForbiddenAddressError, match=r"127\.0\.0\.1"):
        AddressPolicy().resolve("two-faced.test", 80)


def test_only_the_host_and_port_the_user_named_may_be_private() -> None:
    policy = AddressPolicy.for_base_url("http://127.0.0.1:8001/shop")
    assert policy.resolve("127.0.0.1", 8001) == "127.0.0.1"
    for host, port in (("127.0.0.1", 8002), ("localhost", 8001), ("0.0.0.0", 8001)):  # noqa: S104 (asked for, not bound)
        with pytest.raises(ForbiddenAddressError):
            policy.resolve(host, port)


@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.0.0.1.", "[::1]", "[::]",
     "[::ffff:7f00:1]", "[::127.0.0.1]", "[fe80::1%25lo]", "localhost", "LocalHost."],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["page", "robots", "sitemap", "photo"])
def test_no_way_to_write_a_private_host_gets_a_connection(
    host: str, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection"))
    with pytest.raises(FetchError) as caught:
        Fetcher(AddressPolicy()).fetch(Request(f"http://{host}/", kind))
    assert caught.value.reason in ("forbidden address", "connection", "bad address")


def test_a_name_is_resolved_once_a_connection_and_the_connection_goes_to_what_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: public when it is looked at, private the next time."""
    answers = ["93.184.215.14", "127.0.0.1", "127.0.0.1"]
    real_lookup, real_connect = socket.getaddrinfo, socket.socket.connect
    connected: list[str] = []

    def lookup(host: str, port: int, *args: int, **kwargs: int) -> object:
        address = answers.pop(0) if host == "rebinding.test" else host
        return real_lookup(address, port, *args, **kwargs)

    with serving({"/": Answer("a", headers={"Connection": "close"})}) as shop:

        def connect(self: socket.socket, address: tuple[str, int]) -> None:
            connected.append(address[0])
            real_connect(self, ("127.0.0.1", shop.server_port))

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        monkeypatch.setattr(socket.socket, "connect", connect)
        fetcher = Fetcher(AddressPolicy())
        request = Request(f"http://rebinding.test:{shop.server_port}/")
        assert fetcher.fetch(request).body == b"a"
        assert len(answers) == 2
        with pytest.raises(ForbiddenAddressError):
            fetcher.fetch(request)
        fetcher.close()
    assert connected == ["93.184.215.14"]
