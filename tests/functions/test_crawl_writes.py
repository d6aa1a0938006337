"""What a crawl on AWS costs in requests, counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from advisor.aws import clients
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.frontier import list_runs
from advisor.aws.tokens import Token
from benchmarks.crawl_cost import _WriteUnits, counting, crawl
from benchmarks.prices import PRICES, usd
from infra.service_stack import CRAWL_ACTIONS
from tests.unit.crawling.loopback import product_page, serving, shop_of

JUMP = {"@type": "Offer", "price": "1250.00", "priceCurrency": "EUR"}


def test_a_page_with_its_item_and_photo_takes_at_most_four_writes(service: CrawlService) -> None:
    with serving(shop_of(150)) as shop:
        with counting(("frontier", "products", "prices")) as first:
            run, _ = crawl(shop.url, service)
        assert (run.items, run.photos) == (150, 150)
        assert first["DynamoDB writes"] / run.pages <= 4
        # 4.4 here (3.8 of 500 products); batches are written by time, too, so a busy machine makes
        # more of them. One more write a page, a transaction's costing two, would exceed it.
        assert first["DynamoDB write units"] / run.pages <= 5.2
        with counting(("frontier", "products", "prices")) as again:
            run, _ = crawl(shop.url, service)
    assert again["DynamoDB writes"] / run.pages <= 3.2  # no price changed
    assert again["DynamoDB write units"] / run.pages <= 4.4


def test_writes_are_billed_by_the_size_of_their_row() -> None:
    units = _WriteUnits()
    product = {"TableName": "products", "Item": {"product_id": "a:1", "gtin": "4006381333931"}}
    assert units.of(product) == 2  # it is in the index, too
    row = {"TableName": "frontier", "Item": {"pk": "a", "sk": "b", "requests": b"x" * 1500}}
    assert units.of({"RequestItems": {"frontier": [{"PutRequest": {"Item": row["Item"]}}]}}) == 2
    key = {"TableName": "frontier", "Key": {"pk": "a", "sk": "b"}}
    assert units.of({"TransactItems": [{"Update": key}, {"Delete": key}]}) == 8
    assert units.of(key) == 2


def test_what_is_counted_has_a_price(service: CrawlService) -> None:
    with serving(shop_of(1)) as shop, counting(("frontier", "products", "prices")) as counts:
        crawl(shop.url, service)
        crawl(shop.url, service)  # reads the records of the first
    assert {"SQS requests", "S3 puts", "S3 gets", "DynamoDB write units"} < set(counts)
    assert set(counts) - set(PRICES) == {"DynamoDB writes", "DynamoDB reads"}
    assert usd({"S3 puts": 1_000_000}) == pytest.approx(5)


@contextmanager
def noting(name: str, done: dict[str, dict[str, set[str]]]) -> Iterator[None]:
    """Note which IAM actions on which tables the block takes, as those of a function."""

    def note(params: dict[str, Any], model: Any, **_: object) -> None:
        acts = done.setdefault(name, {})
        if "TransactItems" in params:
            for one in params["TransactItems"]:
                ((what, write),) = one.items()
                acts.setdefault(write["TableName"], set()).add(f"{what}Item")
            return
        for one in params.get("RequestItems") or [params["TableName"]]:
            acts.setdefault(one, set()).add(model.name)

    watched = [clients.table(one).meta.client for one in ("frontier", "products", "prices")]
    for one in watched:
        one.meta.events.register("before-parameter-build", note, unique_id="noting")
    yield
    for one in watched:
        one.meta.events.unregister("before-parameter-build", note, unique_id="noting")


def test_each_function_does_to_the_tables_what_it_is_granted_and_no_more(
    service: CrawlService, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: dict[str, dict[str, set[str]]] = {}
    queue = service.queue.queue_url

    def take_turns(one: CrawlService) -> None:
        sqs = clients.client("sqs")
        while messages := sqs.receive_message(QueueUrl=queue).get("Messages", []):
            for message in messages:
                with noting("crawl", done):
                    one.take_turn(Token.from_record({"body": message["Body"]}), budget_s=60)

    with serving(shop_of(3)) as shop:
        for _ in range(2):
            with noting("start_crawl", done):
                run_id = service.start("schema-org", base_url=shop.url).run_id
                service.start("schema-org", base_url=shop.url)  # one is going on
            with noting("crawls", done):
                service.pause(run_id)
                service.resume(run_id)
            with noting("sweep_crawls", done):
                replace(service, clock=lambda: time.time() + 600).sweep()  # a lost token
            take_turns(replace(service, announce=lambda *_: False))
            with noting("sweep_crawls", done):
                replace(service, clock=lambda: time.time() + 600).sweep()  # an untold end
            shop.pages["/p/0"] = product_page("S0", offers=JUMP)  # were its photos changed, too?
        with noting("crawls", done):
            run_id = service.start("schema-org", base_url=shop.url).run_id
            service.start("schema-org", base_url=shop.url)
            service.stop(run_id)
            list_runs("frontier")
        take_turns(service)
        service.start("schema-org", base_url=shop.url)
        monkeypatch.setattr(CrawlService, "_pass_on", lambda *_: False)
        take_turns(service)  # by a worker that dies before it ends the run
        with noting("sweep_crawls", done):
            assert service.sweep().finished == 1
    granted = {
        function: {table: set(actions) for table, actions in tables.items()}
        for function, tables in CRAWL_ACTIONS.items()
    }
    assert done == granted
