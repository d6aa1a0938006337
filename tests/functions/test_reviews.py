"""The IAM routes for reviews, against moto."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from advisor.aws import remote_api
from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client, table
from advisor.aws.days import DayTable
from advisor.aws.doubts import DOUBTS, DoubtStore
from advisor.aws.labels import LabelRow, LabelTable
from advisor.aws.listings import CURRENT as CURRENT_LISTING
from advisor.aws.models import CURRENT, ModelStore
from advisor.aws.reviews import CATEGORY, MATCH, PHOTO, MatchPins, ReviewTable, corrections, pairs
from advisor.catalog.categories import Vote, map_categories
from advisor.catalog.pins import category_id, match_id
from advisor.crawling.items import Item
from advisor.vision.classification import Classification, Label
from cli.categories import command
from functions.reviews.handler import Services, handler
from infra.service_stack import REVIEWS_ROUTES
from tests.openapi import checked_answer

pytestmark = pytest.mark.usefixtures("aws")
LABELS, REVIEWS = LabelTable("labels"), ReviewTable("reviews")
ANN = "arn:aws:iam::123456789012:user/ann"
Call = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def call() -> Call:
    clock = iter(datetime(2026, 11, 22, 10, tzinfo=UTC) + timedelta(minutes=n) for n in range(99))
    services = Services(
        data_bucket="data", labels=LABELS, reviews=REVIEWS, models=ModelStore("data"),
        catalog=CatalogTables("products"), doubts=DoubtStore("data"), days=DayTable("days"),
        now=lambda: next(clock),
    )  # fmt: skip

    def call(
        route: str, body: object = None, *, by: str = ANN, query: Any = None, **path: str
    ) -> tuple[int, dict[str, Any]]:
        event = {
            "routeKey": route,
            "headers": {},
            "body": None if body is None else json.dumps(body),
            "queryStringParameters": query,
            "pathParameters": path or None,
            "requestContext": {"authorizer": {"iam": {"userArn": by}} if by else None},
        }
        answer = handler(event, None, services=lambda: services)
        return answer["statusCode"], checked_answer(route, answer)

    return call


def put(key: str, value: object) -> None:
    client("s3").put_object(Bucket="data", Key=key, Body=json.dumps(value).encode())


def publish(version: str, **data: Any) -> None:
    put(CURRENT, {"version": version, "accuracy": 1.0, "published_at": "-"})
    info = {"version": version, "labels": ["hats", "shoes"], "data": data}
    put(f"models/bundles/{version}/bundle.json", info)


def see(name: str, probability: float, version: str = "m1", **more: Any) -> str:
    """A photo as the classify function records it; sure at .6 and more."""
    image_id = hashlib.sha256(name.encode()).hexdigest()
    labels = (Label("hats", probability), Label("shoes", round(1 - probability, 6)))
    row = {
        "image_id": image_id, "bucket": "data", "key": f"images/boots %26 co/one/{name}.jpg",
        "classified_at": f"2026-11-22T{version}", "product_id": f"one:{name}",
        "classification": Classification(
            image_id=image_id, model_version=version, labels=labels, unknown=probability < 0.6
        ),
    }  # fmt: skip
    LABELS.put(LabelRow(**row | more))
    return image_id


def sell(shop: str, sku: str, **more: Any) -> str:
    item = Item(id=sku, title=f"A {sku}", category="c", description="-", shop=shop, **more)
    CatalogTables("products", "prices").put_item(item, run_id="r", observed_at="2026-11-22")
    return item.product_id


def waiting(call: Call, **query: str) -> list[str]:
    status, answer = call("GET /reviews/photos", query=query)
    assert status == 200
    return [one["image_id"] for one in answer["photos"]]


def test_the_photos_that_the_model_in_use_is_not_sure_of_the_least_sure_first(call: Call) -> None:
    publish("m1")
    sell("one", "b")
    first, second = see("b", 0.51), see("a", 0.55)
    see("sure", 0.9)
    see("upload", 0.5, product_id="", bucket="uploads", key="uploads/x")
    see("earlier", 0.5, "m0")
    status, answer = call("GET /reviews/photos")
    assert (status, answer["waiting"], answer["labels"]) == (200, 2, ["hats", "shoes"])
    shown = answer["photos"][0]
    assert [one["image_id"] for one in answer["photos"]] == [first, second]
    assert shown.pop("photo_url").startswith("https://data.s3.eu-central-1.amazonaws.com/images/")
    assert shown == {
        "image_id": first, "why": "unsure", "shop_label": "boots & co", "product_id": "one:b",
        "labels": [{"label": "hats", "probability": 0.51}, {"label": "shoes", "probability": 0.49}],
        "title": "A b", "shop": "one", "url": "",
    }  # fmt: skip
    assert answer["photos"][1]["title"] == ""  # its product is gone
    status, answer = call("GET /reviews/photos", query={"limit": "1"})
    assert ([one["image_id"] for one in answer["photos"]], answer["waiting"]) == ([first], 2)


def test_nothing_waits_before_a_model_is_published(call: Call) -> None:
    assert call("GET /reviews/photos")[1]["photos"] == []
    assert call("GET /reviews/matches") == (200, {"matches": [], "waiting": 0})
    assert call("GET /reviews/decisions") == (200, {"decisions": [], "learned": {}})


def test_a_label_is_kept_with_who_and_when_and_the_photo_waits_no_more(call: Call) -> None:
    publish("m1")
    image_id = see("a", 0.5)
    said = call("POST /reviews/photos/{image_id}", {"label": " shoes "}, image_id=image_id)
    assert said == (200, {
        "kind": "photo", "about": image_id, "said": "shoes", "by": ANN,
        "at": "2026-11-22T10:00:00.000000Z",
        "seen": {"shop_label": "boots & co", "label": "hats", "model_version": "m1",
                 "key": "images/boots %26 co/one/a.jpg"},
    })  # fmt: skip
    assert waiting(call) == []
    assert list(LABELS.to_review("m1")) == []
    assert list(corrections(REVIEWS.all(PHOTO))) == [
        {"image": image_id, "label": "shoes", "by": ANN, "at": "2026-11-22T10:00:00.000000Z"}
    ]


def test_the_same_decision_again_changes_nothing_and_another_replaces_it(call: Call) -> None:
    publish("m1")
    image_id = see("a", 0.5)
    route = "POST /reviews/photos/{image_id}"
    first = call(route, {"label": "shoes"}, image_id=image_id)
    assert call(route, {"label": "shoes"}, image_id=image_id, by="bob") == first
    status, other = call(route, {"label": "hats"}, image_id=image_id, by="")
    assert (status, other["said"], other["by"]) == (200, "hats", "unknown")
    assert [one.said for one in REVIEWS.all(PHOTO)] == ["hats"]


def test_an_undone_decision_is_gone_and_the_photo_waits_again(call: Call) -> None:
    publish("m1")
    image_id = see("a", 0.5)
    call("POST /reviews/photos/{image_id}", {"label": "shoes"}, image_id=image_id)
    undo = "DELETE /reviews/photos/{image_id}"
    assert call(undo, image_id=image_id)[1]["undone"] is True
    assert (waiting(call), list(REVIEWS.all(PHOTO))) == ([image_id], [])
    assert call(undo, image_id=image_id)[1]["undone"] is False


def test_a_photo_that_was_decided_is_not_asked_again_by_the_next_model(call: Call) -> None:
    publish("m1")
    image_id = see("a", 0.5)
    call("POST /reviews/photos/{image_id}", {"label": "shoes"}, image_id=image_id)
    publish("m2")
    see("a", 0.5, "m2")
    later = see("b", 0.55, "m2")
    assert waiting(call) == [later]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [({}, 400, "label is 'None'; expected a category"),
     ({"label": "  "}, 400, "expected a category"),
     ({"label": "x" * 201}, 400, "expected a category"),
     ({"label": 7}, 400, "label is '7'"),
     ({"label": "shoos"}, 400, "no category 'shoos'; there is hats, shoes, boots & co"),
     ([], 400, "")],
)  # fmt: skip
def test_a_label_that_is_none_is_refused(call: Call, body: Any, status: int, said: str) -> None:
    publish("m1")
    image_id = see("a", 0.5)
    found, problem = call("POST /reviews/photos/{image_id}", body, image_id=image_id)
    assert found == status
    assert said in problem["detail"]
    assert list(REVIEWS.all(PHOTO)) == []


def test_the_shops_own_word_is_a_category_too(call: Call) -> None:
    publish("m1")
    image_id = see("a", 0.5)
    body = {"label": "boots & co"}
    assert call("POST /reviews/photos/{image_id}", body, image_id=image_id)[0] == 200


def test_a_photo_that_nobody_knows_is_not_found(call: Call) -> None:
    publish("m1")
    route = "/reviews/photos/{image_id}"
    assert call(f"POST {route}", {"label": "hats"}, image_id="0" * 64)[0] == 404
    assert call(f"DELETE {route}", image_id="0" * 64)[0] == 404


def test_mis_shelved_photos_come_after_the_unsure_ones_each_once(call: Call) -> None:
    publish("m1")
    unsure, sure = see("a", 0.5), see("b", 0.9)
    amiss = {"product_id": "one:b", "category": "boots & co", "unified": "shoes", "label": "hats",
             "probability": 0.9, "confidence": 0.8, "photo": "images/b"}  # fmt: skip
    listed = [amiss | {"image_id": sure}, amiss | {"image_id": unsure}, amiss]
    put(CURRENT_LISTING, {"key": "-", "disagreements": listed})
    answer = call("GET /reviews/photos")[1]
    assert [(one["image_id"], one["why"]) for one in answer["photos"]] == [
        (unsure, "unsure"), (sure, "shelf"),
    ]  # fmt: skip
    assert (answer["waiting"], answer["photos"][1]["shop_label"]) == (2, "boots & co")
    call("POST /reviews/photos/{image_id}", {"label": "hats"}, image_id=sure)
    assert waiting(call) == [unsure]
    call("DELETE /reviews/photos/{image_id}", image_id=sure)
    assert [row.image_id for row in LABELS.to_review("m1")] == [unsure]  # sure of the other still


def doubt(one: str, other: str, **more: Any) -> dict[str, Any]:
    known = {"match_id": match_id(one, other), "one": one, "other": other, "reason": "name",
             "why": "photos differ", "score": 0.9, "one_photo": "images/1",
             "other_photo": ""}  # fmt: skip
    return known | more


def test_a_doubtful_match_is_shown_with_both_offers(call: Call) -> None:
    one, other = sell("one", "t", price_minor=100, currency="EUR", gtin="4006381333931"), "two:gone"
    two = sell("two", "t")
    put(DOUBTS, {"matches": [doubt(one, two), doubt(one, other)]})
    status, answer = call("GET /reviews/matches")
    assert (status, answer["waiting"], len(answer["matches"])) == (200, 1, 1)
    [shown] = answer["matches"]
    assert shown["one"].pop("photo_url").startswith("https://data.s3.")
    assert shown == {
        "match_id": match_id(one, two), "reason": "name", "why": "photos differ", "score": 0.9,
        "one": {"product_id": one, "shop": "one", "title": "A t", "brand": "", "mpn": "",
                "gtin": "04006381333931", "price_minor": 100, "currency": "EUR", "url": ""},
        "other": {"product_id": two, "shop": "two", "title": "A t", "brand": "", "mpn": "",
                  "gtin": "", "price_minor": None, "currency": "", "url": "", "photo_url": None},
    }  # fmt: skip


def test_pairs_of_products_that_are_gone_take_no_places(call: Call) -> None:
    one, two = sell("one", "t"), sell("two", "t")
    gone = [doubt(one, f"two:gone{number}") for number in range(60)]
    put(DOUBTS, {"matches": [*gone, doubt(one, two), doubt(two, one)]})
    answer = call("GET /reviews/matches", query={"limit": "1"})[1]
    assert [shown["match_id"] for shown in answer["matches"]] == [match_id(one, two)]
    assert answer["waiting"] == 2


@pytest.mark.parametrize("same", [True, False])
def test_a_decided_match_is_pinned_until_it_is_undone(call: Call, same: bool) -> None:
    one, two = sell("one", "t"), sell("two", "t")
    put(DOUBTS, {"matches": [doubt(one, two)]})
    status, decision = call("POST /reviews/matches", {"one": two, "other": one, "same": same})
    assert (status, decision["about"], decision["by"]) == (200, match_id(one, two), ANN)
    assert decision["said"] == ("same" if same else "different")
    assert call("GET /reviews/matches")[1] == {"matches": [], "waiting": 0}
    pins = MatchPins(REVIEWS, max_age_s=0)
    assert pins.get() == {one: {two: same}, two: {one: same}}
    assert [(line["one"], line["other"], line["same"]) for line in pairs(REVIEWS.all(MATCH))] == [
        (one, two, same)
    ]
    status, undone = call("DELETE /reviews/matches/{match_id}", match_id=decision["about"])
    assert (status, undone["undone"], pins.get()) == (200, True, {})
    assert call("GET /reviews/matches")[1]["waiting"] == 1


def test_pins_are_read_once_a_minute(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = sell("one", "t"), sell("two", "t")
    pins = MatchPins(REVIEWS)
    assert pins.get() == {}
    call("POST /reviews/matches", {"one": one, "other": two, "same": True})
    assert pins.get() == {}
    later = time.monotonic() + 61
    monkeypatch.setattr("advisor.aws.remembered.time.monotonic", lambda: later)
    assert pins.get() == {one: {two: True}, two: {one: True}}


def test_the_pins_of_before_stay_while_the_table_cannot_be_read(
    call: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = sell("one", "t"), sell("two", "t")
    call("POST /reviews/matches", {"one": one, "other": two, "same": True})
    pins = MatchPins(REVIEWS, max_age_s=0)
    before = pins.get()
    throttled = ClientError({"Error": {"Code": "ThrottlingException"}}, "Query")

    def refused(**_: Any) -> None:
        raise throttled

    monkeypatch.setattr(table("reviews"), "query", refused)
    assert pins.get() == before == {one: {two: True}, two: {one: True}}
    assert "the pins of before stay in use" in caplog.text
    with pytest.raises(ClientError, match="Throttling"):
        MatchPins(REVIEWS).get()


def test_decisions_that_are_never_answered_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 (boto3's name)
        asked.append(RequestItems)
        assert len(asked) < 10
        return {"Responses": {}, "UnprocessedKeys": RequestItems}

    asked: list[Any] = []
    monkeypatch.setattr(table("reviews").meta.client, "batch_get_item", nothing)
    monkeypatch.setattr("advisor.aws.rows.time.sleep", lambda _: None)
    with pytest.raises(TimeoutError, match="2 keys unanswered in 6 attempts"):
        REVIEWS.decided(PHOTO, ["a", "b"])


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [({"one": "one:t", "same": True}, 400, "expected one and other"),
     ({"one": "one:t", "other": "two:t", "same": "yes"}, 400, "same, true or false"),
     ({"one": "one:t", "other": "one:t", "same": True}, 400, "expected two products"),
     ({"one": "one:t", "other": "two:gone", "same": True}, 404, "no product 'two:gone'")],
)  # fmt: skip
def test_a_match_that_is_none_is_refused(call: Call, body: Any, status: int, said: str) -> None:
    sell("one", "t")
    found, problem = call("POST /reviews/matches", body)
    assert (found, said in problem["detail"]) == (status, True)
    assert list(REVIEWS.all(MATCH)) == []


def test_an_undo_of_what_is_no_match_is_not_found(call: Call) -> None:
    assert call("DELETE /reviews/matches/{match_id}", match_id="../x")[0] == 404


def vote(category: str, label: str, probability: float, shop: str = "one") -> Vote:
    sku = f"{shop}:{category}{label}"
    return Vote(
        shop=shop, category=category, product_id=sku, photo=sku, label=label,
        probability=probability,
    )  # fmt: skip


def list_categories(pins: Any = None) -> None:
    """What the index function publishes of these shops' categories."""
    votes = [
        vote("boots & co", "shoes", 0.75), vote("boots & co", "hats", 0.25),
        vote("headwear", "hats", 0.9), vote("caps", "hats", 0.6, "two"),
    ]  # fmt: skip
    mapped = map_categories(votes, pins, shelves=[("two", "sofas")])
    put(CURRENT_LISTING, {"key": "-", "mapped": [one.to_dict() for one in mapped]})


def categories(call: Call, **query: str) -> list[tuple[str, str, str, float, bool]]:
    status, answer = call("GET /reviews/categories", query=query)
    assert status == 200
    names = ("category", "unified", "listed", "share", "pinned")
    return [tuple(one[name] for name in names) for one in answer["categories"]]


def test_categories_are_told_with_their_evidence_the_least_sure_first(call: Call) -> None:
    publish("m1")
    list_categories()
    assert categories(call) == [
        ("sofas", "sofas", "sofas", 0, False),
        ("boots & co", "shoes", "shoes", 0.75, False),
        ("headwear", "hats", "hats", 1, False),
        ("caps", "hats", "hats", 1, False),
    ]
    answer = call("GET /reviews/categories", query={"shop": "one", "limit": "1"})[1]
    assert (answer["count"], answer["names"]) == (2, ["hats", "shoes", "sofas"])
    assert answer["categories"] == [{
        "category_id": category_id("one", "boots & co"), "shop": "one", "category": "boots & co",
        "unified": "shoes", "listed": "shoes", "share": 0.75, "pinned": False,
        "evidence": [{"label": "shoes", "weight": 0.75, "products": 1},
                     {"label": "hats", "weight": 0.25, "products": 1}],
    }]  # fmt: skip
    assert call("GET /reviews/categories", query={"limit": "0"})[0] == 400


def test_a_pinned_category_is_kept_with_who_and_when_until_it_is_taken_back(call: Call) -> None:
    list_categories()
    body = {"shop": "one", "category": "boots & co", "unified": " winter  boots "}
    known = category_id("one", "boots & co")
    said = call("POST /reviews/categories", body)
    assert said == (200, {
        "kind": "category", "about": known, "said": "winter boots", "by": ANN,
        "at": "2026-11-22T10:00:00.000000Z",
        "seen": {"shop": "one", "category": "boots & co", "unified": "shoes"},
    })  # fmt: skip
    assert call("POST /reviews/categories", body, by="bob") == said  # the first one stays
    pinned = ("boots & co", "winter boots", "shoes", 0, True)
    assert categories(call, shop="one") == [("headwear", "hats", "hats", 1, False), pinned]
    assert "winter boots" in call("GET /reviews/categories")[1]["names"]
    assert call("GET /reviews/decisions", query={"kind": "category"})[1]["decisions"] == [said[1]]
    list_categories({("one", "boots & co"): "winter boots"})  # listed anew meanwhile
    undo = "DELETE /reviews/categories/{category_id}"
    assert call(undo, category_id=known)[1]["undone"] is True
    assert categories(call, shop="one")[0] == ("boots & co", "shoes", "winter boots", 0.75, False)
    assert call(undo, category_id=known)[1]["undone"] is False
    assert list(REVIEWS.all(CATEGORY)) == []


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [({"shop": "one", "category": "caps", "unified": "x"}, 404, "no category 'caps' is listed"),
     ({"shop": "one", "category": "headwear"}, 400, "unified is 'None'; expected a category"),
     ({"shop": "one", "category": "headwear", "unified": " "}, 400, "expected a category"),
     ({"shop": "one", "category": "headwear", "unified": "x" * 201}, 400, "of 1 to 200 signs"),
     ({"shop": 1, "category": "headwear", "unified": "x"}, 400, "expected shop and category")],
)  # fmt: skip
def test_a_pin_of_no_category_is_refused(call: Call, body: Any, status: int, said: str) -> None:
    list_categories()
    found, problem = call("POST /reviews/categories", body)
    assert (found, said in problem["detail"]) == (status, True)
    assert list(REVIEWS.all(CATEGORY)) == []


def test_an_undo_of_what_is_no_category_is_not_found(call: Call) -> None:
    assert call("DELETE /reviews/categories/{category_id}", category_id="../x")[0] == 404


def test_the_command_lists_pins_and_unpins_by_the_same_routes(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(_url: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        path, _, query = path.partition("?")
        known = path.removeprefix("reviews/categories").strip("/")
        route = f"{method} /reviews/categories" + ("/{category_id}" if known else "")
        status, told = call(route, body, query=dict(parse_qsl(query)), category_id=known)
        assert status == 200, told
        return told

    list_categories()
    monkeypatch.setattr(remote_api, "outputs_of", lambda _stack: {"ApiId": "a", "ApiUrl": "-"})
    monkeypatch.setattr(remote_api, "call_api", answered)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(command, ["--remote", *arguments])

    assert run().stdout.splitlines()[1].split() == ["two", "sofas", "sofas", "0%"]
    shown = run("--pin", "two", "sofas", "furniture").stdout.splitlines()
    assert shown[-1].split() == ["two", "sofas", "furniture", "pinned"]
    shown = run("--unpin", "two", "sofas", "--json").stdout.splitlines()
    assert json.loads(shown[0])["unified"] == "sofas"
    assert str(run("--unpin", "two", "sofas").exception) == (
        "no category 'sofas' of shop 'two' is pinned"
    )
    monkeypatch.setattr("cli.categories._MOST", 1)
    assert "the least sure 1 of 4" in run().stderr
    assert run(".").exit_code == 2
    refused = CliRunner().invoke(command, [".", "--bundle", "b", "--unpin", "one", "c"])
    assert "--pin and --unpin belong to --remote" in refused.stderr


def test_what_was_decided_last_comes_first_with_the_model_that_learned_it(call: Call) -> None:
    publish("m1")
    for name in ("a", "b", "c"):
        image_id = see(name, 0.5)
        call("POST /reviews/photos/{image_id}", {"label": "shoes"}, image_id=image_id)
    told = {"given": 2, "until": "2026-11-22T10:01:00.000000Z", "photos": 2, "changed": 1}
    publish("m2", corrections=told)
    answer = call("GET /reviews/decisions", query={"kind": "photo", "limit": "2"})[1]
    assert [(one["at"][11:16], one["used_by"]) for one in answer["decisions"]] == [
        ("10:02", ""), ("10:01", "m2"),
    ]  # fmt: skip
    assert answer["learned"] == told | {"model_version": "m2"}
    assert call("GET /reviews/decisions", query={"kind": "x"})[0] == 400


def test_every_route_is_answered(call: Call) -> None:
    for route in REVIEWS_ROUTES:
        status, _ = call(route, image_id="0", match_id="0", category_id="0")
        assert status in (200, 400, 404), route


def test_days_are_told_by_model_from_the_first_asked_for_on(call: Call) -> None:
    table = DayTable("days")
    for day, version, unknown in ((20, "m1", 1), (21, "m1", 2), (22, "m1", 0), (22, "m2", 3)):
        table.add(date(2026, 11, day), version, classified=9, unknown=unknown, unreadable=1)
    answer = call("GET /days", query={"days": "2"})[1]
    assert answer["days"][0] == {
        "day": "2026-11-21", "model_version": "m1", "classified": 9, "unknown": 2, "unreadable": 1,
    }  # fmt: skip
    assert [(one["day"][8:], one["model_version"], one["unknown"]) for one in answer["days"]] == [
        ("21", "m1", 2), ("22", "m1", 0), ("22", "m2", 3),
    ]  # fmt: skip
    assert len(call("GET /days")[1]["days"]) == 4
    assert call("GET /days", query={"days": "0"})[0] == 400
