from __future__ import annotations

from typing import Any

import pytest

from advisor.catalog.matching import Confidence, Grouping, Match, Reason, contradict, group, match
from advisor.catalog.pins import match_id, partners_of, pins_of
from advisor.crawling.items import Item

GTIN, OTHER_GTIN = "4006381333931", "9521234567899"


def item(title: str, shop: str = "one", **more: Any) -> Item:
    sku = more.pop("id", title)
    return Item(id=sku, title=title, category="things", description="-", shop=shop, **more)


def both_ways(one: Item, other: Item, photo: float | None = 0.95) -> Match | None:
    found, back = (match(*pair, photo_similarity=photo) for pair in ((one, other), (other, one)))
    assert found == back
    return found


def reason(one: Item, other: Item, photo: float | None = 0.95) -> Reason | None:
    """Of a match that is sure enough to be shown."""
    found = both_ways(one, other, photo)
    return found.reason if found and found.accepted else None


def confidence(one: Item, other: Item, photo: float | None = 0.95) -> Confidence | None:
    found = both_ways(one, other, photo)
    return found.confidence if found else None


def joined(grouping: Grouping) -> list[tuple[tuple[int, ...], Reason | None]]:
    return [(one.members, one.reason) for one in grouping.groups]


@pytest.mark.parametrize(
    ("title", "photo", "expected"),
    [
        ("Mouse, wireless optical", 0.95, Confidence.HIGH),
        ("Mouse, wireless optical", None, Confidence.HIGH),
        ("Mouse, wireless optical", 0.3, Confidence.MEDIUM),  # from another side
        ("Optical mouse M185 grey", 0.95, Confidence.HIGH),
        ("Logitech M185 Maus", 0.95, Confidence.MEDIUM),  # another language
        ("Mouse M185", None, Confidence.MEDIUM),
        ("Logitech M185 Maus", 0.75, Confidence.LOW),
        ("Wireless Optical Mouse with Silent Buttons", 0.55, Confidence.MEDIUM),
        ("Wireless Optical Mouse with Silent Buttons", 0.45, Confidence.LOW),
        ("Mouse M185", 0.3, Confidence.LOW),
        ("Garden chair", None, Confidence.LOW),
        ("Garden chair", 0.3, Confidence.LOW),
    ],
)
def test_an_equal_gtin_is_as_sure_as_names_and_photos_let_it_be(
    title: str, photo: float | None, expected: Confidence
) -> None:
    found = both_ways(
        item("Wireless Optical Mouse", gtin=GTIN), item(title, "two", gtin=f"0{GTIN}"), photo
    )
    assert found
    assert (found.reason, found.confidence) == (Reason.GTIN, expected)
    assert bool(found.why) is (expected is Confidence.LOW)


def test_another_brand_under_the_same_gtin_needs_the_same_photo() -> None:
    one = item("Running Shoe", gtin=GTIN, brand="Adidas")
    other = item("Running Shoe", "two", gtin=GTIN, brand="Nike")
    assert confidence(one, other, photo=0.8) is confidence(one, other, None) is Confidence.LOW
    assert confidence(one, other, photo=0.95) is Confidence.HIGH


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Shirt red", "Shirt blue"),
        ("Tablet 32GB", "Tablet 128GB"),
        ("Shirt blue L", "Shirt blue XL"),
        ("Running Shoe 42", "Running Shoe 43"),
        ("Monitor 27 inch", "Monitor 81 cm"),
    ],
)
def test_two_variants_under_one_code_go_to_review(one: str, other: str) -> None:
    codes = {"gtin": GTIN, "brand": "Nike", "mpn": "AB-1000"}
    found = both_ways(item(one, **codes), item(other, "two", **codes), 1.0)
    assert found
    assert (found.confidence, found.reason) == (Confidence.LOW, Reason.GTIN)
    assert reason(item(one, **codes), item(other, **codes)) is None


def test_two_valid_gtins_are_two_products_however_alike() -> None:
    one, other = item("Tripod", gtin=GTIN), item("Tripod", "two", gtin=OTHER_GTIN)
    assert reason(one, other, photo=1.0) is None
    assert confidence(one, other, photo=1.0) is Confidence.LOW  # one of the codes may be wrong
    assert confidence(one, other, photo=0.8) is None


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
        ("Wireless Optical Mouse", "Wireless Optcial Mouse"),
        ("Allstar Sneakers", "New Allstar Sneakers original"),
        ("Men's Café Chair", "Mens cafe chair"),
        ("Bottle 0,5 l", "Bottle 500 ml"),
        ("Bottle 500 ml", "Bottle 16.9 fl oz"),
        ("32-Inch Monitor", "Monitor 81 cm"),
        ("Dumbbell 10 lbs", "Dumbbell 4.54 kg"),
        ("Hard Drive 1TB", "Hard Drive 1000 GB"),
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


def test_without_photos_only_equal_names_that_tell_something_match() -> None:
    one, other = item("Grey Fabric Sofa"), item("Sofa, grey fabric", "two")
    assert confidence(one, other, photo=None) is Confidence.MEDIUM
    assert confidence(item("Tent"), item("Tent", "two"), photo=None) is Confidence.LOW
    branded = item("Tent", brand="Salewa"), item("Tent", "two", brand="Salewa")
    assert confidence(*branded, photo=None) is Confidence.MEDIUM


def test_what_one_shop_sells_apart_stays_apart() -> None:
    red, blue = item("Shirt red", gtin=GTIN), item("Shirt blue", gtin=GTIN)
    assert contradict(red, blue)
    assert reason(item("Tent", id="1"), item("Tent", id="2")) is None
    assert both_ways(item("Tent", id="1"), item("Tent", id="2")) is None
    assert reason(item("Tent", id="1", gtin=GTIN), item("Tent", id="2", gtin=GTIN)) is Reason.GTIN


def test_groups_take_the_surest_match_first_and_one_offer_a_shop() -> None:
    items = [item("Tablet", id="a"), item("Tablet", "two", id="b"), item("Tablet", "two", id="c")]
    similarity = {(0, 1): 0.91, (0, 2): 0.99, (1, 2): 0.91}
    groups = group(items, photo_similarity=lambda *pair: similarity[pair])
    assert joined(groups) == [((0, 2), Reason.NAME), ((1,), None)]


def test_a_group_never_holds_two_gtins_by_way_of_a_third_offer() -> None:
    items = [
        item("Orchid", "one", gtin=GTIN),
        item("Orchid", "two"),
        item("Orchid", "three", gtin=OTHER_GTIN),
    ]
    groups = group(items, photo_similarity=lambda *_: 0.95)
    assert joined(groups) == [((0, 1), Reason.NAME), ((2,), None)]
    assert [(first, second) for first, second, _ in groups.doubtful] == [(0, 2)]


def test_doubtful_matches_are_told_apart_from_the_products() -> None:
    items = [item("Tent", gtin=GTIN), item("Office chair", "two", gtin=GTIN)]
    grouping = group(items, photo_similarity=lambda *_: 0.2)
    assert joined(grouping) == [((0,), None), ((1,), None)]
    assert [(first, second, one.why) for first, second, one in grouping.doubtful] == [
        (0, 1, "names and photos differ")
    ]


def test_a_group_tells_its_weakest_reason() -> None:
    items = [
        item("Orchid", "one", gtin=GTIN),
        item("White orchid in a pot", "two", gtin=GTIN),
        item("Orchid", "three"),
    ]
    [found] = group(items, photo_similarity=lambda *_: 0.95).groups
    assert (found.members, found.reason) == ((0, 1, 2), Reason.NAME)
    assert found.confidence is Confidence.HIGH


def test_what_a_person_tells_apart_is_neither_joined_nor_asked_again() -> None:
    items = [item("Tent", gtin=GTIN), item("Tent", "two", gtin=GTIN)]
    pins = pins_of([("two:Tent", "one:Tent", False)])
    grouping = group(items, photo_similarity=lambda *_: 1.0, pins=pins)
    assert joined(grouping) == [((0,), None), ((1,), None)]
    assert grouping.doubtful == ()


def test_what_a_person_calls_one_product_is_joined_whatever_else_is_said() -> None:
    items = [item("Tent", gtin=GTIN), item("Office chair", "two", gtin=OTHER_GTIN)]
    pins = pins_of(
        [("one:Tent", "two:Office chair", False), ("one:Tent", "two:Office chair", True)]
    )
    grouping = group(items, photo_similarity=lambda *_: 0.0, pins=pins)
    assert joined(grouping) == [((0, 1), Reason.PERSON)]
    assert grouping.groups[0].confidence is Confidence.HIGH


def test_what_needed_a_persons_word_is_not_said_to_be_matched_by_its_code() -> None:
    items = [item("Tent", gtin=GTIN), item("Tent", shop="two", gtin=GTIN), item("Zelt", shop="x")]
    pins = pins_of([("x:Zelt", "one:Tent", True)])
    grouping = group(items, photo_similarity=lambda *_: None, pins=pins)
    assert joined(grouping) == [((0, 1, 2), Reason.PERSON)]


def test_what_a_person_tells_apart_is_not_joined_by_way_of_a_third_offer() -> None:
    items = [item("Orchid", shop) for shop in ("one", "two", "three")]
    pins = pins_of([("one:Orchid", "three:Orchid", False)])
    groups = group(items, photo_similarity=lambda *_: 0.95, pins=pins)
    assert joined(groups) == [((0, 1), Reason.NAME), ((2,), None)]


def test_a_third_offer_that_contradicts_one_of_a_pinned_pair_stays_out() -> None:
    items = [item("Tent", gtin=GTIN), item("Chair", "two"), item("Chair", "three", gtin=OTHER_GTIN)]
    pins = pins_of([("one:Tent", "two:Chair", True)])
    groups = group(items, photo_similarity=lambda *_: 0.95, pins=pins)
    assert [one.members for one in groups.groups] == [(0, 1), (2,)]


def test_partners_are_found_from_either_side() -> None:
    pins = pins_of([("a", "b", True), ("c", "a", True), ("a", "d", False)])
    assert partners_of(["a"], pins) == ["b", "c"]
    assert partners_of(["b", "a"], pins) == ["c"]
    assert partners_of(["d", "x"], pins) == []
    assert match_id("a", "b") == match_id("b", "a") != match_id("a", "c")
