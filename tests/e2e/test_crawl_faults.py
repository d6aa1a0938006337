"""What goes wrong in a crawl on the deployed functions, and what it must not cost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import requests
from click.testing import CliRunner

from advisor.aws.clients import client, table
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.frontier import FINISHED, RunStatus, end_run, read_run
from advisor.aws.frontier_rows import run_host_key
from advisor.aws.remote_crawls import RemoteCrawls
from advisor.aws.tokens import TokenQueue
from cli import replay
from cli.crawl import command
from local.cloud import Cloud
from tests.unit.crawling.loopback import Answer, Shop, serving, shop_of, tagged

DELAY_S = 0.1
TIMEOUT_S = 120  # a busy machine; nothing waits so long elsewhere

# A worker with a lease that runs out soon, to be killed in its turn.
WORKER = """
import sys
from advisor.aws import crawl_turns
from advisor.aws.catalog import CatalogTables
from advisor.aws.tokens import Token, TokenQueue
frontier, queue, bucket, products, prices, run_id, host = sys.argv[1:]
crawl_turns.LEASE_S = 3
service = crawl_turns.CrawlService(
    frontier_table=frontier, queue=TokenQueue(queue, frontier), bucket=bucket,
    tables=CatalogTables(products, prices),
)
service.take_turn(Token(run_id, host), budget_s=60)
"""


class Log(list[str]):
    """The paths a shop was asked for, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def append(self, path: str) -> None:
        self.times.append(time.monotonic())
        super().append(path)

    def least_gap(self) -> float:
        return min(after - before for before, after in pairwise(self.times))


@contextmanager
def slow_shop(pages: Mapping[str, Answer]) -> Iterator[tuple[Shop, Log]]:
    """A shop that asks for a delay in its robots.txt."""
    robots = Answer(f"User-agent: *\nCrawl-delay: {DELAY_S}\n", content_type="text/plain")
    log = Log()
    with serving({**pages, "/robots.txt": robots}) as shop:
        shop.asked = log
        yield shop, log


def start(cloud: Cloud, shop: Shop) -> str:
    answer = cloud.invoke("StartCrawl", {"spider": "schema-org", "base_url": shop.url})
    assert answer["started"]
    return str(answer["run_id"])


def finished(cloud: Cloud, run_id: str) -> RunStatus:
    deadline = time.monotonic() + TIMEOUT_S
    while (run := read_run(cloud["FrontierTable"], run_id)).status == "running":
        assert time.monotonic() < deadline, run
        time.sleep(0.3)
    return run


def items_on_aws(cloud: Cloud, shop: Shop, run_id: str) -> list[dict[str, Any]]:
    s3, bucket = client("s3"), cloud["DataBucket"]
    prefix = f"items/{shop.url.removeprefix('http://').replace(':', '-')}/{run_id}/"
    keys = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    lines = [
        line
        for one in keys
        for line in s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].iter_lines()
    ]
    return comparable(lines, shop)


def items_on_a_laptop(pages: Mapping[str, Answer], folder: Any) -> list[dict[str, Any]]:
    with serving(pages) as shop:
        arguments = ["schema-org", "--base-url", shop.url, "--out", str(folder)]
        assert CliRunner().invoke(command, arguments).exit_code == 0
        return comparable((folder / "items.jsonl").read_bytes().splitlines(), shop)


def comparable(lines: list[bytes], shop: Shop) -> list[dict[str, Any]]:
    """Items without what differs between two servers: the port."""
    name = shop.url.removeprefix("http://")
    plain = [
        line.decode().replace(name, "X").replace(name.replace(":", "-"), "X") for line in lines
    ]
    return sorted((json.loads(line) for line in plain), key=lambda item: str(item["id"]))


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def forget_token(cloud: Cloud, run_id: str, host: str) -> None:
    """Make the sweep believe that the token was due long ago."""
    table(cloud["FrontierTable"]).update_item(
        Key=run_host_key(run_id, host),
        UpdateExpression="SET token_until = :past",
        ExpressionAttributeValues={":past": 0},
    )


def test_two_shops_at_a_time_with_doubled_tokens_and_a_poison_page(
    cloud: Cloud, tmp_path: Any
) -> None:
    pages = shop_of(25)
    pages["/p/3"] = Answer(b"no gzip", headers={"Content-Encoding": "gzip"})
    pages["/p/4"] = Answer("broken", status=500)
    with slow_shop(pages) as (one, first), slow_shop(shop_of(20)) as (two, second):
        runs = [start(cloud, one), start(cloud, two)]
        for shop, run_id in zip((one, two), runs, strict=True):
            body = json.dumps({"run_id": run_id, "host": shop.url.removeprefix("http://")})
            for _ in range(3):
                client("sqs").send_message(QueueUrl=cloud["TokensQueueUrl"], MessageBody=body)
        ended = [finished(cloud, run_id) for run_id in runs]
        assert items_on_aws(cloud, one, runs[0]) == items_on_a_laptop(pages, tmp_path / "one")
        assert items_on_aws(cloud, two, runs[1]) == items_on_a_laptop(shop_of(20), tmp_path / "two")
    assert [(run.status, run.items) for run in ended] == [("finished", 23), ("finished", 20)]
    assert ended[0].errors_by_reason == {"bad encoding": 1, "http 500": 1}
    assert first.times[0] < second.times[-1]
    assert second.times[0] < first.times[-1]  # at a time
    for log in (first, second):
        assert log.least_gap() >= DELAY_S
        pages_once = [path for path in log if path not in ("/robots.txt", "/p/4")]
        assert len(pages_once) == len(set(pages_once))


def test_a_lost_token_and_a_worker_that_dies_cost_no_item(cloud: Cloud, tmp_path: Any) -> None:
    pages = shop_of(25)
    lost = client("sqs").create_queue(QueueName="lost-tokens")["QueueUrl"]
    with slow_shop(pages) as (shop, log):
        host = shop.url.removeprefix("http://")
        nowhere = TokenQueue(lost, cloud["FrontierTable"])
        service = CrawlService(frontier_table=cloud["FrontierTable"], queue=nowhere)
        run_id = service.start("schema-org", base_url=shop.url).run_id
        names = ("FrontierTable", "TokensQueueUrl", "DataBucket", "ProductsTable", "PricesTable")
        arguments = [*(cloud[name] for name in names), run_id, host]
        worker = subprocess.Popen([sys.executable, "-c", WORKER, *arguments])
        wait_until(lambda: len(log) >= 20)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        asked = len(log)
        time.sleep(3.2)  # its lease
        assert len(log) == asked  # nobody goes on: the token is lost
        forget_token(cloud, run_id, host)
        assert cloud.invoke("SweepCrawls", {})["tokens"] >= 1
        run = finished(cloud, run_id)
        assert items_on_aws(cloud, shop, run_id) == items_on_a_laptop(pages, tmp_path)
    assert (run.status, run.items, run.photos) == ("finished", 25, 25)
    assert log.least_gap() >= DELAY_S


def test_a_stopped_crawl_soon_asks_no_more(cloud: Cloud) -> None:
    with slow_shop(shop_of(400)) as (shop, log):
        run_id = start(cloud, shop)
        wait_until(lambda: len(log) > 5)
        result = CliRunner().invoke(command, [run_id, "--remote", "stop"])
        assert result.exit_code == 0, result.output
        assert "finished (stopped)" in result.stdout
        time.sleep(7)  # a turn looks every five seconds
        asked = len(log)
        time.sleep(1)
        assert len(log) == asked < 150
    assert read_run(cloud["FrontierTable"], run_id).finish_reason == "stopped"


def told(*arguments: str) -> str:
    """What `advisor crawl` prints."""
    result = CliRunner().invoke(command, [*arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_paused_crawl_rests_and_goes_on_where_it_was(cloud: Cloud, tmp_path: Any) -> None:
    """Through the deployed routes, which let in nobody who does not sign."""
    pages = shop_of(60)
    with slow_shop(pages) as (shop, log):
        crawls = RemoteCrawls(cloud.api_url)
        run_id = crawls.start("schema-org", base_url=shop.url, shop="", settings={})["run_id"]
        wait_until(lambda: len(log) > 20)
        answer = requests.post(f"{cloud.api_url}/crawls/{run_id}/stop", json={}, timeout=30)
        assert answer.status_code == 403
        assert "paused" in told(run_id, "--remote", "pause")
        time.sleep(7)  # a turn looks every five seconds
        asked = len(log)
        cloud.invoke("SweepCrawls", {})
        time.sleep(1)
        assert len(log) == asked < 2 * 60
        assert crawls.status(run_id)["todo"] > 0
        assert "finished (finished)" in told(run_id, "--remote", "resume")
        run = read_run(cloud["FrontierTable"], run_id)
        assert items_on_aws(cloud, shop, run_id) == items_on_a_laptop(pages, tmp_path)
    assert (run.status, run.items, run.photos, run.errors) == ("finished", 60, 60, 0)
    assert log.least_gap() >= DELAY_S
    assert len(log) == len(set(log))  # robots.txt, too: its host's row remembers it


def test_what_was_crawled_is_asked_and_replayed_from_a_laptop_and_not_parsed_again(
    cloud: Cloud, tmp_path: Any
) -> None:
    with serving(tagged(shop_of(25))) as shop:
        first, second = (
            json.loads(
                told("schema-org", "--base-url", shop.url, "--remote", "start", "--json",
                     "-s", "concurrency=4")
            )
            for _ in range(2)
        )  # fmt: skip
        assert second["counts"]["unchanged"] == first["pages"] == second["pages"]
        assert second["counts"]["unchanged photos"] == first["photos"] == second["photos"] == 25
        asked = dict(zip(shop.asked, shop.headers, strict=True))  # the later one of each
        assert asked["/photos/S3.jpg"]["If-None-Match"] == '"/photos/S3.jpg"'
        assert second["settings"] == {"concurrency": 4}
        once = items_on_aws(cloud, shop, first["run_id"])
        assert items_on_aws(cloud, shop, second["run_id"]) == once
    assert len(once) == 25
    assert "unchanged; 1 items" in told("why", f"{shop.url}/p/7", "--remote")
    assert "found on" in told("why", f"{shop.url}/p/7", "--remote")
    for run in (first, second):  # the shop is gone
        arguments = [run["run_id"], "--remote", "--out", str(tmp_path / "x"), "--json"]
        result = CliRunner().invoke(replay.command, arguments)
        assert result.exit_code == 0, result.output
        lines = (tmp_path / "x" / "replay.jsonl").read_bytes().splitlines()
        assert comparable(lines, shop) == once
        figures = json.loads(result.stdout)
        assert (figures["pages"], figures["items"]["before"]) == (run["pages"], 25)


def test_the_end_of_a_crawl_is_told_although_its_worker_died_before(cloud: Cloud) -> None:
    sqs = client("sqs")
    queue = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    client("sns").subscribe(
        TopicArn=cloud["ClosedTopicArn"], Protocol="sqs", Endpoint=arn["QueueArn"]
    )
    messages: list[dict[str, Any]] = []

    def has_told(run_id: str) -> bool:
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        messages.extend(json.loads(json.loads(one["Body"])["Message"]) for one in found)
        return run_id in [one["run_id"] for one in messages]

    with serving(shop_of(3)) as shop:
        lost = sqs.create_queue(QueueName="lost-tokens")["QueueUrl"]
        nowhere = TokenQueue(lost, cloud["FrontierTable"])
        service = CrawlService(frontier_table=cloud["FrontierTable"], queue=nowhere)
        dead = service.start("schema-org", base_url=shop.url).run_id
        # What a worker does before it publishes; then it dies.
        run = read_run(cloud["FrontierTable"], dead)
        assert end_run(
            cloud["FrontierTable"], run, status=FINISHED, reason="finished", now=time.time() - 120
        )
        cloud.invoke("SweepCrawls", {})
        wait_until(lambda: has_told(dead))
        alive = start(cloud, shop)
        wait_until(lambda: has_told(alive))
    cloud.invoke("SweepCrawls", {})
    has_told("")
    by_run = {one["run_id"]: one for one in messages}
    assert sorted(one["run_id"] for one in messages if one["run_id"] in (dead, alive)) == sorted(
        [dead, alive]
    )
    assert by_run[alive]["items"] == 3
    assert by_run[alive]["finish_reason"] == "finished"
    assert by_run[alive]["lost_fields"] == []
