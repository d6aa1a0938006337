"""`advisor crawl why`: whether and why a crawl did or did not fetch an address."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from advisor.errors import UsageError
from cli.terminal import plain


@click.command("why")
@click.argument("url")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the crawl; one that is running may be asked, too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(url: str, out: Path, *, as_json: bool) -> None:
    """Tell whether and why URL was or was not fetched.

    \b
    Example:
      advisor crawl why https://shop.example/product/17 --out shop
    """
    from advisor.crawling.folder import ledger_path
    from advisor.crawling.ledger import Ledger
    from advisor.crawling.messages import KINDS, request_key
    from advisor.crawling.urls import is_web_url
    from advisor.crawling.visits import explain

    if not is_web_url(url):
        raise UsageError(f"{url!r} is no web address; expected one as https://shop.example/p/1")
    with Ledger(ledger_path(out)) as ledger:
        crawls = ledger.crawls()
        entries = [entry for kind in KINDS for entry in ledger.find(request_key(kind, url))]
    sentences = explain(url, entries, crawls)
    if as_json:
        known = [asdict(entry) for entry in entries]
        click.echo(json.dumps({"url": url, "why": sentences, "visits": known}, ensure_ascii=False))
        return
    for sentence in sentences:
        click.echo(plain(sentence))
