from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from advisor.catalog.pins import pins_of
from advisor.catalog.products import Offer, Product, cheapest_first
from advisor.catalog.similarity import ShelfPhoto, SimilarPhoto
from advisor.catalog.suggestions import (
    Candidate,
    candidates_of,
    gtins_of,
    labels_to_search,
    suggest,
    with_partners,
    with_same_gtin,
)
from advisor.crawling.items import Item
from advisor.vision.classification import Classification, Label

GTIN = "4006381333931"
PHOTO = np.array([1, 0], dtype=np.float32)


def product(title: str, shop: str = "one", **more: Any) -> Product:
    defaults = {"id": title, "category": "things", "description": "-", "currency": "EUR"}
    return Product(item=Item(title=title, shop=shop, **(defaults | more)))


def candidate(title: str, shop: str = "one", similarity: float = 0.9, **more: Any) -> Candidate:
    embedding = more.pop("embedding", PHOTO)
    return Candidate(product(title, shop, **more), similarity, f"images/{title}", embedding)


def offer(shop: str, price: int | None, currency: str = "EUR", available: str = "") -> Offer:
    item = Item(
        id="1", title="t", category="c", description="d", shop=shop, price_minor=price,
        currency=currency, availability=available,
    )  # fmt: skip
    return Offer.of(Product(item=item))


def classification(*probabilities: float, unknown: bool = False) -> Classification:
    names = ("shoes", "plants", "cameras", "tents")
    labels = tuple(Label(name, one) for name, one in zip(names, probabilities, strict=False))
    return Classification(image_id="-", model_version="1", labels=labels, unknown=unknown)


def test_looks_in_as_many_categories_as_the_model_is_unsure_of() -> None:
    assert labels_to_search(classification(0.95, 0.05)) == ("shoes",)
    assert labels_to_search(classification(0.5, 0.45, 0.05)) == ("shoes", "plants")
    assert labels_to_search(classification(0.4, 0.3, 0.2, 0.1)) == ("shoes", "plants")
    assert labels_to_search(classification(0.95, 0.05, unknown=True)) == ("shoes", "plants")


def test_one_product_of_two_shops_is_one_suggestion_cheapest_offer_first() -> None:
    found = suggest(
        [
            candidate("Grey Fabric Sofa", price_minor=89900),
            candidate("Sofa, grey fabric", "two", 0.88, price_minor=84909),
            candidate("Leather Sofa", similarity=0.4, price_minor=129900),
        ],
        top_k=5,
    )
    assert [(one.title, one.match, one.similarity) for one in found] == [
        ("Grey Fabric Sofa", "name", 0.9),
        ("Leather Sofa", "", 0.4),
    ]
    assert [(one.shop, one.price_minor) for one in found[0].offers] == [
        ("two", 84909),
        ("one", 89900),
    ]


def test_the_suggestion_is_one_json_object() -> None:
    [found] = suggest([candidate("Tent", price_minor=500, availability="in_stock")], top_k=1)
    assert found.to_dict(lambda key: f"https://photos/{key}") == {
        "title": "Tent",
        "category": "things",
        "similarity": 0.9,
        "same": True,
        "photo_url": "https://photos/images/Tent",
        "match": "",
        "confidence": "",
        "offers": [
            {
                "product_id": "one:Tent",
                "shop": "one",
                "title": "Tent",
                "price_minor": 500,
                "currency": "EUR",
                "availability": "in_stock",
                "url": "",
                "photo_url": "https://photos/images/Tent",
                "observed_at": "",
            }
        ],
    }


def test_top_k_counts_products_not_offers() -> None:
    candidates = [
        candidate("Tent", similarity=0.9),
        candidate("Tent", "two", 0.8),
        candidate("Orchid", similarity=0.7),
        candidate("Fern", similarity=0.6),
    ]
    assert [one.title for one in suggest(candidates, top_k=2)] == ["Tent", "Orchid"]


def test_of_equally_similar_products_the_one_in_stock_comes_first() -> None:
    out = candidate("Tent", availability="out_of_stock")
    in_stock = candidate("Fern", availability="in_stock", embedding=np.array([0, 1], np.float32))
    assert [one.title for one in suggest([out, in_stock], top_k=2)] == ["Fern", "Tent"]


def test_the_same_product_first_then_what_can_be_had_then_what_cannot() -> None:
    other = np.array([0, 1], np.float32)
    found = suggest(
        [
            candidate("Same, gone", similarity=0.95, availability="out_of_stock"),
            candidate("Like, gone", similarity=0.8, availability="out_of_stock", embedding=other),
            candidate("Like, there", similarity=0.5, availability="in_stock", embedding=other),
            candidate("Like, says nothing", similarity=0.6, embedding=-other),
        ],
        top_k=4,
    )
    assert [(one.title, one.same) for one in found] == [
        ("Same, gone", True),
        ("Like, says nothing", False),
        ("Like, there", False),
        ("Like, gone", False),
    ]


@pytest.mark.parametrize("price", [None, 0, -5])
def test_offers_without_a_price_come_last(price: int | None) -> None:
    ordered = cheapest_first([offer("a", price), offer("b", 300), offer("c", 200)])
    assert [(one.shop, one.price_minor) for one in ordered] == [
        ("c", 200),
        ("b", 300),
        ("a", None),
    ]


def test_currencies_are_not_ranked_against_each_other() -> None:
    ordered = cheapest_first(
        [offer("a", 100, "CHF"), offer("b", 900), offer("c", 150, "CHF"), offer("d", 800),
         offer("e", 950), offer("f", None, "CHF")]
    )  # fmt: skip
    assert [one.shop for one in ordered] == ["d", "b", "e", "a", "c", "f"]


def test_of_equal_prices_the_one_in_stock_comes_first() -> None:
    ordered = cheapest_first(
        [offer("a", 5, available="out_of_stock"), offer("b", 5, "EUR", "in_stock")]
    )
    assert [one.shop for one in ordered] == ["b", "a"]


def test_photos_whose_product_is_gone_are_left_out() -> None:
    similar = [
        SimilarPhoto(ShelfPhoto("one:Tent", "1", "images/1"), 0.9, PHOTO),
        SimilarPhoto(ShelfPhoto("one:gone", "2", "images/2"), 0.8, PHOTO),
    ]
    found = candidates_of(similar, {"one:Tent": product("Tent")})
    assert [(one.product.product_id, one.photo) for one in found] == [("one:Tent", "images/1")]


def test_a_product_found_by_its_code_joins_the_one_that_a_photo_found() -> None:
    seen = candidate("Tent", gtin=GTIN, similarity=0.8)
    assert gtins_of([seen, candidate("Fern", gtin="123")]) == ["0" + GTIN]
    elsewhere = product("Family tent", "two", gtin="0" + GTIN, price_minor=100)
    [found] = suggest(with_same_gtin([seen], [seen.product, elsewhere]), top_k=5)
    assert (found.title, found.match, found.similarity) == ("Tent", "gtin", 0.8)
    assert [(one.shop, one.photo) for one in found.offers] == [("two", ""), ("one", "images/Tent")]


def test_a_code_that_a_shop_gives_another_thing_suggests_neither_as_the_other() -> None:
    seen = candidate("Tent", gtin=GTIN, similarity=0.8)
    wrong = product("Office chair", "two", gtin="0" + GTIN, price_minor=100)
    [found] = suggest(with_same_gtin([seen], [wrong]), top_k=5)
    assert [one.shop for one in found.offers] == ["one"]


def test_nothing_similar_gives_no_suggestions() -> None:
    assert suggest([], top_k=5) == []


def test_a_partner_that_no_photo_found_joins_by_what_a_person_said() -> None:
    seen, less = candidate("Tent", similarity=0.8), candidate("Fern", similarity=0.5)
    partner = product("Zelt", "two", price_minor=100)
    pins = pins_of([("one:Tent", "two:Zelt", True), ("one:Fern", "two:gone", True)])
    candidates = with_partners([seen, less], {"two:Zelt": partner}, pins)
    assert [one.similarity for one in candidates] == [0.8, 0.5, 0.8]
    tent, fern = suggest(candidates, top_k=5, pins=pins)
    assert (tent.match, tent.confidence) == ("person", "high")
    assert [one.shop for one in tent.offers] == ["two", "one"]
    assert [one.shop for one in fern.offers] == ["one"]
