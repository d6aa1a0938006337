"""What each demo shop sells: the goods as the catalogue has them, and each shop's offer of them.

All differences between the shops follow from a good's SKU or its position in the catalogue,
so that every run shows the same two shops.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from advisor.errors import DataError
from examples.shops.goods import CATALOGUE, PHOTOS

CURRENCY = "EUR"
# A shop's own words for the catalogue's categories, with the characters that trip up paths.
CATEGORY_NAMES = {
    "Computers": "computers & tablets",
    "Photo": "cameras & photo",
    "Equipment": "sports equipment",
    "Footwear": "shoes",
    "Plants": "plants",
    "Furniture": "furniture",
}


@dataclass(frozen=True, kw_only=True)
class Good:
    """One line of the catalogue. position: its place there, from 0."""

    position: int
    name: str
    slug: str
    description: str
    photo: Path
    department: str
    category: str
    brand: str
    sku: str
    price_minor: int


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A good as one shop sells it; empty text where the shop does not say."""

    good: Good
    sku: str
    title: str
    price_minor: int
    in_stock: bool
    gtin: str
    mpn: str


def read_goods(folder: Path) -> list[Good]:
    """The goods of a folder made by `fetch_goods` (of a product's variants, the first).

    Raises: DataError if the catalogue, a column, a value or a photo is missing.
    """
    path = folder / CATALOGUE
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = [_stripped(row) for row in csv.DictReader(lines, skipinitialspace=True)]
    except FileNotFoundError as error:
        raise DataError(f"no {path}; fetch it: python -m examples.shops.goods") from error
    named = [row for row in rows if row.get("name")]
    if not named:
        raise DataError(f"{path} lists no goods")
    try:
        goods = [_good(at, row, folder) for at, row in enumerate(named)]
    except (LookupError, ArithmeticError) as error:
        raise DataError(f"{path} is not the goods' catalogue: {error!r}") from error
    if missing := [good.photo for good in goods if not good.photo.is_file()]:
        raise DataError(f"{path} names {missing[0].name}, which is not there")
    return goods


def offers_of_shop_one(goods: list[Good]) -> list[Offer]:
    """Shop one: the catalogue's names, SKUs and prices; one good in thirteen is not sold."""
    return [
        Offer(
            good=good,
            sku=good.sku,
            title=good.name,
            price_minor=good.price_minor,
            in_stock=good.position % 11 != 5,
            gtin=gtin13(good.sku) if good.position % 2 == 0 else "",
            mpn=_mpn(good) if good.position % 4 == 1 else "",
        )
        for good in goods
        if good.position % 13 != 7
    ]


def offers_of_shop_two(goods: list[Good]) -> list[Offer]:
    """Shop two: its own names, SKUs and prices; one good in nine is not sold.

    It tells the same GTIN and MPN as shop one, so that half of the goods can be matched by
    GTIN, some by brand and MPN, and the others only by name and photo.
    """
    return [
        Offer(
            good=good,
            sku=f"N-{_number(good.sku, 'sku') % 900_000 + 100_000}",
            title=_other_name(good),
            price_minor=_other_price(good),
            in_stock=good.position % 12 != 3,
            gtin=gtin13(good.sku) if good.position % 2 == 0 else "",
            mpn=_mpn(good) if good.position % 4 == 1 else "",
        )
        for good in goods
        if good.position % 9 != 4
    ]


def categories(offers: list[Offer]) -> dict[str, list[str]]:
    """The categories of each department, in the order of the catalogue."""
    tree: dict[str, list[str]] = {}
    for offer in offers:
        names = tree.setdefault(offer.good.department, [])
        if offer.good.category not in names:
            names.append(offer.good.category)
    return tree


def slug(text: str) -> str:
    """Lower-case words joined by hyphens, for a URL."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def gtin13(sku: str) -> str:
    """A GTIN-13 for the SKU, under GS1's prefix for examples (952), with its check digit."""
    digits = f"952{_number(sku, 'gtin') % 10**9:09d}"
    weighted = sum(int(digit) * (1, 3)[at % 2] for at, digit in enumerate(digits))
    return f"{digits}{-weighted % 10}"


def _mpn(good: Good) -> str:
    return f"{good.brand[:2].upper()}{_number(good.sku, 'mpn') % 10**6:06d}" if good.brand else ""


def _other_name(good: Good) -> str:
    if good.brand:
        return f"{good.brand} {good.name}"
    *first, last = good.name.split()
    return f"{last}, {' '.join(first).lower()}" if first else good.name


def _other_price(good: Good) -> int:
    """10 % cheaper to 10 % dearer, never the same, ending in 9 cents."""
    percent = _number(good.sku, "price") % 21 - 10 or 4
    near = good.price_minor * (100 + percent) // 100
    price = near - near % 10 + 9
    return price if price != good.price_minor else price + 10


def _number(sku: str, purpose: str) -> int:
    digest = hashlib.sha256(f"{purpose}:{sku}".encode()).digest()
    return int.from_bytes(digest[:6], "big")


def _good(position: int, row: dict[str, str], folder: Path) -> Good:
    facets = [facet.partition(":")[::2] for facet in row["facets"].split("|")]
    names = [value for key, value in facets if key == "category"]
    department, category = names[0], names[-1]
    return Good(
        position=position,
        name=row["name"],
        slug=row["slug"],
        description=row["description"],
        photo=folder / PHOTOS / row["assets"].split("|")[0],
        department=department,
        category=CATEGORY_NAMES.get(category, category.lower()),
        brand=next((value for key, value in facets if key == "brand"), ""),
        sku=row["sku"],
        price_minor=int(Decimal(row["price"]) * 100),
    )


def _stripped(row: dict[str, str]) -> dict[str, str]:
    """The catalogue pads its cells, and its column names, with spaces."""
    return {key.strip(): (value or "").strip() for key, value in row.items() if key}
