"""The classify function on recorded events, with a classifier whose answers are known."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import numpy as np
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from advisor import uploads
from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client, table
from advisor.aws.days import DayTable
from advisor.aws.embeddings import EmbeddingTable
from advisor.aws.indexes import IndexedPhotos
from advisor.aws.labels import LabelTable
from advisor.aws.photos import PhotoPlace, announcement
from advisor.aws.photos import read_photo as stored_photo
from advisor.aws.reviews import MATCH, Decision, MatchPins, ReviewTable
from advisor.aws.watching import NOT_COUNTED
from advisor.catalog.similarity import ShelfPhoto, SimilarPhoto
from advisor.crawling.items import Item
from advisor.errors import (
    BundleError,
    NoModelError,
    NotFoundError,
    RequestError,
    UnreadableImageError,
)
from advisor.http import Request
from advisor.uploads import read_photo, read_photos
from advisor.vision import images
from advisor.vision.classification import Classification, Label
from advisor.vision.classifier import Prediction
from advisor.vision.fingerprints import Fingerprint, fingerprint
from functions.classify.handler import Services, handler
from tests.openapi import checked_answer

pytestmark = pytest.mark.usefixtures("aws")

EVENTS = Path(__file__).parents[1] / "events"
STOOL_ONE = "images/hi-fi, audio & speakers/one/AB%2F12-0a1b2c3d4e5f.jpg"
STOOL_TWO = "images/furniture/two/ST 9-0a1b2c3d4e5f.jpg"
GTIN = "04006381333931"
LENGTH = 12.25


class FakeClassifier:
    """Says what the photo's bytes say: b"chair 0.9 blue" is a chair, pointing to `blue`."""

    def __init__(self, version: str = "m1") -> None:
        self.version = version
        self.seen: list[bytes] = []

    def predict(self, data: bytes, *, top_k: int = 5) -> Prediction:
        self.seen.append(data)
        try:
            label, probability, direction = data.decode().split()
        except ValueError as error:
            raise UnreadableImageError(f"no image: {len(data)} bytes") from error
        ranked = [Label(label, float(probability)), Label("other", 1 - float(probability))]
        return Prediction(
            Classification(
                image_id=hashlib.sha256(data).hexdigest(),
                model_version=self.version,
                labels=tuple(ranked[:top_k]),
                unknown=float(probability) < 0.6,
            ),
            embedding(direction),
            LENGTH,
            np.full((224, 224, 3), len(data), np.uint8),
        )


def embedding(direction: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A unit vector: `blue` and `bluish` are .96 alike, `red` is 0 to both... nearly."""
    vector = np.zeros(1280, dtype=np.float32)
    vector[:2] = {"blue": (1, 0), "bluish": (0.96, 0.28), "red": (0, 1)}[direction]
    return vector


class Fixture:
    """The services, and what a test stores in them."""

    def __init__(self) -> None:
        self.classifier: FakeClassifier | None = FakeClassifier()
        self.ages: list[float] = []
        self.catalog = CatalogTables("products", "prices")
        self.labels = LabelTable("labels")
        self.embeddings = EmbeddingTable("embeddings")
        self.days = DayTable("days")

    def _source(self, *, max_age_s: float, version: str = "") -> FakeClassifier:
        self.ages.append(max_age_s)
        if version and version != "m0":
            raise NotFoundError(f"no model {version!r} in use")
        if version:
            return FakeClassifier(version)
        if self.classifier is None:
            raise NoModelError("no model is published yet")
        return self.classifier

    def __call__(self) -> Services:
        return Services(
            data_bucket="data",
            uploads_bucket="uploads",
            classifier=self._source,
            catalog=self.catalog,
            labels=self.labels,
            embeddings=self.embeddings,
            pins=MatchPins(ReviewTable("reviews"), max_age_s=0),
            days=self.days,
        )

    def store(self, key: str, data: bytes, product_id: str = "", *, bucket: str = "data") -> None:
        metadata = {"product-id": quote(product_id)} if product_id else {}
        client("s3").put_object(Bucket=bucket, Key=key, Body=data, Metadata=metadata)

    def arrive(self, *keys: str, bucket: str = "data") -> dict[str, Any]:
        body = announcement([PhotoPlace(bucket, key) for key in keys])
        event = {"Records": [{"messageId": "m", "body": body}]}
        return handler(event, None, services=self)

    def sell(self, product_id: str, title: str, photo: bytes = b"", **more: Any) -> None:
        shop, _, sku = product_id.partition(":")
        item = Item(
            id=sku, shop=shop, title=title, category="chairs", description="-",
            url=f"https://{shop}/{sku}", currency="EUR", **more,
        )  # fmt: skip
        self.catalog.put_item(item, run_id="r", observed_at="2026-11-22T10:00:00+00:00")
        if photo:
            key = f"images/chairs/{shop}/{sku}-{hashlib.sha256(photo).hexdigest()[:12]}.jpg"
            self.store(key, photo, product_id)
            assert self.arrive(key) == {"batchItemFailures": []}


@pytest.fixture
def services() -> Fixture:
    return Fixture()


def recorded(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return event


JSON, FILES, FORM = "application/json", "multipart/form-data", "application/x-www-form-urlencoded"


def request(
    body: bytes | str,
    content_type: str = "image/jpeg",
    *,
    route: str = "POST /classify",
    **query: str,
) -> dict[str, Any]:
    event = recorded("http_classify_raw") | {"routeKey": route, "queryStringParameters": query}
    text = body if isinstance(body, str) else base64.b64encode(body).decode()
    headers = {"content-type": content_type} if content_type else {}
    return event | {
        "headers": headers, "body": text, "isBase64Encoded": isinstance(body, bytes)
    }  # fmt: skip


def rows(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table(name).scan()["Items"]
    return found


def answer(event: dict[str, Any], services: Fixture, status: int = 200) -> dict[str, Any]:
    response = handler(event, None, services=services)
    expected = "application/json" if status == 200 else "application/problem+json"
    assert (response["statusCode"], response["headers"]["content-type"]) == (status, expected)
    body: dict[str, Any] = checked_answer(event["routeKey"], response)
    if status != 200:
        assert (body["status"], body["type"]) == (status, "about:blank")
    return body


# --- photos that arrive in S3


def test_labels_photos_announced_by_s3_through_sqs(services: Fixture) -> None:
    services.store(STOOL_ONE, b"chairs 0.9 blue", "one:AB/12 é")
    services.store(STOOL_TWO, b"chairs 0.8 bluish", "two:ST 9")
    services.store("my stool+1 é", b"chairs 0.7 red", bucket="uploads")
    assert handler(recorded("sqs_s3_photos"), None, services=services) == {"batchItemFailures": []}
    assert {(row["bucket"], row["key"], row["status"]) for row in rows("labels")} == {
        ("data", STOOL_ONE, "labelled"),
        ("data", STOOL_TWO, "labelled"),
        ("uploads", "my stool+1 é", "labelled"),
    }
    shelf = services.embeddings.load("m1", "chairs")
    assert [(one.product_id, one.photo) for one in shelf.photos] == [
        ("one:AB/12 é", STOOL_ONE),
        ("two:ST 9", STOOL_TWO),
    ]
    assert services.ages == [0]  # a model published a moment ago is used


def test_an_upload_gets_labels_and_no_embedding(services: Fixture) -> None:
    services.store("a", b"chairs 0.9 blue", bucket="uploads")
    services.arrive("a", bucket="uploads")
    [row] = rows("labels")
    assert row["image_id"] == hashlib.sha256(b"chairs 0.9 blue").hexdigest()
    assert row["model_version"] == "m1"
    assert [(one["label"], float(one["probability"])) for one in row["labels"]] == [
        ("chairs", 0.9),
        ("other", 0.1),
    ]
    assert rows("embeddings") == []


def test_the_same_photo_twice_is_inferred_once(services: Fixture) -> None:
    services.store("images/a", b"chairs 0.9 blue", "one:1")
    services.store("b", b"chairs 0.9 blue", bucket="uploads")
    for _ in range(2):
        services.arrive("images/a")
    services.arrive("b", bucket="uploads")
    assert services.classifier
    assert len(services.classifier.seen) == 1
    assert len(rows("labels")) == len(rows("embeddings")) == 1


def test_a_photo_sent_again_is_found_where_it_lies_now(services: Fixture) -> None:
    photo = b"chairs 0.9 blue"
    for key in ("uploads/first", "uploads/again"):
        services.store(key, photo, bucket="uploads")
        services.arrive(key, bucket="uploads")
    [row] = rows("labels")
    assert row["key"] == "uploads/again"
    assert sent(services) == photo  # once
    client("s3").delete_object(Bucket="uploads", Key="uploads/first")  # after a month
    assert of_image(photo, services)["classification"]["labels"][0]["label"] == "chairs"


def test_a_further_product_with_the_same_photo_is_shelved_without_inference(
    services: Fixture,
) -> None:
    services.store("images/a", b"chairs 0.9 blue", "one:1")
    services.store("images/b", b"chairs 0.9 blue", "two:2")
    services.arrive("images/a", "images/b")
    assert services.classifier
    assert len(services.classifier.seen) == 1
    shelf = services.embeddings.load("m1", "chairs")
    assert [(one.product_id, one.photo) for one in shelf.photos] == [
        ("one:1", "images/a"),
        ("two:2", "images/b"),
    ]


def test_a_photo_known_as_an_upload_is_shelved_when_a_shop_shows_it(services: Fixture) -> None:
    services.store("a", b"chairs 0.9 blue", bucket="uploads")
    services.arrive("a", bucket="uploads")
    services.store("images/a", b"chairs 0.9 blue", "one:1")
    services.store("images/b", b"chairs 0.9 blue", "two:2")
    services.arrive("images/a")
    services.arrive("images/b")
    assert len(services.embeddings.load("m1", "chairs").photos) == 2


def test_a_photo_the_model_is_not_sure_of_stands_on_two_shelves(services: Fixture) -> None:
    services.store("images/a", b"chairs 0.5 blue", "one:1")
    services.store("images/b", b"chairs 0.5 blue", "two:2")
    services.arrive("images/a", "images/b")
    assert {row["shelf"] for row in rows("embeddings")} == {"m1#chairs", "m1#other"}
    assert len(rows("embeddings")) == 4


def test_what_training_needs_is_kept_once_a_photo_in_four_write_units(services: Fixture) -> None:
    photos = {"images/a": "one:1", "images/b": "two:2"}
    for key, product_id in photos.items():
        services.store(key, b"chairs 0.5 blue", product_id)
    services.arrive(*photos)
    (seen, again) = services.embeddings.rows("m1", "chairs")
    pixels = np.full((224, 224, 3), len(b"chairs 0.5 blue"), np.uint8)
    for row in (seen, again):
        assert row.length == LENGTH
        assert row.fingerprint == fingerprint(pixels).to_bytes()
    assert Fingerprint.from_bytes(row.fingerprint or b"") == fingerprint(pixels)
    for row in services.embeddings.rows("m1", "other"):
        assert row.length is row.fingerprint is None
    item = next(one for one in rows("embeddings") if "fingerprint" in one)
    numbers = [name for name, value in item.items() if isinstance(value, Decimal)]
    sizes = {name: len(bytes(getattr(value, "value", b"")) or str(value).encode())
             for name, value in item.items()}  # fmt: skip
    assert set(numbers) == {"probability", "length"}
    # 1 KB a unit; names and ids of shops may be 250 bytes longer than here.
    assert sum(len(name) + size for name, size in sizes.items()) < 4096 - 250


def test_another_model_sees_the_photo_again(services: Fixture) -> None:
    services.store("images/a", b"chairs 0.9 blue", "one:1")
    services.arrive("images/a")
    services.classifier = FakeClassifier("m2")
    services.arrive("images/a")
    assert {row["model_version"] for row in rows("labels")} == {"m1", "m2"}
    assert {row["shelf"] for row in rows("embeddings")} == {"m1#chairs", "m2#chairs"}


def test_an_unreadable_photo_is_recorded_with_the_reason_and_acknowledged(
    services: Fixture,
) -> None:
    services.store("a", b"\xff\xd8", bucket="uploads")
    assert services.arrive("a", bucket="uploads") == {"batchItemFailures": []}
    [row] = rows("labels")
    assert (row["status"], row["model_version"], row["reason"]) == (
        "unreadable",
        "-",
        "no image: 2 bytes",
    )
    assert row["image_id"] == hashlib.sha256(b"\xff\xd8").hexdigest()


def test_a_photo_of_too_many_bytes_is_recorded_and_never_decoded(
    services: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.classify.handler.MAX_BYTES", 10)
    services.store("a", b"chairs 0.9 blue", bucket="uploads")
    assert services.arrive("a", bucket="uploads") == {"batchItemFailures": []}
    [row] = rows("labels")
    assert (row["reason"], row["image_id"]) == (
        "15 bytes are too many to be read",
        hashlib.sha256(b"chairs 0.9 blue").hexdigest(),
    )
    assert services.classifier
    assert services.classifier.seen == []


def test_a_deleted_photo_and_s3s_test_event_are_acknowledged(services: Fixture) -> None:
    assert services.arrive("images/gone") == {"batchItemFailures": []}
    assert handler(recorded("sqs_s3_test"), None, services=services) == {"batchItemFailures": []}
    assert rows("labels") == []


def test_only_the_message_that_failed_is_sent_again(services: Fixture) -> None:
    services.store("images/a", b"chairs 0.9 blue", "one:1")
    good = announcement([PhotoPlace("data", "images/a")])
    bad = announcement([PhotoPlace("no-such-bucket", "x")])
    event = {
        "Records": [
            {"messageId": "1", "body": "no JSON"},
            {"messageId": "2", "body": good},
            {"messageId": "3", "body": bad},
        ]
    }
    assert handler(event, None, services=services) == {
        "batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "3"}]
    }
    assert len(rows("labels")) == 1


def test_before_a_model_is_published_photos_wait_for_it(services: Fixture) -> None:
    services.classifier = None
    services.store("images/a", b"chairs 0.9 blue", "one:1")
    services.store("a", b"chairs 0.9 blue", bucket="uploads")
    assert services.arrive("images/a") == {"batchItemFailures": []}
    assert services.arrive("a", bucket="uploads") == {"batchItemFailures": []}
    assert rows("labels") == rows("embeddings") == []


def test_what_is_too_large_to_be_a_photo_is_recorded_and_stops_nothing(
    services: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.store("film.mov", b"x" * 100, bucket="uploads")
    services.store("a", b"chairs 0.9 blue", bucket="uploads")
    small = partial(stored_photo, max_hashed_bytes=99)
    monkeypatch.setattr("functions.classify.handler.read_photo", small)
    assert services.arrive("film.mov", "a", bucket="uploads") == {"batchItemFailures": []}
    film, _ = sorted(rows("labels"), key=lambda row: row["key"], reverse=True)
    assert (film["image_id"], film["status"]) == ("s3://uploads/film.mov", "unreadable")
    assert "of 100 bytes is too large to be read" in film["reason"]


def test_tells_cloudwatch_what_became_of_each_photo(
    services: Fixture, capsys: pytest.CaptureFixture[str]
) -> None:
    services.store("a", b"chairs 0.9 blue", bucket="uploads")
    services.store("b", b"\xff\xd8", bucket="uploads")
    services.arrive("a", bucket="uploads")
    services.arrive("a", "b", bucket="uploads")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line for line in lines if "_aws" in line and "ColdStart" not in line]
    counts = {
        name: sum(len(one[name]) for one in told if name in one and "reason" not in one)
        for name in ("Classified", "Known", "Unreadable", "ReadMs", "WriteMs")
    }
    assert counts == {"Classified": 1, "Known": 1, "Unreadable": 1, "ReadMs": 3, "WriteMs": 2}
    assert {one["model_version"] for one in told if "Classified" in one} == {"m1"}
    assert [one["reason"] for one in told if "reason" in one] == ["damaged"]


# --- POST /classify


def sent(services: Fixture) -> bytes:
    assert services.classifier
    [data] = services.classifier.seen
    return data


@pytest.fixture
def any_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier takes the recorded JPEG for a chair."""
    real = FakeClassifier.predict

    def predict(self: FakeClassifier, data: bytes, *, top_k: int = 5) -> Prediction:
        prediction = real(self, b"chairs 0.9 blue", top_k=top_k)
        self.seen[-1] = data
        return prediction

    monkeypatch.setattr(FakeClassifier, "predict", predict)


@pytest.mark.usefixtures("any_photo")
@pytest.mark.parametrize("name", ["classify_raw", "classify_json", "suggestions_multipart"])
def test_takes_the_photo_out_of_a_recorded_request(services: Fixture, name: str) -> None:
    photo = base64.b64decode(recorded("http_classify_raw")["body"])
    answer(recorded(f"http_{name}"), services)
    assert sent(services) == photo
    assert services.ages == [60]


def test_answers_with_the_classification(services: Fixture) -> None:
    assert answer(request(b"chairs 0.5 blue", top_k="1"), services) == {
        "image_id": hashlib.sha256(b"chairs 0.5 blue").hexdigest(),
        "model_version": "m1",
        "labels": [{"label": "chairs", "probability": 0.5}],
        "unknown": True,
        "timing_ms": {},
    }
    assert rows("labels") == []  # what a request sends is not kept


def test_the_model_before_answers_by_its_name(services: Fixture) -> None:
    event = request(b"chairs 0.5 blue", model="m0")
    assert answer(event, services)["model_version"] == "m0"
    problem = answer(request(b"chairs 0.5 blue", model="m9"), services, 404)
    assert problem["detail"] == "no model 'm9' in use"


def test_takes_a_photo_from_the_uploads_bucket_only(
    services: Fixture, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "uploads/9b2f0a4e/my stool+1.jpg"
    services.store(key, b"chairs 0.9 blue", bucket="data")
    problem = answer(recorded("http_classify_s3_key"), services, 404)
    assert key in problem["detail"]
    services.store(key, b"chairs 0.8 blue", bucket="uploads")
    said = answer(recorded("http_classify_s3_key"), services)
    assert said["labels"][0]["probability"] == 0.8
    assert capsys.readouterr().out.count('"ReadMs":[') == 1  # reading it is timed


def test_form_bytes_arrive_unchanged(services: Fixture) -> None:
    photo = bytes(range(256)) + b"\r\n--X\r\n\r\n--\n\r\n"
    head = b'--XY\r\nContent-Disposition: form-data; name="f"; filename="\xc3\xa9.jpg"\r\n\r\n'
    event = request(head + photo + b"\r\n--XY--\r\n", 'multipart/form-data; boundary="XY"')
    answer(event, services, 422)
    assert sent(services) == photo


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
    [
        (request(b""), 400, "a photo of 0 bytes"),
        (request(b"no photo"), 422, "no image: 8 bytes"),
        (request(b"a=b", FORM), 415, "received 'application/x-www-form-urlencoded'"),
        (request(b"x", ""), 415, "received 'no content type'; expected image/*"),
        (request("{", JSON), 400, "1 bytes that are no JSON"),
        (request("[" * 100_000, JSON), 400, "no JSON"),
        (request("[]", JSON), 400, "JSON list; expected an object"),
        (request('{"photo": "x"}', JSON), 400, "JSON with photo; expected one text"),
        (request('{"image": "eA==", "s3_key": "k"}', JSON), 400, "JSON with image, s3_key"),
        (request('{"image": 5}', JSON), 400, "expected one text, image or s3_key"),
        (request('{"s3_key": "\\ud800"}', JSON), 400, "that are no JSON: 'utf-8' codec"),
        (request('{"\\udfff": 1}', JSON), 400, "that are no JSON: 'utf-8' codec"),
        (request(b'{"s3_key": "\xed\xa0\x80"}', JSON), 400, "that are no JSON: 'utf-8' codec"),
        (request('{"s3_key": "\\ud800"}'.encode("utf-16"), JSON), 400, "that are no JSON: 'utf-8'"),
        (request('{"s3_key": ""}', JSON), 400, "expected one text, image or s3_key"),
        (request('{"s3_key": "images/a.jpg"}', JSON), 400, "s3_key 'images/a.jpg'; expected one"),
        (request(json.dumps({"s3_key": "x" * 1025}), JSON), 400, "expected one text"),
        (request(json.dumps({"s3_key": "uploads/" + "é" * 510}), JSON), 400, "expected one text"),
        (request('{"image": "?"}', JSON), 400, "1 characters that are no base64"),
        (request('{"image": "é"}', JSON), 400, "1 characters that are no base64"),
        (request(b"--X\r\n\r\n--X--", f"{FILES}; boundary=X"), 400, "a form of 1 parts"),
        (request(b"--X--", f"{FILES}; boundary=X"), 400, "a form of 0 parts, none of them a file"),
        (request(b"x" * 5, f"{FILES}; boundary=X"), 400, "5 bytes without the boundary of a form"),
        (request(b"--X", FILES), 400, "without a boundary"),
        (request(b"", f"{FILES}; a*; a*0"), 400, "a form with headers that cannot be read"),
        (request(b"--X\r\n" * 102, f"{FILES}; boundary=X"), 413, "a form of more than 100 parts"),
        (
            request(b"--X\r\nA: " + b";a" * 5000 + b"\r\n\r\nx\r\n--X--", f"{FILES}; boundary=X"),
            413,
            "a form with a header of 10005 bytes; at most 8192",
        ),
        (request(b"x", top_k="0"), 400, "top_k is '0'; expected 1 to 20"),
        (request(b"x", top_k="21"), 400, "top_k is '21'; expected 1 to 20"),
        (request(b"x", top_k="-1"), 400, "top_k is '-1'"),
        (request(b"x", top_k="000000009999"), 400, "top_k is '000000009999'"),
        (request(b"x", top_k="²"), 400, "top_k is '²'"),
        (request(b"x", threshold="1.1"), 400, "threshold is '1.1'; expected 0 to 1"),
        (request(b"x", threshold="nan"), 400, "threshold is 'nan'"),
        (request(b"x", threshold="-0.1"), 400, "threshold is '-0.1'"),
        (request(b"x", threshold="half"), 400, "threshold is 'half'"),
        (request(b"x", threshold="0_1"), 400, "threshold is '0_1'"),
        (request(b"x", threshold=" 0.1"), 400, "threshold is ' 0.1'"),
        (request(b"x", threshold="²"), 400, "threshold is '²'"),
        (
            request('{"images": [{}]}', JSON, route="POST /suggestions"),
            400,
            "1 photos sent as several",
        ),
        (request('{"images": [{}], "image": ""}', JSON), 400, "JSON with image, images; expected"),
        (request('{"images": [{}], "s3_key": 1}', JSON), 400, "JSON with images, s3_key; expected"),
    ],
)
def test_a_bad_request_is_told_what_was_received(
    services: Fixture, sent: dict[str, Any], status: int, detail: str
) -> None:
    assert detail in answer(sent, services, status)["detail"]


PARAMETERS = ("; a*", "; a*0=", "; boundary=X", "; boundary*0*=x'y'%ff", '; a="', "é")
PIECES = (
    "--X",
    "--X--",
    "\r\n",
    "\r\n\r\n",
    "Content-Disposition: form-data; filename",
    "Content-Type: ",
)
PIECES += ("=a", "*=utf-8''%41", "*0*=x''a", "; filename*", '"', "\xff\0")


@given(st.lists(st.sampled_from(PARAMETERS)), st.lists(st.sampled_from(PIECES)))
def test_any_form_is_read_or_refused(parameters: list[str], pieces: list[str]) -> None:
    event = request("".join(pieces).encode("latin-1"), FILES + "".join(parameters))
    with suppress(RequestError):
        assert read_photos(Request.from_event(event)).photos


def test_what_may_be_uploaded_is_what_is_decoded() -> None:
    assert uploads.MAX_BYTES == images.MAX_BYTES


def test_a_photo_of_too_many_bytes_is_refused() -> None:
    with pytest.raises(RequestError, match="a photo of 101 bytes; at most 100") as refused:
        read_photo(Request.from_event(request(b"x" * 101)), max_bytes=100)
    assert refused.value.status == 413


def test_an_upload_of_too_many_bytes_is_refused(
    services: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.classify.handler.MAX_BYTES", 10)
    services.store("uploads/9b2f0a4e/my stool+1.jpg", b"chairs 0.9 blue", bucket="uploads")
    refused = answer(recorded("http_classify_s3_key"), services, 413)
    assert (
        "my stool+1.jpg' of 15 bytes is too large to be read; at most 10 are read"
        in refused["detail"]
    )


def test_a_body_that_is_no_base64_is_refused(services: Fixture) -> None:
    event = request("?") | {"isBase64Encoded": True}
    assert "no base64" in answer(event, services, 400)["detail"]


def test_without_a_model_the_service_is_unavailable(services: Fixture) -> None:
    services.classifier = None
    assert answer(request(b"chairs 0.9 blue"), services, 503)["title"] == "Service Unavailable"


def test_a_fault_of_our_own_escapes(services: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: Any, **__: Any) -> None:
        raise BundleError("model.tflite differs")

    monkeypatch.setattr(FakeClassifier, "predict", damaged)
    with pytest.raises(BundleError):
        handler(request(b"x"), None, services=services)


def test_an_unknown_route_is_not_found(services: Fixture) -> None:
    assert "POST /x" in answer(request(b"x", route="POST /x"), services, 404)["detail"]


def test_labels_below_the_threshold_are_left_out(services: Fixture) -> None:
    said = answer(request(b"chairs 0.7 blue", threshold="0.5"), services)
    assert [one["label"] for one in said["labels"]] == ["chairs"]
    nothing = answer(request(b"chairs 0.7 blue", threshold="0.95"), services)
    assert (nothing["labels"], nothing["unknown"]) == ([], False)
    assert len(answer(request(b"chairs 0.7 blue", threshold="0"), services)["labels"]) == 2


def test_a_throttled_table_is_told_to_whom_it_concerns(
    services: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(code: str) -> Any:
        def get(*_: Any, **__: Any) -> None:
            raise ClientError({"Error": {"Code": code, "Message": "-"}}, "Query")

        return get

    monkeypatch.setattr(LabelTable, "latest", fails("ThrottlingException"))
    problem = of_image(b"x", services, 429)
    assert "is asked more than can be answered now" in problem["detail"]
    monkeypatch.setattr(LabelTable, "latest", fails("AccessDeniedException"))
    with pytest.raises(ClientError):
        of_image(b"x", services)


@pytest.mark.parametrize("image_id", ["", "é" * 1025])
def test_an_id_that_no_row_can_have_is_not_found(services: Fixture, image_id: str) -> None:
    route = "GET /images/{image_id}/suggestions"
    event = request(b"", route=route) | {"pathParameters": {"image_id": image_id}}
    assert "nothing has an id of" in answer(event, services, 404)["detail"]


# --- several photos in one POST /classify


def form(*photos: bytes) -> dict[str, Any]:
    head = b'--XY\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
    note = b'--XY\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    parts = b"".join(head + photo + b"\r\n" for photo in photos)
    return request(note + parts + b"--XY--\r\n", f"{FILES}; boundary=XY")


def listed(*photos: Any) -> dict[str, Any]:
    return request(json.dumps({"images": photos}), JSON)


def base64_of(photo: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(photo).decode()}


def test_each_file_of_a_form_is_answered_in_its_place(services: Fixture) -> None:
    photos = (b"chairs 0.9 blue", b"no photo", b"", b"tables 0.8 red")
    first, unreadable, empty, last = answer(form(*photos), services)["images"]
    assert first["labels"][0] == {"label": "chairs", "probability": 0.9}
    assert (unreadable["status"], unreadable["detail"]) == (422, "no image: 8 bytes")
    assert (empty["status"], empty["type"]) == (400, "about:blank")
    assert last["labels"][0] == {"label": "tables", "probability": 0.8}
    assert last["image_id"] == hashlib.sha256(photos[3]).hexdigest()


@pytest.mark.parametrize("cut", [b"\r\n--XY--\r\n", b"--\r\n", b" blue\r\n--XY--\r\n"])
def test_of_a_form_that_breaks_off_no_photo_is_lost_in_silence(
    services: Fixture, cut: bytes
) -> None:
    event = form(b"chairs 0.9 blue", b"tables 0.8 blue")
    whole = base64.b64decode(event["body"])
    broken = event | {"body": base64.b64encode(whole.removesuffix(cut)).decode()}
    assert whole.endswith(cut)
    assert "a form that breaks off in part" in answer(broken, services, 400)["detail"]


def test_a_photo_of_a_form_needs_no_file_name(services: Fixture) -> None:
    head = b'--XY\r\nContent-Disposition: form-data; name="photo"\r\nContent-Type: '
    parts = b"".join(
        head + kind + b"\r\n\r\nchairs 0.9 blue\r\n"
        for kind in (b"image/jpeg", b"text/plain", b"application/octet-stream")
    )
    event = request(parts + b"--XY--\r\n", f"{FILES}; boundary=XY")
    assert len(answer(event, services)["images"]) == 2


def test_each_photo_of_a_json_list_is_answered_in_its_place(services: Fixture) -> None:
    services.store("uploads/a b+c.jpg", b"tables 0.8 red", bucket="uploads")
    event = listed(
        base64_of(b"chairs 0.9 blue"),
        {"s3_key": "uploads/a b+c.jpg"},
        {"s3_key": "uploads/gone.jpg"},
        {"s3_key": "images/a.jpg"},
        {"image": "?"},
        "x",
        {},
    )
    answers = answer(event, services)["images"]
    assert [one["labels"][0]["label"] for one in answers[:2]] == ["chairs", "tables"]
    assert [one["status"] for one in answers[2:]] == [404, 400, 400, 400, 400]
    assert answers[5]["detail"] == "'x' among images; expected an object"


def test_a_list_of_one_photo_is_answered_by_a_list_of_one(services: Fixture) -> None:
    event = listed(base64_of(b"chairs 0.9 blue"))
    event["queryStringParameters"] = {"top_k": "1", "threshold": "0.95", "model": "m0"}
    [said] = answer(event, services)["images"]
    assert (said["labels"], said["model_version"]) == ([], "m0")


@pytest.mark.parametrize("photos", [[], "x", {}, 0, False])
def test_images_that_are_no_list_are_refused(services: Fixture, photos: Any) -> None:
    event = request(json.dumps({"images": photos}), JSON)
    assert "expected a list of objects" in answer(event, services, 400)["detail"]


def test_more_photos_than_are_read_at_once_are_refused(services: Fixture) -> None:
    photos = [b"chairs 0.9 blue"] * 11
    said = "11 photos; at most 10 are read at once"
    assert answer(form(*photos), services, 413)["detail"] == said
    assert answer(listed(*map(base64_of, photos)), services, 413)["detail"] == said
    assert services.classifier
    assert services.classifier.seen == []
    assert len(answer(form(*photos[:10]), services)["images"]) == 10


def test_photos_of_too_many_bytes_together_are_refused() -> None:
    event = Request.from_event(form(b"x" * 60, b"y" * 41))
    with pytest.raises(RequestError, match="of 101 bytes together; at most 100") as refused:
        read_photos(event, max_bytes=100)
    assert refused.value.status == 413
    assert len(read_photos(event, max_bytes=101).photos) == 2


def test_stored_photos_of_too_many_bytes_together_are_not_all_read(
    services: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.classify.handler.MAX_BYTES", 31)
    for name in "abc":
        services.store(f"uploads/{name}", b"chairs 0.9 blue", bucket="uploads")
    event = listed(*({"s3_key": f"uploads/{name}"} for name in "abc"))
    first, second, third = answer(event, services)["images"]
    assert first["labels"] == second["labels"]
    assert (third["status"], third["detail"]) == (
        413, "'uploads/c' of 15 bytes is too large to be read; at most 1 are read"
    )  # fmt: skip


def test_a_photo_that_was_read_counts_although_it_is_none(
    services: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.classify.handler.MAX_BYTES", 16)
    services.store("uploads/a", b"no image at all", bucket="uploads")
    services.store("uploads/b", b"chairs 0.9 blue", bucket="uploads")
    event = listed({"s3_key": "uploads/a"}, {"s3_key": "uploads/b"})
    statuses = [one["status"] for one in answer(event, services)["images"]]
    assert statuses == [422, 413]


@pytest.mark.parametrize(("model", "status"), [("m9", 404), ("", 503)])
def test_without_their_model_several_photos_are_refused_together(
    services: Fixture, model: str, status: int
) -> None:
    services.classifier = None
    event = listed(base64_of(b"chairs 0.9 blue"))
    event["queryStringParameters"] = {"model": model}
    answer(event, services, status)


# --- POST /suggestions


def suggestions(photo: bytes, services: Fixture, **query: str) -> dict[str, Any]:
    return answer(request(photo, route="POST /suggestions", **query), services)


def test_suggests_the_same_product_of_both_shops_with_both_prices(services: Fixture) -> None:
    services.sell("one:1", "Wooden Stool", b"chairs 0.91 blue", price_minor=9900)
    services.sell("two:2", "Stool, wooden", b"chairs 0.92 bluish", price_minor=8909)
    services.sell("one:3", "Balloon Chair", b"chairs 0.93 red", price_minor=5000)
    found = suggestions(b"chairs 0.9 blue", services)
    assert found["classification"]["labels"][0] == {"label": "chairs", "probability": 0.9}
    stool, balloon = found["suggestions"]
    assert (stool["title"], stool["similarity"], stool["match"]) == ("Wooden Stool", 1.0, "name")
    assert [(one["product_id"], one["price_minor"]) for one in stool["offers"]] == [
        ("two:2", 8909),
        ("one:1", 9900),
    ]
    assert (balloon["title"], balloon["match"]) == ("Balloon Chair", "")
    for url in (stool["photo_url"], *(one["photo_url"] for one in stool["offers"])):
        assert "data" in url
        assert "images/chairs/" in url
        assert "X-Amz-Expires=3600" in url


def test_finds_by_gtin_the_offer_of_a_shop_whose_photo_is_on_another_shelf(
    services: Fixture,
) -> None:
    services.sell("one:1", "Wooden Stool", b"chairs 0.91 blue", price_minor=9900, gtin=GTIN)
    services.sell("two:2", "Kitchen stool", b"tables 0.92 red", price_minor=8909, gtin=GTIN[1:])
    services.sell("three:3", "Stool", price_minor=7000, gtin=GTIN)
    [found] = suggestions(b"chairs 0.9 blue", services)["suggestions"]
    assert found["match"] == "gtin"
    assert [(one["shop"], one["photo_url"]) for one in found["offers"]][:2] == [
        ("three", None),
        ("two", None),
    ]


def test_looks_on_two_shelves_when_the_model_is_not_sure(services: Fixture) -> None:
    services.sell("one:1", "Wooden Stool", b"chairs 0.9 blue")
    services.sell("one:2", "Side Desk", b"other 0.9 bluish")
    sure = suggestions(b"chairs 0.95 blue", services)["suggestions"]
    unsure = suggestions(b"chairs 0.55 blue", services)["suggestions"]
    assert [one["title"] for one in sure] == ["Wooden Stool"]
    assert [one["title"] for one in unsure] == ["Wooden Stool", "Side Desk"]


def test_suggests_for_one_photo_only(services: Fixture) -> None:
    event = form(b"chairs 0.9 blue", b"tables 0.8 red") | {"routeKey": "POST /suggestions"}
    assert answer(event, services, 400)["detail"] == "2 photos sent as several; expected one"
    answer(form(b"chairs 0.9 blue") | {"routeKey": "POST /suggestions"}, services)


def test_suggests_at_most_top_k_products(services: Fixture) -> None:
    for number, name in enumerate(("Stool", "Bench", "Armchair")):
        services.sell(f"one:{number}", name, f"chairs 0.9{number} blue".encode())
    assert len(suggestions(b"chairs 0.9 blue", services, top_k="2")["suggestions"]) == 2


def test_an_empty_shelf_gives_no_suggestions(services: Fixture) -> None:
    assert suggestions(b"chairs 0.9 blue", services)["suggestions"] == []


def of_image(photo: bytes, services: Fixture, status: int = 200) -> dict[str, Any]:
    image_id = hashlib.sha256(photo).hexdigest()
    event = recorded("http_image") | {
        "routeKey": "GET /images/{image_id}/suggestions",
        "pathParameters": {"image_id": image_id},
    }
    return answer(event, services, status)


def test_suggests_for_a_stored_photo_of_a_shop_and_for_an_upload(services: Fixture) -> None:
    photo = b"chairs 0.91 blue"
    services.sell("one:1", "Wooden Stool", photo)
    services.sell("one:2", "Side Desk", b"chairs 0.9 bluish")
    asked = of_image(photo, services)
    assert [one["title"] for one in asked["suggestions"]] == ["Wooden Stool", "Side Desk"]
    assert asked["classification"]["image_id"] == hashlib.sha256(photo).hexdigest()
    services.store("uploads/x.jpg", b"chairs 0.9 red", bucket="uploads")
    services.arrive("uploads/x.jpg", bucket="uploads")
    found = of_image(b"chairs 0.9 red", services)["suggestions"]
    assert not any(one["same"] for one in found)  # no shop sells it: nothing is called a match


def test_a_stored_photo_that_is_not_there_or_cannot_be_read_has_no_suggestions(
    services: Fixture,
) -> None:
    assert "no classification of image" in of_image(b"never seen", services, 404)["detail"]
    services.store("uploads/x.jpg", b"?", bucket="uploads")
    services.arrive("uploads/x.jpg", bucket="uploads")
    assert of_image(b"?", services, 422)["status"] == 422


def like(product_id: str, services: Fixture, status: int = 200, **query: str) -> dict[str, Any]:
    event = recorded("http_product") | {
        "routeKey": "GET /products/{product_id}/suggestions",
        "pathParameters": {"product_id": quote(product_id, safe="")},
        "queryStringParameters": query,
    }
    return answer(event, services, status)


def test_finds_what_looks_like_a_product_and_its_own_offers_apart(services: Fixture) -> None:
    services.sell("one:1", "Wooden Stool", b"chairs 0.91 blue", price_minor=9900)
    services.sell("two:2", "Stool, wooden", b"chairs 0.92 bluish", price_minor=8909)
    services.sell("one:3", "Side Desk", b"chairs 0.93 bluish", price_minor=5000)
    services.sell("one:4", "Balloon Chair", b"chairs 0.93 red", price_minor=5000)
    found = like("one:1", services)
    assert [one["product_id"] for one in found["product"]["offers"]] == ["two:2", "one:1"]
    assert found["product"]["match"] == "name"
    assert [one["title"] for one in found["suggestions"]] == ["Side Desk", "Balloon Chair"]
    assert found["classification"]["labels"][0]["label"] == "chairs"
    fewer = like("one:1", services, top_k="1")
    assert [one["title"] for one in fewer["suggestions"]] == ["Side Desk"]


def test_a_product_without_a_photo_has_nothing_to_be_compared_by(services: Fixture) -> None:
    services.sell("one:1", "Wooden Stool", b"chairs 0.91 blue")
    services.sell("one:2", "Stool in a box")
    nothing = {"classification": None, "product": None, "suggestions": []}
    assert like("one:2", services) == nothing


def test_what_looks_like_a_product_that_is_not_there_is_not_found(services: Fixture) -> None:
    assert "no product 'one:1'" in like("one:1", services, 404)["detail"]


def test_a_category_with_one_product_has_none_like_it(services: Fixture) -> None:
    services.sell("one:1", "Wooden Stool", b"chairs 0.91 blue")
    assert like("one:1", services)["suggestions"] == []
    [found] = suggestions(b"chairs 0.9 blue", services)["suggestions"]
    assert found["same"]


def test_two_shops_with_one_sku_for_different_goods_stay_two_products(services: Fixture) -> None:
    services.sell("one:1", "Wooden Stool", b"chairs 0.91 blue", price_minor=9900)
    services.sell("two:1", "Garden Hose", b"chairs 0.92 bluish", price_minor=100)
    found = like("one:1", services)
    assert [one["product_id"] for one in found["product"]["offers"]] == ["one:1"]
    [hose] = found["suggestions"]
    assert [one["product_id"] for one in hose["offers"]] == ["two:1"]


class FakeIndexes:
    """Indexes of an older model."""

    model_version = "m0"

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def similar(self, labels: Sequence[str], query: Any, *, limit: int) -> list[SimilarPhoto]:
        self.asked.append(tuple(labels))
        return [SimilarPhoto(ShelfPhoto("one:2", "i", "images/2.jpg"), 0.8, embedding("red"))]


def test_searches_in_the_index_with_the_model_that_it_was_made_by(
    services: Fixture, capsys: pytest.CaptureFixture[str]
) -> None:
    services.sell("one:1", "Wooden Stool", b"chairs 0.91 blue")
    services.sell("one:2", "Side Desk")
    indexes, older = FakeIndexes(), FakeClassifier("m0")

    def with_index() -> Services:
        return replace(
            services(),
            indexes=cast(IndexedPhotos, indexes),
            classifier_of={"m0": older}.__getitem__,
        )

    event = request(b"chairs 0.9 blue", route="POST /suggestions")
    capsys.readouterr()  # of the photos sold
    answered = handler(event, None, services=with_index)
    found = json.loads(answered["body"])
    assert found["classification"]["model_version"] == "m0"
    assert [one["title"] for one in found["suggestions"]] == ["Side Desk"]
    assert indexes.asked == [("chairs",)]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line for line in lines if "Classified" in line]
    assert [line["model_version"] for line in told if "model_version" in line] == ["m0"]


def test_photos_of_products_that_the_model_is_not_sure_of_wait_for_a_person(
    services: Fixture,
) -> None:
    services.store("images/a", b"chairs 0.5 blue", "one:1")
    services.store("images/b", b"chairs 0.4 red", "one:2")
    services.store("images/sure", b"chairs 0.9 red", "one:3")
    services.store("upload", b"chairs 0.3 red", bucket="uploads")
    services.arrive("images/a", "images/b", "images/sure")
    services.arrive("upload", bucket="uploads")
    assert [row.key for row in services.labels.to_review("m1")] == ["images/b", "images/a"]
    assert services.labels.count_to_review("m1") == 2


def test_what_a_person_called_the_same_is_suggested_as_one(services: Fixture) -> None:
    services.sell("one:1", "Chair", b"chairs 0.9 blue")
    services.sell("two:1", "Stuhl")
    seen = {"one": "one:1", "other": "two:1"}
    for said, shops in (("different", ["one"]), ("same", ["one", "two"])):
        ReviewTable("reviews").put(
            Decision(kind=MATCH, about="x", said=said, by="ann", at="2026", seen=seen)
        )
        event = recorded("http_classify_raw") | {
            "routeKey": "POST /suggestions",
            "body": base64.b64encode(b"chairs 0.9 blue").decode(),
        }
        [found] = json.loads(handler(event, None, services=services)["body"])["suggestions"]
        assert sorted(one["shop"] for one in found["offers"]) == shops


def test_photos_are_counted_by_day_in_one_write_a_batch(services: Fixture) -> None:
    for key, data in (("a", b"chairs 0.9 blue"), ("b", b"chairs 0.5 red"), ("c", b"no photo")):
        services.store(key, data, bucket="uploads")
    today = datetime.now(UTC).date()
    writes: list[str] = []
    calls = table("days").meta.client.meta.events
    calls.register(
        "before-call.dynamodb.UpdateItem", lambda params, **_: writes.append(str(params["body"]))
    )
    services.arrive("a", "b", "c", bucket="uploads")
    assert sum('"days"' in one for one in writes) == 1
    services.arrive("a", "b", bucket="uploads")  # seen before
    services.store("d", b"chairs 0.4 blue", bucket="uploads")
    services.arrive("d", "gone", bucket="uploads")
    days = services.days.since(today)
    assert days[0].day >= today.isoformat()  # midnight may have passed
    assert sum(one.classified for one in days) == 3
    assert sum(one.unknown for one in days) == 2
    assert sum(one.unreadable for one in days) == 1
    assert {one.model_version for one in days} == {"m1"}


def test_photos_are_labelled_although_their_day_cannot_be_counted(
    services: Fixture, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    services.days = DayTable("no-such-table")
    services.store("a", b"chairs 0.9 blue", bucket="uploads")
    assert services.arrive("a", bucket="uploads") == {"batchItemFailures": []}
    assert len(rows("labels")) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (told,) = [line for line in lines if NOT_COUNTED in line]
    assert ["service"] in told["_aws"]["CloudWatchMetrics"][0]["Dimensions"]  # as the alarm asks
    assert "day not counted" in caplog.text


def test_what_no_model_saw_counts_for_no_day(services: Fixture) -> None:
    services.classifier = None
    services.store("a", b"chairs 0.9 blue", bucket="uploads")
    services.arrive("a", bucket="uploads")
    assert rows("days") == []
