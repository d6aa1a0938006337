"""The catalog's adapters for DynamoDB and S3, against moto."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advisor.aws import catalog as catalog_module
from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client, table
from advisor.aws.embeddings import EmbeddingRow, EmbeddingTable
from advisor.aws.labels import LabelRow, LabelTable
from advisor.catalog.products import PricePoint
from advisor.crawling.items import Item
from advisor.errors import NotFoundError
from advisor.vision.classification import Classification, Label

pytestmark = pytest.mark.usefixtures("aws")

GTIN = "4006381333931"
CATALOG = CatalogTables("products", "prices")
ITEM = Item(
    id="S1",
    title="Wooden Stool",
    category="furniture",
    description="A stool.",
    images=("https://shop/1.jpg",),
    url="https://shop/1",
    price_minor=9900,
    currency="EUR",
    availability="in_stock",
    gtin=GTIN,
    shop="one",
)


def see(item: Item, day: int, run_id: str = "r1") -> None:
    CATALOG.put_item(item, run_id=run_id, observed_at=f"2026-11-{day:02d}T10:00:00+00:00")


def history() -> list[tuple[str, int, str]]:
    return [
        (point.observed_at[8:10], point.price_minor, point.currency)
        for point in CATALOG.prices("one:S1")
    ]


def test_a_product_is_read_as_it_was_stored() -> None:
    see(ITEM, 1)
    found = CATALOG.get("one:S1")
    assert found.item == replace(ITEM, gtin="0" + GTIN)
    assert (found.observed_at, found.run_id) == ("2026-11-01T10:00:00+00:00", "r1")
    assert CATALOG.prices("one:S1") == [
        PricePoint(
            observed_at="2026-11-01T10:00:00+00:00",
            price_minor=9900,
            currency="EUR",
            availability="in_stock",
            run_id="r1",
        )
    ]


def test_a_price_is_appended_only_when_it_differs_from_the_last() -> None:
    see(ITEM, 1)
    see(ITEM, 2)
    see(replace(ITEM, price_minor=8900), 3)
    see(replace(ITEM, price_minor=8900, availability="out_of_stock"), 4)
    see(ITEM, 6)
    assert history() == [("01", 9900, "EUR"), ("03", 8900, "EUR"), ("06", 9900, "EUR")]


def test_a_price_that_jumps_waits_for_a_second_run_and_the_product_keeps_the_one_before() -> None:
    see(ITEM, 1, "r1")
    see(replace(ITEM, price_minor=900, title="Stool, new"), 2, "r2")
    see(replace(ITEM, price_minor=900), 3, "r2")
    assert [(one.price_minor, one.state) for one in CATALOG.prices("one:S1")] == [
        (9900, ""),
        (900, "quarantined"),
    ]
    found = CATALOG.get("one:S1").item
    assert (found.price_minor, found.currency) == (9900, "EUR")
    see(replace(ITEM, price_minor=900), 4, "r3")
    assert [(one.price_minor, one.state) for one in CATALOG.prices("one:S1")][2:] == [(900, "")]
    assert CATALOG.get("one:S1").item.price_minor == 900


def test_another_currency_and_jumps_that_differ_wait_too() -> None:
    see(ITEM, 1, "r1")
    for day, price, currency in ((2, 9900, "CHF"), (3, 100, "EUR"), (4, 90000, "EUR")):
        see(replace(ITEM, price_minor=price, currency=currency), day, f"r{day}")
    assert [one.state for one in CATALOG.prices("one:S1")] == ["", *["quarantined"] * 3]
    assert CATALOG.get("one:S1").item.price_minor == 9900


def test_a_jump_with_another_photo_is_flagged_as_a_variant_swap() -> None:
    see(ITEM, 1, "r1")
    swapped = replace(ITEM, price_minor=900, images=("https://shop/2.jpg",))
    see(swapped, 2, "r2")
    see(swapped, 3, "r3")
    assert [(one.state, one.flag) for one in CATALOG.prices("one:S1")][1:] == [
        ("quarantined", "variant swap"),
        ("", "variant swap"),
    ]


@pytest.mark.parametrize("price", [0, -5])
def test_a_price_of_nothing_or_less_is_none(price: int) -> None:
    see(replace(ITEM, price_minor=price), 1)
    assert history() == []
    assert CATALOG.get("one:S1").item.price_minor is None


def test_a_price_says_which_page_it_was_read_off_by_whom_and_from_what() -> None:
    see(replace(ITEM, page="ab", extractor="schema-org", price_text="99 EUR"), 1)
    [point] = CATALOG.prices("one:S1")
    assert (point.page, point.extractor, point.text) == ("ab", "schema-org", "99 EUR")


def test_a_page_without_a_price_never_becomes_a_price() -> None:
    see(replace(ITEM, price_minor=None), 1)
    assert history() == []
    see(ITEM, 2)
    see(replace(ITEM, price_minor=None), 3)
    see(ITEM, 4)
    assert history() == [("02", 9900, "EUR")]
    assert CATALOG.get("one:S1").observed_at.startswith("2026-11-04")


def test_the_same_sight_twice_changes_nothing() -> None:
    see(ITEM, 1)
    see(ITEM, 1)
    assert history() == [("01", 9900, "EUR")]


def test_a_price_lost_between_the_two_writes_is_appended_by_the_repetition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(catalog_module, "Product", None)  # the process dies after the price
        with pytest.raises(TypeError):
            see(ITEM, 1)
    see(ITEM, 1)
    assert history() == [("01", 9900, "EUR")]
    assert CATALOG.get("one:S1").item.title == "Wooden Stool"


def test_an_older_sight_does_not_overwrite_a_newer_one() -> None:
    see(replace(ITEM, title="Stool, new"), 5)
    see(replace(ITEM, title="Stool, old", price_minor=1), 4)
    assert CATALOG.get("one:S1").item.title == "Stool, new"
    assert history() == [("04", 1, "EUR"), ("05", 9900, "EUR")]


def test_a_price_that_comes_late_is_compared_with_the_one_before_it() -> None:
    for day, price in ((1, 9900), (5, 8900), (3, 8900), (2, 9900)):
        see(replace(ITEM, price_minor=price), day)
    assert history() == [("01", 9900, "EUR"), ("03", 8900, "EUR"), ("05", 8900, "EUR")]


def test_an_unknown_product_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="'one:S9'"):
        CATALOG.get("one:S9")


def test_many_products_are_read_at_once_and_unknown_ones_left_out() -> None:
    for number in range(130):
        see(replace(ITEM, id=f"S{number}", price_minor=None), 1)
    found = CATALOG.get_many([f"one:S{number}" for number in range(131)] * 2)
    assert len(found) == 130
    assert found["one:S129"].item.id == "S129"
    assert CATALOG.get_many([]) == {}


def test_keys_that_dynamodb_leaves_unanswered_are_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(3):
        see(replace(ITEM, id=f"S{number}"), 1)
    real = table("products").meta.client.batch_get_item
    asked = []

    def one_at_a_time(RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 (boto3's name)
        first, *rest = RequestItems["products"]["Keys"]
        asked.append(len(rest) + 1)
        left = {"products": {"Keys": rest}} if rest else {}
        return {**real(RequestItems={"products": {"Keys": [first]}}), "UnprocessedKeys": left}

    monkeypatch.setattr(table("products").meta.client, "batch_get_item", one_at_a_time)
    waits: list[float] = []
    found = CATALOG.get_many(["one:S0", "one:S1", "one:S2"], sleep=waits.append)
    assert sorted(found) == ["one:S0", "one:S1", "one:S2"]
    assert asked == [3, 2, 1]
    assert waits == [0.05, 0.1]


def test_keys_that_are_never_answered_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 (boto3's name)
        return {"Responses": {}, "UnprocessedKeys": RequestItems}

    monkeypatch.setattr(table("products").meta.client, "batch_get_item", nothing)
    with pytest.raises(TimeoutError, match="2 keys unanswered in 6 attempts"):
        CATALOG.get_many(["one:S0", "one:S1"], sleep=lambda _: None)


def test_one_gtin_finds_every_shops_product_in_whatever_form_they_write_it() -> None:
    see(ITEM, 1)
    see(replace(ITEM, shop="two", gtin=f"0{GTIN}"), 1)
    see(replace(ITEM, shop="three", gtin="4006381333932"), 1)  # a wrong check digit
    see(replace(ITEM, shop="four", gtin=""), 1)
    assert [one.product_id for one in CATALOG.by_gtin("4006381-333931")] == ["one:S1", "two:S1"]
    assert CATALOG.by_gtin("4006381333932") == CATALOG.by_gtin("") == []
    assert CATALOG.get("three:S1").item.gtin == ""


LABELLED = LabelRow(
    image_id="a" * 64,
    bucket="uploads",
    key="my stool.jpg",
    classified_at="2026-11-01T10:00:00.000+00:00",
    classification=Classification(
        image_id="a" * 64,
        model_version="m1",
        labels=(Label("hi-fi, audio & speakers", 0.1234567), Label("shoes", 1e-9)),
        unknown=True,
        timing_ms={"decode": 1.25},
    ),
)


def test_labels_are_read_as_they_were_stored_to_six_digits() -> None:
    labels = LabelTable("labels")
    labels.put(LABELLED)
    found = labels.get("a" * 64, "m1")
    assert found
    assert found.to_dict() == LABELLED.to_dict() | {"labels": [
        {"label": "hi-fi, audio & speakers", "probability": 0.123457},
        {"label": "shoes", "probability": 0.0},
    ]}  # fmt: skip
    assert labels.get("a" * 64, "m2") is None
    row = table("labels").get_item(Key={"image_id": "a" * 64, "model_version": "m1"})["Item"]
    assert (row["status"], row["bucket"], row["key"]) == ("labelled", "uploads", "my stool.jpg")


def test_the_latest_word_on_a_photo_counts() -> None:
    labels = LabelTable("labels")
    assert LABELLED.classification
    newer = replace(LABELLED.classification, model_version="m0")
    labels.put(LABELLED)
    labels.put(
        replace(LABELLED, classification=newer, classified_at="2026-11-02T10:00:00.000+00:00")
    )
    latest = labels.latest("a" * 64).classification
    assert latest
    assert latest.model_version == "m0"
    with pytest.raises(NotFoundError):
        labels.latest("b" * 64)


def test_a_shelf_holds_a_categorys_photos_over_many_pages() -> None:
    embeddings = EmbeddingTable("embeddings")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(500):  # 2.6 KB each: more than one page of 1 MB
        vector = rng.random(1280, dtype=np.float32)
        row = EmbeddingRow(
            model_version="m1",
            label="shoes",
            product_id=f"one:S{number:03d}",
            image_id=f"{number:064d}",
            photo_key=f"images/{number}.jpg",
            probability=0.75,
            embedding=vector / np.linalg.norm(vector),
        )
        rows.append(row)
        embeddings.put(row)
    embeddings.put(replace(rows[0], label="plants"))
    embeddings.put(replace(rows[0], model_version="m2"))
    shelf = embeddings.load("m1", "shoes")
    assert [photo.product_id for photo in shelf.photos] == [row.product_id for row in rows]
    assert shelf.photos[7].photo == "images/7.jpg"
    assert shelf.embeddings.dtype == np.float32
    assert shelf.embeddings.shape == (500, 1280)
    cosines = np.sum(shelf.embeddings * np.stack([row.embedding for row in rows]), axis=1)
    assert cosines.min() > 0.9999
    assert embeddings.load("m3", "shoes").photos == ()
    answer = client("dynamodb").query(
        TableName="embeddings",
        KeyConditionExpression="shelf = :s",
        ExpressionAttributeValues={":s": {"S": "m1#shoes"}},
    )
    assert "LastEvaluatedKey" in answer  # the shelf really was more than one page


def test_one_embedding_is_read_as_it_was_stored() -> None:
    embeddings = EmbeddingTable("embeddings")
    row = EmbeddingRow(
        model_version="m1",
        label="hi-fi, audio & speakers",
        product_id="one:S#1",
        image_id="a" * 64,
        photo_key="images/x.jpg",
        probability=0.5,
        embedding=np.array([0.6, 0.8], dtype=np.float32),
    )
    embeddings.put(row)
    found = embeddings.get("m1", row.label, product_id="one:S#1", image_id="a" * 64)
    assert found
    assert found.embedding.tolist() == pytest.approx([0.6, 0.8], abs=1e-3)
    # Compared by their text: from Python 3.13 on, == asks arrays for one truth value.
    assert repr(replace(found, embedding=row.embedding)) == repr(row)
    assert embeddings.get("m1", row.label, product_id="one:S2", image_id="a" * 64) is None
