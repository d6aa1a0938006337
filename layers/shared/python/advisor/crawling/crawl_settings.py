"""How hard, how far and how long to crawl: for all spiders, and what a spider has otherwise."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from advisor.crawling.finish import BYTE_BUDGET, LIMIT, PAGE_BUDGET
from advisor.crawling.messages import Kind
from advisor.errors import SettingsError

SITEMAP_BYTES = 50 * 1024 * 1024  # of one sitemap, unpacked, as sitemaps.org has it
USER_AGENT = "ProductsAdvisor/0.1 (price comparison crawler)"


@dataclass(frozen=True, kw_only=True)
class CrawlSettings:
    """The settings of one crawl; budgets of 0 have no end.

    A spider names its own in `Spider.settings`; what a user asks for wins over both.
    """

    concurrency: int = 16
    """Requests at a time to a host."""
    delay_s: float = 0.0
    """Least gap between two requests to a host; a longer Crawl-delay of its robots.txt wins."""
    jitter: float = 0.0
    """Up to this share of the delay is added at random: 0.5 makes 2 s anything from 2 to 3 s."""

    user_agent: str = USER_AGENT
    """Its first word, up to the "/", is the name that robots.txt rules are looked up by."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent to the shop's own site, never to the hosts of its photos."""
    cookies: Mapping[str, str] = field(default_factory=dict)
    """Sent like headers: the currency or the store to see prices of."""
    keep_cookies: bool = False
    """Send back what cookies the shop sets, one jar for the whole crawl."""

    connect_s: float = 10.0
    read_s: float = 20.0
    total_s: float = 60.0
    """For connecting, for the next bytes, and for one answer as a whole."""
    page_bytes: int = 10_000_000
    photo_bytes: int = 20_000_000
    """The most of one answer, after decompression."""
    min_photo_px: int = 32
    """Photos with a shorter side are icons and tracking pixels: dropped."""

    sitemap: bool = False
    """Start from the sitemaps that the shop's robots.txt names (or /sitemap.xml) as well."""
    max_depth: int = 0
    """Links between a start page and the last page to fetch."""
    allowed_hosts: tuple[str, ...] = ()
    """Followed besides the shop's own site."""
    follow_redirects: bool = True
    retry_statuses: tuple[int, ...] = (408, 425, 429, 500, 502, 503, 504)
    max_attempts: int = 4
    first_backoff_s: float = 0.5

    max_items: int = 0
    max_pages: int = 100_000
    max_bytes: int = 0
    """Of pages and photos, after decompression."""
    max_seconds: float = 0.0
    min_items_a_minute: int = 10
    """The crawl ends when it finds fewer; see `advisor.crawling.pace`."""

    def backoff_s(self, attempts: int) -> float:
        """Twice as long after each failure, up to half as much again at random."""
        return float(self.first_backoff_s * 2**attempts * (1 + _random() / 2))

    def bytes_for(self, kind: Kind) -> int:
        """The most bytes that the body of this kind of request may have."""
        if kind == "sitemap":
            return SITEMAP_BYTES
        return self.photo_bytes if kind == "photo" else self.page_bytes

    def spent(self, counts: Mapping[str, int]) -> str:
        """The name of the budget that a crawl with these counters has used up, or ""."""
        budgets = (
            (LIMIT, "items", self.max_items),
            (PAGE_BUDGET, "pages", self.max_pages),
            (BYTE_BUDGET, "bytes", self.max_bytes),
        )
        for reason, name, most in budgets:
            if most and counts.get(name, 0) >= most:
                return reason
        return ""

    def with_overrides(self, *overrides: Mapping[str, Any]) -> Self:
        """These settings with others in their place; the last word wins, headers add up.

        Raises: SettingsError naming what is no setting, or has no value a setting can have.
        """
        settings = self
        for some in overrides:
            values = {name: checked_setting(name, value) for name, value in some.items()}
            for name in {"headers", "cookies"} & values.keys():  # these add up
                values[name] = {**getattr(settings, name), **values[name]}
            settings = replace(settings, **values)
        return settings


def checked_setting(name: str, value: object) -> Any:
    """The value as the setting's type: from Python, from YAML, or text of a command line.

    Raises: SettingsError naming the setting and what it takes.
    """
    if name not in _TAKES:
        raise SettingsError(f"no setting {name!r}; expected one of {', '.join(_TAKES)}")
    what, read = _TAKES[name]
    found = read(value)
    if found is None:
        raise SettingsError(f"setting {name} is {value!r}; expected {what}")
    return found


_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_COOKIE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")  # RFC 6265, cookie-octet
_HOST = re.compile(r"[a-z0-9.-]+(:\d{1,5})?")
_Read = Callable[[object], Any]


def _whole(least: int, most: int = 10**15) -> tuple[str, _Read]:
    def read(value: object) -> int | None:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:16])
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        return value if least <= value <= most else None

    upto = f" to {most}" if most < 10**15 else " or more"
    return f"a whole number, {least}{upto}", read


def _number(least: float) -> tuple[str, _Read]:
    def read(value: object) -> float | None:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        try:
            number = float(value)
        except ValueError:
            return None
        return number if least <= number < 1e9 else None

    return f"a number, {least:g} or more", read


def _yes_no(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "yes": True, "false": False, "no": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _agent(value: object) -> str | None:
    ok = isinstance(value, str) and value.strip() and value.isascii() and value.isprintable()
    return value.strip() if ok and isinstance(value, str) else None


def _pairs(names: re.Pattern[str], values: re.Pattern[str], mark: str) -> _Read:
    """Reads a mapping; or text, one pair: "Accept-Language: en" or "currency=EUR"."""

    def read(value: object) -> dict[str, str] | None:
        if isinstance(value, str):
            name, found, rest = value.partition(mark)
            value = {name.strip(): rest.strip()} if found else None
        if not isinstance(value, Mapping):
            return None
        pairs = {name: str(text) for name, text in value.items() if isinstance(name, str)}
        whole = len(pairs) == len(value)
        ok = all(names.fullmatch(a) and values.fullmatch(b) for a, b in pairs.items())
        return pairs if whole and ok else None

    return read


def _hosts(value: object) -> tuple[str, ...] | None:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        return None
    hosts = tuple(str(name).strip().lower() for name in names)
    return hosts if all(_HOST.fullmatch(host) for host in hosts) else None


def _statuses(value: object) -> tuple[int, ...] | None:
    codes = value.split(",") if isinstance(value, str) else value
    if not isinstance(codes, list | tuple):
        return None
    read = _whole(400, 599)[1]
    found = tuple(read(code.strip() if isinstance(code, str) else code) for code in codes)
    return None if None in found else found


_TAKES: dict[str, tuple[str, _Read]] = {
    "concurrency": _whole(1, 64),
    "delay_s": _number(0),
    "jitter": _number(0),
    "user_agent": ("one line of plain text", _agent),
    "headers": ("names with values", _pairs(_HEADER, re.compile(r"[\t\x20-\x7e]*"), ":")),
    "cookies": ("names with values", _pairs(_HEADER, _COOKIE, "=")),
    "keep_cookies": ("true or false", _yes_no),
    "connect_s": _number(0.1),
    "read_s": _number(0.1),
    "total_s": _number(0.1),
    "page_bytes": _whole(1),
    "photo_bytes": _whole(1),
    "min_photo_px": _whole(0),
    "sitemap": ("true or false", _yes_no),
    "max_depth": _whole(0),
    "allowed_hosts": ("host names as shop.example", _hosts),
    "follow_redirects": ("true or false", _yes_no),
    "retry_statuses": ("HTTP status codes, 400 to 599", _statuses),
    "max_attempts": _whole(1, 100),
    "first_backoff_s": _number(0),
    "max_items": _whole(0),
    "max_pages": _whole(0),
    "max_bytes": _whole(0),
    "max_seconds": _number(0),
    "min_items_a_minute": _whole(0),
}


def _random() -> float:
    return random.random()  # noqa: S311 (spreads load, keeps no secret)
