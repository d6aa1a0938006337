from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.catalog.categories import map_categories
from advisor.catalog.listing import Listing, Query, write_listing
from advisor.catalog.products import Product
from advisor.crawling.items import Item
from advisor.errors import DataError, RequestError


def product(title: str, shop: str = "one", **more: Any) -> Product:
    defaults: dict[str, Any] = {"id": title, "category": "things", "description": "-"}
    return Product(item=Item(title=title, shop=shop, **(defaults | more)))


GOODS = [
    product("Grey Fabric Sofa", category="sofas", price_minor=89900, currency="EUR",
            availability="in_stock"),
    product("Café Chair", category="chairs", price_minor=4900, currency="EUR", brand="Vitra",
            availability="out_of_stock"),
    product("Balloon chair", "two", category="chairs", price_minor=5000, currency="CHF"),
    product("Leather Sofa", "two", category="sofas", price_minor=129900, currency="EUR"),
    product("Lamp", "two", price_minor=0, currency="EUR"),
]  # fmt: skip


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    write_listing(tmp_path / "list.sqlite", GOODS, photos={"one:Café Chair": "images/1.jpg"})
    return Listing(tmp_path / "list.sqlite")


def titles(listing: Listing, **query: Any) -> list[str]:
    return [one["title"] for one in listing.find(Query(**query)).products]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["Balloon chair", "Café Chair", "Grey Fabric Sofa", "Lamp", "Leather Sofa"]),
        ({"words": "sofa"}, ["Grey Fabric Sofa", "Leather Sofa"]),
        ({"words": "SOFA grey"}, ["Grey Fabric Sofa"]),
        ({"words": "cafe"}, ["Café Chair"]),
        ({"words": "vitra"}, ["Café Chair"]),
        ({"words": "lea"}, ["Leather Sofa"]),
        ({"words": "lea sofa"}, []),  # only the last word may be a beginning
        ({"words": "tent"}, []),
        ({"category": "chairs"}, ["Balloon chair", "Café Chair"]),
        ({"shop": "two", "words": "chair"}, ["Balloon chair"]),
        ({"in_stock": True}, ["Grey Fabric Sofa"]),
        ({"currency": "EUR", "most_minor": 89900}, ["Café Chair", "Grey Fabric Sofa"]),
        ({"currency": "EUR", "least_minor": 5000}, ["Grey Fabric Sofa", "Leather Sofa"]),
        ({"currency": "CHF"}, ["Balloon chair"]),
    ],
)
def test_finds_by_words_category_shop_price_and_stock(
    listing: Listing, query: dict[str, Any], expected: list[str]
) -> None:
    assert titles(listing, **query) == expected


def test_a_product_is_shown_with_its_price_and_photo(listing: Listing) -> None:
    [found] = listing.find(Query(words="vitra")).products
    assert found == {
        "product_id": "one:Café Chair", "shop": "one", "category": "chairs",
        "shop_category": "chairs", "title": "Café Chair", "brand": "Vitra", "price_minor": 4900,
        "currency": "EUR", "availability": "out_of_stock", "url": "", "photo": "images/1.jpg",
    }  # fmt: skip


@pytest.mark.parametrize("price", [0, -5])
def test_a_price_of_nothing_or_less_is_none(tmp_path: Path, price: int) -> None:
    write_listing(tmp_path / "l", [product("Lamp", price_minor=price, currency="EUR")])
    [found] = Listing(tmp_path / "l").find(Query()).products
    assert (found["price_minor"], found["currency"]) == (None, "")


def test_pages_follow_each_other_by_their_cursor(listing: Listing) -> None:
    seen, cursor = [], ""
    for _ in range(9):
        page = listing.find(Query(limit=2, cursor=cursor))
        seen += [one["title"] for one in page.products]
        cursor = page.cursor
        if not cursor:
            break
    assert seen == titles(listing)


def test_the_first_page_tells_how_many_there_are(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listing.find(Query()).count == len(GOODS)
    assert listing.find(Query(words="sofa", limit=1)).count == 2
    assert listing.find(Query(words="nothing")).count == 0
    cursor = listing.find(Query(limit=2)).cursor
    assert listing.find(Query(limit=2, cursor=cursor)).count is None
    monkeypatch.setattr("advisor.catalog.listing.MOST_COUNTED", 4)
    assert listing.find(Query(limit=2)).count is None
    assert listing.find(Query(shop="two", limit=1)).count == 3


def test_the_currencies_of_its_prices_are_known_the_most_used_first(listing: Listing) -> None:
    assert listing.currencies == ("EUR", "CHF")


def test_a_cursor_goes_on_in_a_list_that_was_made_since(listing: Listing, tmp_path: Path) -> None:
    cursor = listing.find(Query(limit=2)).cursor
    write_listing(tmp_path / "new", [product("Aloe"), *GOODS[2:]])
    assert titles(Listing(tmp_path / "new"), cursor=cursor)[0] == "Lamp"


@pytest.mark.parametrize("cursor", ["x", "WzFd", "W10=", "e30=", "\udcff"])
def test_a_cursor_that_no_page_gave_is_refused(listing: Listing, cursor: str) -> None:
    with pytest.raises(RequestError, match="no cursor") as error:
        listing.find(Query(cursor=cursor))
    assert error.value.status == 400


def test_a_price_without_a_currency_is_refused(listing: Listing) -> None:
    with pytest.raises(RequestError, match="without a currency"):
        listing.find(Query(most_minor=100))


def test_shops_categories_are_listed_under_the_unified_ones(tmp_path: Path) -> None:
    mapped = map_categories((), {("one", "sofas"): "furniture", ("two", "sofas"): "furniture"})
    write_listing(tmp_path / "l", GOODS, mapped=mapped)
    listing = Listing(tmp_path / "l")
    assert listing.categories() == [
        {"category": "chairs", "products": 2, "shops": {"one": 1, "two": 1}},
        {"category": "furniture", "products": 2, "shops": {"one": 1, "two": 1}},
        {"category": "things", "products": 1, "shops": {"two": 1}},
    ]
    assert titles(listing, category="furniture") == ["Grey Fabric Sofa", "Leather Sofa"]


def test_names_with_markup_or_scripts_are_kept_as_text(tmp_path: Path) -> None:
    name = '<script>alert(1)</script> "; DROP TABLE products; -- Chair'
    write_listing(tmp_path / "l", [product(name)])
    assert titles(Listing(tmp_path / "l"), words="alert drop chair") == [name]


def test_two_shops_with_one_sku_are_two_products(tmp_path: Path) -> None:
    write_listing(tmp_path / "l", [product("Chair", id="1"), product("Lamp", "two", id="1")])
    found = Listing(tmp_path / "l").find(Query()).products
    assert [one["product_id"] for one in found] == ["one:1", "two:1"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(max_size=40))
def test_any_words_can_be_asked_for(listing: Listing, words: str) -> None:
    assert len(titles(listing, words=words)) <= len(GOODS)


def test_a_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b"no database")
    for path in (tmp_path / "l", tmp_path / "none"):
        with pytest.raises(DataError, match="no list of products"):
            Listing(path)
