"""The IAM routes for crawls, and the command that calls them, in process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from advisor.aws import clients, remote_crawls
from advisor.aws.announcing import ClosedTopic
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.tokens import Token, TokenQueue
from advisor.errors import UsageError
from cli.crawl import command
from functions.crawls.handler import handler
from tests.functions.test_crawl import Tables
from tests.unit.crawling.loopback import Shop, product_page, serving, shop_of

Call = Callable[..., tuple[int, dict[str, Any]]]
ARN = "arn:aws:sns:eu-central-1:123456789012:closed"


@pytest.fixture
def service(aws: None) -> CrawlService:
    queue = TokenQueue(
        clients.client("sqs").create_queue(QueueName="tokens")["QueueUrl"], "frontier"
    )
    return CrawlService(frontier_table="frontier", queue=queue, bucket="data", tables=Tables())


@pytest.fixture
def call(service: CrawlService) -> Call:
    def call(route: str, body: object = None, run_id: str = "") -> tuple[int, dict[str, Any]]:
        event = {
            "routeKey": route,
            "headers": {},
            "body": None if body is None else json.dumps(body),
            "pathParameters": {"run_id": run_id} if run_id else None,
        }
        answer = handler(event, None, service=lambda: service)
        return answer["statusCode"], json.loads(answer["body"])

    return call


def work_off(service: CrawlService) -> None:
    sqs, url = clients.client("sqs"), service.queue.queue_url
    while messages := sqs.receive_message(QueueUrl=url).get("Messages", []):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            service.take_turn(Token.from_record({"body": message["Body"]}), budget_s=60)


def start(call: Call, shop: Shop) -> str:
    status, started = call("POST /crawls", {"spider": "schema-org", "base_url": shop.url})
    assert (status, started["started"]) == (201, True)
    return str(started["run_id"])


def test_a_crawl_is_started_and_shown(call: Call, service: CrawlService) -> None:
    with serving(shop_of(3)) as shop:
        run_id = start(call, shop)
        status, again = call("POST /crawls", {"spider": "schema-org", "base_url": shop.url})
        assert (status, again["run_id"], again["started"]) == (409, run_id, False)
        work_off(service)
    status, run = call("GET /crawls/{run_id}", run_id=run_id)
    assert (status, run["status"], run["items"]) == (200, "finished", 3)
    status, answer = call("GET /crawls")
    assert [one["run_id"] for one in answer["crawls"]] == [run_id]


def test_a_paused_crawl_rests_and_goes_on_where_it_was(call: Call, service: CrawlService) -> None:
    with serving(shop_of(5)) as shop:
        run_id = start(call, shop)
        assert call("POST /crawls/{run_id}/pause", {}, run_id)[1]["status"] == "paused"
        work_off(service)
        assert shop.asked == []
        assert service.sweep().tokens == 0
        status, said = call("POST /crawls/{run_id}/pause", {}, run_id)
        assert (status, said["detail"]) == (409, f"crawl {run_id} is paused")
        assert call("POST /crawls/{run_id}/resume", {}, run_id)[1]["status"] == "running"
        work_off(service)
    assert call("GET /crawls/{run_id}", run_id=run_id)[1]["items"] == 5


def test_a_crawl_is_stopped_for_good_also_when_it_is_paused(
    call: Call, service: CrawlService
) -> None:
    with serving(shop_of(5)) as shop:
        run_id = start(call, shop)
        call("POST /crawls/{run_id}/pause", {}, run_id)
        _, run = call("POST /crawls/{run_id}/stop", {}, run_id)
        assert (run["status"], run["finish_reason"]) == ("finished", "stopped")
        assert call("POST /crawls/{run_id}/stop", {}, run_id)[0] == 409
        assert call("POST /crawls/{run_id}/resume", {}, run_id)[0] == 409
        assert start(call, shop) != run_id  # the shop is free again


@pytest.mark.parametrize(
    ("route", "body", "run_id", "status", "said"),
    [
        ("POST /crawls", {"spider": "nobody"}, "", 400, "nobody"),
        ("POST /crawls", {"spider": "harveynorman", "limit": -1}, "", 400, "limit is -1"),
        ("POST /crawls", [], "", 400, "expected an object"),
        ("GET /crawls/{run_id}", None, "none", 404, "no crawl run 'none'"),
        ("POST /crawls/{run_id}/stop", {}, "none", 404, "no crawl run 'none'"),
        ("POST /crawls/{run_id}/pause", {}, "none", 404, "no crawl run 'none'"),
    ],
)
def test_what_is_wrong_is_said_in_a_problem_document(
    call: Call, *, route: str, body: object, run_id: str, status: int, said: str
) -> None:
    found, problem = call(route, body, run_id)
    assert (found, problem["status"]) == (status, status)
    assert said in problem["detail"]


def test_the_end_of_a_crawl_is_announced_once(service: CrawlService) -> None:
    ended: list[Any] = []
    service = replace(service, announce=lambda *told: ended.append(told))
    with serving(shop_of(2)) as shop:
        run_id = service.start("schema-org", base_url=shop.url).run_id
        assert ended == []
        work_off(service)
        service.sweep()
        assert not service.stop(run_id)
    ((run, lost),) = ended
    assert lost == []
    assert (run.run_id, run.status, run.items) == (run_id, "finished", 2)


def test_a_field_that_the_items_lost_is_told_with_the_end(service: CrawlService) -> None:
    topic = clients.client("sns").create_topic(Name="closed")["TopicArn"]
    seen = clients.client("sqs").create_queue(QueueName="seen")["QueueUrl"]
    arn = "arn:aws:sqs:eu-central-1:123456789012:seen"
    clients.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    service = replace(service, announce=ClosedTopic(topic).announce)
    with serving(shop_of(12)) as shop:
        service.start("schema-org", base_url=shop.url)
        work_off(service)
        for at in range(12):
            shop.pages[f"/p/{at}"] = product_page(f"S{at}", offers=None)
        service.start("schema-org", base_url=shop.url)
        work_off(service)
    answer = clients.client("sqs").receive_message(QueueUrl=seen, MaxNumberOfMessages=10)
    told = [json.loads(json.loads(one["Body"])["Message"]) for one in answer["Messages"]]
    lost = [[one["name"] for one in message["lost_fields"]] for message in told]
    assert sorted(lost) == [[], ["price_minor"]]


def test_a_crawl_ends_although_its_end_cannot_be_announced(
    service: CrawlService, caplog: pytest.LogCaptureFixture
) -> None:
    service = replace(service, announce=ClosedTopic(ARN).announce)  # there is no such topic
    with serving(shop_of(1)) as shop:
        run_id = service.start("schema-org", base_url=shop.url).run_id
        work_off(service)
    assert run_id in caplog.text


@pytest.fixture
def routed(call: Call, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The command's requests, signed, given to the function as API Gateway does."""
    seen: list[str] = []

    def send(method: str, url: str, *, headers: dict[str, str], data: str, timeout: int) -> Any:
        assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
        assert "/eu-central-1/execute-api/aws4_request" in headers["Authorization"]
        _, run_id, *action = [*url.partition("/api/")[2].split("/"), ""][:3]
        action = [one for one in action if one]
        route = "/".join(["/crawls", *(["{run_id}"] if run_id else []), *action])
        seen.append(f"{method} {route}")
        status, told = call(seen[-1], json.loads(data) if data else None, run_id)
        answer = requests.Response()
        answer.status_code = status
        answer._content = json.dumps(told).encode()
        return answer

    outputs = {"ApiId": "a", "ApiUrl": "http://127.0.0.1:1/api"}
    monkeypatch.setattr(remote_crawls, "outputs_of", lambda _stack: outputs)
    monkeypatch.setattr(requests, "request", send)
    yield seen


def test_the_command_starts_shows_and_stops_a_crawl(
    routed: list[str], service: CrawlService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(shop_of(4)) as shop:
        # Between two looks at the run the functions do their work.
        monkeypatch.setattr("cli.crawl_remote.time.sleep", lambda _: work_off(service))
        arguments = ["schema-org", "--base-url", shop.url, "--remote", "start", "--json"]
        result = CliRunner().invoke(command, arguments)
        assert result.exit_code == 0, result.output
        run = json.loads(result.stdout)
        assert (run["status"], run["items"]) == ("finished", 4)
        assert "running, 0 pages" in result.stderr
    listed = CliRunner().invoke(command, ["--remote", "status"]).stdout.splitlines()
    assert len(listed) == 2
    assert run["run_id"] in listed[1]
    result = CliRunner().invoke(command, [run["run_id"], "--remote", "stop"])
    assert isinstance(result.exception, UsageError)
    assert f"crawl {run['run_id']} is finished" in str(result.exception)
    result = CliRunner().invoke(command, ["../x", "--remote", "stop"])
    assert "'../x' is no crawl's id" in str(result.exception)
    assert routed[0] == "POST /crawls"
