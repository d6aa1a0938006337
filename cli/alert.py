"""`advisor alert`: who is told of a price, or of stock."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import click

from advisor.errors import DataError, UsageError
from cli.terminal import echo, echo_columns

if TYPE_CHECKING:
    from advisor.catalog.alerts import Alert

_TABLE = "dynamodb://"
_WHERE_HELP = "WHERE is a crawled folder, or dynamodb://TABLE (the output AlertsTable)."


class Alerts(Protocol):
    """Where alerts are kept: a file, or a table."""

    def all(self) -> list[Alert]: ...
    def add(self, alert: Alert) -> None: ...
    def remove(self, alert_id: str) -> None: ...


@click.group("alert", epilog=_WHERE_HELP)
def command() -> None:
    """Be told when a price falls, or when a product is back in stock.

    An alert in a folder is printed by the `advisor crawl` that sees it come true; one on AWS goes
    to the SNS topic AlertsTopicArn. Each move is told once.
    """


@command.command("add", epilog=_WHERE_HELP)
@click.argument("where")
@click.argument("product_id")
@click.option("--below", metavar="PRICE", help='Told at this price or less, as "99.90 EUR".')
@click.option("--percent", type=click.IntRange(1, 99), help="Told when it costs so much less.")
@click.option("--back-in-stock", is_flag=True, help="Told when it can be had again.")
def add(
    where: str, product_id: str, *, below: str | None, percent: int | None, back_in_stock: bool
) -> None:
    """Add an alert on PRODUCT_ID (SHOP:SKU), and print its id.

    \b
    Examples:
      advisor alert add shop harveynorman:S-100 --below "349 EUR"
      advisor alert add shop harveynorman:S-100 --percent 20
      advisor alert add dynamodb://Storage-Alerts harveynorman:S-100 --back-in-stock
    """
    from advisor.catalog.alerts import Alert, Kind
    from advisor.crawling.money import parse_price

    if sum((below is not None, percent is not None, back_in_stock)) != 1:
        raise UsageError("one of --below, --percent and --back-in-stock is needed")
    if not re.fullmatch(r"[^:]+:.+", product_id):
        raise UsageError(f"{product_id!r} is no product; expected SHOP:SKU")
    kind, amount, currency = Kind.BACK_IN_STOCK, 0, ""
    if below is not None:
        money = parse_price(below)
        if money is None:
            raise UsageError(f'--below is {below!r}; expected a price, as "99.90 EUR"')
        kind, amount, currency = Kind.TARGET, money.minor, money.currency
    elif percent is not None:
        kind, amount = Kind.PERCENT, percent
    alert = Alert(
        alert_id=uuid4().hex[:12],
        product_id=product_id,
        kind=kind,
        amount=amount,
        currency=currency,
        armed=kind is not Kind.BACK_IN_STOCK,  # of what is in stock now nobody need be told
    )
    _alerts(where).add(alert)
    echo(alert.alert_id)


@command.command("list", epilog=_WHERE_HELP)
@click.argument("where")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an alert.")
def list_(where: str, *, as_json: bool) -> None:
    """Print the alerts of WHERE.

    \b
    Example:
      advisor alert list shop
    """
    alerts = _alerts(where).all()
    if as_json:
        for one in alerts:
            echo(json.dumps(one.to_dict(), ensure_ascii=False))
    elif alerts:
        echo_columns([(one.alert_id, one.product_id, str(one)) for one in alerts])


@command.command("remove", epilog=_WHERE_HELP)
@click.argument("where")
@click.argument("alert_id")
def remove(where: str, alert_id: str) -> None:
    """Forget an alert of WHERE.

    \b
    Example:
      advisor alert remove shop 3f2a9c01b7de
    """
    _alerts(where).remove(alert_id)


def _alerts(where: str) -> Alerts:
    if where.startswith(_TABLE):
        from advisor.aws.alerts import AlertTable

        return AlertTable(where.removeprefix(_TABLE))
    from advisor.catalog.alert_file import AlertFile

    if not Path(where).is_dir():
        raise DataError(f"{where!r} is no folder; expected one that `advisor crawl` wrote")
    return AlertFile(Path(where))
