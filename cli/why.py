"""`advisor crawl why`: whether and why a crawl did or did not fetch an address."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


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
    from advisor.crawling.visits import explain

    with Ledger(ledger_path(out)) as ledger:
        crawls = ledger.crawls()
        entries = [entry for kind in KINDS for entry in ledger.find(request_key(kind, url))]
    sentences = explain(url, entries, crawls)
    if as_json:
        known = [asdict(entry) for entry in entries]
        click.echo(json.dumps({"url": url, "why": sentences, "visits": known}, ensure_ascii=False))
        return
    for sentence in sentences:
        # A shop's text: data for a reader, no orders for a terminal.
        click.echo(
            "".join(
                char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in sentence
            )
        )
