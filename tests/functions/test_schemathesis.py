"""Whatever is sent to the API, it answers as docs/openapi.json says, and never with a fault.

The same requests each time. More, and others each time: API_EXAMPLES=500 pytest on this file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from moto.backends import get_backend
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from advisor.aws import clients
from advisor.aws.catalog import CatalogTables
from advisor.aws.listings import ListingStore
from advisor.aws.models import ModelStore
from advisor.aws.photos import PhotoPlace, announcement
from advisor.catalog.products import Product
from advisor.crawling.items import Item
from advisor.settings import Settings
from advisor.vision.images import image_id
from advisor.vision.publishing import publish
from functions.catalog import handler as catalog
from functions.classify import handler as classify
from functions.crawls import handler as crawls
from functions.reviews import handler as reviews
from tests.functions.api_server import Answer, serving_api
from tests.functions.conftest import make_buckets, make_tables
from tests.openapi import document
from tests.training import tiny

EXAMPLES = os.environ.get("API_EXAMPLES")
PHOTOS = Path(__file__).parents[1] / "images"
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NOON = "2026-11-22T12:00:00+00:00"
PHOTO = (PHOTOS / "rgb.jpg").read_bytes()
STOOL = Item(
    id="1", title="Stool", category="chairs", description="-", url="https://one/1", shop="one"
)
photos = st.sampled_from(["rgb.jpg", "rgb.png", "grey.jpg", "animated.gif"]).map(
    lambda name: (PHOTOS / name).read_bytes()
)
for kind in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, photos | st.binary(max_size=100))
schema = schemathesis.openapi.from_dict(document())
# API Gateway answers other methods, before any of ours is asked.
schema.config.phases.coverage.unexpected_methods = set()


def answers() -> dict[str, Answer]:
    """What answers each route of the document: the handler of the function that has it."""
    return {
        route: partial(_answer, module)
        for module in (catalog, classify, crawls, reviews)
        for route in module.ROUTES
    }


def _answer(module: Any, event: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = module.handler(event, None)
    return said


@schema.hook
def map_path_parameters(_context: Any, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Every other time something that is there."""
    known = {"product_id": f"one%3A{STOOL.id}", "image_id": image_id(PHOTO)}
    return given and {
        name: known.get(name, value) if len(str(value)) % 2 else value
        for name, value in given.items()
    }


@pytest.fixture(scope="module", params=["with a model", "without a model"])
def api(
    account: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, list[Any]]]:
    """The API of a product, with a model or none: its address, and what holds of its answers."""
    folder = tmp_path_factory.mktemp("api")
    make_buckets()
    make_tables()
    queue = clients.client("sqs").create_queue(QueueName="tokens")["QueueUrl"]
    item = replace(STOOL, price_minor=9900, currency="EUR")
    CatalogTables("products", "prices").put_item(item, run_id="r", observed_at=NOON)
    ListingStore("data", folder / "listing").build([Product(item=item)], [])
    there = request.param == "with a model"
    if there:
        models = ModelStore("data")
        tiny.make_tiny_bundle(folder / "model", bias=(0, 1, 2))
        publish(models, models.upload(folder / "model"), force="a test")
    with pytest.MonkeyPatch.context() as patch, serving_api(answers()) as address:
        patch.setattr(tempfile, "tempdir", str(folder))
        for name in (one.name for one in fields(Settings)):
            value = queue if name == "tokens_queue_url" else name.partition("_")[0]
            patch.setenv(f"ADVISOR_{name.upper()}", value)
        _forget_services()
        sent = {"data": PHOTO, "headers": {"Content-Type": "image/jpeg"}}
        said = requests.post(f"{address}/classify", timeout=60, **sent)
        assert said.status_code == (200 if there else 503), said.text
        clients.client("s3").put_object(Bucket="uploads", Key="uploads/a.jpg", Body=PHOTO)
        letter = announcement([PhotoPlace("uploads", "uploads/a.jpg")])
        arrived = classify.handler({"Records": [{"messageId": "m", "body": letter}]}, None)
        assert arrived == {"batchItemFailures": []}
        yield address, [*CHECKS, not_a_server_error] if there else CHECKS
    _forget_services()
    for service in ("s3", "dynamodb", "sqs"):
        get_backend(service).reset()


def _forget_services() -> None:
    for module in (catalog, classify, reviews):
        module.default_services.cache_clear()
    crawls.default_service.cache_clear()


def test_every_route_of_the_document_is_asked() -> None:
    documented = {
        f"{method.upper()} {path}"
        for path, operations in document()["paths"].items()
        for method in operations
    }
    assert answers().keys() == documented


@schema.parametrize()
@settings(
    max_examples=int(EXAMPLES or 10),
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_of_the_document(
    case: schemathesis.Case, api: tuple[str, list[Any]]
) -> None:
    address, checks = api
    case.call_and_validate(base_url=address, checks=checks, timeout=60)
