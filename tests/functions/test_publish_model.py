from __future__ import annotations

import json
from typing import Any

import pytest

from advisor.aws import queues
from advisor.aws.clients import client
from advisor.aws.models import ModelStore
from advisor.aws.photos import read_announcement
from advisor.aws.queues import send_batch
from advisor.errors import BundleError, NotFoundError, UsageError
from functions.publish_model.handler import Services, handler, judge

pytestmark = pytest.mark.usefixtures("aws")


def queue_url() -> str:
    url: str = client("sqs").get_queue_url(QueueName="photos")["QueueUrl"]
    return url


def services() -> Services:
    return Services(
        data_bucket="data",
        uploads_bucket="uploads",
        photos_queue_url=queue_url(),
        models=ModelStore("data"),
    )


def publish(version: str, **more: Any) -> dict[str, Any]:
    return handler({"version": version, **more}, None, services=services)


def store_bundle(version: str, accuracy: float, labels: tuple[str, ...] = ("a", "b")) -> None:
    backbone = {"name": "b", "source": "s", "sha256": "0"}
    info = {
        "format": 1, "version": version, "created_at": "", "backbone": backbone,
        "preprocessing_id": "", "labels": labels, "unknown_threshold": 0.5, "temperature": 1.0,
        "data": {}, "training": {}, "metrics": {"accuracy": accuracy},
        "files": {"model.tflite": "0", "labels.txt": "0"},
    }  # fmt: skip
    put(f"models/bundles/{version}/model.tflite")
    put(f"models/bundles/{version}/labels.txt")
    put(f"models/bundles/{version}/bundle.json", json.dumps(info).encode())


def put(key: str, body: bytes = b"x", *, bucket: str = "data") -> None:
    client("s3").put_object(Bucket=bucket, Key=key, Body=body)


def test_publishes_what_a_training_job_made() -> None:
    store_bundle("m1", 0.9)
    ModelStore("data").note_job("job-7", "m1")
    assert handler({"job": "job-7"}, None, services=services)["version"] == "m1"
    assert ModelStore("data").current().version == "m1"


def test_a_job_that_made_nothing_publishes_nothing() -> None:
    with pytest.raises(NotFoundError, match="job-8"):
        handler({"job": "job-8"}, None, services=services)


def queued() -> list[str]:
    keys = []
    while (
        messages := client("sqs")
        .receive_message(QueueUrl=queue_url(), MaxNumberOfMessages=10)
        .get("Messages")
    ):
        for message in messages:
            places = read_announcement(message["Body"])
            assert 1 <= len(places) <= 10
            keys += [
                place.key if place.bucket == "data" else f"{place.bucket}: {place.key}"
                for place in places
            ]
    return sorted(keys)


def in_use() -> str:
    return ModelStore("data").current().version


def test_publishes_the_first_model_and_queues_every_photo() -> None:
    keys = [f"images/hi-fi, audio & speakers/one/AB%2F{number:03d}+é.jpg" for number in range(123)]
    for key in (*keys, "pages/one/x.html.gz"):
        put(key)
    store_bundle("m1", 0.9)
    assert publish("m1") == {
        "published": True,
        "version": "m1",
        "accuracy": 0.9,
        "previous": None,
        "requeued": 123,
        "reason": "no model was in use",
    }
    assert in_use() == "m1"
    assert queued() == keys


def test_the_first_model_labels_what_was_uploaded_before_it() -> None:
    put("images/a/one/1.jpg")
    put("my photo.jpg", bucket="uploads")
    store_bundle("m1", 0.9)
    store_bundle("m2", 0.9)
    publish("m1")
    assert queued() == ["images/a/one/1.jpg", "uploads: my photo.jpg"]
    publish("m2")
    assert queued() == ["images/a/one/1.jpg"]


def test_refuses_a_worse_model_and_leaves_everything_as_it_is() -> None:
    put("images/a/one/1.jpg")
    store_bundle("m1", 0.9)
    store_bundle("m2", 0.85)
    publish("m1")
    queued()
    result = publish("m2")
    assert (result["published"], result["previous"], result["requeued"]) == (False, "m1", 0)
    assert result["reason"].startswith("worse than the model in use: accuracy 0.85 against 0.9 of")
    assert in_use() == "m1"
    assert queued() == []


def test_force_publishes_a_worse_model_with_the_reason() -> None:
    store_bundle("m1", 0.9)
    store_bundle("m2", 0.85)
    publish("m1")
    result = publish("m2", force=True, reason="new photos")
    assert (result["published"], result["previous"]) == (True, "m1")
    assert result["reason"].startswith("forced (new photos): accuracy 0.85 against 0.9")
    assert in_use() == "m2"


def test_the_model_in_use_can_be_published_again_to_queue_the_photos_again() -> None:
    put("images/a/one/1.jpg")
    store_bundle("m1", 0.9)
    publish("m1")
    assert publish("m1")["requeued"] == 1
    assert ModelStore("data").current().previous is None


def test_accuracies_on_other_labels_are_not_compared() -> None:
    current = {"version": "m1", "labels": ["a", "b"], "metrics": {"accuracy": 0.9}}
    fresh = {"version": "m2", "labels": ["a", "b", "c"], "metrics": {"accuracy": 0.5}}
    assert judge(fresh, current).publish
    assert not judge(fresh | {"labels": ["b", "a"]}, current).publish


def test_an_incomplete_bundle_is_refused_by_what_it_lacks() -> None:
    store_bundle("m1", 0.9)
    client("s3").delete_object(Bucket="data", Key="models/bundles/m1/labels.txt")
    with pytest.raises(BundleError, match=r"bundle 'm1' lacks labels\.txt"):
        publish("m1")


def test_an_unknown_version_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="'m9'"):
        publish("m9")


@pytest.mark.parametrize("event", [{}, {"version": ""}, {"version": 5}])
def test_an_event_without_a_version_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected the version of a stored bundle"):
        handler(event, None, services=services)


class FakeQueue:
    """SQS that refuses the message "b" so many times."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.taken: list[str] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803 (boto3's names)
        failed = []
        for entry in Entries:
            if entry["MessageBody"] == "b" and self.refusals:
                self.refusals -= 1
                failed.append({"Id": entry["Id"], "Code": "InternalError"})
            else:
                self.taken.append(entry["MessageBody"])
        return {"Failed": failed} if failed else {}


def test_messages_that_sqs_refuses_are_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = FakeQueue(refusals=2)
    monkeypatch.setattr(queues, "client", lambda _: queue)
    waits: list[float] = []
    send_batch("url", ["a", "b", "c"], sleep=waits.append)
    assert queue.taken == ["a", "c", "b"]
    assert waits == [0.1, 0.2]
    queue.refusals = 100
    with pytest.raises(ConnectionError, match="refused 1 messages 5 times: InternalError"):
        send_batch("url", ["b"], sleep=waits.append)
