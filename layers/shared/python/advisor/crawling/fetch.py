"""One fetch: an address in, an answer out, within limits of address, size and time."""

from __future__ import annotations

import email.message
import io
import queue
import re
import socket
import ssl
import threading
import time
import urllib.request
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from http.cookiejar import CookieJar
from typing import Any, Protocol
from urllib.parse import urlsplit

import certifi
import httptools
import urllib3
from urllib3.exceptions import HTTPError, LocationValueError
from urllib3.util import parse_url
from urllib3.util.wait import wait_for_read

from advisor.crawling.addresses import AddressPolicy
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.messages import MAX_HOPS, Request, Response
from advisor.crawling.robots import MAX_BYTES as ROBOTS_BYTES
from advisor.crawling.urls import is_web_url
from advisor.errors import FetchError, ForbiddenAddressError

_CHUNK_BYTES = 64 * 1024
_HEADER_BYTES = 256 * 1024  # and what frames the chunks of a body
_MAX_HOSTS = 64  # that connections are kept open to; each has as many as it is asked at a time
_PORTS = {"http": 80, "https": 443}
# An address that is as it is sent: nothing to encode, no "." or ".." to resolve.
_PLAIN = re.compile(
    r"(https?)://([a-z0-9.-]+)(?::(\d{1,4}|[1-5]\d{4}))?(/(?:[\w/.~?&=+,:-]|%[0-9A-F]{2})*)",
    re.ASCII,
)
_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # in a header, as of a host's own ETag
# What servers do that RFC 9112 forbids, and browsers take.
_LENIENT = {
    "lenient_headers": True,
    "lenient_chunked_length": True,
    "lenient_optional_cr_before_lf": True,
    "lenient_spaces_after_chunk_size": True,
}
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
    """Fetches over HTTP/1.1, connections kept open; safe to use from many threads.

    A name is resolved once per connection, every address of it is checked, and the connection
    goes to the checked address. Redirects are not followed: the crawl makes each of them a
    request of its own, under the rules of the host it points to. Proxies and credentials of
    the environment, and of addresses, are not used.
    """

    def __init__(self, policy: AddressPolicy, *, settings: CrawlSettings | None = None) -> None:
        """policy: its named addresses are the shop's own, which get headers and cookies."""
        self._policy = policy
        self._settings = settings or CrawlSettings()
        self._sites = {host.removeprefix("www.") for host, _ in policy.named}
        self._jar = CookieJar() if self._settings.keep_cookies else None
        self._lock = threading.Lock()  # of what follows, and the jar: its own holds not long enough
        self._idle: dict[_Origin, list[socket.socket]] = {}  # the origin used last is the last
        weakref.finalize(self, _close, self._idle)
        self._context: ssl.SSLContext | None = None
        self._headers = urllib3.HTTPHeaderDict(_HEADERS)
        self._headers["User-Agent"] = self._settings.user_agent

    def fetch(self, request: Request) -> Response:
        """See `Fetch.fetch`."""
        if not is_web_url(request.url):
            raise ForbiddenAddressError(
                f"{request.url!r} is no http(s) address", reason="forbidden address"
            )
        deadline = time.monotonic() + self._settings.total_s
        with _named_errors(request.url):
            origin, target = _split(request.url)
            headers = self._headers_for(request)
            lines = [f"{name}: {_UNSENDABLE.sub('', value)}\r\n" for name, value in headers.items()]
            host = "" if "host" in headers else f"Host: {origin.netloc}\r\n"
            head = f"GET {target} HTTP/1.1\r\n{host}{''.join(lines)}\r\n".encode("latin-1")
            answer = self._ask(origin, head, request, deadline)
            body = self._body_of(answer, request)
        self._keep_cookies(request.url, answer)
        told = answer.headers
        kept = {name: told[name] for name in _KEPT_HEADERS if name in told}
        return Response(url=request.url, status=answer.status, headers=kept, body=body)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            _close(self._idle)

    def _ask(self, origin: _Origin, head: bytes, request: Request, deadline: float) -> _Answer:
        """The answer on a connection that is open, or a new one."""
        cut = request.kind == "robots"
        max_bytes = ROBOTS_BYTES if cut else self._settings.bytes_for(request.kind)
        answer = _Answer(request.url, max_bytes=max_bytes, cut=cut)
        connection = self._idle_connection(origin) or self._connect(origin, deadline)
        try:
            _wait_at_most(connection, self._settings.read_s, deadline)
            connection.sendall(head)
            while not answer.complete:
                _wait_at_most(connection, self._settings.read_s, deadline)
                answer.take(connection.recv(_CHUNK_BYTES))
        finally:
            if answer.keeps_open:
                self._release(origin, connection)
            else:  # what was not read to its end cannot serve the next request
                connection.close()
        return answer

    def _idle_connection(self, origin: _Origin) -> socket.socket | None:
        """A connection that is open and has nothing to say, if there is one."""
        while True:
            with self._lock:
                idle = self._idle.get(origin)
                connection = idle.pop() if idle else None
            if connection is None or not wait_for_read(connection, timeout=0.0):
                return connection
            connection.close()

    def _release(self, origin: _Origin, connection: socket.socket) -> None:
        """Keep a connection for the next request; of too many hosts, not the least recent one's."""
        dropped: list[socket.socket] = []
        with self._lock:
            self._idle[origin] = [*self._idle.pop(origin, ()), connection]
            if len(self._idle) > _MAX_HOSTS:
                dropped = self._idle.pop(next(iter(self._idle)))
        for one in dropped:
            one.close()

    def _connect(self, origin: _Origin, deadline: float) -> socket.socket:
        """A connection to a checked address of the host."""

        def wait_s() -> float:
            return min(self._settings.connect_s, _left_s(deadline))

        address = _within(wait_s(), partial(self._policy.resolve, origin.host, origin.port))
        connection = socket.create_connection((address, origin.port), wait_s())
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if origin.scheme == "https":  # TLS names and verifies the host, not the address
                connection.settimeout(wait_s())  # for the handshake as a whole
                name = origin.host.strip("[]").rstrip(".")
                connection = self._trusting().wrap_socket(connection, server_hostname=name)
        except BaseException:
            connection.close()
            raise
        return connection

    def _trusting(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context(cafile=certifi.where())
                self._context.set_alpn_protocols(["http/1.1"])
            return self._context

    def _body_of(self, answer: _Answer, request: Request) -> bytes:
        """The body, decompressed within the same limit."""
        encodings = answer.headers.get("content-encoding", "").lower().replace(" ", "")
        if not encodings:
            return bytes(answer.body)
        if not _UNASKED.isdisjoint(encodings.split(",")):
            raise FetchError(
                f"{request.url} is compressed as nobody asked for", reason="bad encoding"
            )
        packed = urllib3.HTTPResponse(
            io.BytesIO(answer.body),
            headers={"content-encoding": encodings},
            preload_content=False,
        )
        unpacked = bytearray()
        while chunk := packed.read1(_CHUNK_BYTES, decode_content=True):
            unpacked += chunk
            if not answer.fits(len(unpacked)):
                break
        return bytes(unpacked)

    def _headers_for(self, request: Request) -> urllib3.HTTPHeaderDict:
        """Only the shop's own site gets the settings' headers, and cookies."""
        if not self._is_own(request.url):
            own: Mapping[str, str] = {}
        else:
            cookies = [f"{name}={value}" for name, value in self._settings.cookies.items()]
            if self._jar is not None:
                asked = urllib.request.Request(request.url)  # noqa: S310 (only for its cookies)
                with self._lock:
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

    def _keep_cookies(self, url: str, answer: _Answer) -> None:
        if self._jar is not None and self._is_own(url):
            asked: Any = urllib.request.Request(url)  # noqa: S310 (same)
            with self._lock:
                self._jar.extract_cookies(answer, asked)  # type: ignore[arg-type]  # info() will do
                if sum(len(one.name) + len(one.value or "") for one in self._jar) > _COOKIE_CHARS:
                    self._jar.clear()  # the shop starts anew with this visitor

    def _is_own(self, url: str) -> bool:
        return (urlsplit(url).hostname or "").rstrip(".").removeprefix("www.") in self._sites


def _close(idle: dict[_Origin, list[socket.socket]]) -> None:
    for connections in idle.values():
        for connection in connections:
            connection.close()
    idle.clear()


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


@dataclass(frozen=True)
class _Origin:
    """Where a connection leads. host: IPv6 in brackets. netloc: for the Host header."""

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"


def _split(url: str) -> tuple[_Origin, str]:
    """Where to ask for an address, and what for; all of it ASCII without white space.

    Raises: LocationValueError for an address that none can be asked for.
    """
    if plain := _PLAIN.fullmatch(url):  # for the others ten times as much is to be done
        scheme, host, port, target = plain.groups()
        if "/." not in target:
            return _origin(scheme, host, port), target
    parts = parse_url(url)
    scheme, host = parts.scheme or "", parts.host or ""
    return _origin(scheme, host, parts.port), parts.request_uri


@lru_cache(maxsize=256)
def _origin(scheme: str, host: str, port: str | int | None) -> _Origin:
    return _Origin(scheme, host, int(port or _PORTS[scheme]))


class _Answer:
    """An answer that is being received, within limits; httptools calls what begins with on_.

    received: its bytes so far. complete: all that is wanted is there. body: as it was sent.
    """

    def __init__(self, url: str, *, max_bytes: int, cut: bool) -> None:
        """cut: of a body that is too large, take the beginning."""
        self.received = 0
        self.complete = False
        self.keeps_open = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self._url = url
        self._max_bytes = max_bytes
        self._cut = cut
        self._in_body = False
        self._pairs: list[tuple[str, str]] = []
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**_LENIENT)

    def take(self, data: bytes) -> None:
        """Take what was received; b"": the host closed the connection.

        Raises: FetchError for what is larger than allowed, OSError for no answer or half of one.
        """
        if not data:
            if not self._ends_with_connection():
                raise OSError("the connection was closed before the answer was complete")
            self.complete = True
            return
        self.received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:  # what comes after it is none of ours
                raise OSError(f"no HTTP answer: {error}") from error
        if not self.fits(len(self.body)):
            self.complete = True
        elif not self.complete and self.received > _HEADER_BYTES + self._max_bytes * self._in_body:
            raise FetchError(f"{self._url} sends too many bytes", reason="too large")

    def fits(self, size: int) -> bool:
        """Whether a body of this size may go on. Raises: FetchError, where it may not be cut."""
        if size > self._max_bytes and not self._cut:
            raise FetchError(
                f"{self._url} is larger than {self._max_bytes} bytes", reason="too large"
            )
        return size <= self._max_bytes

    def info(self) -> email.message.Message:
        """The headers, as a cookie jar asks for them."""
        message = email.message.Message()
        for name, value in self._pairs:
            message[name] = value
        return message

    def on_message_begin(self) -> None:
        if self.complete:  # an answer that nobody asked for
            self.keeps_open = False
        else:
            self._pairs.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:
            self._pairs.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.complete or status < 200:  # 1xx: the answer is still to come
            return
        self._in_body = True
        self.status = status
        for name, value in self._pairs:
            before = self.headers.get(name)
            self.headers[name] = value if before is None else f"{before}, {value}"

    def on_body(self, data: bytes) -> None:
        if not self.complete:
            self.body += data

    def on_message_complete(self) -> None:
        if self._in_body and not self.complete:
            self.complete = True
            self.keeps_open = self._parser.should_keep_alive()

    def _ends_with_connection(self) -> bool:
        chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        return self._in_body and not chunked and "content-length" not in self.headers


def _left_s(deadline: float) -> float:
    """Raises: TimeoutError when the time is up."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the answer as a whole")
    return left


def _wait_at_most(connection: socket.socket, wait_s: float, deadline: float) -> None:
    connection.settimeout(min(wait_s, _left_s(deadline)))


def _within(seconds: float, call: Callable[[], str]) -> str:
    """What a call returns that knows no time limit itself, as a name's look-up.

    Raises: TimeoutError when the time is up; the call ends in its own time, in its own thread.
    """
    told: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()

    def answer() -> None:
        try:
            told.put(call())
        except Exception as error:
            told.put(error)

    threading.Thread(target=answer, daemon=True).start()
    try:
        found = told.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("the look-up of its name") from None
    if isinstance(found, Exception):
        raise found
    return found


@contextmanager
def _named_errors(url: str) -> Iterator[None]:
    """What goes wrong as FetchError, told apart by what to count and to retry."""
    try:
        yield
    except TimeoutError as error:
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
