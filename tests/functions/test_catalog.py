"""The catalog function on recorded events."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client
from advisor.aws.labels import LabelRow, LabelTable
from advisor.aws.listings import CurrentListing, ListingStore
from advisor.aws.models import ModelStore
from advisor.aws.reviews import MATCH, SAME, Decision, MatchPins, ReviewTable
from advisor.catalog.categories import Vote
from advisor.catalog.products import Product
from advisor.crawling.items import Item
from advisor.vision.classification import Classification, Label
from functions.catalog.handler import Services, handler
from tests.openapi import checked_answer

pytestmark = pytest.mark.usefixtures("aws")

EVENTS = Path(__file__).parents[1] / "events"
CATALOG = CatalogTables("products", "prices")
LABELS = LabelTable("labels")
FOLDER = tempfile.TemporaryDirectory(prefix="advisor-test-")  # goes with the process
STORE = ListingStore("data", Path(FOLDER.name))
STOOL = Item(
    id="AB/12 é",
    title="Wooden <b>Stool</b>",
    category="hi-fi, audio & speakers",
    description="A stool.",
    url="https://one/stool",
    price_minor=9900,
    currency="EUR",
    shop="one",
)


def services() -> Services:
    return Services(
        uploads_bucket="uploads", data_bucket="data", catalog=CATALOG, labels=LABELS,
        models=ModelStore("data"), listing=CurrentListing(STORE, max_age_s=0),
        pins=MatchPins(ReviewTable("reviews"), max_age_s=0),
    )  # fmt: skip


def recorded(name: str, **path_parameters: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return event | ({"pathParameters": path_parameters} if path_parameters else {})


def answer(event: dict[str, Any], status: int = 200) -> dict[str, Any]:
    response = handler(event, None, services=services)
    expected = "application/json" if status == 200 else "application/problem+json"
    headers = {name.lower(): value for name, value in response["headers"].items()}
    assert (response["statusCode"], headers["content-type"]) == (status, expected)
    body: dict[str, Any] = checked_answer(event["routeKey"], response)
    if status != 200:
        assert (body["status"], body["type"]) == (status, "about:blank")
    return body


def event_of(route: str) -> dict[str, Any]:
    return recorded("http_model") | {"routeKey": route}


def see(price: int | None, day: int) -> None:
    item = Item.from_dict(STOOL.to_dict() | {"price_minor": price})
    CATALOG.put_item(item, run_id="r1", observed_at=f"2026-11-{day:02d}T10:00:00+00:00")


def test_tells_that_it_runs() -> None:
    assert answer(recorded("http_health")) == {"status": "ok"}


def test_gives_a_product_whose_id_holds_a_slash_and_other_letters() -> None:
    see(9900, 1)
    assert answer(recorded("http_product")) == {
        "product_id": "one:AB/12 é",
        "id": "AB/12 é",
        "title": "Wooden <b>Stool</b>",
        "category": "hi-fi, audio & speakers",
        "description": "A stool.",
        "images": [],
        "url": "https://one/stool",
        "price_minor": 9900,
        "currency": "EUR",
        "shop": "one",
        "observed_at": "2026-11-01T10:00:00+00:00",
        "run_id": "r1",
        "photo_urls": [],
        "match": "",
        "confidence": "",
        "offers": [
            {
                "product_id": "one:AB/12 é", "shop": "one", "title": "Wooden <b>Stool</b>",
                "price_minor": 9900, "currency": "EUR", "availability": "",
                "url": "https://one/stool", "photo_url": None,
                "observed_at": "2026-11-01T10:00:00+00:00",
            }
        ],
    }  # fmt: skip


def test_gives_every_shops_offer_of_a_product_cheapest_first() -> None:
    gtin = "4006381333931"
    for shop, title, price in (
        ("one", "Wooden Stool", 9900),
        ("two", "Stool, wooden", 8900),
        ("three", "Garden hose", 100),  # a GTIN copied from another page
    ):
        item = replace(STOOL, id="1", shop=shop, title=title, price_minor=price, gtin=gtin)
        CATALOG.put_item(item, run_id="r1", observed_at="2026-11-01T10:00:00+00:00")
    found = answer(recorded("http_product", product_id="one:1"))
    assert [(one["shop"], one["price_minor"]) for one in found["offers"]] == [
        ("two", 8900),
        ("one", 9900),
    ]
    assert (found["match"], found["confidence"]) == ("gtin", "high")


def test_gives_the_addresses_of_the_products_stored_photos_and_of_no_others() -> None:
    for sku in ("12", "12-7"):
        CATALOG.put_item(
            replace(STOOL, id=sku), run_id="r1", observed_at="2026-11-01T10:00:00+00:00"
        )
    folder = "images/hi-fi, audio & speakers/one/"
    names = ("12-0a1b2c3d4e5f.jpg", "12-7-0a1b2c3d4e5f.jpg", "12-ffffffffffff.webp", "12-x.jpg")
    for name in names:
        client("s3").put_object(Bucket="data", Key=folder + name, Body=b"-")
    found = answer(recorded("http_product", product_id="one:12"))["photo_urls"]
    paths = [unquote(urlsplit(url).path) for url in found]
    assert paths == [f"/{folder}{names[0]}", f"/{folder}{names[2]}"]


def test_an_offer_that_a_person_called_the_same_is_among_the_offers() -> None:
    for shop, title, price in (("one", "Wooden Stool", 9900), ("two", "Hocker", 8900)):
        item = replace(STOOL, id="1", shop=shop, title=title, price_minor=price)
        CATALOG.put_item(item, run_id="r1", observed_at="2026-11-01T10:00:00+00:00")
    event = recorded("http_product", product_id="one:1")
    assert [one["shop"] for one in answer(event)["offers"]] == ["one"]
    seen = {"one": "one:1", "other": "two:1"}
    ReviewTable("reviews").put(
        Decision(kind=MATCH, about="x", said=SAME, by="ann", at="2026", seen=seen)
    )
    found = answer(event)
    assert [one["shop"] for one in found["offers"]] == ["two", "one"]
    assert (found["match"], found["confidence"]) == ("person", "high")


def test_takes_ids_that_come_still_encoded() -> None:
    see(9900, 1)
    event = recorded("http_product", product_id="one%3AAB%2F12%20%C3%A9")
    assert answer(event)["id"] == "AB/12 é"


@pytest.mark.parametrize("name", ["http_product", "http_prices"])
def test_an_unknown_product_is_not_found(name: str) -> None:
    assert answer(recorded(name), 404)["detail"] == "no product 'one:AB/12 é'"


@pytest.mark.parametrize("name", ["http_product", "http_prices"])
def test_an_id_that_no_row_can_have_is_not_found(name: str) -> None:
    assert "2052 bytes" in answer(recorded(name, product_id="one:" + "é" * 1024), 404)["detail"]


def test_gives_the_price_history_oldest_first() -> None:
    for day, price in ((1, 9900), (2, 9900), (3, 8900)):
        see(price, day)
    prices = answer(recorded("http_prices"))["prices"]
    assert prices == [
        {
            "observed_at": f"2026-11-{day:02d}T10:00:00+00:00",
            "price_minor": price,
            "currency": "EUR",
            "availability": "",
            "run_id": "r1",
            "page": "",
            "extractor": "",
            "text": "",
            "state": "",
            "flag": "",
            "corrected_from": "",
        }
        for day, price in ((1, 9900), (3, 8900))
    ]


def test_a_product_that_never_showed_a_price_has_an_empty_history() -> None:
    see(None, 1)
    assert answer(recorded("http_prices")) == {"prices": [], "waiting": []}


def test_a_price_that_waits_for_a_second_look_is_told_apart() -> None:
    see(9900, 1)
    see(900, 2)
    answered = answer(recorded("http_prices"))
    assert [one["price_minor"] for one in answered["prices"]] == [9900]
    assert [one["price_minor"] for one in answered["waiting"]] == [900]


def test_gives_the_latest_classification_of_a_photo_or_why_it_is_unreadable() -> None:
    image_id = "0" * 64
    said = Classification(
        image_id=image_id, model_version="m1", labels=(Label("chairs", 0.75),), unknown=False
    )
    unreadable = LabelRow(
        image_id=image_id,
        bucket="uploads",
        key="secret name.jpg",
        classified_at="2026-11-02",
        reason="damaged",
    )
    assert "or not yet" in answer(recorded("http_image"), 404)["detail"]
    LABELS.put(replace(unreadable, classified_at="2026-11-01", classification=said, reason=""))
    assert answer(recorded("http_image")) == {
        "image_id": image_id,
        "status": "labelled",
        "model_version": "m1",
        "labels": [{"label": "chairs", "probability": 0.75}],
        "unknown": False,
        "timing_ms": {},
        "classified_at": "2026-11-01",
    }
    LABELS.put(unreadable)
    assert answer(recorded("http_image")) == {
        "image_id": image_id,
        "status": "unreadable",
        "reason": "damaged",
        "classified_at": "2026-11-02",
    }


def test_tells_the_model_in_use() -> None:
    assert "no model is published" in answer(recorded("http_model"), 503)["detail"]
    current = {"version": "m1", "accuracy": 0.9, "published_at": "2026-11-01", "previous": None}
    for key, value in (
        ("models/current.json", current),
        ("models/bundles/m1/bundle.json", {"labels": ["shoes", "plants"]}),
    ):
        client("s3").put_object(Bucket="data", Key=key, Body=json.dumps(value).encode())
    assert answer(recorded("http_model")) == {
        "version": "m1",
        "labels": ["shoes", "plants"],
        "accuracy": 0.9,
        "published_at": "2026-11-01",
    }


def uploads(body: str) -> dict[str, Any]:
    return recorded("http_uploads") | {"body": body}


def policy_of(form: dict[str, Any]) -> list[Any]:
    conditions: list[Any] = json.loads(base64.b64decode(form["fields"]["policy"]))["conditions"]
    return conditions


def test_tells_how_good_the_model_in_use_is_and_what_it_takes_for_what() -> None:
    answer(event_of("GET /model/evaluation"), 503)
    before = {"version": "m0", "accuracy": 0.5, "published_at": "2026-11-21"}
    current = {"version": "m1", "accuracy": 0.9, "published_at": "2026-11-22", "reason": "better",
               "previous": "m0", "history": [before]}  # fmt: skip
    of_hats = {"count": 3, "answered": 2, "correct": 2, "precision": 1.0, "recall": 2 / 3,
               "precision_interval": None, "recall_interval": [0.2, 0.9]}  # fmt: skip
    metrics = {"accuracy": 0.75, "accuracy_interval": [0.3, 0.95], "count": 4, "answered": 0.5,
               "answered_accuracy": None, "labels": ["hats", "shoes"],
               "per_class": {"hats": of_hats},
               "confusion": [[0, 0, 2], [0, 1, 1], [1, 1, 1]]}  # fmt: skip
    info = {"labels": ["hats", "shoes"], "data": {"scanned": 40}, "metrics": metrics}
    for key, value in (
        ("models/current.json", current),
        ("models/bundles/m1/bundle.json", info),
    ):
        client("s3").put_object(Bucket="data", Key=key, Body=json.dumps(value).encode())
    assert answer(event_of("GET /model/evaluation")) == {
        "version": "m1", "published_at": "2026-11-22", "reason": "better", "trained_on": 40,
        "accuracy": 0.75, "accuracy_interval": [0.3, 0.95], "photos": 4, "answered": 0.5,
        "answered_accuracy": None, "labels": ["hats", "shoes"],
        "per_class": {"hats": {"count": 3, "recall": 2 / 3, "precision": 1.0}},
        "confusion": [[0, 0, 2], [0, 1, 1], [1, 1, 1]], "before": [before],
    }  # fmt: skip


def test_gives_a_form_for_one_upload_of_limited_size() -> None:
    form = answer(recorded("http_uploads"))
    assert sorted(form) == ["fields", "key", "url"]
    folder, upload_id, name = form["key"].split("/")
    assert (folder, len(upload_id), name) == ("uploads", 36, "my stool.jpg")
    assert (form["fields"]["key"], form["fields"]["Content-Type"]) == (form["key"], "image/jpeg")
    policy = policy_of(form)
    assert ["content-length-range", 1, 50 * 1024 * 1024] in policy
    assert {"Content-Type": "image/jpeg"} in policy
    assert {"key": form["key"]} in policy


@pytest.mark.parametrize("name", ["${filename}", "a${filename}b.jpg"])
def test_a_form_is_for_one_key_whatever_the_file_is_called(name: str) -> None:
    form = answer(uploads(json.dumps({"filename": name})))
    assert {"key": form["key"]} in policy_of(form)
    assert not [one for one in policy_of(form) if "starts-with" in one]
    assert "${" not in form["key"]  # S3 would put the sender's own file name there


def test_every_upload_gets_a_place_of_its_own() -> None:
    forms = [answer(uploads("{}")), answer(uploads(""))]
    assert forms[0]["key"] != forms[1]["key"]
    assert all(form["key"].endswith("/photo") for form in forms)


def test_a_form_without_a_type_of_its_own_takes_bytes_and_no_web_page() -> None:
    form = answer(uploads("{}"))
    assert {"Content-Type": "application/octet-stream"} in policy_of(form)
    assert form["fields"]["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a\x00b", "😀" * 300, "con"])
def test_a_filename_never_leaves_its_folder(name: str) -> None:
    key = answer(uploads(json.dumps({"filename": name})))["key"]
    assert key.count("/") == 2
    assert len(key.encode()) < 250
    assert "\x00" not in key
    assert key.rpartition("/")[2] not in {"..", "con", ""}


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ('{"content_type": "text/html"}', 415, "content_type 'text/html'; expected image/*"),
        ('{"content_type": "image/png\\r\\nx: y"}', 415, "expected image/*"),
        ('{"filename": 5}', 400, "are texts"),
        ("nonsense", 400, "8 bytes that are no JSON"),
        ("[]", 400, "expected an object"),
    ],
)
def test_a_bad_wish_is_told_what_was_received(body: str, status: int, detail: str) -> None:
    assert detail in answer(uploads(body), status)["detail"]


def test_a_fault_of_our_own_escapes() -> None:
    current = {"version": "m1", "accuracy": 1, "published_at": "", "previous": None}
    put = client("s3").put_object
    put(Bucket="data", Key="models/current.json", Body=json.dumps(current).encode())
    put(Bucket="data", Key="models/bundles/m1/bundle.json", Body=b"{}")
    with pytest.raises(KeyError):
        handler(recorded("http_model"), None, services=services)


def test_an_unknown_path_is_not_found() -> None:
    event = recorded("http_health") | {"routeKey": "GET /nothing"}
    assert answer(event, 404)["detail"] == "no route 'GET /nothing'"


def test_the_stage_is_no_part_of_the_path() -> None:
    with_stage = recorded("http_health")
    assert with_stage["rawPath"] == "/api/health"
    without = with_stage | {"rawPath": "/health"}  # as the emulator sends it
    assert answer(with_stage) == answer(without) == {"status": "ok"}


def listed(*titles: str, votes: Sequence[Vote] = ()) -> None:
    items = [replace(STOOL, id=title, title=title) for title in titles]
    STORE.build([Product(item=item) for item in items], votes)


def get(route: str, **query: str) -> dict[str, Any]:
    event = recorded("http_health")
    http = event["requestContext"]["http"] | {"path": f"/api{route}"}
    return event | {
        "routeKey": f"GET {route}",
        "rawPath": f"/api{route}",
        "queryStringParameters": query,
        "requestContext": event["requestContext"] | {"http": http},
    }


def test_lists_products_page_by_page() -> None:
    assert answer(get("/products")) == {
        "products": [], "cursor": "", "count": 0, "listed_at": None,
    }  # fmt: skip
    listed("Chair", "Lamp", "<b>Sofa</b>")
    first = answer(get("/products", limit="2"))
    assert [one["title"] for one in first["products"]] == ["<b>Sofa</b>", "Chair"]
    assert first["products"][0]["photo_url"] is None
    assert first["count"] == 3
    second = answer(get("/products", limit="2", cursor=first["cursor"]))
    assert second["count"] is None
    assert [one["title"] for one in second["products"]] == ["Lamp"]
    assert second["cursor"] == ""


def test_finds_products_by_words_and_price_and_gives_their_photos_address() -> None:
    vote = Vote(
        shop="one", category=STOOL.category, product_id="one:Lantern", photo="images/x/lamp.jpg",
        label="lamps", probability=0.9,
    )  # fmt: skip
    listed("Chair", "Lantern", votes=[vote])
    query = {"q": "lan", "currency": "EUR", "min_minor": "9900", "max_minor": "9900"}
    [found] = answer(get("/products", shop="one", category="lamps", **query))["products"]
    assert (found["title"], found["shop_category"]) == ("Lantern", STOOL.category)
    assert "images/x/lamp.jpg" in found["photo_url"]
    assert answer(get("/products", in_stock="true"))["products"] == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"limit": "0"}, "limit is '0'"),
        ({"limit": "1000"}, "limit is '1000'"),
        ({"min_minor": "-1", "currency": "EUR"}, "min_minor is '-1'"),
        ({"max_minor": "cheap", "currency": "EUR"}, "max_minor is 'cheap'"),
        ({"max_minor": "5"}, "without a currency"),
        ({"currency": "Taler"}, "currency is 'Taler'"),
        ({"in_stock": "maybe"}, "in_stock is 'maybe'"),
        ({"cursor": "x"}, "no cursor"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(query: dict[str, str], said: str) -> None:
    listed("Chair")
    assert said in answer(get("/products", **query), 400)["detail"]


def test_gives_the_categories_with_counts_and_what_each_shops_is() -> None:
    vote = Vote(
        shop="one", category=STOOL.category, product_id="one:Lamp", photo="p", label="lamps",
        probability=0.9,
    )  # fmt: skip
    listed("Chair", "Lamp", votes=[vote])
    answered = answer(get("/categories"))
    assert answered["categories"] == [{"category": "lamps", "products": 2, "shops": {"one": 2}}]
    assert answered["currencies"] == ["EUR"]
    assert answered["mapped"] == [
        {
            "shop": "one", "category": STOOL.category, "unified": "lamps", "share": 1.0,
            "pinned": False, "evidence": [{"label": "lamps", "weight": 0.9, "products": 1}],
        }
    ]  # fmt: skip
