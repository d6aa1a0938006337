"""The IAM routes for crawls, and the command that calls them, in process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from advisor.aws import clients, remote_api, start_crawl
from advisor.aws.announcing import ClosedTopic
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.frontier import read_run
from advisor.aws.tokens import Token, TokenQueue
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.errors import UsageError
from cli.crawl import command
from functions.crawls.handler import handler
from infra import shops
from tests.functions.test_crawl import Tables
from tests.openapi import checked_answer
from tests.unit.crawling.loopback import Shop, product_page, serving, shop_of

Call = Callable[..., tuple[int, dict[str, Any]]]
SETTINGS = {"spider": "harveynorman"}
ARN = "arn:aws:sns:eu-central-1:123456789012:closed"


@pytest.fixture
def service(aws: None) -> CrawlService:
    queue = TokenQueue(
        clients.client("sqs").create_queue(QueueName="tokens")["QueueUrl"], "frontier"
    )
    return CrawlService(frontier_table="frontier", queue=queue, bucket="data", tables=Tables())


@pytest.fixture
def call(service: CrawlService) -> Call:
    def call(
        route: str, body: object = None, run_id: str = "", query: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        event = {
            "routeKey": route,
            "headers": {},
            "body": None if body is None else json.dumps(body),
            "pathParameters": {"run_id": run_id} if run_id else None,
            "queryStringParameters": query,
        }
        answer = handler(event, None, service=lambda: service)
        return answer["statusCode"], checked_answer(route, answer)

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
        ("POST /crawls", SETTINGS | {"shop": "x" * 501}, "", 400, "text of at most 500 characters"),
        (
            "POST /crawls",
            {"spider": "schema-org", "base_url": f"http://{'x' * 500}"},
            "",
            400,
            "500",
        ),
        ("POST /crawls", SETTINGS | {"shop": "\ud800"}, "", 400, "that are no JSON"),
        ("POST /crawls", SETTINGS | {"settings": 7}, "", 400, "settings is 7; expected an object"),
        ("POST /crawls", SETTINGS | {"settings": {"delay_s": -1}}, "", 400, "delay_s is -1"),
        ("POST /crawls", SETTINGS | {"settings": {"headers": "A: b"}}, "", 400, "'headers' is no"),
        ("POST /crawls", SETTINGS | {"settings": {"total_s": 999}}, "", 400, "'total_s' is no"),
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


def test_a_run_keeps_to_the_settings_that_it_was_given(call: Call, service: CrawlService) -> None:
    settings = {"max_pages": "3", "min_photo_px": 0, "jitter": 0.5, "sitemap": False}
    with serving(shop_of(30)) as shop:
        body = {"spider": "schema-org", "base_url": shop.url, "settings": settings}
        status, started = call("POST /crawls", body)
        assert status == 201
        work_off(service)
    _, run = call("GET /crawls/{run_id}", run_id=started["run_id"])
    assert run["finish_reason"] == "page budget"
    assert 3 <= run["pages"] < 33  # those of the batch that reaches the budget, too
    assert run["settings"] == settings | {"max_pages": 3}


def test_what_a_run_may_be_given_are_settings_of_a_crawl() -> None:
    assert set(start_crawl.SETTINGS) < set(CrawlSettings.__dataclass_fields__)
    assert shops.SETTINGS == start_crawl.SETTINGS


def test_the_end_of_a_crawl_is_told_although_its_worker_died_first(
    service: CrawlService,
) -> None:
    told: list[Any] = []

    def dies(*_: object) -> bool:
        raise KeyboardInterrupt("killed between the end of the run and its message")

    with serving(shop_of(2)) as shop:
        run_id = service.start("schema-org", base_url=shop.url).run_id
        with pytest.raises(KeyboardInterrupt):
            work_off(replace(service, announce=dies))
        work_off(service)  # SQS brings the token again, and the run is over
    assert read_run("frontier", run_id).status == "finished"
    service = replace(service, announce=lambda *what: not told.append(what))
    assert service.sweep().announced == 0  # its worker may be at it
    later = replace(service, clock=lambda: time.time() + 61)
    assert (later.sweep().announced, later.sweep().announced) == (1, 0)
    ((run, lost),) = told
    assert (run.run_id, run.finish_reason, lost) == (run_id, "finished", [])


def test_the_end_of_a_crawl_is_told_again_until_the_topic_takes_it(
    service: CrawlService,
) -> None:
    with serving(shop_of(1)) as shop:
        service.start("schema-org", base_url=shop.url)
        work_off(replace(service, announce=ClosedTopic(ARN).announce))  # there is no such topic
    later = replace(service, clock=lambda: time.time() + 61)
    assert replace(later, announce=ClosedTopic(ARN).announce).sweep().announced == 0
    topic = clients.client("sns").create_topic(Name="closed")["TopicArn"]
    there = replace(later, announce=ClosedTopic(topic).announce)
    assert (there.sweep().announced, there.sweep().announced) == (1, 0)


def test_the_end_of_a_crawl_is_announced_once(service: CrawlService) -> None:
    ended: list[Any] = []
    service = replace(service, announce=lambda *told: not ended.append(told))
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
        path, _, text = url.partition("/api/")[2].partition("?")
        _, run_id, *action = [*path.split("/"), ""][:3]
        action = [one for one in action if one]
        route = "/".join(["/crawls", *(["{run_id}"] if run_id else []), *action])
        seen.append(f"{method} {route}")
        query = dict([text.split("=")]) if text else None
        status, told = call(seen[-1], json.loads(data) if data else None, run_id, query)
        answer = requests.Response()
        answer.status_code = status
        answer._content = json.dumps(told).encode()
        return answer

    outputs = {"ApiId": "a", "ApiUrl": "http://127.0.0.1:1/api"}
    monkeypatch.setattr(remote_api, "outputs_of", lambda _stack: outputs)
    monkeypatch.setattr(requests, "request", send)
    yield seen


def test_the_command_starts_shows_and_stops_a_crawl(
    routed: list[str], service: CrawlService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(shop_of(4)) as shop:
        # Between two looks at the run the functions do their work.
        monkeypatch.setattr("cli.crawl_remote.time.sleep", lambda _: work_off(service))
        arguments = ["schema-org", "--base-url", shop.url, "--remote", "start", "--json"]
        settings = ["--limit", "3", "--concurrency", "2", "-s", "min_items_a_minute=0"]
        result = CliRunner().invoke(command, [*arguments, *settings])
        assert result.exit_code == 0, result.output
        run = json.loads(result.stdout)
        assert (run["finish_reason"], run["items"]) == ("limit", 3)
        assert run["settings"] == {"max_items": 3, "concurrency": 2, "min_items_a_minute": 0}
        assert "running, 0 pages" in result.stderr
    listed = CliRunner().invoke(command, ["--remote", "status"]).stdout.splitlines()
    assert len(listed) == 2
    assert run["run_id"] in listed[1]
    result = CliRunner().invoke(command, [run["run_id"], "--remote", "stop"])
    assert isinstance(result.exception, UsageError)
    assert f"crawl {run['run_id']} is finished" in str(result.exception)
    result = CliRunner().invoke(command, [run["run_id"], "--remote", "stop", "--delay", "1"])
    assert "--remote stop takes no settings (delay_s)" in str(result.exception)
    result = CliRunner().invoke(command, ["../x", "--remote", "stop"])
    assert "'../x' is no crawl's id" in str(result.exception)
    assert routed[0] == "POST /crawls"


def test_tells_why_an_address_was_or_was_not_fetched(call: Call, service: CrawlService) -> None:
    with serving(shop_of(3)) as shop:
        start(call, shop)
        work_off(service)
        known = next(path for path in shop.asked if path not in ("/", "/robots.txt"))
        status, fetched = call("GET /why", query={"url": f"{shop.url}{known}"})
        assert (status, fetched["url"]) == (200, f"{shop.url}{known}")
        assert "fetched at" in fetched["why"][0]
        assert "found on" in fetched["why"][1]
        _, never = call("GET /why", query={"url": f"{shop.url}/nobody/links/here"})
        assert "never seen" in never["why"][0]
    shop_name = read_run(service.frontier_table, call("GET /crawls")[1]["crawls"][0]["run_id"]).shop
    status, other = call("GET /why", query={"url": "https://elsewhere.example/", "shop": shop_name})
    assert (status, "of another site" in other["why"][0]) == (200, True)


def test_the_newest_crawls_are_listed_and_asked_why(call: Call, service: CrawlService) -> None:
    with serving(shop_of(1)) as shop:
        runs = []
        for _ in range(4):
            runs.append(start(call, shop))
            work_off(service)
        _, answer = call("GET /crawls", query={"limit": "2"})
        newest = sorted(runs)[:1:-1]  # they begin with the time
        assert [run["run_id"] for run in answer["crawls"]] == newest
        assert len(call("GET /crawls")[1]["crawls"]) == 4
        status, problem = call("GET /crawls", query={"limit": "101"})
        assert (status, problem["detail"]) == (400, "limit is '101'; expected 1 to 100")
        _, told = call("GET /why", query={"url": f"{shop.url}/nobody/links/here"})
        assert (told["crawls"], "never seen" in told["why"][0]) == (3, True)


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [({}, 400, "'' is no web address"),
     ({"url": "ftp://x"}, 400, "'ftp://x' is no web address"),
     ({"url": "https://unheard.example/p"}, 404, "no crawl is known of the site"),
     ({"url": "https://a.example/p", "shop": "nobody"}, 404, "of the shop 'nobody'")],
)  # fmt: skip
def test_an_address_that_no_crawl_knows_is_told_so(
    call: Call, *, query: dict[str, str], status: int, said: str
) -> None:
    found, problem = call("GET /why", query=query)
    assert (found, said in problem["detail"]) == (status, True)
