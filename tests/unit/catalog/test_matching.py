from __future__ import annotations

from typing import Any

import pytest

from advisor.catalog.matching import Reason, contradict, group, match
from advisor.crawling.items import Item

GTIN, OTHER_GTIN = "4006381333931", "9521234567899"


def item(title: str, shop: str = "one", **more: Any) -> Item:
    sku = more.pop("id", title)
    return Item(id=sku, title=title, category="things", description="-", shop=shop, **more)


def reason(one: Item, other: Item, photo: float | None = 0.95) -> Reason | None:
    found, back = (match(*pair, photo_similarity=photo) for pair in ((one, other), (other, one)))
    assert found == back
    return found.reason if found else None


def test_an_equal_gtin_tells_the_same_product_whatever_the_names() -> None:
    one = item("Wireless Optical Mouse", gtin=GTIN)
    other = item("Logitech M185 Maus", "two", gtin=f"0{GTIN}", brand="Logitech")
    assert reason(one, other, photo=0.1) is Reason.GTIN


def test_two_valid_gtins_are_two_products_however_alike() -> None:
    one, other = item("Tripod", gtin=GTIN), item("Tripod", "two", gtin=OTHER_GTIN)
    assert reason(one, other, photo=1.0) is None


def test_a_gtin_with_a_wrong_check_digit_says_nothing() -> None:
    wrong = GTIN[:-1] + "2"
    one, other = item("Hand Trowel", gtin=GTIN), item("Hand Trowel", "two", gtin=wrong)
    assert reason(one, other) is Reason.NAME
    assert reason(item("Tent", gtin=wrong), item("Aloe Vera", "two", gtin=wrong)) is None


def test_brand_and_part_number_tell_the_same_product() -> None:
    one = item("32-Inch Monitor", brand="Samsung", mpn="LU32J590UQUXEN")
    other = item("UHD display UJ59", "two", brand="SAMSUNG", mpn="lu32j590-uquxen")
    assert reason(one, other, photo=None) is Reason.MPN


@pytest.mark.parametrize(
    ("brand", "mpn", "expected"),
    [
        ("Canon", "AF-50", None),
        ("Nikon", "AF-85", None),
        ("Nikon", "AF-50/EU", Reason.NAME),  # a country's suffix
        ("Nikon", "1", Reason.NAME),  # no part number
        ("Nikkon", "", Reason.NAME),
    ],
)
def test_another_brand_or_part_number_is_another_product(
    brand: str, mpn: str, expected: Reason | None
) -> None:
    one = item("Camera Lens", brand="Nikon", mpn="AF-50")
    assert reason(one, item("Camera Lens", "two", brand=brand, mpn=mpn)) is expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Grey Fabric Sofa", "Sofa, grey fabric"),
        ("Grey Fabric Sofa", "Gray fabric sofa"),
        ("Clacky Keyboard", "Corsair Clacky Keyboard"),
        ("32-Inch Monitor", "Monitor 32 inch"),
        ("Gaming PC i7-8700 240GB SSD", "SSD 240 GB Gaming PC, i7 8700"),
        ("Allstar Sneakers", "Allstar Sneaker"),
        ("Men's Café Chair", "Mens cafe chair"),
        ("Bottle 0,5 l", "Bottle 500 ml"),
    ],
)
def test_other_words_for_one_name_match_with_the_same_photo(one: str, other: str) -> None:
    assert reason(item(one), item(other, "two", brand="Corsair")) is Reason.NAME


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Grey Fabric Sofa", "Leather Sofa"),
        ("Compact Digital Camera", "Compact SLR Camera"),
        ("Freerun Running Shoe", "RunX Running Shoe"),
        ("Laptop", "Laptop Sleeve"),
        ("Tablet 32GB", "Tablet 128GB"),
        ("Tablet", "Tablet 128GB"),
        ("Laptop 13 inch 8GB", "Laptop 13 inch 16GB"),
        ("Modern Cafe Chair mint", "Modern Cafe Chair mustard"),
        ("Shirt blue L", "Shirt blue XL"),
        ("Shirt blue", "Shirt red"),
        ("Mouse M185", "Mouse M186"),
        ("Hard Drive 1TB", "Hard Drive 100GB"),
        ("!!!", "???"),
    ],
)
def test_variants_and_neighbours_do_not_match_even_with_the_same_photo(
    one: str, other: str
) -> None:
    assert reason(item(one), item(other, "two"), photo=1.0) is None


def test_the_same_name_with_another_photo_does_not_match() -> None:
    assert reason(item("Tripod"), item("Tripod", "two"), photo=0.6) is None
    assert reason(item("Tripod"), item("Tripod", "two"), photo=0.8) is Reason.NAME


def test_one_more_word_needs_the_same_photo() -> None:
    one, other = item("Wooden Side Desk"), item("Wooden Side Desk Oak", "two")
    assert reason(one, other, photo=0.95) is Reason.NAME
    assert reason(one, other, photo=0.85) is None
    assert reason(one, other, photo=None) is None


def test_without_photos_only_equal_names_match() -> None:
    assert reason(item("Bonsai Tree"), item("Tree, bonsai", "two"), photo=None) is Reason.NAME


def test_what_one_shop_sells_apart_stays_apart() -> None:
    red, blue = item("Shirt red", gtin=GTIN), item("Shirt blue", gtin=GTIN)
    assert contradict(red, blue)
    assert reason(item("Tent", id="1"), item("Tent", id="2")) is None
    assert reason(item("Tent", id="1", gtin=GTIN), item("Tent", id="2", gtin=GTIN)) is Reason.GTIN


def test_groups_take_the_surest_match_first_and_one_offer_a_shop() -> None:
    items = [item("Tablet", id="a"), item("Tablet", "two", id="b"), item("Tablet", "two", id="c")]
    similarity = {(0, 1): 0.91, (0, 2): 0.99, (1, 2): 0.91}
    groups = group(items, photo_similarity=lambda *pair: similarity[pair])
    assert groups == [([0, 2], Reason.NAME), ([1], None)]


def test_a_group_never_holds_two_gtins_by_way_of_a_third_offer() -> None:
    items = [
        item("Orchid", "one", gtin=GTIN),
        item("Orchid", "two"),
        item("Orchid", "three", gtin=OTHER_GTIN),
    ]
    groups = group(items, photo_similarity=lambda *_: 0.95)
    assert groups == [([0, 1], Reason.NAME), ([2], None)]


def test_a_group_tells_its_weakest_reason() -> None:
    items = [
        item("Orchid", "one", gtin=GTIN),
        item("White orchid in a pot", "two", gtin=GTIN),
        item("Orchid", "three"),
    ]
    groups = group(items, photo_similarity=lambda *_: 0.95)
    assert groups == [([0, 1, 2], Reason.NAME)]
