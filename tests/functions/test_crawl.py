"""The crawl on AWS, from start_crawl to its end, in process."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from advisor.aws import clients, frontier, leases
from advisor.aws.crawl_records import Heading
from advisor.aws.crawl_store import CrawlStore
from advisor.aws.crawl_turns import LEASE_S, CrawlService
from advisor.aws.host_frontier import HostFrontier, LeaseLostError
from advisor.aws.tokens import Token, TokenQueue
from advisor.crawling.fetch import Fetcher
from advisor.crawling.frontier import Settlement
from advisor.crawling.items import Item
from advisor.crawling.messages import KINDS, ArchivedPage, Request, Response
from advisor.crawling.photos import make_photo
from advisor.crawling.sink import Results
from advisor.errors import NotFoundError, UnknownSpiderError, UsageError
from functions.crawl.handler import handler as crawl
from functions.start_crawl.handler import handler as start_crawl
from functions.sweep_crawls.handler import handler as sweep_crawls
from tests.unit.crawling.loopback import JPEG, Answer, Shop, listing, product_page, serving, shop_of

FRONTIER, BUCKET = "frontier", "data"


@dataclass
class Tables:
    """Keeps what the catalog would."""

    items: dict[str, Item] = field(default_factory=dict)
    puts: int = 0

    def put_item(self, item: Item, *, run_id: str, observed_at: str) -> None:
        assert run_id
        assert observed_at.endswith("+00:00")
        self.items[item.product_id] = item
        self.puts += 1


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 100_000


@dataclass
class World:
    """The account, and a clock that tests may move."""

    service: CrawlService
    tables: Tables
    queue_url: str
    offset: list[float]

    def start(self, at: Shop, **event: Any) -> dict[str, Any]:
        return start_crawl(
            {"spider": "schema-org", "base_url": at.url, **event},
            None,
            service=lambda: self.service,
        )

    def tokens(self) -> list[dict[str, Any]]:
        """Take the tokens that wait, as records."""
        answer = clients.client("sqs").receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10
        )
        records = []
        for message in answer.get("Messages", []):
            clients.client("sqs").delete_message(
                QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"]
            )
            records.append({"body": message["Body"]})
        return records

    def turn(self, record: dict[str, Any]) -> None:
        crawl({"Records": [record]}, Context(), service=lambda: self.service)

    def work_off(self) -> int:
        """Take turns until no token waits; returns how many."""
        turns = 0
        while records := self.tokens():
            for record in records:
                self.turn(record)
                turns += 1
        return turns

    def sweep(self) -> dict[str, Any]:
        return sweep_crawls({}, None, service=lambda: self.service)

    def run(self, run_id: str) -> frontier.RunStatus:
        return frontier.read_run(FRONTIER, run_id)

    def keys(self, prefix: str) -> list[str]:
        listed = clients.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for one in listed.get("Contents", [])]


@pytest.fixture
def world(aws: None) -> World:
    url = clients.client("sqs").create_queue(QueueName="tokens")["QueueUrl"]
    tables, offset = Tables(), [0.0]
    service = CrawlService(
        frontier_table=FRONTIER,
        queue=TokenQueue(url, FRONTIER),
        bucket=BUCKET,
        tables=tables,
        clock=_clock(offset),
    )
    return World(service, tables, url, offset)


def _clock(offset: list[float]) -> Callable[[], float]:
    return lambda: time.time() + offset[0]


def test_crawls_a_shop_to_its_end(world: World) -> None:
    pages = shop_of(23)
    pages["/"] = listing("/gone", "/half", "/old", *(f"/p/{at}" for at in range(10)), "/?page=1")
    pages["/half"] = product_page("HALF", description=None)
    pages["/old"] = Answer(status=301, headers={"Location": "/p/3"})
    pages["/photos/S5.jpg"] = Answer("<html>no photo</html>")
    with serving(pages) as shop:
        started = world.start(shop, shop="corner", trigger="schedule")
        assert started["started"]
        world.work_off()
        asked = [path for path in shop.asked if path != "/robots.txt"]
    run = world.run(started["run_id"])
    assert (run.status, run.finish_reason) == ("finished", "finished")
    assert (run.items, run.photos, run.todo) == (23, 22, 0)
    assert run.errors_by_reason == {"http 404": 1, "not an image": 1}
    assert run.dropped_by_reason == {"no description": 1}
    assert (run.shop, run.trigger, run.spider) == ("corner", "schedule", "schema-org")
    assert run.finished_at > run.started_at
    assert len(asked) == len(set(asked))
    assert len(world.tables.items) == world.tables.puts == 23
    assert world.tables.items["corner:S7"].price_minor == 1250


def test_keeps_pages_items_and_photos_in_the_bucket(world: World) -> None:
    pages = {
        "/": listing("/p"),
        "/p": product_page("a/b", category="hi-fi, audio & speakers", image="/x.jpg"),
        "/x.jpg": shop_of(1)["/photos/S0.jpg"],
    }
    with serving(pages) as shop:
        run_id = world.start(shop, shop="söm")["run_id"]
        world.work_off()
    (key,) = world.keys("images/")
    assert key.startswith("images/hi-fi, audio & speakers/söm/a%2Fb-")
    photo = clients.client("s3").get_object(Bucket=BUCKET, Key=key)
    assert photo["Body"].read() == pages["/x.jpg"].body
    assert photo["ContentType"] == "image/jpeg"
    assert unquote(photo["Metadata"]["product-id"]) == "söm:a/b"
    assert len(photo["Metadata"]["image-id"]) == 64
    (items,) = world.keys(f"items/söm/{run_id}/")
    line = json.loads(clients.client("s3").get_object(Bucket=BUCKET, Key=items)["Body"].read())
    assert (line["id"], line["category"]) == ("a/b", "hi-fi, audio & speakers")
    archived = world.keys("pages/")
    assert len(archived) == 2
    page = clients.client("s3").get_object(Bucket=BUCKET, Key=archived[0])
    assert b"<" in gzip.decompress(page["Body"].read())


def test_in_a_shop_that_was_crawled_before_what_is_there_is_asked_for_and_not_sent(
    world: World,
) -> None:
    calls: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    events = clients.client("s3").meta.events
    url = "https://shop.test/p/1"
    page = ArchivedPage.of(Response(url=url, status=200, body=b"<p>"))
    photo = make_photo(JPEG, product_id="corner:1", category="hats", url=url)
    assert photo
    heading = Heading(
        run_id="r",
        spider="schema-org",
        base_url=url,
        shop="corner",
        started_at="2026-01-01T00:00:00+00:00",
        fingerprint="f",
    )
    found = []
    events.register("before-call.s3", count)
    try:
        for turn, again in (("1", False), ("2", False), ("3", True)):
            calls.clear()
            with CrawlStore(
                BUCKET,
                world.tables,
                heading=heading,
                turn=turn,
                again=again,
                broken_off=False,
                clock=time.time,
            ) as store:
                store.write(Results(pages=[page], photos=[photo]))
                found.append((calls["HeadObject"], calls["PutObject"]))
    finally:
        events.unregister("before-call.s3", count)
    assert found == [(0, 2), (0, 2), (2, 0)]


def test_a_second_start_returns_the_run_that_is_going_on(world: World) -> None:
    with serving(shop_of(1)) as shop:
        first = world.start(shop)
        second = world.start(shop, trigger="schedule")
        assert second["run_id"] == first["run_id"]
        assert not second["started"]
        assert "going on" in second["reason"]
        assert world.run(first["run_id"]).triggers == ("schedule",)
        world.work_off()
        third = world.start(shop)
    assert third["started"]
    assert third["run_id"] != first["run_id"]
    assert len(frontier.list_runs(FRONTIER)) == 2


def test_ends_at_its_limit_with_the_photos_of_its_items(world: World) -> None:
    with serving(shop_of(40)) as shop:
        run_id = world.start(shop, limit=7)["run_id"]
        world.work_off()
    run = world.run(run_id)
    assert (run.items, run.photos, run.finish_reason) == (7, 7, "limit")
    assert run.status == "finished"


def test_a_duplicate_token_changes_nothing(world: World) -> None:
    with serving(shop_of(12)) as shop:
        run_id = world.start(shop)["run_id"]
        (token,) = world.tokens()
        host = json.loads(token["body"])["host"]
        held = leases.take_lease(
            FRONTIER, host, run_id=run_id, seconds=60, now=world.service.clock()
        )
        assert held is not None
        world.turn(token)  # a worker of the same run is at the host
        assert shop.asked == []
        assert world.tokens() == []
        leases.release_lease(FRONTIER, held)
        world.turn(token)
        world.turn(token)  # the run is over
        assert len(shop.asked) == len(set(shop.asked))
    assert world.run(run_id).items == 12


def test_a_host_that_another_run_is_at_is_left_alone(world: World) -> None:
    with serving(shop_of(1)) as shop:
        world.start(shop)
        (token,) = world.tokens()
        host = json.loads(token["body"])["host"]
        leases.take_lease(FRONTIER, host, run_id="other", seconds=60, now=world.service.clock())
        world.turn(token)
        assert shop.asked == []
        queue = clients.client("sqs").get_queue_attributes(
            QueueUrl=world.queue_url, AttributeNames=["ApproximateNumberOfMessagesDelayed"]
        )
        assert queue["Attributes"]["ApproximateNumberOfMessagesDelayed"] == "1"


def test_a_worker_that_died_is_replaced_when_its_lease_runs_out(world: World) -> None:
    with serving(shop_of(3)) as shop:
        run_id = world.start(shop)["run_id"]
        (token,) = world.tokens()
        host = json.loads(token["body"])["host"]
        leases.take_lease(FRONTIER, host, run_id=run_id, seconds=LEASE_S, now=world.service.clock())
        world.offset[0] = LEASE_S + 1
        assert world.sweep() == {"tokens": 1, "finished": 0, "announced": 0}
        world.work_off()
    assert world.run(run_id).items == 3


def test_the_sweeper_brings_a_lost_token_back_once(world: World) -> None:
    with serving(shop_of(3)) as shop:
        run_id = world.start(shop)["run_id"]
        world.tokens()  # lost
        assert world.sweep()["tokens"] == 0  # it may still be on its way
        world.offset[0] = 600
        assert world.sweep()["tokens"] == 1
        assert world.sweep()["tokens"] == 0
        world.work_off()
    assert world.run(run_id).items == 3
    assert world.sweep() == {"tokens": 0, "finished": 0, "announced": 0}


def test_a_worker_whose_lease_was_taken_over_cannot_count_twice(world: World) -> None:
    with serving(shop_of(1)) as shop:
        run_id = world.start(shop)["run_id"]
        host = shop.url.removeprefix("http://")
        now = world.service.clock()
        slow = leases.take_lease(FRONTIER, host, run_id=run_id, seconds=1, now=now)
        fast = leases.take_lease(FRONTIER, host, run_id=run_id, seconds=600, now=now + 2)
        assert slow is not None
        assert fast is not None
        with _frontier(slow) as first, _frontier(fast) as second:
            taken = first.take(host, kinds=KINDS, limit=10, now=now)
            assert second.take(host, kinds=KINDS, limit=10, now=now) == taken
            second.settle(Settlement(done=taken, counts={"pages": 1}))
            with pytest.raises(LeaseLostError):
                first.settle(Settlement(done=taken, counts={"pages": 1}))
    assert world.run(run_id).pages == 1


def test_what_a_crash_left_unclaimed_is_fetched_and_nothing_twice(world: World) -> None:
    with serving(shop_of(1)) as shop:
        run_id = world.start(shop)["run_id"]
        host = shop.url.removeprefix("http://")
        lease = leases.take_lease(FRONTIER, host, run_id=run_id, seconds=60, now=0)
        assert lease is not None
        urls = [Request(f"{shop.url}/{at}") for at in range(250)]
        with _frontier(lease) as one:
            one.settle(Settlement(new=urls))
            one.settle(Settlement(new=urls[100:]))  # by another turn that did not know
            assert one.unseen([url.key for url in urls]) == set()
        with _frontier(lease) as after:
            taken: list[Request] = []
            while more := after.take(host, kinds=KINDS, limit=64, now=1e9):
                taken += more
        found = [request.url for request in taken]
        assert len(found) == len(set(found)) == 251  # and the start page


def test_what_one_turn_claimed_the_others_of_its_run_have_seen(world: World) -> None:
    with serving(shop_of(1)) as shop:
        run_id = world.start(shop)["run_id"]
        take = partial(leases.take_lease, FRONTIER, run_id=run_id, seconds=60, now=0)
        here, there = take("a.example"), take("b.example")
        assert here is not None
        assert there is not None
        photo = Request("https://img.example/1.jpg", kind="photo")
        keys = ["item:1", "item:2", photo.key]
        with _frontier(here) as one, _frontier(there) as two:
            assert two.unseen(keys) == set(keys)  # it has looked before
            one.settle(Settlement(claimed=["item:1"], new=[photo]))
            assert one.unseen(keys) == two.unseen(keys) == {"item:2"}
        with _frontier(here) as later:
            assert later.unseen(keys) == {"item:2"}
        with _frontier(take("img.example")) as images:  # type: ignore[arg-type] # nobody has it
            taken = images.take("img.example", kinds=KINDS, limit=5, now=1e9)
        assert [request.url for request in taken] == [photo.url]


def _frontier(lease: leases.Lease) -> HostFrontier:
    return HostFrontier(FRONTIER, lease, counts={}, on_work=lambda _: None, clock=lambda: 1.0)


def test_photos_of_another_host_get_a_token_of_their_own(world: World) -> None:
    photo = shop_of(1)["/photos/S0.jpg"]
    with serving({"/x.jpg": photo}) as images, serving() as shop:
        shop.pages = {"/": listing("/p"), "/p": product_page("A", image=f"{images.url}/x.jpg")}
        run_id = world.start(shop)["run_id"]
        world.work_off()
        assert images.asked == []  # loopback, and not what the user named
    run = world.run(run_id)
    assert run.errors_by_reason == {"forbidden address": 1}
    assert (run.items, run.status) == (1, "finished")
    assert len(frontier.hosts_of(FRONTIER, run_id)) == 2


def test_crawls_a_shop_that_a_file_declares_from_its_sitemap(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advisor.crawling.spiders.registry.FOLDER", tmp_path)
    (tmp_path / "corner.yaml").write_text(
        "name: corner\nbase_url: https://corner.example\nfollow: nav a\n"
        "item: {id: .sku, title: h1}\ndefaults: {category: hats, description: A hat.}\n"
        "settings: {sitemap: true, cookies: {store: 7}}\n"
    )
    product = "<h1>Hat {0}</h1><i class=sku>{0}</i>"
    pages = {
        "/": Answer("<nav><a href='/p?b=2&a=1&gclid=x'>x</a></nav>"),
        "/p?b=2&a=1": Answer(status=301, headers={"Location": "/p?a=1&b=2"}),
        "/p?a=1&b=2": Answer(product.format("S1")),
        "/robots.txt": Answer("Sitemap: /goods.xml", content_type="text/plain"),
        "/goods.xml": Answer("<urlset><loc>/p/2</loc><loc>/p?a=1&amp;b=2</loc></urlset>"),
        "/p/2": Answer(product.format("S2")),
    }
    with serving(pages) as shop:
        run_id = world.start(shop, spider="corner")["run_id"]
        world.work_off()
        assert {one["Cookie"] for one in shop.headers} == {"store=7"}
    run = world.run(run_id)
    assert (run.status, run.errors, run.shop) == ("finished", 0, "corner")
    assert {item.id for item in world.tables.items.values()} == {"S1", "S2"}


def test_a_shop_that_is_down_fails_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.crawling.loop.CrawlSettings.backoff_s", lambda *_: 0.01)
    with serving() as shop:
        url = shop.url
    answer = start_crawl(
        {"spider": "schema-org", "base_url": url}, None, service=lambda: world.service
    )
    world.work_off()
    run = world.run(answer["run_id"])
    assert (run.status, run.finish_reason) == ("failed", "shop down")


def test_a_stopped_run_takes_no_more_turns(world: World) -> None:
    with serving(shop_of(3)) as shop:
        run_id = world.start(shop)["run_id"]
        assert world.service.stop(run_id)
        assert not world.service.stop(run_id)
        world.work_off()
        assert shop.asked == []
    assert world.run(run_id).finish_reason == "stopped"


def test_a_turn_without_time_left_passes_the_token_on(world: World) -> None:
    with serving(shop_of(30)) as shop:
        run_id = world.start(shop)["run_id"]
        (record,) = world.tokens()
        turn = world.service.take_turn(Token.from_record(record), budget_s=0)
        assert turn.reason == "turn over"
        assert shop.asked == []
        assert world.work_off() == 1
    assert world.run(run_id).items == 30


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"spider": "nobody"}, UnknownSpiderError),
        ({}, UnknownSpiderError),
        ({"spider": "schema-org"}, UsageError),
        ({"spider": "schema-org", "base_url": "shop.example"}, UsageError),
        ({"spider": "harveynorman", "limit": "many"}, UsageError),
        ({"spider": "harveynorman", "trigger": "moon"}, UsageError),
        ({"spider": 7}, UsageError),
    ],
)
def test_start_crawl_refuses(world: World, event: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        start_crawl(event, None, service=lambda: world.service)
    assert frontier.list_runs(FRONTIER) == []


def test_reading_a_run_that_is_not_there(world: World) -> None:
    with pytest.raises(NotFoundError, match="no crawl run 'x'"):
        frontier.read_run(FRONTIER, "x")


def test_fetcher_of_the_service_is_the_guarded_one() -> None:
    assert CrawlService(frontier_table="f", queue=TokenQueue("q", "f")).fetcher is Fetcher
