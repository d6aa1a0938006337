"""`advisor crawl why`: whether and why a crawl did or did not fetch an address."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.errors import UsageError
from cli.terminal import plain

if TYPE_CHECKING:
    from advisor.crawling.ledger import Entry, PastCrawl


@click.command("why")
@click.argument("url")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the crawl; one that is running may be asked, too.",
)
@click.option("--remote", is_flag=True, help="Ask the crawls on AWS instead of a folder's.")
@click.option("--shop", default="", help="With --remote: whose crawls. Default: of URL's site.")
@click.option("--stack", default="ProductsAdvisor-Service", help="With --remote: the stack.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(
    url: str, out: Path | None, *, remote: bool, shop: str, stack: str, as_json: bool
) -> None:
    """Tell whether and why URL was or was not fetched.

    \b
    Examples:
      advisor crawl why https://shop.example/product/17 --out shop
      advisor crawl why https://shop.example/product/17 --remote
    """
    from advisor.crawling.messages import KINDS, request_key
    from advisor.crawling.urls import is_web_url
    from advisor.crawling.visits import explain

    if remote == (out is not None):
        raise click.UsageError("Name the crawl's folder with --out, or --remote.")
    if not is_web_url(url):
        raise UsageError(f"{url!r} is no web address; expected one as https://shop.example/p/1")
    keys = [request_key(kind, url) for kind in KINDS]
    entries, crawls = _on_aws(url, keys, shop, stack) if out is None else _in_folder(out, keys)
    sentences = explain(url, entries, crawls)
    if as_json:
        known = [asdict(entry) for entry in entries]
        click.echo(json.dumps({"url": url, "why": sentences, "visits": known}, ensure_ascii=False))
        return
    for sentence in sentences:
        click.echo(plain(sentence))


def _in_folder(out: Path, keys: list[str]) -> tuple[list[Entry], list[PastCrawl]]:
    from advisor.crawling.folder import ledger_path
    from advisor.crawling.ledger import Ledger

    with Ledger(ledger_path(out)) as ledger:
        return [entry for key in keys for entry in ledger.find(key)], ledger.crawls()


def _on_aws(
    url: str, keys: list[str], shop: str, stack: str
) -> tuple[list[Entry], list[PastCrawl]]:
    from advisor.aws.remote_api import api_url_of, archive_bucket_of, outputs_of
    from advisor.aws.remote_archive import find_remote
    from advisor.aws.remote_crawls import RemoteCrawls
    from advisor.crawling.urls import site_of

    outputs = outputs_of(stack)
    site = site_of(url)
    runs = [
        run
        for run in RemoteCrawls(api_url_of(outputs)).all()
        if (run["shop"] == shop if shop else site_of(run["base_url"]) == site)
    ]
    if not runs:
        whose = f"shop {shop!r}" if shop else f"site {site!r}; --shop names the shop of a crawl"
        raise UsageError(f"no crawl is known on AWS of the {whose}")
    return find_remote(archive_bucket_of(stack), runs, keys)
