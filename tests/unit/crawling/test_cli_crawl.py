"""`advisor crawl` as a user runs it, against a shop on loopback."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.folder import CrawlFolder
from advisor.crawling.sqlite_frontier import SqliteFrontier
from advisor.errors import AdvisorError, DataError, UsageError
from cli.crawl import command
from tests.unit.crawling.loopback import JPEG, Answer, Shop, listing, product_page, serving, shop_of

HANGS_S = 300  # no crawl here takes so long, however busy the machine is


def _crawl(shop: Shop, out: Path, *options: str) -> Result:
    arguments = ["schema-org", "--base-url", shop.url, "--out", str(out), *options]
    return CliRunner().invoke(command, arguments)


def _figures(shop: Shop, out: Path, *options: str) -> dict[str, Any]:
    result = _crawl(shop, out, "--json", *options)
    assert result.exit_code == 0, result.output
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_writes_items_photos_and_pages(tmp_path: Path) -> None:
    pages = shop_of(3)
    pages["/p/2"] = product_page(
        "../x", category="hi-fi, audio & speakers/../", image="/photos/S2.jpg"
    )
    with serving(pages) as shop:
        figures = _figures(shop, tmp_path / "out", "--shop", "corner")
    assert figures.pop("seconds") > 0
    assert figures.pop("bytes") > 1000
    assert figures == {
        "pages": 4,
        "items": 3,
        "photos": 3,
        "dropped": {},
        "errors": {},
        "retries": 0,
        "redirects": 0,
        "finish_reason": "finished",
        "resumed": False,
        "lost_fields": [],
        "unchanged": 0,
        "unchanged_photos": 0,
        "too_deep": 0,
    }
    out = tmp_path / "out"
    items = {item["id"]: item for item in _lines(out / "items.jsonl")}
    assert items["S0"] == {
        "id": "S0",
        "title": "Thing S0",
        "category": "hats",
        "description": "A thing called S0.",
        "images": [f"{shop.url}/photos/S0.jpg"],
        "url": f"{shop.url}/p/0",
        "price_minor": 1250,
        "currency": "EUR",
        "price_text": "12.50",
        "shop": "corner",
        "page": hashlib.sha256(str(pages["/p/0"].body).encode()).hexdigest(),
        "extractor": "schema-org",
    }
    assert items["../x"]["category"] == "hi-fi, audio & speakers/../"
    photos = {photo["product_id"]: photo for photo in _lines(out / "photos.jsonl")}
    data = pages["/photos/S2.jpg"].body
    assert isinstance(data, bytes)
    odd = photos["corner:../x"]
    assert (out / odd["path"]).read_bytes() == data
    assert odd["image_id"] == hashlib.sha256(data).hexdigest()
    assert odd["url"] == f"{shop.url}/photos/S2.jpg"
    assert odd["path"].startswith("images/hi-fi, audio & speakers%2F..%2F/%2E.%2Fx-")
    assert {path.parent.parent.parent for path in out.glob("images/*/*")} == {out}
    archived = [gzip.decompress(path.read_bytes()) for path in (out / "pages").glob("*/*.gz")]
    assert str(pages["/p/1"].body).encode() in archived
    assert len(archived) == 4


def test_shows_a_table_without_json(tmp_path: Path) -> None:
    with serving(shop_of(2) | {"/": listing("/p/0", "/p/1", "/gone")}) as shop:
        result = _crawl(shop, tmp_path)
    assert result.exit_code == 0
    assert "errors: http 404" in result.stdout
    assert "finished" in result.stdout


def test_writes_a_table_where_asked_for_and_leaves_photos_that_are_there(tmp_path: Path) -> None:
    with serving(shop_of(3)) as shop:
        _figures(shop, tmp_path, "--format", "csv", "--limit", "2")
        assert (tmp_path / "items.csv").read_text("utf-8").count("\n") == 3
        photo = next(tmp_path.glob("images/*/*"))
        written = photo.stat().st_mtime_ns
        _figures(shop, tmp_path, "--format", "csv")
        _figures(shop, tmp_path)
        assert (tmp_path / "items.csv").read_text("utf-8").count("\n") == 4
        shop.pages["/"] = listing("/p/0", "/p/1")
        _figures(shop, tmp_path)
    assert (tmp_path / "items.csv").read_text("utf-8").count("\n") == 3  # it has one: kept in step
    assert photo.stat().st_mtime_ns == written


def test_a_crawl_that_is_killed_has_its_table_when_it_goes_on(tmp_path: Path) -> None:
    with serving(shop_of(60)) as shop:
        process = _run(shop, tmp_path, "--format", "csv")
        _wait_for(shop, 60)
        process.kill()
        process.communicate()
        assert not (tmp_path / "items.csv").exists()
        with (tmp_path / "items.jsonl").open("a") as file:
            file.write('{"id": "half a li')
        with _open(tmp_path, shop, table=True):  # killed again, at once
            pass
        found = len(_lines(tmp_path / "items.jsonl"))
        assert (tmp_path / "items.csv").read_text("utf-8").count("\n") == found + 1
        _figures(shop, tmp_path)
    assert (tmp_path / "items.csv").read_text("utf-8").count("\n") == 61


def test_a_table_that_is_as_new_as_its_lines_is_left(tmp_path: Path) -> None:
    with serving(shop_of(2)) as shop:
        _figures(shop, tmp_path, "--format", "csv", "--limit", "1")
        written = (tmp_path / "items.csv").stat().st_mtime_ns
        with _open(tmp_path, shop):
            pass
    assert (tmp_path / "items.csv").stat().st_mtime_ns == written


def test_flags_win_over_the_spider_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    with serving(shop_of(3)) as shop:
        _figures(shop, tmp_path / "a", "-s", "headers=X-Store: 7", "-s", "user_agent=Ours/1")
        assert {one["X-Store"] for one in shop.headers} == {"7"}
        assert {one["User-Agent"] for one in shop.headers} == {"Ours/1"}
        for option, sentence in (("delay=1", "no setting 'delay'"), ("delay", "NAME=VALUE")):
            result = _crawl(shop, tmp_path / "b", "-s", option)
            assert isinstance(result.exception, UsageError)
            assert sentence in str(result.exception)
    assert not (tmp_path / "b").exists()


def test_goes_on_with_a_higher_limit_and_keeps_every_line_once(tmp_path: Path) -> None:
    with serving(shop_of(30)) as shop:
        first = _figures(shop, tmp_path, "--limit", "5")
        assert (first["items"], first["finish_reason"], first["resumed"]) == (5, "limit", False)
        assert len(_lines(tmp_path / "items.jsonl")) == len(_lines(tmp_path / "photos.jsonl")) == 5
        second = _figures(shop, tmp_path)
        assert (second["items"], second["finish_reason"], second["resumed"]) == (
            30,
            "finished",
            True,
        )
    ids = [item["id"] for item in _lines(tmp_path / "items.jsonl")]
    assert sorted(ids) == sorted(f"S{at}" for at in range(30))


def test_lines_of_pages_that_were_not_settled_are_written_once(tmp_path: Path) -> None:
    with serving(shop_of(8)) as shop:
        _figures(shop, tmp_path, "--limit", "3")
        for name in ("items.jsonl", "photos.jsonl"):
            with (tmp_path / name).open("a") as file:
                file.write('{"id": "S7"}\n{"id": "half a li')  # then the power went
        _figures(shop, tmp_path)
    ids = [item["id"] for item in _lines(tmp_path / "items.jsonl")]
    assert sorted(ids) == sorted(f"S{at}" for at in range(8))
    assert len(_lines(tmp_path / "photos.jsonl")) == 8


def test_crawls_afresh_after_the_end_and_replaces_the_lines_when_complete(tmp_path: Path) -> None:
    with serving(shop_of(12)) as shop:
        _figures(shop, tmp_path)
        earlier = (tmp_path / "items.jsonl").read_bytes()
        shop.pages |= shop_of(14)
        shop.pages["/p/1"] = product_page("S1", offers=None)
        started = _open(tmp_path, shop)  # a re-crawl that is killed at once
        started.close()
        assert (tmp_path / "items.jsonl").read_bytes() == earlier
        figures = _figures(shop, tmp_path)
        assert (figures["items"], figures["resumed"]) == (14, True)
    items = {item["id"]: item for item in _lines(tmp_path / "items.jsonl")}
    assert len(items) == 14
    assert "price_minor" not in items["S1"]
    assert len(_lines(tmp_path / "photos.jsonl")) == 14
    assert not list((tmp_path / ".crawl").glob("*.jsonl"))


def _open(out: Path, shop: Shop, *, table: bool = False) -> CrawlFolder:
    name = shop.url.removeprefix("http://").replace(":", "-")
    identity = {"spider": "schema-org", "base_url": shop.url, "shop": name}
    return CrawlFolder(out, identity=identity, settings=CrawlSettings(), table=table)


def test_a_shop_that_is_down_ends_with_status_3(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("advisor.crawling.loop.CrawlSettings.backoff_s", lambda *_: 0.01)
    with serving(shop_of(3)) as shop:
        pass
    result = _crawl(shop, tmp_path, "--json")
    assert result.exit_code == 3
    assert result.stderr == (
        f"advisor: {shop.url} does not answer ({shop.url}/robots.txt cannot be reached: "
        "Connection refused); the same command goes on when it does\n"
    )
    figures = json.loads(result.stdout)
    assert figures["finish_reason"] == "shop down"
    assert (figures["retries"], figures["errors"]) == (3, {"robots.txt connection": 1})


def test_a_shop_whose_robots_txt_fails_is_told_with_what_it_answers(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("advisor.crawling.loop.CrawlSettings.backoff_s", lambda *_: 0.01)
    with serving({"/robots.txt": Answer(status=503)}) as shop:
        result = _crawl(shop, tmp_path)
        assert shop.asked == ["/robots.txt"] * 4
        assert result.exit_code == 3
        assert f"({shop.url}/robots.txt answered 503)" in result.stderr
        shop.pages = shop_of(2)
        assert _figures(shop, tmp_path)["items"] == 2


def test_a_shop_that_answers_for_nothing_but_robots_txt_is_down_too(tmp_path: Path) -> None:
    with serving({"/robots.txt": Answer(content_type="text/plain")}) as shop:
        shop.pages["/"] = Answer(stream=lambda out: out.close())
        result = _crawl(shop, tmp_path, "--json", "-s", "first_backoff_s=0.01")
        assert shop.asked == ["/robots.txt"] + ["/"] * 4
        assert result.exit_code == 3
        assert f"{shop.url} does not answer ({shop.url}/ cannot be reached: " in result.stderr
        assert json.loads(result.stdout)["errors"] == {"connection": 1}
        shop.pages = shop_of(2)
        assert _figures(shop, tmp_path)["items"] == 2


def test_names_that_differ_only_in_case_never_hold_two_photos(tmp_path: Path) -> None:
    """On a file system that takes them for one."""
    goods = [("S1", "Hats", b"1"), ("s1", "hats", b"2"), ("S2", "HATS", b"3"), ("s2", "hats", b"3")]
    pages = {"/": listing(*(f"/{at}" for at in range(4)))}
    for at, (sku, category, data) in enumerate(goods):
        pages[f"/{at}"] = product_page(sku, category=category, image=f"/{at}.jpg")
        pages[f"/{at}.jpg"] = Answer(JPEG + data)
    with serving(pages) as shop:
        _figures(shop, tmp_path)
    photos = {
        (line["path"].casefold(), line["image_id"]) for line in _lines(tmp_path / "photos.jsonl")
    }
    assert len(photos) == len({path for path, _ in photos}) == 3


def test_a_shop_without_products_is_said_to_be_one(tmp_path: Path) -> None:
    robots = Answer("User-agent: *\nDisallow: /", content_type="text/plain")
    with serving({"/": listing(), "/robots.txt": robots}) as shop:
        result = _crawl(shop, tmp_path)
    assert "gave no items (robots)" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nobody", "--out", "x"], "no spider 'nobody'; expected one of"),
        (["schema-org", "--out", "x"], "tell which with a base URL"),
        (["schema-org", "--out", "x", "--base-url", "shop.test"], "is no web address"),
        (["harveynorman", "--out", "x", "--shop", "a:b"], "shop 'a:b': a shop's name is one line"),
        (["harveynorman", "--out", "x", "--shop", "a\nb"], "a shop's name is one line"),
        (["why", "shop.test/p", "--out", "x"], "'shop.test/p' is no web address"),
    ],
)
def test_what_cannot_be_crawled_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, UsageError)
    assert sentence in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_shop_another_crawl_or_no_crawl_is_refused(tmp_path: Path) -> None:
    def refusal(*options: str) -> AdvisorError:
        result = _crawl(shop, tmp_path / "out", *options)
        assert isinstance(result.exception, AdvisorError)
        return result.exception

    with serving(shop_of(1)) as shop:
        _figures(shop, tmp_path / "out")
        assert "another folder" in str(refusal("--shop", "other"))
        with _open(tmp_path / "out", shop):
            assert "another crawl is writing" in str(refusal())
        with SqliteFrontier(tmp_path / "out" / ".crawl" / "frontier.sqlite") as frontier:
            frontier.set_meta(format="1")
        kept = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".jsonl", ".gz")]
        before = {path: path.read_bytes() for path in kept}
        assert "was written by another version of this program; name another" in str(refusal())
        assert {path: path.read_bytes() for path in kept} == before
        _figures(shop, tmp_path / "cut", "--limit", "1")
        (tmp_path / "cut" / "items.jsonl").write_text("")
        with pytest.raises(DataError, match="shorter than its crawl left it"):
            _open(tmp_path / "cut", shop)
        plain = tmp_path / "plain"
        plain.mkdir()
        (plain / "items.jsonl").write_text("{}\n")
        with pytest.raises(DataError, match="no crawl belongs to"):
            _open(plain, shop)
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="cannot be made"):
            _open(tmp_path / "file" / "out", shop)


def test_help_ends_with_examples() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert "advisor crawl harveynorman --out shop --limit 200" in result.output


def _run(shop: Shop, out: Path, *options: str) -> subprocess.Popen[str]:
    arguments = ["crawl", "schema-org", "--base-url", shop.url, "--out", str(out), "--json"]
    arguments += options
    return subprocess.Popen(
        [sys.executable, "-c", "from cli.main import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


def test_shows_each_host_live_on_a_terminal_and_nothing_elsewhere(tmp_path: Path) -> None:
    with serving(shop_of(30)) as shop:
        quiet = _run(shop, tmp_path / "quiet")
        output, errors = quiet.communicate(timeout=HANGS_S)
        assert errors == ""
        assert json.loads(output)["items"] == 30
        ours, theirs = os.openpty()
        arguments = ["schema-org", "--base-url", shop.url, "--out", str(tmp_path / "live")]
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from cli.crawl import command; command()",
                *arguments,
                "--json",
            ],
            stdout=subprocess.PIPE,
            stderr=theirs,
            env={**os.environ, "PYTHONWARNINGS": "ignore", "TERM": "xterm", "COLUMNS": "120"},
        )
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the terminal's end
            while more := os.read(ours, 65536):
                shown += more
        os.close(ours)
        output = process.communicate(timeout=HANGS_S)[0].decode()
    assert json.loads(output)["items"] == 30
    host = shop.url.removeprefix("http://")
    assert f"{host}: 33 pages, 30 items, 30 photos, 0 errors, " in shown.decode()
    assert shown.endswith(b"\x1b[2K")  # and is gone when it ends


def _wait_for(shop: Shop, requests: int) -> None:
    deadline = time.monotonic() + HANGS_S
    while len(shop.asked) < requests and time.monotonic() < deadline:
        time.sleep(0.002)


def test_goes_on_after_kill_9_with_nothing_lost_and_nothing_twice(tmp_path: Path) -> None:
    with serving(shop_of(150)) as shop:
        for at in (20, 90, 160, 230):
            process = _run(shop, tmp_path)
            _wait_for(shop, at + random.randrange(40))  # noqa: S311 (no secret)
            process.kill()
            process.communicate()
            for name in ("items.jsonl", "photos.jsonl"):
                if (tmp_path / name).exists():
                    _lines(tmp_path / name)  # whole lines
        done = _run(shop, tmp_path)
        output, _ = done.communicate(timeout=HANGS_S)
        asked = Counter(shop.asked)
    figures = json.loads(output)
    assert (figures["items"], figures["photos"], figures["pages"]) == (150, 150, 165)
    ids = [item["id"] for item in _lines(tmp_path / "items.jsonl")]
    assert sorted(ids) == sorted(f"S{at}" for at in range(150))
    photos = _lines(tmp_path / "photos.jsonl")
    assert len({photo["product_id"] for photo in photos}) == len(photos) == 150
    assert all((tmp_path / photo["path"]).exists() for photo in photos)
    assert asked["/robots.txt"] <= 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(tmp_path: Path, number: int) -> None:
    pages = shop_of(40) | {
        "/robots.txt": Answer("User-agent: *\nCrawl-delay: 0.02", content_type="text/plain")
    }
    with serving(pages) as shop:
        process = _run(shop, tmp_path)
        _wait_for(shop, 20)
        process.send_signal(number)
        output, errors = process.communicate(timeout=HANGS_S)
    assert process.returncode == 130
    assert "the same command goes on from here" in errors
    figures = json.loads(output)
    assert figures["finish_reason"] == "stopped"
    assert len(_lines(tmp_path / "items.jsonl")) == figures["items"] < 40
