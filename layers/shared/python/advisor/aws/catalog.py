"""Products and prices in DynamoDB.

products   product_id -> what the shop's page says now; index by_gtin
prices     product_id, observed_at -> the price from then on (append only; some are quarantined)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from botocore.exceptions import ClientError

from advisor.aws.alerts import AlertTable
from advisor.aws.clients import column, row_key, table
from advisor.aws.rows import get_all, query_all, scan_all
from advisor.catalog.alerts import Seen
from advisor.catalog.gtin import normalise_gtin
from advisor.catalog.prices import judge, photos_differ, price_of
from advisor.catalog.products import PricePoint, Product
from advisor.crawling.items import Item
from advisor.errors import NotFoundError

GTIN_INDEX: Final = "by_gtin"


@dataclass(frozen=True)
class CatalogTables:
    """The products table and the prices table, by name. prices_table: "" where none is needed.

    alerts: told of each product that is stored; None where nobody is.
    """

    products_table: str
    prices_table: str = ""
    alerts: AlertTable | None = None

    def put_item(self, item: Item, *, run_id: str, observed_at: str) -> None:
        """Store what a shop's page says, and its price where that is another one than before.

        A price that is quarantined is appended to the history, and the product keeps the one
        before.
        observed_at: ISO 8601, UTC, always of the same form, since it sorts as text. The same
        call again changes nothing. An older sight never overwrites a newer one. The price goes
        first: when the call breaks off between the two, its repetition finds the rest to do.
        """
        shown = self._record_price(item, run_id=run_id, observed_at=observed_at)
        item = replace(
            item,
            price_minor=shown.price_minor if shown else None,
            currency=shown.currency if shown else "",
        )
        # In one form, so that the index finds it whatever form another shop writes; no other
        # code belongs under that name.
        known = replace(item, gtin=normalise_gtin(item.gtin))
        product = Product(item=known, observed_at=observed_at, run_id=run_id)
        try:
            table(self.products_table).put_item(
                Item=product.to_dict(),
                ConditionExpression=column("product_id").not_exists()
                | column("observed_at").lte(observed_at),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return
        if self.alerts:
            self.alerts.see(item.product_id, Seen.of(item, shown))

    def get(self, product_id: str) -> Product:
        """One product.

        Raises: NotFoundError if there is none of that id.
        """
        row = table(self.products_table).get_item(Key={"product_id": product_id}).get("Item")
        if row is None:
            raise NotFoundError(f"no product {product_id!r}")
        return _product(row)

    def get_many(
        self, product_ids: Iterable[str], *, sleep: Callable[[float], None] = time.sleep
    ) -> dict[str, Product]:
        """The products of these ids; ids that there are not are left out."""
        keys = [{"product_id": one} for one in dict.fromkeys(product_ids)]
        rows = get_all(self.products_table, keys, sleep=sleep)
        return {product.product_id: product for product in map(_product, rows)}

    def known(self, product_ids: Iterable[str]) -> set[str]:
        """Those of the ids that there are products of."""
        keys = [{"product_id": one} for one in dict.fromkeys(product_ids)]
        rows = get_all(self.products_table, keys, projection="product_id")
        return {row["product_id"] for row in rows}

    def all(self) -> Iterator[Product]:
        """Every product. Reads the whole table: to list them anew, never for a request."""
        return map(_product, scan_all(self.products_table))

    def by_gtin(self, gtin: str) -> list[Product]:
        """Every shop's product of a valid GTIN, in any of its forms; none for an invalid one."""
        code = normalise_gtin(gtin)
        if not code:
            return []
        condition = row_key("gtin").eq(code)
        rows = query_all(
            self.products_table, IndexName=GTIN_INDEX, KeyConditionExpression=condition
        )
        return sorted(map(_product, rows), key=lambda product: product.product_id)

    def prices(self, product_id: str) -> list[PricePoint]:
        """The product's price history, oldest first; empty if it never showed a price."""
        condition = row_key("product_id").eq(product_id)
        return [
            _price(row) for row in query_all(self.prices_table, KeyConditionExpression=condition)
        ]

    def _record_price(self, item: Item, *, run_id: str, observed_at: str) -> PricePoint | None:
        """Append the price if it is news; returns the one that counts now, None without any."""
        seen = price_of(item, run_id=run_id, observed_at=observed_at)
        if seen is None:
            return None
        history = list(self._newest_to_counting(item.product_id, observed_at))
        point = judge(history, seen, photos_changed=lambda: self._photos_changed(item))
        if point:
            key = {"product_id": item.product_id}
            table(self.prices_table).put_item(Item=key | point.to_dict())
            history.insert(0, point)
        return next((one for one in history if one.counts), None)

    def _newest_to_counting(self, product_id: str, observed_at: str) -> Iterator[PricePoint]:
        """The product's points not after that time, newest first, to the first that counts."""
        condition = row_key("product_id").eq(product_id) & row_key("observed_at").lte(observed_at)
        rows = query_all(
            self.prices_table,
            KeyConditionExpression=condition,
            ScanIndexForward=False,
            Limit=2,  # a row that counts comes first, or after one that waits
            ConsistentRead=True,
        )
        for row in rows:
            point = _price(row)
            yield point
            if point.counts:
                return

    def _photos_changed(self, item: Item) -> bool:
        try:
            before = self.get(item.product_id).item
        except NotFoundError:
            return False
        return photos_differ(before.images, item.images)


def _product(row: dict[str, Any]) -> Product:
    return Product.from_dict(_plain(row))


def _price(row: dict[str, Any]) -> PricePoint:
    known = {name: row[name] for name in PricePoint.__dataclass_fields__ if name in row}
    return PricePoint(**_plain(known))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """DynamoDB's whole numbers as int: no product or price has a fraction."""
    return {
        name: int(value) if isinstance(value, Decimal) else value for name, value in row.items()
    }
