"""`advisor spider`: try a spider on one page before it crawls."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.errors import DataError, FetchError, RobotsDisallowedError, UsageError
from cli.terminal import plain

if TYPE_CHECKING:
    from advisor.crawling.messages import Page
    from advisor.crawling.spiders.base import Spider

_SHOWN_LINKS = 20


@click.group()
def command() -> None:
    """Try spiders on single pages.

    \b
    Example:
      advisor spider preview shop.yaml https://shop.example/p/1
    """


@command.command()
@click.argument("spider", metavar="FILE")
@click.argument("url", metavar="URL")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def preview(*, spider: str, url: str, as_json: bool) -> None:
    """Show what a spider extracts from one page: items, what they miss, links.

    FILE is a spider in YAML, or the name of a built-in one. URL is a web address, fetched once
    if robots.txt allows it, or a page saved as .html. Nothing is stored.

    \b
    Examples:
      advisor spider preview shop.yaml https://shop.example/p/1
      advisor spider preview shop.yaml saved.html --json
    """
    from advisor.crawling.spiders.registry import GENERIC, open_spider
    from advisor.crawling.urls import is_web_url, origin_of

    online = is_web_url(url)
    anywhere = origin_of(url) if online else "https://shop.example"
    chosen = open_spider(spider, anywhere if spider in GENERIC else "")
    page = _fetched(url, chosen) if online else _saved(Path(url), chosen)
    found = _look(chosen, page)
    if as_json:
        click.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        _show(found)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What a spider makes of a page. items: each with what it misses, and why it is dropped."""

    url: str
    items: list[dict[str, Any]]
    links: list[str]
    other_links: int
    problems: list[str]

    def to_dict(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "items": self.items,
            "links": self.links,
            "links_to_other_sites": self.other_links,
            "problems": self.problems,
        }


def _look(spider: Spider, page: Page) -> _Found:
    from advisor.crawling.crawl_settings import CrawlSettings
    from advisor.crawling.decide import Site
    from advisor.crawling.items import SET_BY_THE_CRAWL, Item
    from advisor.crawling.stages import Dropped, run_stages

    parsed = spider.parse(page)
    items = []
    for raw in parsed.items:
        item = run_stages(raw, spider.stages)
        kept = raw if isinstance(item, Dropped) else item
        told = kept.to_dict()
        missing = [
            name for name in Item.__dataclass_fields__ if name not in (*told, *SET_BY_THE_CRAWL)
        ]
        missing += [name for name, value in told.items() if not value]
        dropped = item.reason if isinstance(item, Dropped) else ""
        items.append({"item": told, "missing": sorted(missing), "dropped": dropped})
    settings = CrawlSettings().with_overrides(spider.settings)
    site = Site(spider.base_url, settings.allowed_hosts)
    links = [url for url in parsed.requests if site.holds(url)]
    return _Found(
        url=page.url,
        items=items,
        links=links,
        other_links=len(parsed.requests) - len(links),
        problems=list(parsed.problems),
    )


def _saved(path: Path, spider: Spider) -> Page:
    from advisor.crawling.messages import Response

    try:
        body = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; expected a web address or a saved page"
        ) from error
    return Response(url=spider.start_urls[0], status=200, body=body).page()


def _fetched(url: str, spider: Spider) -> Page:
    from advisor.crawling.addresses import AddressPolicy
    from advisor.crawling.crawl_settings import CrawlSettings
    from advisor.crawling.fetch import Fetcher, fetch_following
    from advisor.crawling.messages import Request
    from advisor.crawling.robots import read_robots
    from advisor.crawling.urls import origin_of

    settings = CrawlSettings().with_overrides(spider.settings)
    fetcher = Fetcher(AddressPolicy.for_base_url(url), settings=settings)
    try:
        asked = Request(f"{origin_of(url)}/robots.txt", "robots")
        robots = read_robots(fetch_following(fetcher, asked))
        if not robots.allows(url):
            raise RobotsDisallowedError(f"robots.txt asks not to fetch {url}", reason="robots")
        response = fetch_following(fetcher, Request(url))
    finally:
        fetcher.close()
    if response.status != 200:
        raise FetchError(f"{response.url} answered {response.status}")
    if response.content_type not in ("", "text/html", "application/xhtml+xml"):
        raise UsageError(f"{response.url} is {response.content_type}, no page")
    return response.page()


def _show(found: _Found) -> None:
    click.echo(found.url)
    for number, one in enumerate(found.items, 1):
        click.echo(f"\nitem {number}" + (f" (dropped: {one['dropped']})" if one["dropped"] else ""))
        for name, value in one["item"].items():
            for text in value if isinstance(value, list) else [value]:
                click.echo(f"  {name:13} {plain(text)}")
        click.echo(f"  {'missing':13} {', '.join(one['missing']) or '-'}")
    if not found.items:
        click.echo("\nno items: nothing on the page has a title or an id")
    click.echo(f"\n{len(found.links)} links to follow, {found.other_links} to other sites")
    for url in found.links[:_SHOWN_LINKS]:
        click.echo(f"  {plain(url)}")
    if len(found.links) > _SHOWN_LINKS:
        click.echo(f"  and {len(found.links) - _SHOWN_LINKS} more")
    for problem in found.problems:
        click.echo(f"\nproblem: {plain(problem)}")
