from __future__ import annotations

import pytest

from advisor.catalog.categories import MappedCategory, Vote, disagreements, map_categories


def vote(
    product: str, label: str, probability: float = 0.9, *, category: str = "footwear",
    shop: str = "one", photo: str = "",
) -> Vote:  # fmt: skip
    return Vote(
        shop=shop, category=category, product_id=product, photo=photo or f"{product}.jpg",
        label=label, probability=probability,
    )  # fmt: skip


def test_a_category_is_what_its_photos_show_weighted_by_confidence() -> None:
    unsure = [vote(f"p{n}", "plants", 0.3) for n in range(3)]
    [found] = map_categories([*unsure, vote("a", "shoes", 0.99)])
    assert (found.shop, found.category, found.unified) == ("one", "footwear", "shoes")
    assert found.share == pytest.approx(0.99 / 1.89)
    assert [(one.label, one.products) for one in found.evidence] == [("shoes", 1), ("plants", 3)]


def test_each_shops_category_is_mapped_on_its_own() -> None:
    votes = [vote("a", "shoes"), vote("b", "plants", shop="two"),
             vote("c", "tents", category="outdoor")]  # fmt: skip
    assert [(one.shop, one.category, one.unified) for one in map_categories(votes)] == [
        ("one", "footwear", "shoes"),
        ("one", "outdoor", "tents"),
        ("two", "footwear", "plants"),
    ]


def test_a_pin_wins_over_the_evidence_which_stays() -> None:
    pins = {("one", "footwear"): "boots", ("one", "empty"): "hats"}
    empty, footwear = map_categories([vote("a", "shoes")], pins)
    assert (footwear.unified, footwear.pinned, footwear.share) == ("boots", True, 0)
    assert footwear.evidence[0].label == "shoes"
    assert (empty.category, empty.unified, empty.evidence) == ("empty", "hats", ())


def test_a_category_that_no_photo_tells_of_is_its_own() -> None:
    shelves = [("one", "footwear"), ("two", "sofas")]
    footwear, sofas = map_categories([vote("a", "shoes")], shelves=shelves)
    assert footwear.unified == "shoes"
    assert (sofas.unified, sofas.share, sofas.pinned) == ("sofas", 0, False)


def test_a_pin_that_is_taken_back_leaves_what_the_photos_show() -> None:
    [found] = map_categories([vote("a", "shoes")], {("one", "footwear"): "boots"})
    again = MappedCategory.from_dict(found.to_dict())
    assert again == found
    assert (again.pinned_to(None).unified, again.pinned_to(None).share) == ("shoes", 1)
    assert again.pinned_to("shoes") == MappedCategory.of(
        ("one", "footwear"), found.evidence, "shoes"
    )
    assert again.pinned_to("shoes").pinned


def test_products_whose_photos_show_something_else_are_told_most_confident_first() -> None:
    votes = [
        *(vote(f"p{n}", "shoes") for n in range(5)),
        vote("fern", "plants", 0.99),
        vote("odd", "plants", 0.5),
        vote("odd", "shoes", 0.45),
    ]
    found = disagreements(votes, map_categories(votes))
    assert [(one.product_id, one.label, one.unified) for one in found] == [
        ("fern", "plants", "shoes"),
        ("odd", "plants", "shoes"),
    ]
    assert found[1].confidence == pytest.approx(0.05)
    assert found[0].photo == "fern.jpg"


def test_one_odd_photo_of_several_is_no_disagreement() -> None:
    votes = [
        *(vote(f"p{n}", "shoes") for n in range(3)),
        vote("a", "shoes", 0.9, photo="1"),
        vote("a", "shoes", 0.9, photo="2"),
        vote("a", "plants", 0.95, photo="3"),
    ]
    assert disagreements(votes, map_categories(votes)) == []


def test_a_products_photos_are_averaged() -> None:
    votes = [
        *(vote(f"p{n}", "shoes") for n in range(5)),
        vote("fern", "plants", 0.9, photo="1"),
        vote("fern", "plants", 0.7, photo="2"),
    ]
    [found] = disagreements(votes, map_categories(votes))
    assert (found.probability, found.photo) == (pytest.approx(0.8), "1")


def test_who_disagrees_with_a_pin_is_told() -> None:
    votes = [vote("a", "shoes")]
    pinned = map_categories(votes, {("one", "footwear"): "plants"})
    assert [one.label for one in disagreements(votes, pinned)] == ["shoes"]
