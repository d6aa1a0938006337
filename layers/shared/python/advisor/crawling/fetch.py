"""One fetch: an address in, an answer out, within limits of address, size and time."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.cookiejar import CookieJar
from typing import Any, Protocol
from urllib.parse import urlsplit

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, LocationValueError
from urllib3.util import connection as urllib3_connection

from advisor.crawling.addresses import AddressPolicy
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.messages import MAX_HOPS, Request, Response
from advisor.crawling.robots import MAX_BYTES as ROBOTS_BYTES
from advisor.crawling.urls import is_web_url
from advisor.errors import FetchError, ForbiddenAddressError

_CHUNK_BYTES = 64 * 1024
_HEADER_BYTES = 256 * 1024  # http.client alone would take 100 lines of 64 KiB, and 100s without end
_MAX_CONNECTIONS = 64  # to a host, and hosts
_HEADERS = {
    "Accept-Encoding": "gzip, deflate",
    "Accept": "text/html,application/xhtml+xml,image/*;q=0.9,*/*;q=0.5",
}
_UNASKED = frozenset({"br", "zstd", "compress"})  # what _HEADERS leave out, and some send
_COOKIE_CHARS = 8_192  # of all that are kept; servers take no longer header
_KEPT_HEADERS = ("content-type", "location", "retry-after", "etag", "last-modified")


class Fetch(Protocol):
    """What the crawl loop asks of a fetcher (tests have their own)."""

    def fetch(self, request: Request) -> Response:
        """The host's answer, whatever its status; redirects are answers, not followed.

        Raises: FetchError if there is no answer within the limits.
        """
        ...

    def close(self) -> None:
        """Let go of what it holds open."""
        ...


class Fetcher:
    """Fetches over urllib3, connections kept open; safe to use from many threads.

    A name is resolved once per connection, every address of it is checked, and the connection
    goes to the checked address. Redirects are not followed: the crawl makes each of them a
    request of its own, under the rules of the host it points to. Proxies and credentials of
    the environment, and of addresses, are not used.
    """

    def __init__(self, policy: AddressPolicy, *, settings: CrawlSettings | None = None) -> None:
        """policy: its named addresses are the shop's own, which get headers and cookies."""
        self._settings = settings or CrawlSettings()
        self._sites = {host.removeprefix("www.") for host, _ in policy.named}
        self._jar = CookieJar() if self._settings.keep_cookies else None
        self._jar_lock = threading.Lock()  # its own does not hold while it is counted
        self._headers = urllib3.HTTPHeaderDict(_HEADERS)
        self._headers["User-Agent"] = self._settings.user_agent
        self._bounds = _Bounds()
        self._pools = urllib3.PoolManager(
            _MAX_CONNECTIONS,
            maxsize=_MAX_CONNECTIONS,
            timeout=urllib3.Timeout(connect=self._settings.connect_s, read=self._settings.read_s),
            ca_certs=certifi.where(),
        )
        self._pools.pool_classes_by_scheme = {  # urllib3 only calls them
            "http": partial(_HTTPPool, guard=policy, bounds=self._bounds),  # type: ignore[dict-item]  # called
            "https": partial(_HTTPSPool, guard=policy, bounds=self._bounds),  # type: ignore[dict-item]  # called
        }

    def fetch(self, request: Request) -> Response:
        """See `Fetch.fetch`."""
        if not is_web_url(request.url):
            raise ForbiddenAddressError(
                f"{request.url!r} is no http(s) address", reason="forbidden address"
            )
        self._bounds.start(request.url, total_s=self._settings.total_s)
        with _named_errors(request.url):
            answer = self._pools.urlopen(
                "GET",
                request.url,
                headers=self._headers_for(request),
                redirect=False,
                retries=False,
                preload_content=False,
            )
            try:
                self._keep_cookies(request.url, answer)
                cut = request.kind == "robots"
                max_bytes = ROBOTS_BYTES if cut else self._settings.bytes_for(request.kind)
                self._bounds.allow(max_bytes)
                body = _read(answer, url=request.url, max_bytes=max_bytes, cut=cut)
            finally:
                answer.close()  # what was not read to its end cannot serve the next request
                answer.release_conn()
        headers = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
        return Response(url=request.url, status=answer.status, headers=headers, body=body)

    def close(self) -> None:
        """Close the connections."""
        self._pools.clear()

    def _headers_for(self, request: Request) -> Mapping[str, str]:
        """Only the shop's own site gets the settings' headers, and cookies."""
        if not self._is_own(request.url):
            own: Mapping[str, str] = {}
        else:
            cookies = [f"{name}={value}" for name, value in self._settings.cookies.items()]
            if self._jar is not None:
                asked = urllib.request.Request(request.url)  # noqa: S310 (only for its cookies)
                with self._jar_lock:
                    self._jar.add_cookie_header(asked)
                cookies += filter(None, [asked.get_header("Cookie")])
            own = {
                **self._settings.headers,
                **({"Cookie": "; ".join(cookies)} if cookies else {}),
            }
        if not own and not request.conditions:
            return self._headers
        headers = self._headers.copy()
        for name, value in [*own.items(), *request.conditions]:
            headers[name] = value
        return headers

    def _keep_cookies(self, url: str, answer: Any) -> None:
        if self._jar is not None and self._is_own(url):
            with self._jar_lock:
                self._jar.extract_cookies(answer, urllib.request.Request(url))  # noqa: S310 (same)
                if sum(len(one.name) + len(one.value or "") for one in self._jar) > _COOKIE_CHARS:
                    self._jar.clear()  # the shop starts anew with this visitor

    def _is_own(self, url: str) -> bool:
        return (urlsplit(url).hostname or "").rstrip(".").removeprefix("www.") in self._sites


def fetch_following(fetcher: Fetch, request: Request) -> Response:
    """The answer after its redirects, each hop fetched (and so checked) like the first.

    For robots.txt only: it stands outside the seen check. Raises: FetchError as `fetch` does,
    and for a circle or more than MAX_HOPS redirects.
    """
    visited = {request.url}
    while True:
        response = fetcher.fetch(request)
        if not response.location:
            return response
        if response.location in visited or len(visited) > MAX_HOPS:
            raise FetchError(f"{request.url} redirects without end", reason="redirects")
        visited.add(response.location)
        request = replace(request, url=response.location)


def _read(raw: Any, *, url: str, max_bytes: int, cut: bool) -> bytes:
    """The body, decompressed; read1 returns what is there, so the size is looked at often.

    cut: of one that is too large, give the beginning.
    """
    encodings = raw.headers.get("content-encoding", "").lower().replace(" ", "").split(",")
    if not _UNASKED.isdisjoint(encodings):
        raise FetchError(f"{url} is compressed as nobody asked for", reason="bad encoding")
    chunks: list[bytes] = []
    size = 0
    while chunk := raw.read1(_CHUNK_BYTES, decode_content=True):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes and cut:
            break
        if size > max_bytes:
            raise FetchError(f"{url} is larger than {max_bytes} bytes", reason="too large")
    return b"".join(chunks)


@contextmanager
def _named_errors(url: str) -> Iterator[None]:
    """What urllib3 raises as FetchError, told apart by what to count and to retry."""
    try:
        yield
    except urllib3.exceptions.TimeoutError as error:
        raise FetchError(
            f"{url} did not answer in time", reason="timeout", retryable=True
        ) from error
    except LocationValueError as error:
        raise FetchError(f"{url!r} cannot be fetched: {error}", reason="bad address") from error
    except urllib3.exceptions.DecodeError as error:
        raise FetchError(f"{url} is not compressed as it says", reason="bad encoding") from error
    except (HTTPError, OSError) as error:
        cause = _root_cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):  # of a host that changes it, for a time
            raise FetchError(
                f"{url} is not to be trusted: {cause.verify_message}",
                reason="certificate",
                retryable=True,
            ) from error
        why = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        raise FetchError(
            f"{url} cannot be reached: {why}", reason="connection", retryable=True
        ) from error
    except (ValueError, UnicodeError) as error:  # a host name that IDNA refuses, a header in pieces
        raise FetchError(f"{url!r} cannot be fetched: {error}", reason="bad address") from error


def _root_cause(error: BaseException) -> BaseException:
    while error.__context__ is not None:
        error = error.__context__
    return error


class _Bounds(threading.local):
    """What the fetch that this thread is at may still receive, and until when."""

    url = ""
    deadline = 0.0
    bytes_left = 0

    def start(self, url: str, *, total_s: float) -> None:
        """Begin a fetch, with headers to come."""
        self.url = url
        self.deadline = time.monotonic() + total_s
        self.bytes_left = _HEADER_BYTES

    def allow(self, max_bytes: int) -> None:
        """The headers are there; now the body, in chunks with headers of their own."""
        self.bytes_left += max_bytes

    def left_s(self) -> float:
        """Raises: FetchError when the time is up."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise FetchError(f"{self.url} took too long", reason="timeout", retryable=True)
        return left

    def spend(self, count: int) -> None:
        """Raises: FetchError when that is more than may be received."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise FetchError(f"{self.url} sends too many bytes", reason="too large")


class _BoundedReader(io.RawIOBase):
    """Reads a socket within bounds; its own timeout holds for each wait besides."""

    def __init__(self, sock: socket.socket, bounds: _Bounds) -> None:
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)
        self._bounds = bounds
        self._wait_s = sock.gettimeout() or float("inf")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(min(self._wait_s, self._bounds.left_s()))
        count: int | None = self._raw.readinto(buffer)
        self._bounds.spend(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedSocket:
    """What http.client asks of a socket to read a response from it."""

    def __init__(self, sock: socket.socket, bounds: _Bounds) -> None:
        self._reader = _BoundedReader(sock, bounds)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


def _connect(connection: HTTPConnection, policy: AddressPolicy, bounds: _Bounds) -> socket.socket:
    """A socket to a checked address; its timeout holds for a TLS handshake as a whole."""
    wait_s = connection.timeout or float("inf")
    try:
        address = policy.resolve(connection.host, connection.port)
        return urllib3_connection.create_connection(
            (address, connection.port),
            min(wait_s, bounds.left_s()),
            socket_options=connection.socket_options,
        )
    except TimeoutError as error:
        raise urllib3.exceptions.ConnectTimeoutError(connection, "connect timed out") from error


class _HTTPConnection(HTTPConnection):
    """A connection that asks an AddressPolicy where to go, and reads within bounds."""

    def __init__(self, *args: Any, guard: AddressPolicy, bounds: _Bounds, **kwargs: Any) -> None:
        self._guard = guard
        self._bounds = bounds
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> socket.socket:
        return _connect(self, self._guard, self._bounds)

    def response_class(  # type: ignore[override]  # http.client calls it, and only that
        self, sock: socket.socket, **kwargs: Any
    ) -> http.client.HTTPResponse:
        bounded: Any = _BoundedSocket(sock, self._bounds)
        return http.client.HTTPResponse(bounded, **kwargs)


class _HTTPSConnection(_HTTPConnection, HTTPSConnection):
    """TLS still names and verifies the host: only the socket goes to the checked address."""


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection
