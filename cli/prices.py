"""`advisor prices`: the price history of a crawled folder, and its replay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.errors import AdvisorError, NotFoundError
from cli.terminal import echo, echo_columns, price_text, working

if TYPE_CHECKING:
    from advisor.catalog.products import PricePoint

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group("prices")
def command() -> None:
    """Show and replay the price history that crawls leave in DIR/prices.jsonl."""


@command.command("show")
@click.argument("folder", type=_FOLDER)
@click.argument("product_id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a point.")
def show(folder: Path, product_id: str, *, as_json: bool) -> None:
    """Print each price of PRODUCT_ID (SHOP:SKU), oldest first.

    \b
    Example:
      advisor prices show shop harveynorman:S-100
    """
    from advisor.catalog.price_log import PriceLog

    points = PriceLog.read(folder).points(product_id)
    if not points:
        raise NotFoundError(f"{folder} knows no price of a product {product_id!r}")
    if as_json:
        for point in points:
            echo(json.dumps(asdict(point), ensure_ascii=False))
        return
    echo_columns([_row(point) for point in points], right=(1,))


@command.command("replay")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--remote", is_flag=True, help="FOLDER is the name of a shop on AWS.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --remote: the folder to download its archived pages into.",
)
@click.option("--stack", default="ProductsAdvisor-Service", help="With --remote: the stack.")
def replay(folder: Path, *, remote: bool, out: Path | None, stack: str) -> None:
    """Make the history of FOLDER anew from its archived pages, as they are read today.

    For when a spider or the parser read prices wrongly and is right now. Nothing is fetched from
    the shop; the history of before stays as prices.before-replay.jsonl.

    On AWS the pages that --out does not have yet are downloaded, and the tables are corrected, a
    product at a time; what they said before stays in the data bucket, under prices/. The same
    command again goes on where one was stopped, and else changes nothing.

    \b
    Examples:
      advisor prices replay shop
      advisor prices replay harveynorman --remote --out archive
    """
    from advisor.catalog.price_log import replay as make_anew

    if remote != (out is not None):
        raise click.UsageError("--remote and --out belong together.")
    if out is not None:
        _replay_on_aws(str(folder), out, stack)
        return
    if not folder.is_dir():
        raise click.UsageError(f"{folder} is no folder; a shop on AWS is asked for by --remote.")
    before, now = make_anew(folder)
    known = sorted(before.lines.keys() | now.lines.keys())
    count = sum(_tell(one, before.points(one), now.points(one)) for one in known)
    prices = sum(map(len, now.lines.values()))
    click.echo(f"{prices} prices of {len(now.lines)} products, {count} changed", err=True)


def _replay_on_aws(shop: str, out: Path, stack: str) -> None:
    from advisor.aws.catalog import CatalogTables
    from advisor.aws.price_replay import correct, corrections, download_shop
    from advisor.aws.stacks import stack_outputs, storage_stack_of

    outputs = stack_outputs(storage_stack_of(stack))
    catalog = CatalogTables(outputs["ProductsTable"], outputs["PricesTable"])
    bucket = outputs["DataBucket"]
    with working() as (_, progress):
        runs = download_shop(
            bucket, shop, out, progress=lambda done, total: progress("crawls", done, total)
        )
    found = corrections(catalog, shop, out, runs)
    count = sum(_tell(one.product_id, one.before, one.now) for one in found)
    left = correct(catalog, bucket, shop, found, now=datetime.now(UTC))
    click.echo(
        f"{len(runs)} crawls, {len(found) - len(left)} products corrected, {count} prices changed",
        err=True,
    )
    if left:
        raise AdvisorError(
            f"{len(left)} products, as {left[0]}, were changed by a crawl meanwhile; "
            "the same command again corrects them"
        )


def _tell(product_id: str, before: Sequence[PricePoint], now: Sequence[PricePoint]) -> int:
    """Print what changed of a product; how many lines."""
    from advisor.catalog.price_log import changed

    rows = list(changed(before, now))
    for at, old, new in rows:
        echo(f"{product_id}  {at}  {old or 'no price'} -> {new or 'no price'}")
    return len(rows)


def _row(point: PricePoint) -> tuple[str, ...]:
    return (
        point.observed_at,
        price_text(point.price_minor, point.currency),
        point.availability.replace("_", " "),
        " ".join(filter(None, (point.state, point.flag and f"({point.flag}?)"))),
        repr(point.text),
    )
