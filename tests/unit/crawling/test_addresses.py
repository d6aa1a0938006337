from __future__ import annotations

import socket

import pytest

from advisor.crawling.addresses import AddressPolicy, is_public
from advisor.errors import ForbiddenAddressError


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0",  # noqa: S104
        "100.64.0.1", "100.100.100.200", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1",
        "fe80::1%eth0", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "2002:7f00:1::",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07::1", "64:ff9b::808:808"])
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
    for host, port in (("127.0.0.1", 8002), ("localhost", 8001), ("0.0.0.0", 8001)):  # noqa: S104
        with pytest.raises(ForbiddenAddressError):
            policy.resolve(host, port)
