"""The classify function as Lambda runs it: AWS's runtime, and only what is deployed.

The package, the settings and the tables are those of the synthesized templates; S3 and DynamoDB
are the local emulator's.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from advisor.aws import clients
from advisor.aws.models import ModelStore
from advisor.vision.images import image_id
from advisor.vision.publishing import publish
from local import emulator as emulators
from local.lambda_runtime import Function, running_function
from tests.infra.templates import layers_of, tables_of, variables_of
from tests.training import tiny
from tests.xray import Daemon, trace_id, tree

ROOT = Path(__file__).parents[2]
EVENTS = ROOT / "tests" / "events"
HOSTILE = Path(__file__).parents[1] / "images" / "hostile"
BUCKETS = {"data_bucket": "data", "uploads_bucket": "uploads"}  # as the recorded events name them
SLOW = {"boto3", "botocore.session", "aws_xray_sdk"}  # what the first answer does not wait for
# Answers an event once for each trace id, and prints what was imported for it.
ANSWERS = """
import json, os, sys
import handler
event, *calls = sys.argv[1:]
with open(event) as file:
    event = json.load(file)
for os.environ["_X_AMZN_TRACE_ID"] in calls:
    assert handler.handler(event, None)["statusCode"] == 200
print(*sys.modules)
"""
RED = tiny.photo((200, 30, 40), form="JPEG")


def recorded(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_bytes())
    return event


@pytest.fixture(scope="module")
def account(
    aws: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Buckets and tables, a published model; gives what a function needs to reach them."""
    environment = dict(os.environ)
    folder = tmp_path_factory.mktemp("account")
    with emulators.running(folder) as emulator:
        emulators.use(emulator)
        clients.client.cache_clear()
        clients.table.cache_clear()
        try:
            for bucket in BUCKETS.values():
                clients.client("s3").create_bucket(Bucket=bucket)
            for name, properties in tables_of(aws["Storage"]).items():
                clients.client("dynamodb").create_table(TableName=name, **properties)
            tiny.make_tiny_bundle(folder / "bundle", bias=(0, 1, 3))
            store = ModelStore("data")
            publish(store, store.upload(folder / "bundle"), force="a test")
            yield emulator.environment
        finally:
            os.environ.clear()
            os.environ.update(environment)
            clients.client.cache_clear()
            clients.table.cache_clear()


@pytest.fixture(scope="module")
def variables(aws: dict[str, Any], account: dict[str, str]) -> dict[str, str]:
    """What is deployed of the function's environment, and what leads it to the emulator."""
    deployed = variables_of("classify", aws["Service"])
    for name, value in deployed.items():
        if not isinstance(value, str):  # a reference to a bucket or table
            setting = name.removeprefix("ADVISOR_").lower()
            deployed[name] = BUCKETS.get(setting, setting)
    return account | deployed


@pytest.fixture(scope="module")
def function(
    aws: dict[str, Any], variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Function]:
    layers, folder = layers_of("classify", aws["Service"]), tmp_path_factory.mktemp("lambda")
    with running_function("classify", layers, folder, environment=variables) as function:
        yield function


def put(bucket: str, key: str, data: bytes, **options: Any) -> None:
    clients.client("s3").put_object(Bucket=bucket, Key=key, Body=data, **options)


def labels() -> dict[str, Any]:
    return {row["image_id"]: row for row in clients.table("labels_table").scan()["Items"]}


def test_answers_an_http_event(function: Function) -> None:
    event = recorded("http_classify_raw")
    answer = function.invoke(event)
    assert answer["statusCode"] == 200
    body = json.loads(answer["body"])
    assert body["image_id"] == image_id(base64.b64decode(event["body"]))
    assert [one["label"] for one in body["labels"]] == ["red", "green, dark", "blue"]


def test_the_first_answer_does_not_wait_for_boto3(
    aws: dict[str, Any], variables: dict[str, str], tmp_path: Path
) -> None:
    """Half of a cold start, which reading the model from S3 without it saves."""
    layers, options = layers_of("classify", aws["Service"]), ("-X", "importtime")
    with running_function(
        "classify", layers, tmp_path, environment=variables, options=options
    ) as function:
        assert function.invoke(recorded("http_classify_raw"))["statusCode"] == 200
        log = function.log.read_text()
    imported = {line.rpartition("|")[2].strip() for line in log.splitlines()}
    assert {"advisor.vision.images", "numpy"} <= imported
    assert not imported & SLOW


def test_the_first_answer_is_traced_and_imports_nothing_for_it(variables: dict[str, str]) -> None:
    """By its handler alone: AWS's emulator passes no trace on."""
    calls = [trace_id(sampled=one) for one in (True, False, True)]
    path = [str(ROOT / "functions" / "classify"), str(ROOT / "layers" / "shared" / "python")]
    with Daemon() as daemon:
        environment = {
            **variables,
            "AWS_LAMBDA_FUNCTION_NAME": "classify",
            "AWS_XRAY_DAEMON_ADDRESS": daemon.address,
            "PYTHONPATH": os.pathsep.join(path),
        }
        event = EVENTS / "http_classify_raw.json"
        done = subprocess.run(
            [sys.executable, "-c", ANSWERS, event, *calls],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        first, third = (daemon.told(until="## handler") for _ in range(2))
    imported = set(done.stdout.splitlines()[-1].split())
    assert "advisor.aws.tracing" in imported
    assert not imported & SLOW
    stages = {("Lambda", "## handler"), ("## handler", "Decode"), ("## handler", "Inference")}
    assert tree(first) == stages | {("## handler", "s3 GetObject")}
    assert tree(third) == stages
    assert [one[-1]["annotations"]["ColdStart"] for one in (first, third)] == [True, False]


def test_labels_the_photos_that_an_sqs_event_announces(function: Function) -> None:
    product = {"product-id": "one%3AAB%2F12"}
    key = "images/hi-fi, audio & speakers/one/AB%2F12-0a1b2c3d4e5f.jpg"
    photo, upload = RED, RED + b"\0"
    put("data", key, photo, Metadata=product)
    put("uploads", "my stool+1 é", upload)
    assert function.invoke(recorded("sqs_s3_photos")) == {"batchItemFailures": []}
    rows = labels()
    assert rows[image_id(photo)]["key"] == key
    for one in (photo, upload):
        assert rows[image_id(one)]["labels"][0]["label"] == "red"
    shelved = clients.table("embeddings_table").scan()["Items"]
    assert {row["product_id"] for row in shelved} == {"one:AB/12"}


def test_a_hostile_photo_is_refused_with_the_reason_and_the_next_one_is_labelled(
    function: Function,
) -> None:
    hostile = (HOSTILE / "lying.avif").read_bytes()
    event = recorded("http_classify_raw")
    refused = function.invoke(event | {"body": base64.b64encode(hostile).decode()})
    assert refused["statusCode"] == 422
    reason = json.loads(refused["body"])["detail"]
    put("data", "images/furniture/two/ST 9-0a1b2c3d4e5f.jpg", hostile)
    put("uploads", "my stool+1 é", RED + b"\1")
    assert function.invoke(recorded("sqs_s3_photos")) == {"batchItemFailures": []}
    rows = labels()
    assert rows[image_id(hostile)]["reason"] == reason
    assert rows[image_id(RED + b"\1")]["labels"][0]["label"] == "red"
