"""The list of all products that is browsed and searched by words: one SQLite file, read only.

It is made anew from the products every so often, so that no request reads them all.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from advisor.catalog.categories import MappedCategory
from advisor.catalog.names import fold
from advisor.catalog.products import Product
from advisor.errors import DataError, RequestError

MAX_WORDS: Final = 10  # of a question; each is a look-up
MOST_COUNTED: Final = 1_000  # of what is asked for: a count of all would read all
_SCHEMA = """
CREATE TABLE products (
    sort TEXT NOT NULL, product_id TEXT NOT NULL, shop TEXT NOT NULL, category TEXT NOT NULL,
    title TEXT NOT NULL, brand TEXT NOT NULL, price_minor INTEGER, currency TEXT NOT NULL,
    availability TEXT NOT NULL, url TEXT NOT NULL, photo TEXT NOT NULL,
    shop_category TEXT NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(
    text, content='', tokenize='unicode61 remove_diacritics 2', prefix='2 3');
CREATE TABLE categories (category TEXT NOT NULL, products INTEGER NOT NULL, shops TEXT NOT NULL);
"""
_INDEXES = """
CREATE UNIQUE INDEX by_sort ON products (sort, product_id);
CREATE INDEX by_category ON products (category, sort, product_id);
CREATE INDEX by_shop ON products (shop, sort, product_id);
"""
_SHOWN = "product_id, shop, category, shop_category, title, brand, price_minor, currency"
_COLUMNS = f"{_SHOWN}, availability, url, photo"
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked for; "" or None: whatever. words: all of them, the last may be a beginning.

    least_minor, most_minor: in minor units of `currency`, without which they mean nothing.
    cursor: where the page before ended.
    """

    words: str = ""
    category: str = ""
    shop: str = ""
    currency: str = ""
    least_minor: int | None = None
    most_minor: int | None = None
    in_stock: bool = False
    limit: int = 20
    cursor: str = ""


@dataclass(frozen=True)
class Page:
    """Some products, by title. cursor: for the next page; "" at the end.

    count: how many there are on all pages, told with the first one; None beyond MOST_COUNTED.
    """

    products: tuple[dict[str, Any], ...]
    cursor: str
    count: int | None = None


def write_listing(
    path: Path,
    products: Iterable[Product],
    *,
    mapped: Iterable[MappedCategory] = (),
    photos: Mapping[str, str] | None = None,
) -> int:
    """Write the list into a new file; returns how many products it holds.

    mapped: which unified category each shop's is; one that is not mapped is its own. photos: where
    a photo of each product lies, by product id.
    """
    mapped, photos = list(mapped), photos or {}
    unified = {(one.shop, one.category): one.unified for one in mapped}
    counts: dict[str, dict[str, int]] = {}
    number = 0
    with sqlite3.connect(path) as db:
        db.executescript(_SCHEMA)
        for number, product in enumerate(products, start=1):
            item = product.item
            category = unified.get((item.shop, item.category), item.category)
            of_shops = counts.setdefault(category, {})
            of_shops[item.shop] = of_shops.get(item.shop, 0) + 1
            price = item.price_minor if item.price_minor and item.price_minor > 0 else None
            db.execute(
                "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    fold(item.title)[:100],
                    product.product_id,
                    item.shop,
                    category,
                    item.title,
                    item.brand,
                    price,
                    item.currency if price else "",
                    item.availability,
                    item.url,
                    photos.get(product.product_id, ""),
                    item.category,
                ),
            )
            text = " ".join((item.title, item.brand, category, item.gtin, item.mpn, item.id))
            db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (number, text))
        for category, of_shops in counts.items():
            row = (category, sum(of_shops.values()), json.dumps(of_shops, ensure_ascii=False))
            db.execute("INSERT INTO categories VALUES (?, ?, ?)", row)
        db.executescript(_INDEXES)
        db.execute("INSERT INTO words (words) VALUES ('optimize')")
    db.close()
    return number


class Listing:
    """The list in a file that `write_listing` wrote."""

    def __init__(self, path: Path) -> None:
        """Raises: DataError if the file is no such list."""
        try:
            self._db = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            self._db.execute("SELECT count(*) FROM categories")
        except sqlite3.Error as error:
            raise DataError(f"{path} is no list of products: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def find(self, query: Query) -> Page:
        """A page of the products that are asked for.

        Raises: RequestError 400 for a cursor that no page gave, or limits without a currency.
        """
        conditions, values = _conditions(query)
        where = " AND ".join(conditions) or "1"
        rows = self._db.execute(
            f"SELECT sort, {_COLUMNS} FROM products WHERE {where} "  # noqa: S608 (our own words; every value is bound)
            "ORDER BY sort, product_id LIMIT ?",
            (*values, query.limit + 1),
        ).fetchall()
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        return Page(
            tuple({name: row[name] for name in _COLUMNS.split(", ")} for row in shown),
            _cursor(shown[-1]["sort"], shown[-1]["product_id"]) if more else "",
            None if query.cursor else self._count(where, values) if more else len(shown),
        )

    def _count(self, where: str, values: Sequence[Any]) -> int | None:
        [[count]] = self._db.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM products WHERE {where} LIMIT ?)",  # noqa: S608 (our own words; every value is bound)
            (*values, MOST_COUNTED + 1),
        )
        return count if count <= MOST_COUNTED else None

    @cached_property
    def currencies(self) -> tuple[str, ...]:
        """The currencies of its prices, that of most first. Read once: it takes all rows."""
        rows = self._db.execute(
            "SELECT currency FROM products WHERE currency != '' "
            "GROUP BY currency ORDER BY count(*) DESC, currency"
        )
        return tuple(row["currency"] for row in rows)

    def categories(self) -> list[dict[str, Any]]:
        """Each category with the number of its products, in all and by shop; the largest first."""
        rows = self._db.execute("SELECT * FROM categories ORDER BY products DESC, category")
        return [dict(row) | {"shops": json.loads(row["shops"])} for row in rows]


def _conditions(query: Query) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []

    def add(condition: str, *of_it: Any) -> None:
        conditions.append(condition)
        values.extend(of_it)

    if query.cursor:
        add("(sort, product_id) > (?, ?)", *_read_cursor(query.cursor))
    if words := _WORD.findall(fold(query.words))[:MAX_WORDS]:
        match = " ".join(f'"{word}"' for word in words) + "*"
        add("rowid IN (SELECT rowid FROM words WHERE words MATCH ?)", match)
    for column in ("category", "shop"):
        if wanted := getattr(query, column):
            add(f"{column} = ?", wanted)
    if query.in_stock:
        add("availability = 'in_stock'")
    if query.currency:
        add("currency = ?", query.currency)
    for name, sign in (("least_minor", ">="), ("most_minor", "<=")):
        if (limit := getattr(query, name)) is not None:
            if not query.currency:
                raise RequestError(400, f"a price of {limit} without a currency says nothing")
            add(f"price_minor {sign} ?", limit)
    return conditions, values


def _cursor(sort: str, product_id: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort, product_id]).encode()).decode()


def _read_cursor(text: str) -> tuple[str, str]:
    try:
        sort, product_id = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, TypeError) as error:
        raise RequestError(400, f"{text[:50]!r} is no cursor of a page") from error
    if not isinstance(sort, str) or not isinstance(product_id, str):
        raise RequestError(400, f"{text[:50]!r} is no cursor of a page")
    return sort, product_id
