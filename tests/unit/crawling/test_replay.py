"""Past crawls parsed again, what crawls tell of themselves, and fields that got lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from advisor.crawling.completeness import lost_fields, shares
from advisor.crawling.tables import write_csv
from advisor.errors import DataError
from cli.crawl import command as crawl
from cli.replay import command as replay
from tests.unit.crawling.loopback import Answer, listing, product_page, serving


def _crawl(url: str, out: Path) -> Result:
    arguments = ["schema-org", "--base-url", url, "--out", str(out), "--json"]
    result = CliRunner().invoke(crawl, arguments)
    assert result.exit_code == 0, result.output
    return result


def _replay(out: Path, *options: str) -> dict[str, Any]:
    result = CliRunner().invoke(replay, [str(out), "--json", *options])
    assert result.exit_code == 0, (result.output, result.exception)
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _shop(count: int, **more: object) -> dict[str, Answer]:
    goods = {f"/p/{at}": product_page(f"S{at}", image=None, **more) for at in range(count)}
    return {"/": listing(*goods), **goods}


def test_parses_a_crawl_again_without_the_network(tmp_path: Path, monkeypatch: Any) -> None:
    with serving(_shop(12)) as shop:
        _crawl(shop.url, tmp_path)
    items = (tmp_path / "items.jsonl").read_bytes()
    same = _replay(tmp_path)
    assert (same["pages"], same["errors"]) == (13, 0)
    assert same["items"] == {
        "before": 12, "now": 12, "more": [], "fewer": [],
        "fields_gained": {}, "fields_lost": {}, "fields_changed": {},
    }  # fmt: skip
    by_id = {line["id"]: line for line in _lines(tmp_path / "replay.jsonl")}
    assert by_id == {line["id"]: line for line in _lines(tmp_path / "items.jsonl")}
    # A spider that now reads no price, and categories in capitals.
    from advisor.crawling.spiders import schema_org

    monkeypatch.setattr(schema_org, "_price", lambda _: None)
    monkeypatch.setattr(
        schema_org, "_category", lambda value: "" if value is None else str(value).upper()
    )
    changed = _replay(tmp_path)["items"]
    assert changed["fields_lost"] == {"currency": 12, "price_minor": 12}
    assert changed["fields_changed"] == {"category": 12}
    assert (tmp_path / "items.jsonl").read_bytes() == items


def test_parses_any_past_crawl_and_says_which_there_are(tmp_path: Path) -> None:
    with serving(_shop(3)) as shop:
        _crawl(shop.url, tmp_path)
        shop.pages |= _shop(5)
        _crawl(shop.url, tmp_path)
    assert _replay(tmp_path)["items"]["now"] == 5
    first = _replay(tmp_path, "--crawl", "1")
    assert (first["crawl"], first["items"]["fewer"]) == (1, ["S3", "S4"])
    missing = CliRunner().invoke(replay, [str(tmp_path), "--crawl", "7"])
    assert isinstance(missing.exception, DataError)
    assert "no crawl 7; it has 2, 1" in str(missing.exception)


def test_a_broken_archive_leaves_the_earlier_replay(tmp_path: Path) -> None:
    with serving(_shop(3)) as shop:
        _crawl(shop.url, tmp_path)
    _replay(tmp_path)
    before = (tmp_path / "replay.jsonl").read_bytes()
    sorted((tmp_path / "pages").rglob("*.gz"))[1].write_bytes(b"\x1f\x8b")
    result = CliRunner().invoke(replay, [str(tmp_path)])
    assert isinstance(result.exception, DataError)
    assert "the archive is not whole" in str(result.exception)
    assert (tmp_path / "replay.jsonl").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_lines_that_are_no_items_are_named(tmp_path: Path) -> None:
    with serving(_shop(3)) as shop:
        _crawl(shop.url, tmp_path)
    for text in ('{"half', "null", "7"):
        with (tmp_path / "items.jsonl").open("a") as file:
            file.write(text + "\n")
        for work in (
            lambda: CliRunner().invoke(replay, [str(tmp_path)], catch_exceptions=False),
            lambda: write_csv(tmp_path / "items.jsonl", tmp_path / "items.csv"),
        ):
            with pytest.raises(DataError, match=r"items\.jsonl:4 is no line of an item"):
                work()
        lines = (tmp_path / "items.jsonl").read_text().splitlines()
        (tmp_path / "items.jsonl").write_text("\n".join(lines[:3]) + "\n")


@pytest.mark.parametrize("left", ['{"crawl": 1, "finish', "null\n", "{}\n", '{"crawl": 9}\n'])
def test_a_broken_line_of_statistics_costs_no_other(tmp_path: Path, left: str) -> None:
    (tmp_path / "crawls.jsonl").write_text(left)
    with serving(_shop(3)) as shop:
        _crawl(shop.url, tmp_path)
    last = (tmp_path / "crawls.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["items"] == 3


def test_each_crawl_leaves_its_statistics_and_tells_of_a_field_that_got_lost(
    tmp_path: Path,
) -> None:
    with serving(_shop(20, brand="Acme")) as shop:
        assert json.loads(_crawl(shop.url, tmp_path).stdout)["lost_fields"] == []
        for at in range(10):
            shop.pages[f"/p/{at}"] = product_page(f"S{at}", image=None)  # no brand any more
        second = _crawl(shop.url, tmp_path)
        third = _crawl(shop.url, tmp_path)
    lost = [{"name": "brand", "before": 1.0, "now": 0.5}]
    assert json.loads(second.stdout)["lost_fields"] == lost
    told = "lost a field they had: brand (in 100% of the items before, in 50% now)"
    assert told in second.stderr
    assert json.loads(third.stdout)["lost_fields"] == []
    first, _, last = _lines(tmp_path / "crawls.jsonl")
    assert (first["crawl"], last["crawl"]) == (1, 3)
    assert (first["finish_reason"], first["items"]) == ("finished", 20)
    assert first["fields"]["brand"] == first["fields"]["price_minor"] == 1.0
    assert last["fields"]["brand"] == 0.5


def test_a_loss_of_a_fifth_or_of_a_few_items_is_none() -> None:
    before = shares({"items": 100, "has:brand": 60, "has:gtin": 60})
    now = shares({"items": 100, "has:brand": 40, "has:gtin": 39})
    assert [one.name for one in lost_fields(before, now)] == ["gtin"]
    assert shares({"items": 9, "has:brand": 9}) == {}
    assert lost_fields(before, {}) == []
