"""The classify function whole: settings, a published bundle, real photos, the real interpreter."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from advisor.aws import serving
from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client, table
from advisor.aws.models import ModelStore
from advisor.aws.photos import PhotoPlace, announcement
from advisor.aws.watching import TIMES
from advisor.crawling.items import Item
from advisor.vision.images import image_id
from advisor.vision.publishing import publish as publish_bundle
from functions.classify.handler import default_services, handler
from tests.training import tiny
from tests.xray import Daemon, trace_id, tree

pytestmark = pytest.mark.usefixtures("aws")

STAGES = [name.removesuffix("Ms") for name in TIMES]
PHOTO = tiny.photo((200, 30, 40), form="JPEG")


@pytest.fixture(autouse=True)
def deployed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("ADVISOR_INDEXES", "files")
    for name in ("data_bucket", "uploads_bucket"):
        monkeypatch.setenv(f"ADVISOR_{name.upper()}", name.partition("_")[0])
    for name in ("labels", "embeddings", "products", "reviews", "days"):
        monkeypatch.setenv(f"ADVISOR_{name.upper()}_TABLE", name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    default_services.cache_clear()
    yield
    default_services.cache_clear()


def clear_clients() -> None:
    client.cache_clear()
    table.cache_clear()


def publish(folder: Path, bias: tuple[float, float, float]) -> str:
    tiny.make_tiny_bundle(folder, bias=bias)
    version = ModelStore("data").upload(folder)
    publish_bundle(ModelStore("data"), version, force="a test")
    return version


def arrive(*places: PhotoPlace) -> dict[str, Any]:
    return handler({"Records": [{"messageId": "m", "body": announcement(list(places))}]}, None)


def post(
    route: str, photo: bytes, query: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    response = handler(
        {
            "routeKey": route,
            "queryStringParameters": query,
            "headers": {"Content-Type": "application/octet-stream"},
            "body": base64.b64encode(photo).decode(),
            "isBase64Encoded": True,
        },
        None,
    )
    return response["statusCode"], json.loads(response["body"])


def test_from_photos_in_s3_to_a_suggestion(tmp_path: Path) -> None:
    version = publish(tmp_path / "model", (0, 1, 3))
    item = Item(id="1", title="Red Tent", category="tents", description="-", shop="one")
    CatalogTables("products", "prices").put_item(item, run_id="r", observed_at="2026-11-22")
    put = client("s3").put_object
    put(Bucket="data", Key="images/a.jpg", Body=PHOTO, Metadata={"product-id": "one%3A1"})
    put(Bucket="uploads", Key="broken", Body=PHOTO[:500])
    places = (PhotoPlace("data", "images/a.jpg"), PhotoPlace("uploads", "broken"))
    assert arrive(*places) == {"batchItemFailures": []}
    rows = {row["key"]: row for row in table("labels").scan()["Items"]}
    assert rows["images/a.jpg"]["image_id"] == image_id(PHOTO)
    assert rows["images/a.jpg"]["labels"][0]["label"] == "red"
    assert "damaged" in rows["broken"]["reason"]

    status, answer = post("POST /suggestions", PHOTO)
    assert status == 200
    assert answer["classification"]["model_version"] == version
    assert answer["classification"]["timing_ms"].keys() == {"decode", "inference"}
    [found] = answer["suggestions"]
    assert (found["title"], found["similarity"]) == ("Red Tent", pytest.approx(1.0, abs=1e-3))


def test_a_sampled_call_tells_x_ray_of_its_photos_stages_and_of_what_it_asked_of_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Daemon() as daemon:
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", daemon.address)
        clear_clients()  # what is made now is followed
        version = publish(tmp_path / "model", (0, 1, 3))
        put = client("s3").put_object
        put(Bucket="data", Key="images/a.jpg", Body=PHOTO, Metadata={"product-id": "one%3A1"})
        put(Bucket="uploads", Key="broken", Body=PHOTO[:500])
        monkeypatch.setenv("_X_AMZN_TRACE_ID", trace_id(sampled=True))
        arrive(PhotoPlace("data", "images/a.jpg"), PhotoPlace("uploads", "broken"))
        parts = daemon.told(until="## handler")
    assert tree(parts) >= {
        ("Lambda", "## handler"),
        ("## handler", "Read"),
        ("Read", "s3 GetObject"),
        ("## handler", "dynamodb GetItem"),
        ("## handler", "Decode"),
        ("## handler", "Inference"),
        ("## handler", "Write"),
        ("Write", "dynamodb PutItem"),
        ("## handler", "dynamodb UpdateItem"),
    }
    stages = [one for one in parts if one["name"] in STAGES]
    assert [(one["name"], "error" in one) for one in stages] == [
        ("Read", False),
        ("Decode", False),
        ("Inference", False),
        ("Write", False),
        ("Read", False),
        ("Decode", True),
        ("Write", False),
    ]
    times = [one[time] for one in stages[:4] for time in ("start_time", "end_time")]
    assert times == sorted(times)
    assert parts[-1]["annotations"]["model_version"] == version
    assert {one["aws"].get("table_name") for one in parts if one["name"] == "dynamodb"} == {
        "labels", "embeddings", "days"
    }  # fmt: skip
    assert "images/a.jpg" not in str(parts)


def test_photos_queued_by_publishing_are_seen_by_the_new_model_at_once(tmp_path: Path) -> None:
    client("s3").put_object(Bucket="uploads", Key="a", Body=PHOTO)
    versions = set()
    for number, bias in enumerate([(0, 1, 3), (3, 1, 0)]):
        versions.add(publish(tmp_path / str(number), bias))
        arrive(PhotoPlace("uploads", "a"))
    assert {row["model_version"] for row in table("labels").scan()["Items"]} == versions
    assert len(versions) == 2


def test_a_minute_after_it_is_published_a_model_answers_and_no_request_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(serving, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def version(query: Mapping[str, str] | None = None) -> str:
        status, answer = post("POST /classify", PHOTO, query)
        assert status == 200
        return str(answer["model_version"])

    first = publish(tmp_path / "first", (0, 1, 3))
    assert version() == first
    second = publish(tmp_path / "second", (3, 1, 0))
    seen = []
    for clock.now in (1.0, 59.0, 60.0, 61.0):
        seen.append(version())
    assert seen == [first, first, second, second]
    assert version({"model": first}) == first


def test_a_photo_that_is_none_is_unprocessable(tmp_path: Path) -> None:
    publish(tmp_path / "model", (0, 1, 3))
    status, answer = post("POST /classify", b"<html>")
    assert (status, answer["status"]) == (422, 422)
    assert "6 bytes beginning with 3c 68 74 6d 6c 3e" in answer["detail"]
