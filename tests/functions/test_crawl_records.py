"""What a crawl on AWS leaves to be asked, to be replayed, and not to be parsed again."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from advisor.aws import (
    clients,
    crawl_records,
    crawl_turns,
    host_frontier,
    remote_api,
    remote_crawls,
)
from advisor.aws.catalog import CatalogTables
from advisor.aws.crawl_records import read_batches
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.frontier import RunStatus, list_runs, read_run
from advisor.aws.tokens import Token
from advisor.crawling import loop
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.items import Item
from advisor.crawling.messages import Page
from advisor.crawling.spiders.base import ParsedPage
from advisor.crawling.spiders.schema_org import SchemaOrg
from advisor.errors import DataError, NotFoundError, UsageError
from benchmarks.crawl_cost import crawl
from cli import crawl as cli_crawl
from cli import replay, why
from tests.unit.crawling.loopback import (
    JPEG,
    Answer,
    Shop,
    listing,
    product_page,
    serving,
    shop_of,
    tagged,
)


@pytest.fixture
def deployed(service: CrawlService, monkeypatch: pytest.MonkeyPatch) -> CrawlService:
    """The service as the command line finds it."""
    outputs = {"ApiId": "a", "ApiUrl": "https://a.example/api"}
    crawls = remote_crawls.RemoteCrawls
    monkeypatch.setattr(remote_api, "outputs_of", lambda _stack: outputs)
    monkeypatch.setattr(remote_api, "archive_bucket_of", lambda _stack: "data")
    monkeypatch.setattr(crawls, "all", lambda _: [asdict(run) for run in list_runs("frontier")])
    monkeypatch.setattr(crawls, "status", lambda _, run_id: asdict(read_run("frontier", run_id)))
    return service


def finish(service: CrawlService, shop: Shop) -> RunStatus:
    return crawl(shop.url, service)[0]


def keys(prefix: str) -> list[str]:
    listed = clients.client("s3").list_objects_v2(Bucket="data", Prefix=prefix)
    return [one["Key"] for one in listed.get("Contents", [])]


def items_of(run: RunStatus) -> list[dict[str, Any]]:
    s3 = clients.client("s3")
    lines = [
        line
        for key in keys("items/")
        if run.run_id in key
        for line in s3.get_object(Bucket="data", Key=key)["Body"].iter_lines()
    ]
    return sorted((json.loads(line) for line in lines), key=lambda item: str(item["id"]))


def versions(prefix: str) -> list[str]:
    """The keys in a bucket that keeps versions, each as often as it was written."""
    found = clients.client("s3").list_object_versions(Bucket="data", Prefix=prefix)
    return [one["Key"] for one in found["Versions"]]


@pytest.fixture
def versioned(service: CrawlService) -> CrawlService:
    """The service, over a bucket that keeps versions."""
    clients.client("s3").put_bucket_versioning(
        Bucket="data", VersioningConfiguration={"Status": "Enabled"}
    )
    return service


def test_an_unchanged_page_is_not_sent_nor_parsed_again(
    service: CrawlService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tagged(shop_of(12))) as shop:
        first = finish(service, shop)
        archived = keys("pages/")
        again = len(shop.asked)
        monkeypatch.setattr(
            "advisor.crawling.spiders.schema_org.SchemaOrg.parse",
            lambda *_: pytest.fail("parsed again"),
        )
        second, third = finish(service, shop), finish(service, shop)
        conditions = {
            path: headers.get("If-None-Match")
            for path, headers in zip(shop.asked[again:], shop.headers[again:], strict=True)
        }
    assert conditions["/p/3"] == '"/p/3"'
    assert [run.counts["unchanged"] for run in (second, third)] == [first.pages] * 2
    assert items_of(third) == items_of(second) == items_of(first)
    assert len(items_of(first)) == 12
    assert keys("pages/") == archived
    assert (second.earlier, third.earlier) == (first.run_id, second.run_id)


def test_a_page_that_changed_is_parsed_again_and_a_body_kept_once(versioned: CrawlService) -> None:
    with serving(shop_of(12)) as shop:
        first = finish(versioned, shop)
        shop.pages["/p/5"] = product_page("S5", category="coats")
        second = finish(versioned, shop)
    assert second.counts["unchanged"] == first.pages - 1
    assert {item["category"] for item in items_of(second)} == {"hats", "coats"}
    assert len(versions("pages/")) == first.pages + 1


def test_another_spider_reads_every_page_again_and_stores_none_twice(
    versioned: CrawlService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(shop_of(5)) as shop:
        finish(versioned, shop)
        before = versions("pages/")
        monkeypatch.setattr(crawl_turns, "fingerprint", lambda _: "another")
        run = finish(versioned, shop)
    assert "unchanged" not in run.counts
    assert versions("pages/") == before
    assert len(versions("images/")) == 5  # nor is a photo announced to be labelled again


def test_two_shops_with_the_same_page_keep_it_once(versioned: CrawlService) -> None:
    for _ in range(2):
        with serving(shop_of(3)) as shop:
            run = finish(versioned, shop)
            assert run.earlier == ""
    assert len(versions("pages/")) == run.pages


def test_an_unchanged_photo_is_not_sent_again_and_stays_as_it_is(
    versioned: CrawlService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tagged(shop_of(12))) as shop:
        first = finish(versioned, shop)
        again = len(shop.asked)
        shop.pages["/photos/S5.jpg"] = Answer(JPEG + b"another", content_type="image/jpeg")
        second = finish(versioned, shop)
        monkeypatch.setattr(crawl_turns, "fingerprint", lambda _: "another")
        for path, page in shop.pages.items():
            page.then = page.then if path.startswith("/photos/") else None
        third = finish(versioned, shop)  # once more, by another spider, from what was kept of that
        conditions = {
            path: headers.get("If-None-Match")
            for path, headers in zip(shop.asked[again:], shop.headers[again:], strict=True)
        }
    assert conditions["/photos/S3.jpg"] == '"/photos/S3.jpg"'
    assert [one.photos for one in (first, second, third)] == [12, 12, 12]
    assert [one.counts.get("unchanged photos", 0) for one in (first, second, third)] == [0, 11, 11]
    assert not second.errors
    assert len(versions("images/")) == 13  # nor is a photo announced to be labelled again


def test_a_photo_that_is_not_stored_as_it_was_is_asked_for_in_full(service: CrawlService) -> None:
    s3 = clients.client("s3")
    with serving(tagged(shop_of(4))) as shop:
        finish(service, shop)
        photos = keys("images/")
        before = [s3.get_object(Bucket="data", Key=key)["Body"].read() for key in photos]
        s3.delete_object(Bucket="data", Key=photos[0])
        s3.put_object(Bucket="data", Key=photos[1], Body=before[1][:-1])
        shop.pages["/p/2"] = product_page("S2", category="coats")
        for answer in shop.pages.values():
            answer.then = None
        again = len(shop.asked)
        run = finish(service, shop)
        in_full = [
            path
            for path, headers in zip(shop.asked[again:], shop.headers[again:], strict=True)
            if path.startswith("/photos/") and "If-None-Match" not in headers
        ]
    assert sorted(in_full) == [f"/photos/S{at}.jpg" for at in range(3)]
    assert (run.photos, run.counts["unchanged photos"]) == (4, 1)
    assert s3.get_object(Bucket="data", Key=photos[0])["Body"].read() == before[0]
    assert keys("images/coats/")


@pytest.mark.parametrize("code", ["NoSuchKey", "AccessDenied", "SlowDown"])
def test_a_photo_out_of_reach_is_asked_for_in_full_but_no_failure_of_s3_is_hidden(
    service: CrawlService, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    get = crawl_records._get

    def fails(bucket: str, key: str) -> bytes:
        if key.startswith("images/"):
            raise ClientError({"Error": {"Code": code}}, "GetObject")
        return get(bucket, key)

    with serving(tagged(shop_of(1))) as shop:
        finish(service, shop)
        shop.pages["/photos/S0.jpg"].then = None
        monkeypatch.setattr(crawl_records, "_get", fails)
        if code == "SlowDown":
            with pytest.raises(ClientError, match="SlowDown"):
                finish(service, shop)
        else:
            assert finish(service, shop).photos == 1


def test_a_photo_that_was_deleted_is_stored_again(service: CrawlService) -> None:
    with serving(shop_of(3)) as shop:
        finish(service, shop)
        photos = keys("images/")
        clients.client("s3").delete_object(Bucket="data", Key=photos[1])
        finish(service, shop)
    assert keys("images/") == photos


def test_what_is_recalled_of_a_large_run_is_bounded(
    service: CrawlService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_records, "MAX_RECALLED_BYTES", 2000)
    monkeypatch.setattr(crawl_records, "_READERS", 1)
    monkeypatch.setattr(crawl_turns, "_BATCH_AGE_S", 0.0)
    with serving(shop_of(40)) as shop:
        monkeypatch.setattr(crawl_records.RecordWriter, "close", lambda _: None)
        first = finish(service, shop)
        second = finish(service, shop)
    assert (first.items, second.items) == (40, 40)
    assert 0 < second.counts["unchanged"] < second.pages


@pytest.mark.parametrize("at_once", [True, False], ids=["killed", "failed"])
def test_a_worker_that_dies_loses_no_record_and_writes_no_item_twice(
    service: CrawlService, monkeypatch: pytest.MonkeyPatch, *, at_once: bool
) -> None:
    monkeypatch.setattr(crawl_turns, "_BATCH_AGE_S", 0.0)
    commit = host_frontier.HostFrontier._commit
    commits = []

    def dies(self: host_frontier.HostFrontier, *arguments: Any) -> None:
        commits.append(arguments)
        if len(commits) == 3:
            raise RuntimeError("killed")
        commit(self, *arguments)

    with serving(shop_of(30)) as shop:
        run_id = service.start("schema-org", base_url=shop.url).run_id
        host = shop.url.removeprefix("http://")
        monkeypatch.setattr(host_frontier.HostFrontier, "_commit", dies)
        if at_once:
            monkeypatch.setattr(crawl_turns, "release_lease", lambda *_, **__: None)
        with pytest.raises(RuntimeError, match="killed"):
            service.take_turn(Token(run_id, host), budget_s=60)
        assert not [key for key in keys(f"visits/{run_id}/") if key.endswith("/all.jsonl.gz")]
        if at_once:  # its lease is to run out
            monkeypatch.undo()
            service = replace(service, clock=lambda: time.time() + crawl_turns.LEASE_S + 1)
        service.take_turn(Token(run_id, host), budget_s=60)
        asked = {path for path in shop.asked if path != "/robots.txt"}
    assert [key for key in keys(f"visits/{run_id}/") if key.endswith("/all.jsonl.gz")]
    batches = list(read_batches("data", run_id))
    fetched = [one.request.url for batch in batches for one in batch.visits]
    assert {url.removeprefix(shop.url) for url in fetched} == asked
    assert {batch.heading.run_id for batch in batches} == {run_id}
    found = [one.url for batch in batches for one, _ in batch.found]
    assert len(fetched) - len(set(fetched)) <= loop._BATCH  # of the batch not settled
    assert set(found) | {f"{shop.url}/"} == set(fetched)
    run = read_run("frontier", run_id)
    assert (run.items, run.photos, run.status) == (30, 30, "finished")
    ids = [item["id"] for item in items_of(run)]
    assert len(ids) == len(set(ids)) == 30


class Killed(BaseException):
    """What a worker's death looks like from within."""


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "failed"])
def test_a_page_that_breaks_every_turn_is_given_up_and_the_crawl_goes_on(
    service: CrawlService, monkeypatch: pytest.MonkeyPatch, *, killed: bool
) -> None:
    parse, put = SchemaOrg.parse, CatalogTables.put_item
    deaths = []

    def dies(spider: SchemaOrg, page: Page) -> ParsedPage:
        if killed and page.url.endswith("/p/7"):
            deaths.append(page.url)
            raise Killed
        return parse(spider, page)

    def fails(tables: CatalogTables, item: Item, **more: Any) -> None:
        if not killed and item.id == "S7":
            deaths.append(item.id)
            raise ValueError("no row that the table takes")
        put(tables, item, **more)

    monkeypatch.setattr(SchemaOrg, "parse", dies)
    monkeypatch.setattr(CatalogTables, "put_item", fails)
    monkeypatch.setattr("advisor.crawling.loop.CrawlSettings.backoff_s", lambda *_: 0.01)
    if killed:
        release = crawl_turns.release_lease
        monkeypatch.setattr(
            crawl_turns,
            "release_lease",
            lambda *arguments, in_order: release(*arguments) if in_order else None,
        )
    ahead = 0.0
    with serving(shop_of(30)) as shop:
        run_id = service.start("schema-org", base_url=shop.url).run_id
        token = Token(run_id, shop.url.removeprefix("http://"))
        while read_run("frontier", run_id).status == "running":
            assert len(deaths) < 10
            now = replace(service, clock=lambda: time.time() + ahead)  # noqa: B023 (this turn's)
            with suppress(Killed, ValueError):
                now.take_turn(token, budget_s=60)
            ahead += crawl_turns.LEASE_S + 1
        asked = Counter(shop.asked)
    run = read_run("frontier", run_id)
    assert (run.status, run.items, run.photos) == ("finished", 29, 29)
    assert run.errors_by_reason == {"crash": 1}
    assert len(deaths) == 1 + CrawlSettings().max_attempts
    del asked["/p/7"]
    # One at a time after the first death: no other page is fetched more than once again.
    assert max(asked.values()) <= 2
    assert {item["id"] for item in items_of(run)} - {"S7"} == {f"S{at}" for at in range(30)} - {
        "S7"
    }


def test_a_page_without_end_is_an_error_and_costs_no_other(
    service: CrawlService, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = SchemaOrg.parse

    def endless(spider: SchemaOrg, page: Page) -> ParsedPage:
        since = time.monotonic()
        while page.url.endswith("/p/7") and time.monotonic() < since + 30:
            time.sleep(0.01)
        return parse(spider, page)

    monkeypatch.setattr(SchemaOrg, "parse", endless)
    monkeypatch.setattr(crawl_turns, "_PAGE_S", 5.0)
    with serving(shop_of(12)) as shop:
        run = finish(service, shop)
    assert (run.status, run.items) == ("finished", 11)
    assert run.errors_by_reason == {"spider too slow": 1}


def ask(url: str, *options: str) -> str:
    result = CliRunner().invoke(why.command, [url, "--remote", *options])
    if result.exception:
        raise result.exception
    return result.stdout


def test_tells_why_a_url_was_or_was_not_fetched_on_aws(deployed: CrawlService) -> None:
    pages = shop_of(3)
    pages["/"] = listing("/p/0", "/p/1", "/private/x", "/old", "/gone")
    pages["/old"] = Answer(status=301, headers={"Location": "/p/2"})
    pages["/robots.txt"] = Answer("User-agent: *\nDisallow: /private/", content_type="text/plain")
    with serving(pages) as shop:
        finish(deployed, shop)
        del pages["/p/1"]
        shop.pages = {**pages, "/": listing("/p/0")}
        finish(deployed, shop)
        url = shop.url
    assert "1 items" in ask(f"{url}/p/0")
    assert f"found on {url}/ at depth 1" in ask(f"{url}/p/0")
    assert "robots.txt disallows it" in ask(f"{url}/private/x")
    assert f"redirected to {url}/p/2" in ask(f"{url}/old")
    assert "failed" in ask(f"{url}/gone")
    assert "http 404" in ask(f"{url}/gone")
    assert "not seen since" in ask(f"{url}/p/1")
    assert "an address the crawl starts at" in ask(f"{url}/")
    assert "(a photo)" in ask(f"{url}/photos/S0.jpg")
    assert "never seen" in ask(f"{url}/nowhere")
    assert "of another site" in ask(
        "https://other.example/", "--shop", list_runs("frontier")[0].shop
    )
    visits = json.loads(ask(f"{url}/p/0", "--json"))["visits"]
    assert visits[0]["status"] == 200
    assert len(visits[0]["body"]) == 64
    with pytest.raises(UsageError, match=r"'other\.example'; --shop names"):
        ask("https://other.example/")
    with pytest.raises(UsageError, match="shop 'nobody'"):
        ask("https://other.example/", "--shop", "nobody")


def test_tells_what_was_too_deep_on_aws(
    deployed: CrawlService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_turns, "_settings", lambda *_: CrawlSettings(max_depth=1))
    pages = {"/": listing("/a"), "/a": listing("/b"), "/b": listing()}
    with serving(pages) as shop:
        finish(deployed, shop)
        assert "/b" not in shop.asked
    assert "not fetched" in ask(f"{shop.url}/b")
    assert f"found on {shop.url}/a at depth 2" in ask(f"{shop.url}/b")


@pytest.mark.parametrize("options", [(), ("--remote", "--out", "x")])
def test_why_asks_a_folder_or_aws(options: tuple[str, ...]) -> None:
    result = CliRunner().invoke(why.command, ["https://a.example/", *options])
    assert result.exit_code == 2
    assert "--out, or --remote" in result.output


def replayed(run: RunStatus | str, out: Path, *options: str) -> Result:
    run_id = run if isinstance(run, str) else run.run_id
    result = CliRunner().invoke(
        replay.command, [run_id, "--remote", "--out", str(out), "--json", *options]
    )
    if result.exception:
        raise result.exception
    return result


def test_replays_a_run_on_aws_without_the_shop(
    deployed: CrawlService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(shop_of(12)) as shop:
        run = finish(deployed, shop)
    figures = json.loads(replayed(run, tmp_path / "x").stdout)
    assert (figures["pages"], figures["errors"]) == (run.pages, 0)
    assert figures["items"] == {
        "before": 12,
        "now": 12,
        "more": [],
        "fewer": [],
        "fields_gained": {},
        "fields_lost": {},
        "fields_changed": {},
    }
    for key in keys("pages/"):
        clients.client("s3").delete_object(Bucket="data", Key=key)
    again = json.loads(replayed(run, tmp_path / "x").stdout)
    assert again == figures  # what is there is not fetched again
    told = CliRunner().invoke(why.command, [f"{shop.url}/p/3", "--out", str(tmp_path / "x")])
    assert "1 items" in told.stdout
    with pytest.raises(DataError, match=r"s3://data cannot be read .*your AWS identity needs"):
        replayed(run, tmp_path / "y")


def test_replays_a_run_whose_record_has_expired(
    deployed: CrawlService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Any, run_id: str) -> Any:
        raise NotFoundError(f"no crawl run {run_id!r}")

    with serving(shop_of(2)) as shop:
        run = finish(deployed, shop)
    monkeypatch.setattr(remote_crawls.RemoteCrawls, "status", gone)
    assert json.loads(replayed(run, tmp_path / "x").stdout)["items"]["now"] == 2
    with pytest.raises(NotFoundError, match="no records of crawl 'none'"):
        replayed("none", tmp_path / "x")


def test_a_download_and_a_crawl_share_no_folder(deployed: CrawlService, tmp_path: Path) -> None:
    with serving(shop_of(2)) as shop:
        run = finish(deployed, shop)
        arguments = ["schema-org", "--base-url", shop.url, "--out"]
        CliRunner().invoke(cli_crawl.command, [*arguments, str(tmp_path / "ours")])
        before = (tmp_path / "ours" / "items.jsonl").read_bytes()
        with pytest.raises(UsageError, match="holds a crawl of this machine"):
            replayed(run, tmp_path / "ours")
        replayed(run, tmp_path / "theirs")
        result = CliRunner().invoke(cli_crawl.command, [*arguments, str(tmp_path / "theirs")])
    assert "that no crawl belongs to" in str(result.exception)
    assert (tmp_path / "ours" / "items.jsonl").read_bytes() == before
    assert (tmp_path / "theirs" / "items.jsonl").stat().st_size > 0
