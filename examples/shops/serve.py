"""Serve the demo shops on loopback: `python -m examples.shops.serve --goods build/goods`."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import click

from advisor.errors import AdvisorError, UsageError
from examples.shops import shop_one, shop_two
from examples.shops.assortment import Good, read_goods
from examples.shops.page import HTML, Page, Site, html_page

HOST = "127.0.0.1"  # a demo shop is nobody else's business
IDLE_S = 30
PORT = click.IntRange(0, 65535)


class Request(NamedTuple):
    """A request a shop has answered. time: seconds since the epoch."""

    time: float
    method: str
    path: str
    status: int


class ShopServer(ThreadingHTTPServer):
    """One shop on one port of loopback; it serves while used as a context manager.

    requests_log: every request answered, oldest first.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        build: Callable[[list[Good], str], Site],
        not_found: Callable[[], Page],
        goods: list[Good],
        *,
        port: int = 0,
    ) -> None:
        """Bind the port (0: any free one). Raises: UsageError if it is taken."""
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UsageError(f"port {port} cannot be used: {error.strerror}") from error
        self.url = f"http://{HOST}:{self.server_port}"
        self.requests_log: list[Request] = []
        self._site = build(goods, self.url)
        self._not_found = not_found()
        self._failed: set[str] = set()
        self._lock = threading.Lock()

    def page_at(self, path: str) -> Page:
        """The answer at a path; a page that fails at first does so once."""
        page = self._site.get(path) or self._site.get(path.partition("?")[0], self._not_found)
        if page.fails_first:
            with self._lock:
                if path not in self._failed:
                    self._failed.add(path)
                    return html_page("<h1>Please try again</h1>", status=500)
        return page

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no event; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # ours is wider


class _Handler(BaseHTTPRequestHandler):
    server: ShopServer
    protocol_version = "HTTP/1.1"
    server_version = "DemoShop"
    timeout = IDLE_S
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        page = self.server.page_at(self.path)
        body = page.body()
        self.server.requests_log.append(Request(time.time(), self.command, self.path, page.status))
        self.send_response(HTTPStatus(page.status))
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(body)))
        if page.content_type != HTML:
            self.send_header("Cache-Control", "max-age=300")
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Nothing on stderr: `requests_log` has it."""


@dataclass(frozen=True)
class Shops:
    """The two shops, serving."""

    one: ShopServer
    two: ShopServer


@contextmanager
def start_shops(goods_dir: Path, *, port_one: int = 0, port_two: int = 0) -> Iterator[Shops]:
    """Serve both shops in threads of this process until the block ends.

    Raises: DataError if the goods are not there; UsageError if a port is taken.
    """
    goods = read_goods(goods_dir)
    with ExitStack() as stack:
        one = stack.enter_context(_serving(_shop_one(goods, port_one)))
        two = stack.enter_context(_serving(_shop_two(goods, port_two)))
        yield Shops(one, two)


def _shop_one(goods: list[Good], port: int) -> ShopServer:
    return ShopServer(shop_one.site, shop_one.not_found, goods, port=port)


def _shop_two(goods: list[Good], port: int) -> ShopServer:
    return ShopServer(shop_two.site, shop_two.not_found, goods, port=port)


@contextmanager
def _serving(server: ShopServer) -> Iterator[ShopServer]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@click.command(epilog="Example: python -m examples.shops.serve --goods build/goods --json")
@click.option(
    "--goods",
    "goods_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/goods"),
    show_default=True,
    help="The folder made by python -m examples.shops.goods.",
)
@click.option(
    "--port-one", type=PORT, default=0, help="Port of shop one; 0 (the default) takes a free one."
)
@click.option("--port-two", type=PORT, default=0, help="Port of shop two; likewise.")
@click.option("--only", type=click.Choice(["one", "two"]), help="Serve one shop only.")
@click.option("--json", "as_json", is_flag=True, help="Print the addresses as a JSON line.")
def main(goods_dir: Path, port_one: int, port_two: int, only: str | None, *, as_json: bool) -> None:
    """Serve the demo shops on loopback until SIGINT or SIGTERM."""
    stop = threading.Event()

    def _on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _on_signal)
    try:
        goods = read_goods(goods_dir)
        with ExitStack() as stack:
            urls = {}
            if only != "two":
                urls["one"] = stack.enter_context(_serving(_shop_one(goods, port_one))).url
            if only != "one":
                urls["two"] = stack.enter_context(_serving(_shop_two(goods, port_two))).url
            click.echo(json.dumps(urls) if as_json else _addresses(urls))
            sys.stdout.flush()
            stop.wait()
    except AdvisorError as error:
        click.echo(f"shops: {error}", err=True)
        sys.exit(1)


def _addresses(urls: dict[str, str]) -> str:
    return "\n".join(f"shop {name}: {url}/" for name, url in urls.items())


if __name__ == "__main__":
    main()
