"""Every recorded event, by its function with the services that its settings name."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from advisor.aws.clients import client
from advisor.aws.models import ModelStore
from advisor.settings import PREFIX, Settings
from advisor.vision.publishing import publish
from tests.training import tiny

pytestmark = pytest.mark.usefixtures("aws")
ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "tests" / "events"
FUNCTIONS: dict[str, str] = json.loads((EVENTS / "functions.json").read_bytes())
JOB = "products-advisor-20261122"
EXPECTED: dict[str, Any] = {
    "http_image": 404,
    "http_prices": 404,
    "http_product": 404,
    "http_crawls_start": 201,
    "schedule_index": {"products": 0, "published": False},
    "schedule_start_crawl": {"started": True},
    "schedule_sweep_crawls": {"tokens": 0, "finished": 0, "announced": 0},
    "sns_crawl_ended": {"products": 0, "published": False},
    "sqs_s3_photos": {"batchItemFailures": []},
    "sqs_s3_test": {"batchItemFailures": []},
    "states_index": {"products": 0, "published": False},
    "states_plan_training": {"photos": 1, "train": True},
    "states_publish_model": {"published": True, "requeued": 3},
}


class Context:
    """What a handler asks of Lambda."""

    def get_remaining_time_in_millis(self) -> int:
        return 100_000


@pytest.fixture(autouse=True)
def deployed(aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Settings for all functions, a model in use, a photo at each place that an event names."""
    for setting in (one.name for one in fields(Settings)):
        monkeypatch.setenv(PREFIX + setting.upper(), setting.rpartition("_")[0])
    for queue in ("tokens", "photos"):
        url = client("sqs").create_queue(QueueName=queue)["QueueUrl"]
        monkeypatch.setenv(f"{PREFIX}{queue.upper()}_QUEUE_URL", url)
    monkeypatch.setenv(f"{PREFIX}PUBLISH_MAX_P", "0.05")
    monkeypatch.setenv(f"{PREFIX}INDEXES", "files")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tiny.make_tiny_bundle(tmp_path / "model")
    store = ModelStore("data")
    version = store.upload(tmp_path / "model")
    store.note_job(JOB, version)
    publish(store, version, force="a test")
    photo = tiny.photo((200, 30, 40), form="JPEG")
    for bucket, key in (
        ("uploads", "uploads/9b2f0a4e/my stool+1.jpg"),
        ("uploads", "my stool+1 é"),
        ("data", "images/furniture/two/ST 9-0a1b2c3d4e5f.jpg"),
    ):
        client("s3").put_object(Bucket=bucket, Key=key, Body=photo)
    _forget_services()
    yield
    _forget_services()


def _forget_services() -> None:
    for name in set(FUNCTIONS.values()):
        for value in vars(importlib.import_module(f"functions.{name}.handler")).values():
            if getattr(value, "__name__", "").startswith("default_"):
                value.cache_clear()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_recorded_event_is_answered(name: str) -> None:
    event = json.loads((EVENTS / f"{name}.json").read_bytes())
    handler = importlib.import_module(f"functions.{FUNCTIONS[name]}.handler").handler
    answer = handler(event, Context())
    expected = EXPECTED.get(name, 200 if name.startswith("http_") else None)
    if isinstance(expected, dict):
        assert {key: answer[key] for key in expected} == expected
    else:
        assert (answer and answer["statusCode"]) == expected


def test_there_is_an_event_for_every_function_and_every_event_is_tried() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} - {"functions"} == set(FUNCTIONS)
    assert {path.parent.name for path in ROOT.glob("functions/*/handler.py")} == set(
        FUNCTIONS.values()
    )
