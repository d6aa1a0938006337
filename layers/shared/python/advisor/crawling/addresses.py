"""Which network addresses a crawl may connect to: only public ones, and what the user named."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from advisor.errors import ForbiddenAddressError, UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
# All that is given out of IPv6 (IANA); outside are what embeds IPv4 (::/96, ::ffff:0:0:0/96), local
# NAT64, site-local and what is to come.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
# What ipaddress calls global, depending on its version, and is not (IANA special-purpose
# registries), and the one metadata address of a cloud that is none of these (Azure's).
_SPECIAL = tuple(
    ipaddress.ip_network(one)
    for one in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "3fff::/20")
)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class AddressPolicy:
    """Refuses private, loopback, link-local, multicast and metadata addresses.

    named: (host, port) pairs that the user named as base URL, the only exception. No page can
    extend it.
    """

    named: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def for_base_url(cls, base_url: str) -> AddressPolicy:
        """The policy under which the base URL itself may be anywhere."""
        parts = urlsplit(base_url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise UsageError(f"base URL {base_url!r} is no web address")
        return cls(frozenset({(parts.hostname.lower(), parts.port or _PORTS[parts.scheme])}))

    def resolve(self, host: str, port: int) -> str:
        """The one address to connect to; every address of the name is checked first.

        Raises: ForbiddenAddressError if any of them is refused; OSError if there is none.
        """
        plain = host.strip("[]").lower()
        found = socket.getaddrinfo(plain, port, type=socket.SOCK_STREAM)
        addresses = [str(sockaddr[0]) for *_, sockaddr in found]
        if (plain.rstrip("."), port) not in self.named:
            for address in addresses:
                if not is_public(address):
                    raise ForbiddenAddressError(
                        f"{host}:{port} is at {address}, which is no public address",
                        reason="forbidden address",
                    )
        if not addresses:
            raise OSError(f"{host} has no address")
        return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet, also one wrapped in an IPv6 address."""
    ip: Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None and ip not in _GLOBAL_V6:
            return False
        ip = inner or ip
    special = any(ip in network for network in _SPECIAL)
    return ip.is_global and not ip.is_multicast and not special
