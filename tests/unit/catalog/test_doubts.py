"""Which pairs of offers a person is asked about."""

from __future__ import annotations

from typing import Any

import numpy as np

from advisor.catalog import doubts
from advisor.catalog.doubts import Doubt, ProductPhoto, alike, find_doubts
from advisor.catalog.pins import pins_of
from advisor.catalog.products import Product
from advisor.crawling.items import Item

GTIN = "4006381333931"


def product(title: str, shop: str, **more: Any) -> Product:
    fields = {"id": title, "category": "things", "description": "-"} | more
    return Product(item=Item(title=title, shop=shop, **fields))


def photo(image_id: str, *direction: float) -> ProductPhoto:
    embedding = np.array(direction, dtype=np.float32) if direction else None
    return ProductPhoto(f"images/{image_id}", image_id, embedding)


def found(*products: Product, photos: dict[str, ProductPhoto] | None = None) -> list[Doubt]:
    photos = photos or {}
    images = {known: one.image_id for known, one in photos.items()}
    return find_doubts(alike(products, images), photos, {})


def groups(*products: Product, images: dict[str, str] | None = None) -> set[frozenset[str]]:
    return {frozenset(one.product_id for one in group) for group in alike(products, images)}


def test_products_that_share_a_code_a_name_or_a_photo_are_alike() -> None:
    assert groups(
        product("Tent", "one", gtin=GTIN),
        product("Zelt", "two", gtin="0" + GTIN),
        product("Big tent, red", "three"),
        product("Red big tent", "four"),
        product("a", "five", brand="Acme", mpn="X-100"),
        product("b", "six", brand="ACME", mpn="x100"),
        product("Fern", "seven"),
        product("Plant", "eight"),
        images={"seven:Fern": "i", "eight:Plant": "i"},
    ) == {
        frozenset({"one:Tent", "two:Zelt"}),
        frozenset({"three:Big tent, red", "four:Red big tent"}),
        frozenset({"five:a", "six:b"}),
        frozenset({"seven:Fern", "eight:Plant"}),
    }


def test_one_shops_products_and_a_name_of_many_are_not_compared() -> None:
    assert groups(product("Tent", "one", id="1"), product("Tent", "one", id="2")) == set()
    many = [product("Tent", f"s{number}") for number in range(doubts.MOST_ALIKE + 1)]
    assert groups(*many) == set()
    assert len(groups(*many[1:])) == 1


def test_the_likeliest_pairs_come_first_each_once_in_the_order_of_their_ids() -> None:
    pairs = found(
        product("Office chair", "two", gtin=GTIN),
        product("Tent", "one", gtin=GTIN),
        product("Garden chair", "four"),
        product("Garden chair", "three"),
    )
    assert [(one.one, one.other, one.reason) for one in pairs] == [
        ("four:Garden chair", "three:Garden chair", "name"),
        ("one:Tent", "two:Office chair", "gtin"),
    ]
    assert pairs[1].why == "names differ"
    assert pairs[0].score > pairs[1].score


def test_what_is_sure_is_no_doubt() -> None:
    tents = product("Family tent", "one", gtin=GTIN), product("Family tent", "two", gtin=GTIN)
    assert found(*tents) == []


def test_the_same_bytes_are_the_same_photo_without_an_embedding() -> None:
    one = product("Tent", "one", gtin=GTIN)
    other = product("Office chair", "two", gtin="9521234567899")
    assert found(one, other) == []
    photos = {"one:Tent": photo("i"), "two:Office chair": photo("i")}
    assert found(one, other, photos=photos) == []  # nothing but the photo says so
    named = product("Tent", "two", gtin="9521234567899")
    [doubt] = found(one, named, photos={"one:Tent": photo("i"), "two:Tent": photo("i")})
    assert doubt.why == "codes, brands or variants differ"
    assert (doubt.one_photo, doubt.other_photo) == ("images/i", "images/i")


def test_photos_are_compared_by_their_embeddings() -> None:
    tents = product("Family tent", "one"), product("Family tent", "two")
    far = {"one:Family tent": photo("a", 1, 0), "two:Family tent": photo("b", 0, 1)}
    [doubt] = found(*tents, photos=far)
    assert (doubt.why, doubt.score) == ("photos differ", 0.5)
    near = far | {"two:Family tent": photo("b", 1, 0)}
    assert found(*tents, photos=near) == []


def test_what_a_person_decided_is_asked_no_more() -> None:
    chairs = [product("Garden chair", "one"), product("Garden chair", "two")]
    for same in (True, False):
        pins = pins_of([("one:Garden chair", "two:Garden chair", same)])
        assert find_doubts(alike(chairs), {}, pins) == []
