"""What a crawl's ledger tells of each address, and the archive that it is the index of."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from advisor.crawling.folder import ledger_path
from advisor.crawling.ledger import FETCHED, SEEN, TOO_DEEP, Ledger, Visit
from advisor.crawling.messages import Request, archive_name
from advisor.errors import DataError
from cli.crawl import command
from tests.unit.crawling.loopback import Answer, listing, product_page, serving, shop_of


def _crawl(url: str, out: Path, *options: str) -> dict[str, Any]:
    arguments = ["schema-org", "--base-url", url, "--out", str(out), "--json", *options]
    result = CliRunner().invoke(command, arguments)
    figures: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if figures["items"] else 1), result.output
    return figures


def _why(url: str, out: Path) -> str:
    result = CliRunner().invoke(command, ["why", url, "--out", str(out)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tells_why_an_address_was_or_was_not_fetched(tmp_path: Path) -> None:
    pages = shop_of(3) | {
        "/robots.txt": Answer("User-agent: *\nDisallow: /no", content_type="text/plain"),
        "/more": listing("/no/x", "/gone", "/old", "/twin", "/flaky", "/bad", "http://other.test/"),
        "/old": Answer(status=301, headers={"Location": "/p/1"}),
        "/twin": product_page("S0"),
        "/flaky": Answer(status=500, then=listing()),
        "/bad": product_page("", mpn="\x1b[2J"),
    }
    pages["/"] = listing("/more", "/p/0", "/p/1", "/p/2")
    with serving(pages) as shop:
        _crawl(shop.url, tmp_path, "--set", "first_backoff_s=0")
        told = {
            path: _why(shop.url + path, tmp_path)
            for path in ("/", "/p/0", "/no/x", "/gone", "/old", "/twin", "/flaky", "/new")
        }
        photo = _why(f"{shop.url}/photos/S1.jpg", tmp_path)
    assert "an address the crawl starts at" in told["/"]
    assert " with status 200: 1 items\n" in told["/p/0"]
    assert f"found on {shop.url}/ at depth 1" in told["/p/0"]
    assert "not fetched, for robots.txt disallows it" in told["/no/x"]
    assert f"found on {shop.url}/more at depth 2" in told["/no/x"]
    assert "with status 404: error: http 404" in told["/gone"]
    assert f"redirected to {shop.url}/p/1" in told["/old"]
    assert "1 items; dropped: duplicate" in told["/twin"]
    assert "with status 200 after 1 failed attempts" in told["/flaky"]
    assert "never seen" in told["/new"]
    assert "of another site" in _why("http://other.test/", tmp_path)
    assert "(a photo): fetched" in photo
    assert f"found on {shop.url}/p/1" in photo
    # Spelled otherwise it is the same address.
    assert "1 items" in _why(f"{shop.url}/p/0?utm_source=mail#top", tmp_path)


def test_counts_each_address_past_the_depth_once_and_tells_of_it(tmp_path: Path) -> None:
    chain = {
        "/": listing("/a", "/b", "/p/1"),
        "/a": listing("/deep?utm_source=a", "/b", "/"),
        "/b": listing("/deep", "/deeper", "http://other.test/"),
        "/p/1": product_page("S1", image=None),
    }
    with serving(chain) as shop:
        assert _crawl(shop.url, tmp_path, "--depth", "1")["too_deep"] == 2
        assert "not fetched, for it is deeper" in _why(f"{shop.url}/deep", tmp_path)
        assert f"found on {shop.url}/b at depth 2" in _why(f"{shop.url}/deeper", tmp_path)
        assert _crawl(shop.url, tmp_path)["too_deep"] == 0


def test_an_address_past_the_depth_is_fetched_when_a_shorter_way_leads_there(
    tmp_path: Path,
) -> None:
    deep = Request("http://shop.test/x", depth=3)
    with Ledger(tmp_path / "ledger.sqlite", writing=True) as ledger:
        crawl = ledger.begin(started=1.0, spider="s", base_url="http://shop.test", shop="s")
        ledger.record(crawl, [], [], too_deep=[(deep, "http://shop.test/far")])
        assert ledger.count(crawl, TOO_DEEP) == 1
        near = replace(deep, depth=1)
        ledger.record(crawl, [], [(near, "http://shop.test/")], too_deep=[(deep, "/far")])
        assert ledger.count(crawl, TOO_DEEP) == 0
        (entry,) = ledger.find(deep.key)
    assert (entry.state, entry.depth, entry.found_on) == (SEEN, 1, "http://shop.test/")


def test_tells_of_a_crawl_that_ended_before_and_of_an_earlier_one(tmp_path: Path) -> None:
    with serving(shop_of(30)) as shop:
        _crawl(shop.url, tmp_path, "--pages", "2", "--concurrency", "1")
        assert "seen, not fetched: the crawl ended (page budget)" in _why(
            f"{shop.url}/p/7", tmp_path
        )
        _crawl(shop.url, tmp_path)
        assert "with status 200" in _why(f"{shop.url}/p/7", tmp_path)
        shop.pages["/"] = listing("/p/1")
        _crawl(shop.url, tmp_path)
        assert "not seen since" in _why(f"{shop.url}/p/7", tmp_path)


def test_can_be_asked_while_a_crawl_is_writing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    one = Request("http://shop.test/a", depth=1)
    with Ledger(path, writing=True) as writer:
        crawl = writer.begin(started=0, spider="x", base_url="http://shop.test", shop="x")
        writer.record(crawl, [], [(one, "http://shop.test/")])
        writer._db.execute("BEGIN IMMEDIATE")  # in the middle of the next batch
        with Ledger(path) as reader:
            (entry,) = reader.find(one.key)
        writer._db.execute("ROLLBACK")
    assert (entry.state, entry.found_on) == ("seen", "http://shop.test/")


def test_archives_each_page_once_with_its_address_time_status_and_headers(tmp_path: Path) -> None:
    pages = {"/": listing("/a", "/b"), "/a": Answer("<p>same"), "/b": Answer("<p>same")}
    pages["/a"].headers["ETag"] = '"7"'
    with serving(pages) as shop:
        _crawl(shop.url, tmp_path)
        with Ledger(ledger_path(tmp_path)) as ledger:
            archived = {entry.url: entry for entry in ledger.pages(1)}
    assert set(archived) == {f"{shop.url}{path}" for path in pages}
    a = archived[f"{shop.url}/a"]
    assert (a.status, a.headers["etag"], a.headers["content-type"]) == (
        200, '"7"', "text/html; charset=utf-8",
    )  # fmt: skip
    assert a.at > 1_700_000_000
    assert a.body == archived[f"{shop.url}/b"].body
    assert gzip.decompress((tmp_path / "pages" / archive_name(a.body)).read_bytes()) == b"<p>same"
    assert len(list((tmp_path / "pages").rglob("*.gz"))) == 2


def test_pages_come_in_the_order_in_which_they_were_settled(tmp_path: Path) -> None:
    """Not in that in which they were found: of a product on two pages the first one counts."""
    one, other = (Request(f"http://shop.test/{name}") for name in ("one", "other"))
    with Ledger(tmp_path / "ledger", writing=True) as ledger:
        crawl = ledger.begin(started=0, spider="-", base_url="-", shop="-")
        ledger.record(crawl, [], [(one, ""), (other, "")])
        visits = [Visit(request=each, state=FETCHED, at=7, body="-") for each in (other, one)]
        ledger.record(crawl, visits, [])
        assert [page.url for page in ledger.pages(crawl)] == [other.url, one.url]


def test_a_folder_without_a_ledger_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["why", "http://x.test/", "--out", str(tmp_path)])
    assert isinstance(result.exception, DataError)
    assert "holds no crawl" in str(result.exception)
    (tmp_path / "bad").write_bytes(b"x" * 5000)
    with pytest.raises(DataError, match="is no ledger"):
        Ledger(tmp_path / "bad")
