"""What X-Ray's daemon is told of a call: by datagrams, of sampled calls only, and at no risk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from advisor.aws.boto import make_client
from advisor.aws.tracing import traced, tracer, xray
from advisor.errors import NotFoundError
from tests.xray import LAMBDAS, TRACE, Daemon, trace_id, tree


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    with Daemon() as daemon:
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", daemon.address)
        monkeypatch.setenv("_X_AMZN_TRACE_ID", trace_id(sampled=True))
        yield daemon


@traced("classify")
def handler(event: dict[str, Any], context: object) -> str:
    """Does what the event says, within a stage."""
    with xray().in_subsegment("Read"):
        tracer("classify").put_metadata("size", 3)
        xray().part("Decode", start_s=10.0).close(10.5)
        if "raises" in event:
            raise event["raises"]
    tracer("classify").put_annotation("model_version", "m1")
    return "answer"


def test_a_sampled_call_is_told_with_its_parts(daemon: Daemon) -> None:
    assert handler({}, None) == "answer"
    decode, read, call = parts = daemon.told(until="## handler")
    assert tree(parts) == {("Lambda", "## handler"), ("## handler", "Read"), ("Read", "Decode")}
    assert {(one["trace_id"], one["type"]) for one in parts} == {(TRACE, "subsegment")}
    assert (decode["start_time"], decode["end_time"]) == (10.0, 10.5)
    assert call["start_time"] <= read["start_time"] <= read["end_time"] <= call["end_time"]
    assert read["metadata"] == {"classify": {"size": 3}}
    said = call["annotations"]
    assert isinstance(said.pop("ColdStart"), bool)
    assert said == {"Service": "classify", "model_version": "m1"}
    assert "answer" not in str(parts)
    assert not [name for name in sys.modules if name.startswith("aws_xray_sdk")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_X_AMZN_TRACE_ID", trace_id(sampled=False)),
        ("_X_AMZN_TRACE_ID", ""),
        ("_X_AMZN_TRACE_ID", f"Root={TRACE};Sampled=1"),
        ("_X_AMZN_TRACE_ID", "x" * 1000),
        ("AWS_XRAY_DAEMON_ADDRESS", ""),
        ("AWS_XRAY_DAEMON_ADDRESS", "localhost"),
    ],
)
def test_of_a_call_that_is_not_sampled_nothing_is_told(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(name, value)
        assert handler({}, None) == "answer"
    with xray().in_subsegment("the next call"):
        pass
    assert [one["name"] for one in daemon.told(until="the next call")] == ["the next call"]


def test_outside_of_a_traced_call_nothing_is_told(daemon: Daemon) -> None:
    xray().part("Decode").close()
    tracer("classify").put_annotation("model_version", "m1")
    with xray().in_subsegment("a call"):
        pass
    (told,) = daemon.told(until="a call")
    assert (told["parent_id"], told.get("annotations")) == (LAMBDAS, None)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "255.255.255.255:9", "127.0.0.1:99999"])
def test_a_daemon_that_is_not_there_fails_no_call(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address)
    assert [handler({}, None) for _ in range(3)] == ["answer"] * 3


def test_a_call_that_fails_is_told_as_ours_or_the_senders_fault(daemon: Daemon) -> None:
    for error in (ZeroDivisionError("private"), NotFoundError("no photo 'private'")):
        with pytest.raises(type(error)):
            handler({"raises": error}, None)
    parts = daemon.told(until="## handler") + daemon.told(until="## handler")
    failed = [(one["name"], one.get("fault"), one.get("error")) for one in parts]
    assert failed == [
        ("Decode", None, None),
        ("Read", True, None),
        ("## handler", True, None),
        ("Decode", None, None),
        ("Read", None, True),
        ("## handler", None, True),
    ]
    ((cause,), (other,)) = (one["cause"]["exceptions"] for one in (parts[2], parts[5]))
    assert (cause["type"], other["type"]) == ("ZeroDivisionError", "NotFoundError")
    assert "private" not in str(parts)


def test_requests_to_aws_are_told_without_the_keys_of_photos(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3 = make_client("s3")
    answers = iter([(200, b""), (404, b"<Error><Code>NoSuchKey</Code></Error>"), (500, b"")])

    def answer(**_: Any) -> Any:
        from botocore.awsrequest import AWSResponse

        status, body = next(answers)
        made = AWSResponse("http://127.0.0.1:9", status, {"x-amz-request-id": "r1"}, None)
        made._content = body
        return made

    with xray().in_subsegment("a call"):
        with pytest.raises(EndpointConnectionError):
            s3.get_object(Bucket="uploads", Key="private")
        s3.meta.events.register("before-send.s3", answer)
        s3.head_object(Bucket="uploads", Key="private")
        s3.generate_presigned_url("get_object", Params={"Bucket": "uploads", "Key": "private"})
        for _ in range(2):
            with pytest.raises(ClientError):
                s3.delete_object(Bucket="uploads", Key="private")
    *requests, _ = told = daemon.told(until="a call")
    assert tree(told) == {
        ("Lambda", "a call"),
        *(("a call", f"s3 {one}") for one in ("GetObject", "HeadObject", "DeleteObject")),
    }
    assert [one["namespace"] for one in requests] == ["aws"] * 4
    place = {"region": "eu-central-1", "bucket_name": "uploads"}
    assert all(one["aws"].items() >= place.items() for one in requests)
    nobody, found, missing, broken = requests
    assert (nobody["fault"], nobody["cause"]["exceptions"][0]["remote"]) == (True, True)
    assert (found["http"]["response"]["status"], found["aws"]["request_id"]) == (200, "r1")
    assert (missing["error"], missing["aws"]["error_code"]) == (True, "NoSuchKey")
    assert (broken["fault"], broken["http"]["response"]["status"]) == (True, 500)
    assert "private" not in str(requests)
