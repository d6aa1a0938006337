"""`advisor redrive` on queues in moto."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from click.testing import CliRunner

from advisor.aws import redrive
from advisor.aws.clients import client
from advisor.aws.redrive import WorkQueue, queues_of
from advisor.errors import AdvisorError
from cli.redrive import command

Outputs = dict[str, str]


@pytest.fixture
def outputs(aws: None, monkeypatch: pytest.MonkeyPatch) -> Outputs:
    made = {"ApiId": "x"}
    for name in ("Photos", "DeadPhotos", "Tokens", "DeadTokens"):
        made[f"{name}QueueUrl"] = client("sqs").create_queue(QueueName=name)["QueueUrl"]
    monkeypatch.setattr(redrive, "stack_outputs", lambda _stack: made)
    return made


def put(url: str, *bodies: str) -> None:
    for body in bodies:
        client("sqs").send_message(QueueUrl=url, MessageBody=body)


def bodies(url: str) -> list[str]:
    found = []
    while messages := client("sqs").receive_message(QueueUrl=url).get("Messages"):
        found += [one["Body"] for one in messages]
    return sorted(found)


def left(url: str) -> int:
    attributes = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return sum(
        int(value)
        for name, value in attributes["Attributes"].items()
        if name.startswith("ApproximateNumberOfMessages")
    )


def run(*arguments: str, status: int = 0) -> str:
    found = CliRunner().invoke(command, arguments)
    assert found.exit_code == status, found.output
    return found.output


def test_dead_letters_are_sent_back_to_their_own_queue_and_removed(outputs: Outputs) -> None:
    sent = [json.dumps({"n": number, "é": "+ %"}) for number in range(23)]
    put(outputs["DeadPhotosQueueUrl"], *sent)
    put(outputs["DeadTokensQueueUrl"], "token")
    assert run() == "photos: 23 dead letters sent again\ntokens: 1 dead letter sent again\n"
    assert bodies(outputs["PhotosQueueUrl"]) == sorted(sent)
    assert bodies(outputs["TokensQueueUrl"]) == ["token"]
    assert left(outputs["DeadPhotosQueueUrl"]) == left(outputs["DeadTokensQueueUrl"]) == 0


def test_a_dry_run_counts_and_moves_nothing(outputs: Outputs) -> None:
    put(outputs["DeadPhotosQueueUrl"], "a", "b")
    assert run("--dry-run") == "photos: 2 dead letters, none sent\ntokens: no dead letters\n"
    assert (left(outputs["DeadPhotosQueueUrl"]), left(outputs["PhotosQueueUrl"])) == (2, 0)


def test_only_the_queue_that_is_named_is_touched(outputs: Outputs) -> None:
    put(outputs["DeadPhotosQueueUrl"], "a")
    put(outputs["DeadTokensQueueUrl"], "b")
    assert json.loads(run("tokens", "--json")) == {"queue": "tokens", "dead": 1, "sent": 1}
    assert left(outputs["DeadPhotosQueueUrl"]) == 1


def test_an_empty_queue_is_said_to_be_empty_and_an_unknown_one_named(outputs: Outputs) -> None:
    assert run("photos") == "photos: no dead letters\n"
    found = CliRunner().invoke(command, ["photos", "foto"])
    assert str(found.exception) == "no queue 'foto'; expected one of photos, tokens"


def test_a_stack_without_queues_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redrive, "stack_outputs", lambda _stack: {"ApiId": "x"})
    found = CliRunner().invoke(command, ["--stack", "Other"])
    assert "stack 'Other' has no dead-letter queue" in str(found.exception)


def test_what_cannot_be_sent_stays_among_the_dead(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(outputs["DeadPhotosQueueUrl"], *map(str, range(13)))
    send, calls = redrive.send_batch, []

    def fails_the_second_time(url: str, some: Sequence[str]) -> None:
        calls.append(some)
        if len(calls) == 2:
            raise ConnectionError("SQS refused 3 messages 5 times: InternalError")
        send(url, some)

    monkeypatch.setattr(redrive, "send_batch", fails_the_second_time)
    [queue] = [one for one in queues_of(outputs) if one.name == "photos"]
    with pytest.raises(AdvisorError, match="photos: 10 sent again, then: SQS refused 3"):
        queue.redrive()
    assert left(outputs["DeadPhotosQueueUrl"]) == 3
    assert left(outputs["PhotosQueueUrl"]) == 10


def test_a_queue_that_may_not_be_read_is_one_sentence(outputs: Outputs) -> None:
    url = outputs["PhotosQueueUrl"]
    queue = WorkQueue(name="photos", url=url, dead_url=f"{url}-gone")
    for call in (queue.dead, queue.redrive):
        with pytest.raises(AdvisorError, match=r"the dead letters of photos: .*NonExistentQueue"):
            call()


def test_it_asks_for_no_more_rights_than_its_help_names(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(outputs["DeadPhotosQueueUrl"], "a")
    used: set[tuple[str, str]] = set()

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        used.add((model.name.removesuffix("Batch"), params["body"]))

    events = client("sqs").meta.events
    events.register("before-call.sqs", note)
    try:
        run("photos")
    finally:
        events.unregister("before-call.sqs", note)
    by_queue = {
        (name, "dead" if outputs["DeadPhotosQueueUrl"] in str(body) else "queue")
        for name, body in used
    }
    assert by_queue == {
        ("GetQueueAttributes", "dead"),
        ("ReceiveMessage", "dead"),
        ("DeleteMessage", "dead"),
        ("SendMessage", "queue"),
    }
    help_text = run("--help")
    assert all(name in help_text for name, _ in by_queue)
