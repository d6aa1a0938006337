"""`advisor crawl`: a shop's goods and photos into a folder."""

from __future__ import annotations

import importlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from advisor.errors import UsageError
from cli.crawl_remote import ACTIONS, control
from cli.terminal import plain

if TYPE_CHECKING:
    from advisor.crawling.loop import Crawl
    from advisor.crawling.statistics import Statistics

NO_ITEMS_STATUS = 1
SHOP_DOWN_STATUS = 3
INTERRUPTED_STATUS = 130
_HOSTS_SHOWN = 10


class _Crawl(click.Command):
    """`advisor crawl SPIDER`, unless the first word is one of its few subcommands."""

    subcommands: ClassVar[dict[str, str]] = {"why": "cli.why"}

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in self.subcommands:
            other: click.Command = importlib.import_module(self.subcommands[args[0]]).command
            return other.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command(cls=_Crawl)
@click.argument("spider", default="")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for items.jsonl, photos.jsonl, images/ and pages/.",
)
@click.option("--base-url", default="", help="Where the shop is, if not where the spider says.")
@click.option("--shop", default="", help="What to call the shop. Default: the spider or the host.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many items.")
@click.option(
    "--delay",
    type=click.FloatRange(min=0),
    help="Seconds between two requests to a host; a longer Crawl-delay in robots.txt wins.",
)
@click.option("--concurrency", type=click.IntRange(1, 64), help="Requests at a time to a host: 16.")
@click.option("--depth", type=click.IntRange(min=1), help="Follow so many links from the start.")
@click.option("--pages", type=click.IntRange(min=1), help="Stop after so many pages: 100000.")
@click.option("--minutes", type=click.FloatRange(min=0), help="Stop after so many minutes.")
@click.option(
    "--set",
    "-s",
    "others",
    metavar="NAME=VALUE",
    multiple=True,
    help="Any other setting, as min_items_a_minute=0; docs/crawl-settings.md lists them.",
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="csv: write items.csv too, when the crawl ends; after a kill, when it goes on.",
)
@click.option(
    "--remote",
    type=click.Choice(ACTIONS),
    help="Start, show or end a crawl on AWS; all but start take a run's id for SPIDER.",
)
@click.option("--stack", default="ProductsAdvisor-Service", help="With --remote: the stack.")
@click.option("--json", "as_json", is_flag=True, help="Print the statistics as a JSON object.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    spider: str,
    out: Path | None,
    base_url: str,
    shop: str,
    limit: int | None,
    delay: float | None,
    concurrency: int | None,
    depth: int | None,
    pages: int | None,
    minutes: float | None,
    others: tuple[str, ...],
    formats: str,
    remote: str | None,
    stack: str,
    as_json: bool,
) -> None:
    """Crawl a shop with SPIDER: its goods, its photos by category, its pages.

    SPIDER is harveynorman, or schema-org for any shop that describes its products by schema.org,
    or a YAML file that declares one (docs/add-a-shop.md).

    A crawl that was stopped (Ctrl-C, a crash) goes on with the same command, and one that
    reached its --limit with a higher one. After a complete crawl the same command crawls afresh;
    the earlier items stay in place until the new ones are complete. Photos are never deleted.

    A flag wins over what the spider says of its shop, and that over the default. The crawl also
    ends when it finds fewer than 10 items a minute, after its first 500 pages.

    `advisor crawl why URL --out DIR` tells whether and why an address was or was not fetched.

    Exit status: 1 if the shop gave no items, 2 for what cannot be used or written (one sentence
    says what), 3 if the shop does not answer, 130 after Ctrl-C.

    \b
    Examples:
      advisor crawl harveynorman --out shop --limit 200
      advisor crawl schema-org --base-url https://shop.example --out shop --delay 1
      advisor crawl path/to/shop.yaml --out shop
      advisor crawl schema-org --base-url https://shop.example --out shop -s cookies=currency=EUR
      advisor crawl harveynorman --remote start --limit 200 --delay 1
      advisor crawl 20261122T150000-1a2b3c --remote pause
    """
    asked = _asked(
        others,
        max_items=limit,
        delay_s=delay,
        concurrency=concurrency,
        max_depth=depth,
        max_pages=pages,
        max_seconds=None if minutes is None else minutes * 60,
    )
    if remote:
        control(
            ctx,
            remote,
            spider,
            base_url=base_url,
            shop=shop,
            settings={name: value for some in asked for name, value in some.items()},
            stack=stack,
            as_json=as_json,
        )
        return
    if not spider or out is None:
        missing = "argument 'SPIDER'" if not spider else "option '--out'"
        raise click.UsageError(f"Missing {missing}.")
    from advisor.catalog.alert_file import AlertFile
    from advisor.catalog.price_log import record as record_prices
    from advisor.crawling import finish, loop
    from advisor.crawling.addresses import AddressPolicy
    from advisor.crawling.crawl_settings import CrawlSettings
    from advisor.crawling.deciding import Deciding
    from advisor.crawling.fetch import Fetcher
    from advisor.crawling.folder import CrawlFolder
    from advisor.crawling.recall import fingerprint
    from advisor.crawling.spiders.registry import open_spider, shop_name
    from advisor.crawling.statistics import Statistics

    chosen = open_spider(spider, base_url)
    name = shop_name(chosen, shop)
    identity = {"spider": chosen.name, "base_url": chosen.base_url, "shop": name}
    settings = CrawlSettings().with_overrides(chosen.settings, *asked)
    started = time.monotonic()
    with (
        CrawlFolder(
            out,
            identity=identity,
            settings=settings,
            fingerprint=fingerprint(chosen),
            table=formats == "csv",
        ) as folder,
        Deciding(chosen, shop=name, settings=settings, beside=settings.concurrency > 1) as deciding,
        _stop_flag() as stopped,
    ):
        asking = Fetcher(AddressPolicy.for_base_url(chosen.base_url), settings=settings)
        with _progress() as show, closing(folder.keeping_answers(asking)) as fetcher:
            crawl = loop.Crawl(
                chosen,
                shop=name,
                frontier=folder.frontier,
                sink=folder,
                fetcher=fetcher,
                settings=settings,
                should_stop=stopped.is_set,
                on_progress=lambda _: show(crawl),
                recall=folder.recall,
                deciding=deciding,
            )
            crawl.seed()
            reason = crawl.run()
        folder.end(reason)
        statistics = Statistics.of(folder.frontier.counts())
        figures = {
            **statistics.to_dict(),
            "seconds": round(time.monotonic() - started, 2),
            "finish_reason": reason,
            "resumed": folder.resumed,
            "unchanged": folder.frontier.counts().get("unchanged", 0),
            "unchanged_photos": folder.frontier.counts().get("unchanged photos", 0),
            "too_deep": folder.too_deep(),
        }
        lost = folder.keep_statistics(figures)
        figures["lost_fields"] = [asdict(one) for one in lost]
    record_prices(out)
    alerts = AlertFile(out).check()
    if as_json or reason != finish.SHOP_DOWN or statistics.pages:
        _print(figures, as_json=as_json)
    _tell(reason, statistics, base_url=chosen.base_url, failure=crawl.last_failure)
    for text in alerts:
        click.echo(f"alert: {text}", err=True)
    for one in lost:
        click.echo(f"advisor: the items lost a field they had: {one}", err=True)
    if reason == finish.SHOP_DOWN:
        ctx.exit(SHOP_DOWN_STATUS)
    if reason == finish.STOPPED:
        ctx.exit(INTERRUPTED_STATUS)
    if not statistics.items:
        ctx.exit(NO_ITEMS_STATUS)


def _asked(others: tuple[str, ...], **flags: Any) -> list[dict[str, Any]]:
    """The settings that the user asks for, the last word last."""
    given: list[dict[str, Any]] = []
    for text in others:
        name, found, value = text.partition("=")
        if not found:
            raise UsageError(f"--set {text!r} is not of the form NAME=VALUE")
        given.append({name.strip(): value.strip()})
    return [{name: value for name, value in flags.items() if value is not None}, *given]


def _tell(reason: str, statistics: Statistics, *, base_url: str, failure: str) -> None:
    """The one sentence on stderr that the figures alone do not tell."""
    from advisor.crawling import finish

    if reason == finish.SHOP_DOWN:
        click.echo(
            f"advisor: {base_url} does not answer ({plain(failure)}); "
            "the same command goes on when it does",
            err=True,
        )
    elif reason in (finish.STOPPED, finish.TIME_BUDGET):
        click.echo(f"advisor: {reason}; the same command goes on from here", err=True)
    elif reason == finish.TOO_FEW_ITEMS:
        click.echo(
            "advisor: ended because it found too few items a minute; "
            "-s min_items_a_minute=0 goes on to the end",
            err=True,
        )
    elif not statistics.items:
        why = ", ".join([*statistics.errors, *statistics.dropped]) or "no product pages found"
        click.echo(f"advisor: {base_url} gave no items ({why})", err=True)


@contextmanager
def _stop_flag() -> Iterator[threading.Event]:
    """A flag that Ctrl-C or SIGTERM sets; a second one ends the program at once."""
    stopped = threading.Event()

    def stop(number: int, _frame: Any) -> None:
        stopped.set()
        signal.signal(number, earlier[number])

    numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
    earlier = {number: signal.getsignal(number) for number in numbers}
    for number in earlier:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextmanager
def _progress() -> Iterator[Callable[[Crawl], None]]:
    """A line a host on stderr with its figures so far; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        tasks: dict[str, Any] = {}
        started = time.monotonic()

        def show(crawl: Crawl) -> None:
            seconds = max(time.monotonic() - started, 0.001)
            for host, of in list(crawl.by_host().items())[:_HOSTS_SHOWN]:
                if host not in tasks:
                    tasks[host] = progress.add_task("")
                progress.update(
                    tasks[host],
                    description=f"{escape(plain(host))}: {of['pages']} pages, {of['items']} items, "
                    f"{of['photos']} photos, {of['errors']} errors, "
                    f"{(of['pages'] + of['photos']) / seconds:.1f}/s",
                )

        yield show


def _print(figures: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(figures, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", show_header=False)
    for name, value in figures.items():
        if name == "lost_fields":
            continue  # told on stderr
        if isinstance(value, dict):
            for reason, count in value.items():
                table.add_row(f"{name}: {reason}", str(count))
        else:
            table.add_row(name.replace("_", " "), str(value))
    Console().print(table)
