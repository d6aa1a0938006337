"""A re-crawl asks for pages only if they changed, and parses none that did not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from advisor.crawling import deciding
from advisor.crawling.items import Item
from advisor.crawling.recall import pack, unpack
from advisor.crawling.spiders.base import ParsedPage
from advisor.crawling.spiders.schema_org import SchemaOrg
from cli.crawl import command
from tests.unit.crawling.loopback import JPEG, Answer, listing, product_page, serving

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


def _crawl(url: str, out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    arguments = ["schema-org", "--base-url", url, "--out", str(out), "--json"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    lines = (out / "items.jsonl").read_text("utf-8").splitlines()
    return json.loads(result.stdout), sorted(map(json.loads, lines), key=lambda one: str(one["id"]))


def _shop() -> dict[str, Answer]:
    """A list without a validator, one product with an ETag, one with a date, one that changes."""
    tagged = product_page("TAG", image=None)
    tagged.headers["ETag"] = '"1"'
    tagged.then = Answer(status=304)
    dated = product_page("DATE", image=None)
    dated.headers["Last-Modified"] = DATE
    dated.then = Answer(status=304)
    changing = product_page("NEW", image=None)
    changing.then = product_page("NEW", image=None, brand="Acme")
    return {"/": listing("/tag", "/date", "/new"), "/tag": tagged, "/date": dated, "/new": changing}


def test_unchanged_pages_cost_no_parse_and_keep_their_items_and_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    parse = SchemaOrg.parse

    def counted(spider: SchemaOrg, page: Any) -> ParsedPage:
        parsed.append(page.url.rpartition("/")[2])
        return parse(spider, page)

    monkeypatch.setattr(SchemaOrg, "parse", counted)
    monkeypatch.setattr(deciding, "_cores", lambda: 1)  # or it would be parsed in another process
    with serving(_shop()) as shop:
        _, before = _crawl(shop.url, tmp_path)
        assert sorted(parsed) == ["", "date", "new", "tag"]
        parsed.clear()
        figures, after = _crawl(shop.url, tmp_path)
        why = CliRunner().invoke(command, ["why", f"{shop.url}/tag", "--out", str(tmp_path)])
        third, again = _crawl(shop.url, tmp_path)  # and once more, from what was kept of that
    assert parsed == ["new"]
    assert (figures["pages"], figures["items"], figures["unchanged"]) == (4, 3, 3)
    assert [item for item in after if item["id"] != "NEW"] == [
        item for item in before if item["id"] != "NEW"
    ]
    assert [item.get("brand") for item in after if item["id"] == "NEW"] == ["Acme"]
    assert "with status 304: unchanged; 1 items" in why.stdout
    assert third["unchanged"] == 4
    assert again == after


def test_the_validators_are_sent_back(tmp_path: Path) -> None:
    with serving(_shop()) as shop:
        _crawl(shop.url, tmp_path)
        assert not any("If-None-Match" in sent for sent in shop.headers)
        shop.headers.clear()
        _crawl(shop.url, tmp_path)
    assert [sent["If-None-Match"] for sent in shop.headers if "If-None-Match" in sent] == ['"1"']
    dates = [sent["If-Modified-Since"] for sent in shop.headers if "If-Modified-Since" in sent]
    assert dates == [DATE]


def test_another_spider_reads_every_page_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving({"/": listing("/p"), "/p": product_page("A", image=None)}) as shop:
        _crawl(shop.url, tmp_path)
        monkeypatch.setattr("advisor.crawling.recall.fingerprint", lambda _: "changed")
        figures, _ = _crawl(shop.url, tmp_path)
    assert figures["unchanged"] == 0


def test_a_page_whose_archived_body_is_gone_is_asked_for_in_full(tmp_path: Path) -> None:
    with serving(_shop()) as shop:
        _crawl(shop.url, tmp_path)
        archived = {path: path.read_bytes() for path in tmp_path.glob("pages/*/*")}
        for path in archived:
            path.unlink()
        for answer in shop.pages.values():
            answer.then = None
        shop.headers.clear()
        figures, _ = _crawl(shop.url, tmp_path)
    assert not any("If-None-Match" in sent for sent in shop.headers)
    assert figures["unchanged"] == 0
    assert {path: path.read_bytes() for path in tmp_path.glob("pages/*/*")} == archived


def _pictured() -> dict[str, Answer]:
    """Goods whose photos have an ETag, a date, neither."""
    pages = {"/": listing("/p/tag", "/p/date", "/p/none")}
    for name, header in (("tag", {"ETag": '"1"'}), ("date", {"Last-Modified": DATE}), ("none", {})):
        pages[f"/p/{name}"] = product_page(name)
        then = Answer(status=304) if header else None
        data = JPEG + name.encode()
        pages[f"/photos/{name}.jpg"] = Answer(data, headers=header, then=then)
    return pages


def _photos(out: Path) -> list[dict[str, str]]:
    lines = map(json.loads, (out / "photos.jsonl").read_text("utf-8").splitlines())
    return sorted(lines, key=lambda line: str(line["url"]))


def test_an_unchanged_photo_is_kept_and_not_sent_again(tmp_path: Path) -> None:
    with serving(_pictured()) as shop:
        _crawl(shop.url, tmp_path)
        before = _photos(tmp_path)
        written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("images/*/*")}
        shop.asked.clear()
        shop.headers.clear()
        shop.pages["/photos/tag.jpg"] = shop.pages["/photos/date.jpg"] = Answer(status=304)
        figures, _ = _crawl(shop.url, tmp_path)
        third, _ = _crawl(shop.url, tmp_path)  # and once more, from what was kept of that
    asked = dict(zip(shop.asked, shop.headers, strict=True))
    assert asked["/photos/tag.jpg"]["If-None-Match"] == '"1"'
    assert asked["/photos/date.jpg"]["If-Modified-Since"] == DATE
    for told in (figures, third):
        assert (told["photos"], told["unchanged_photos"], told["errors"]) == (3, 2, {})
    assert _photos(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("images/*/*")} == written


def test_a_photo_that_is_cut_or_of_another_category_is_asked_for_in_full(
    tmp_path: Path,
) -> None:
    with serving(_pictured()) as shop:
        _crawl(shop.url, tmp_path)
        shop.headers.clear()
        shop.asked.clear()
        tag, date = (next(tmp_path.glob(f"images/hats/{name}-*.jpg")) for name in ("tag", "date"))
        tag.write_bytes(tag.read_bytes()[:-1])
        shop.pages["/p/date"] = product_page("date", category="caps")
        for answer in shop.pages.values():
            answer.then = None
        figures, _ = _crawl(shop.url, tmp_path)
    conditions = {"If-None-Match", "If-Modified-Since"}
    assert not any(conditions & set(sent.keys()) for sent in shop.headers)
    assert (figures["photos"], figures["unchanged_photos"]) == (3, 0)
    assert tag.read_bytes() == JPEG + b"tag"
    assert (tmp_path / "images" / "caps" / date.name).read_bytes() == JPEG + b"date"
    assert all((tmp_path / photo["path"]).exists() for photo in _photos(tmp_path))


def test_what_is_packed_comes_back() -> None:
    item = Item(id="1", title="\u00fc", category="c", description="d", images=("a", "b"), gtin="7")
    parsed = ParsedPage(items=(item,), requests=("http://a/", "http://b/"), problems=("x",))
    assert unpack(pack(parsed)) == parsed
