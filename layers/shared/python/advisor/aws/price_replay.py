"""The price history of a shop on AWS, made anew from its archived pages.

prices/<shop>/<time>.jsonl   in the data bucket: what a replay was about to change, as it was before

Each product is changed in one transaction, if it is as it was read; what is right already is left.
So a replay that is broken off, or that meets a crawl, is finished by the same command again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client, table
from advisor.aws.remote_archive import download_run, runs_of
from advisor.catalog.price_log import all_sights
from advisor.catalog.prices import VARIANT_SWAP, photos_differ, price_of, replayed
from advisor.catalog.products import PricePoint, Product
from advisor.crawling.folder import ledger_path
from advisor.crawling.ledger import Ledger
from advisor.errors import DataError
from advisor.naming import path_segment

BEFORE: Final = "prices/"
_READERS: Final = 16
_MOST_ACTIONS: Final = 100  # that a transaction of DynamoDB takes
_MEANWHILE: Final = {"ConditionalCheckFailed", "TransactionConflict"}


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A product whose history is another one. price: in minor units, what counts then."""

    product_id: str
    before: Sequence[PricePoint]
    now: Sequence[PricePoint]
    product: Product | None
    price: tuple[int | None, str]


@dataclass
class _Seen:
    """What the pages of a product say today. run_id, priced: of the one that was read last."""

    points: list[PricePoint] = field(default_factory=list)
    images: tuple[str, ...] = ()
    run_id: str = ""
    priced: bool = False


def download_shop(
    bucket: str, shop: str, folder: Path, *, progress: Callable[[int, int], None]
) -> dict[int, str]:
    """Bring all that a shop's runs left into a folder; their ids by number there, oldest first.

    Pages that the folder has already are not fetched again. progress: runs done, of how many.
    Raises: as `runs_of` and `download_run`.
    """
    runs = runs_of(bucket, shop)
    numbers: dict[int, str] = {}
    for done, run_id in enumerate(runs, start=1):
        numbers[download_run(bucket, run_id, folder, finish_reason="")] = run_id
        progress(done, len(runs))
    return numbers


def corrections(
    catalog: CatalogTables, shop: str, folder: Path, runs: Mapping[int, str]
) -> list[Correction]:
    """What is to be changed, by the archive in the folder: products by their ids.

    runs: of `download_shop`. Raises: DataError if a table cannot be read, or a page is missing.
    """
    pages, seen = _read_again(folder, runs)
    try:
        products = {one.product_id: one for one in catalog.all() if one.item.shop == shop}
        known = sorted(products.keys() | seen.keys())
        with ThreadPoolExecutor(_READERS) as readers:
            histories = zip(known, readers.map(catalog.prices, known), strict=True)
            found = (
                _correction(one, before, products.get(one), seen.get(one, _Seen()), pages)
                for one, before in histories
            )
            return [one for one in found if one is not None]
    except (BotoCoreError, ClientError) as error:
        raise DataError(
            f"{catalog.products_table} and {catalog.prices_table} cannot be read ({error}); your "
            "AWS identity needs dynamodb:Scan on the first and dynamodb:Query on the second"
        ) from error


def correct(
    catalog: CatalogTables, bucket: str, shop: str, found: Sequence[Correction], *, now: datetime
) -> list[str]:
    """Change the tables; returns the products that a crawl has changed meanwhile, and that are not.

    What it was before is written to `BEFORE` first.
    Raises: DataError if that or a table cannot be written; what was changed by then is whole.
    """
    if not found:
        return []
    key = f"{BEFORE}{path_segment(shop)}/{now.astimezone(UTC):%Y%m%dT%H%M%S%f}.jsonl"
    try:
        client("s3").put_object(Bucket=bucket, Key=key, Body="".join(map(_line, found)).encode())
        return [one.product_id for one in found if not _change(catalog, one)]
    except (BotoCoreError, ClientError) as error:
        raise DataError(
            f"the prices of {shop} are not all corrected ({error}); your AWS identity needs "
            f"s3:PutObject on s3://{bucket}/{BEFORE}*, dynamodb:PutItem and DeleteItem on "
            f"{catalog.prices_table}, UpdateItem and ConditionCheckItem on "
            f"{catalog.products_table}; the same command goes on"
        ) from error


def _read_again(
    folder: Path, runs: Mapping[int, str]
) -> tuple[set[tuple[str, str]], dict[str, _Seen]]:
    """Run and hash of each archived page, and what they say of each product."""
    with Ledger(ledger_path(folder)) as ledger:
        pages = {(run, page.body) for number, run in runs.items() for page in ledger.pages(number)}
    seen: dict[str, _Seen] = {}
    for sight in all_sights(folder, runs):
        run_id, item = runs[int(sight.run_id)], sight.item
        product = seen.setdefault(item.product_id, _Seen())
        point = price_of(item, run_id=run_id, observed_at=sight.observed_at)
        if point:
            swapped = photos_differ(product.images, item.images)
            product.points.append(replace(point, flag=VARIANT_SWAP if swapped else ""))
        product.images, product.run_id, product.priced = item.images, run_id, point is not None
    return pages, seen


def _correction(
    product_id: str,
    before: Sequence[PricePoint],
    product: Product | None,
    seen: _Seen,
    pages: set[tuple[str, str]],
) -> Correction | None:
    """What is to be changed of a product; None if nothing is."""
    now = replayed(before, seen.points, pages)
    price: tuple[int | None, str] = (None, "")
    if product:
        price = product.item.price_minor, product.item.currency
        if seen.run_id == product.run_id:  # else its last page was not read again
            counting = [one for one in now if one.counts] if seen.priced else []
            price = (counting[-1].price_minor, counting[-1].currency) if counting else (None, "")
    as_it_is = product is None or price == (product.item.price_minor, product.item.currency)
    if as_it_is and list(before) == now:
        return None
    return Correction(product_id=product_id, before=before, now=now, product=product, price=price)


def _line(one: Correction) -> str:
    """What a product's history was, for who needs it back."""
    item = one.product.item if one.product else None
    line = {
        "product_id": one.product_id,
        "price_minor": item.price_minor if item else None,
        "currency": item.currency if item else "",
        "prices": [point.to_dict() for point in one.before],
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def _change(catalog: CatalogTables, one: Correction) -> bool:
    """Change a product's rows; False if one is not as it was read.

    A history of more than a hundred changes takes several transactions, its product's own row the
    last of them.
    """
    actions = [*_point_actions(catalog, one), *_product_action(catalog, one)]
    db = table(catalog.prices_table).meta.client
    for start in range(0, len(actions), _MOST_ACTIONS):
        try:
            db.transact_write_items(TransactItems=actions[start : start + _MOST_ACTIONS])
        except db.exceptions.TransactionCanceledException as error:
            why = {reason["Code"] for reason in error.response.get("CancellationReasons", ())}
            if why & _MEANWHILE:
                return False
            raise
    return True


def _point_actions(catalog: CatalogTables, one: Correction) -> Iterator[dict[str, Any]]:
    before = {point.observed_at: point for point in one.before}
    now = {point.observed_at: point for point in one.now}
    for at, point in now.items():
        if point != before.get(at):
            row = {"product_id": one.product_id} | point.to_dict()
            put = {"TableName": catalog.prices_table, "Item": row}
            yield {"Put": put | _as_read(before.get(at))}
    for at in before.keys() - now.keys():
        key = {"product_id": one.product_id, "observed_at": at}
        yield {"Delete": {"TableName": catalog.prices_table, "Key": key} | _as_read(before[at])}


def _product_action(catalog: CatalogTables, one: Correction) -> Iterable[dict[str, Any]]:
    """The product's price; or that no crawl has stored the product meanwhile."""
    if one.product is None:
        return
    seen = {
        "TableName": catalog.products_table,
        "Key": {"product_id": one.product_id},
        "ConditionExpression": "observed_at = :at",
    }
    values: dict[str, Any] = {":at": one.product.observed_at}
    price, currency = one.price
    if one.price == (one.product.item.price_minor, one.product.item.currency):
        yield {"ConditionCheck": seen | {"ExpressionAttributeValues": values}}
    elif price is None:
        change = {"UpdateExpression": "REMOVE price_minor, currency"}
        yield {"Update": seen | change | {"ExpressionAttributeValues": values}}
    else:
        change = {"UpdateExpression": "SET price_minor = :price, currency = :currency"}
        values |= {":price": price, ":currency": currency}
        yield {"Update": seen | change | {"ExpressionAttributeValues": values}}


def _as_read(point: PricePoint | None) -> dict[str, Any]:
    """The condition that a row says what it said when it was read; or is still not there."""
    if point is None:
        return {"ConditionExpression": "attribute_not_exists(product_id)"}
    conditions = ["price_minor = :was", "currency = :of"]
    values: dict[str, Any] = {":was": point.price_minor, ":of": point.currency}
    if point.state:
        conditions.append("#state = :state")
        values[":state"] = point.state
    else:
        conditions.append("attribute_not_exists(#state)")
    return {
        "ConditionExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": {"#state": "state"},
        "ExpressionAttributeValues": values,
    }
