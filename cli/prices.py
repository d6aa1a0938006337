"""`advisor prices`: the price history of a crawled folder, and its replay."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.errors import NotFoundError
from cli.terminal import echo, echo_columns, price_text

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
@click.argument("folder", type=_FOLDER)
def replay(folder: Path) -> None:
    """Make the history of FOLDER anew from its archived pages, as they are read today.

    For when a spider or the parser read prices wrongly and is right now. Nothing is fetched; the
    history of before stays as prices.before-replay.jsonl.

    \b
    Example:
      advisor prices replay shop
    """
    from advisor.catalog.price_log import changed
    from advisor.catalog.price_log import replay as make_anew

    before, now = make_anew(folder)
    rows = list(changed(before, now))
    for product_id, at, old, new in rows:
        echo(f"{product_id}  {at}  {old or 'no price'} -> {new or 'no price'}")
    count = sum(map(len, now.lines.values()))
    click.echo(f"{count} prices of {len(now.lines)} products, {len(rows)} changed", err=True)


def _row(point: PricePoint) -> tuple[str, ...]:
    return (
        point.observed_at,
        price_text(point.price_minor, point.currency),
        point.availability.replace("_", " "),
        " ".join(filter(None, (point.state, point.flag and f"({point.flag}?)"))),
        repr(point.text),
    )
