from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from advisor.aws import queues
from advisor.aws.clients import client
from advisor.aws.models import ModelStore
from advisor.aws.photos import read_announcement
from advisor.aws.queues import send_batch
from advisor.errors import BundleError, NotFoundError, UsageError
from advisor.vision.gate import answers_json
from functions.publish_model.handler import Services, handler

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


def store_bundle(version: str, right: int, labels: tuple[str, ...] = ("a", "b")) -> None:
    """A bundle that answers so many of ten test photos right."""
    answers = {f"photo {n}": ("a", "a" if n < right else "b") for n in range(10)}
    files = {"model.tflite": b"x", "labels.txt": b"x", "answers.json": answers_json(answers)}
    backbone = {"name": "b", "source": "s", "sha256": "0"}
    info = {
        "format": 1, "version": version, "created_at": "", "backbone": backbone,
        "preprocessing_id": "", "labels": labels, "unknown_threshold": 0.5, "temperature": 1.0,
        "data": {}, "training": {}, "metrics": {"accuracy": right / 10},
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }  # fmt: skip
    for name, data in files.items():
        put(f"models/bundles/{version}/{name}", data)
    put(f"models/bundles/{version}/bundle.json", json.dumps(info).encode())


def put(key: str, body: bytes = b"x", *, bucket: str = "data") -> None:
    client("s3").put_object(Bucket=bucket, Key=key, Body=body)


def test_publishes_what_a_training_job_made() -> None:
    store_bundle("m1", 3)
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
    store_bundle("m1", 3)
    assert publish("m1") == {
        "published": True,
        "version": "m1",
        "accuracy": 0.3,
        "previous": None,
        "requeued": 123,
        "reason": "no model was in use",
    }
    assert in_use() == "m1"
    assert queued() == keys


def test_the_first_model_labels_what_was_uploaded_before_it() -> None:
    put("images/a/one/1.jpg")
    put("my photo.jpg", bucket="uploads")
    store_bundle("m1", 3)
    store_bundle("m2", 9)
    publish("m1")
    assert queued() == ["images/a/one/1.jpg", "uploads: my photo.jpg"]
    publish("m2")
    assert queued() == ["images/a/one/1.jpg"]


def test_refuses_a_worse_model_and_leaves_everything_as_it_is() -> None:
    put("images/a/one/1.jpg")
    store_bundle("m1", 3)
    store_bundle("m2", 2)
    publish("m1")
    queued()
    result = publish("m2")
    assert (result["published"], result["previous"], result["requeued"]) == (False, "m1", 0)
    assert result["reason"] == (
        "m2 is not published: no better than m1 in use: right on 2 of 10 photos, the one in use "
        "on 3; 0 only the new one gets right, 1 only the one in use (p = 1)"
    )
    assert in_use() == "m1"
    assert queued() == []


def test_force_publishes_a_worse_model_with_the_reason() -> None:
    store_bundle("m1", 3)
    store_bundle("m2", 2)
    publish("m1")
    result = publish("m2", force=True, reason="new photos")
    assert (result["published"], result["previous"]) == (True, "m1")
    assert result["reason"].startswith("forced (new photos), against m1: right on 2 of 10")
    assert in_use() == "m2"


def test_the_model_in_use_can_be_published_again_to_queue_the_photos_again() -> None:
    put("images/a/one/1.jpg")
    store_bundle("m1", 3)
    publish("m1")
    assert publish("m1")["requeued"] == 1
    assert ModelStore("data").current().previous is None


def test_force_without_a_reason_is_refused() -> None:
    store_bundle("m1", 3)
    with pytest.raises(UsageError, match="force without a reason"):
        publish("m1", force=True)


def test_a_gain_that_may_be_chance_is_not_published_unless_the_setting_allows_it() -> None:
    store_bundle("m1", 3)
    store_bundle("m2", 5)
    publish("m1")
    assert not publish("m2")["published"]
    lenient = replace(services(), max_p=0.5)
    assert handler({"version": "m2"}, None, services=lambda: lenient)["published"]


def test_rolls_back_one_model_after_the_other_and_queues_the_photos() -> None:
    put("images/a/one/1.jpg")
    for version, right in (("m1", 1), ("m2", 6), ("m3", 10)):
        store_bundle(version, right)
        publish(version, force=True, reason="a test")
    queued()
    back = handler({"rollback": True, "reason": "odd"}, None, services=services)
    assert (back["published"], back["version"], back["requeued"]) == (True, "m2", 1)
    assert back["reason"] == "rolled back from m3 (odd)"
    assert queued() == ["images/a/one/1.jpg"]
    assert handler({"rollback": True}, None, services=services)["version"] == "m1"
    with pytest.raises(UsageError, match="nothing to roll back to: no model was in use before m1"):
        handler({"rollback": True}, None, services=services)
    assert in_use() == "m1"
    history = ModelStore("data").current().history
    assert [use.version for use in history] == ["m2", "m3", "m2", "m1"]


def test_an_incomplete_or_changed_bundle_is_refused_by_what_is_wrong() -> None:
    store_bundle("m1", 3)
    put("models/bundles/m1/model.tflite", b"another")
    with pytest.raises(BundleError, match=r"model\.tflite of bundle 'm1' is not what its"):
        publish("m1")
    client("s3").delete_object(Bucket="data", Key="models/bundles/m1/model.tflite")
    with pytest.raises(BundleError, match=r"bundle 'm1' in s3://data/models lacks model\.tflite"):
        publish("m1")


def test_of_two_that_publish_at_once_one_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store_bundle("m1", 1)
    store_bundle("m2", 9)
    store_bundle("m3", 10)
    publish("m1")
    read = ModelStore.read_current

    def then_another_publishes(store: ModelStore) -> tuple[bytes | None, str]:
        seen = read(store)
        monkeypatch.setattr(ModelStore, "read_current", read)
        publish("m2")
        return seen

    monkeypatch.setattr(ModelStore, "read_current", then_another_publishes)
    with pytest.raises(UsageError, match=r"another model was published in s3://data/models mean"):
        publish("m3")
    assert in_use() == "m2"


def test_an_unknown_version_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="'m9'"):
        publish("m9")


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"version": ""},
        {"version": 5},
        {"version": "a", "job": "b"},
        {"version": "a", "rollback": True},
    ],
)
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
