"""Addresses: canonical form, host, site. All pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote_plus, urlencode, urlsplit

from w3lib.url import safe_url_string

from advisor.errors import UsageError

# Query keys that tell where a visitor came from and never what the page shows.
_TRACKING = re.compile(
    r"utm_\w+|(mtm|matomo|pk|piwik)_(campaign|kwd|keyword|source|medium|content|cid|group|placement)|"
    r"[gd]clid|gclsrc|gad_\w+|gbraid|wbraid|srsltid|_g[al]|fbclid|msclkid|yclid|ysclid|twclid|"
    r"ttclid|igshid|igsh|li_fat_id|epik|s_kwcid|ef_id|mc_[ce]id|mkt_tok|_hsenc|_hsmi|hsctatracking|"
    r"vero_id|oly_(enc|anon)_id|wickedid|_kx|irclickid|irgwc|cjevent|awc|phpsessid",
    re.IGNORECASE,
)
_SESSION = re.compile(r";jsessionid=[^/;?#]*", re.IGNORECASE)
_ALREADY_CANONICAL = re.compile(r"https?://[a-z0-9.-]*[a-z0-9-](:\d+)?/[A-Za-z0-9/_.~-]*")
_HALF_PAIR = re.compile("[\ud800-\udfff]")  # of UTF-16, as JSON may have it: no UTF-8 writes it
_SCHEMES = ("http://", "https://")
MAX_CHARS = 2_000
_REMEMBERED = 8_192  # links, with what they come to 2 MB
_CACHED = 2_048
_DEFAULT_PORTS = {"http": 80, "https": 443}


_T = TypeVar("_T")


class Remembered(dict[str, _T]):
    """What a pure function says of short texts; the last few thousand answers are kept.

    For what most pages of a shop have in common: an answer that is there costs no call.
    """

    def __init__(self, function: Callable[[str], _T]) -> None:
        self._function = function
        super().__init__()

    def __missing__(self, text: str) -> _T:
        answer = self._function(text)
        if len(text) <= MAX_CHARS // 10:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[text] = answer
        return answer


@lru_cache(maxsize=_CACHED)
def canonical_url(url: str) -> str:
    """One form for all spellings of an address: the seen check compares these.

    Lower-case scheme and host, no default port, no fragment, no tracking keys or session ids,
    query keys in order, odd characters percent-encoded (bytes that are no UTF-8 stay what they
    are). An address that cannot be split stays as it is.
    """
    if _ALREADY_CANONICAL.fullmatch(url) and "/." not in url and not _has_default_port(url):
        return url
    try:
        parts = urlsplit(safe_url_string(url.strip()))
        host = _netloc(parts)
    except ValueError:
        return url
    kept = [
        pair
        for pair in parse_qsl(parts.query, keep_blank_values=True, encoding="latin-1")
        if not _TRACKING.fullmatch(pair[0])
    ]
    return parts._replace(
        netloc=host,
        path=_SESSION.sub("", parts.path) or "/",
        query=urlencode(sorted(kept), encoding="latin-1"),
        fragment="",
    ).geturl()


def without_tracking(url: str) -> str:
    """The address as it is to be fetched: without tracking keys and fragment, else unchanged."""
    if "?" not in url and "#" not in url:
        return url
    path, _, query = url.partition("#")[0].partition("?")
    kept = [
        pair
        for pair in query.split("&")
        if pair and not _TRACKING.fullmatch(unquote_plus(pair.partition("=")[0]))
    ]
    return f"{path}?{'&'.join(kept)}" if kept else path


@lru_cache(maxsize=_CACHED)
def host_of(url: str) -> str:
    """`host`, or `host:port` where the port is not the scheme's own; "" if there is none."""
    try:
        return _netloc(urlsplit(url))
    except ValueError:
        return ""


@lru_cache(maxsize=_CACHED)
def site_of(url: str) -> str:
    """The host without a leading "www.": a shop moves its visitors between the two."""
    return host_of(url).removeprefix("www.")


def origin_of(url: str) -> str:
    """`scheme://host[:port]` of an address."""
    return f"{urlsplit(url).scheme}://{host_of(url)}"


def is_web_url(url: str) -> bool:
    """Whether an address is http or https, names a host, and is of a length servers take."""
    named = url.startswith(_SCHEMES) or url[:8].lower().startswith(_SCHEMES)
    text = url.isascii() or not _HALF_PAIR.search(url)
    return named and text and len(url) <= MAX_CHARS and bool(host_of(url))


def checked_base_url(url: str) -> str:
    """The base address a user gave, without a query or fragment.

    Raises: UsageError for what is no http(s) address, showing it and a right one.
    """
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"base URL {url!r} cannot be read: {error}") from error
    if parts.scheme not in _DEFAULT_PORTS or not host or parts.username is not None:
        raise UsageError(
            f"base URL {url!r} is no web address; expected one as https://shop.example"
        )
    return parts._replace(query="", fragment="").geturl()


def _netloc(parts: SplitResult) -> str:
    host = (parts.hostname or "").rstrip(".")
    if ":" in host:
        host = f"[{host}]"
    if parts.port and parts.port != _DEFAULT_PORTS.get(parts.scheme):
        return f"{host}:{parts.port}"
    return host


def _has_default_port(url: str) -> bool:
    return ":80/" in url or ":443/" in url
