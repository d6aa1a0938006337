"""Spiders declared in YAML, and `advisor spider preview`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from advisor.crawling.messages import Page
from advisor.crawling.spiders.declared import FIELDS, load_spider, read_spider
from advisor.crawling.spiders.registry import make_spider, open_spider, shop_name
from advisor.errors import AdvisorError, DataError, RobotsDisallowedError, UnknownSpiderError
from cli.crawl import command as crawl
from cli.spider import command as spider
from tests.unit.crawling.loopback import JPEG, Answer, serving

PAGES = Path(__file__).parents[2] / "pages" / "yaml-shop"
DOCS = Path(__file__).parents[3] / "docs" / "add-a-shop.md"
SMALL = """name: corner
base_url: {base}
follow: [a]
item:
  id: .sku
  title: h1
  category: .cat
  description: .text
  images: img@src
  price: .price
defaults: {{currency: EUR}}
"""


def _small(folder: Path, base: str = "https://corner.example") -> Path:
    path = folder / "corner.yaml"
    path.write_text(SMALL.format(base=base), "utf-8")
    return path


def _page(sku: str, links: str = "") -> Answer:
    return Answer(
        f"<h1>Thing {sku}</h1><i class=sku>{sku}</i><i class=cat>hats</i>"
        f"<p class=text>A thing.</p><img src=/{sku}.jpg><b class=price>12,50</b>{links}"
    )


def test_the_file_may_say_how_to_crawl() -> None:
    found = load_spider(PAGES / "spider.yaml")
    assert found.start_urls == ("https://kettles.example/", "https://kettles.example/sale/")
    assert found.settings == {"delay_s": 0.5, "cookies": {"currency": "EUR"}}
    assert [stage.__name__ for stage in found.stages] == ["clean", "require", "check_price"]
    assert shop_name(found) == "kettle-corner"
    elsewhere = open_spider(str(PAGES / "spider.yaml"), "http://127.0.0.1:8000")
    assert elsewhere.start_urls[1] == "http://127.0.0.1:8000/sale/"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("title: h1", "title: 'h1['"), "7: item.title is 'h1['; expected a CSS selector"),
        (("title: h1", "titel: h1"), "7: item.titel is no key; expected one of each, id, title"),
        (("  title: h1\n", ""), "6: item.title is missing"),
        (("title: h1", "id: h2"), "7: item.id is there twice"),
        (("title: h1", "title:"), "7: item.title is no text"),
        (("title: h1", "title: {a: b}"), "7: item.title is no text"),
        (("item:", "items:"), "5: items is no key"),
        (("name: corner", "name: ../x"), "2: name is '../x'"),
        (("name: corner\n", ""), "2: name is missing"),
        (("https://corner.example", "corner.example"), "3: base_url is wrong: base URL 'corner"),
        (("currency: EUR", "currency: euros"), "12: defaults.currency is no ISO 4217 code"),
        (("currency: EUR", "price: '1'"), "12: defaults.price is no key"),
        (("follow: [a]", "settings: {delay: 1}"), "4: settings.delay is wrong: no setting 'dela"),
        (("follow: [a]", "settings: {delay_s: -1}"), "4: settings.delay_s is wrong: setting delay"),
        (("follow: [a]", "settings: [1]"), "4: settings is no mapping"),
        (("follow: [a]", "stages: [clean, polish]"), "4: stages names 'polish'"),
        (("follow: [a]", "follow: [a"), "5: no YAML: "),
        (("follow: [a]", "\tfollow: a"), "4: no YAML: "),
        (("follow: [a]", "start: &a [/]\nfollow: *a"), ": *a is an alias"),
        (("follow: [a]", "x: \x00"), ": no YAML: unacceptable character"),
        (
            ("follow: [a]", "settings: {max_pages: !!python/object:os.system {}}"),
            "4: settings.max_pages is no plain value",
        ),
    ],
)
def test_what_cannot_be_used_is_one_sentence_with_file_line_and_key(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    text = "# a shop\n" + SMALL.format(base="https://corner.example")
    assert change[0] in text
    path = tmp_path / "shop.yaml"
    path.write_text(text.replace(*change, 1), "utf-8")
    with pytest.raises(DataError) as caught:
        load_spider(path)
    assert str(caught.value).startswith(f"{path}:{sentence}".replace("::", ":"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"\xff\xfe\xff", b"[" * 5000, b"--- a\n--- b"])
def test_no_bytes_are_anything_but_a_data_error(data: bytes) -> None:
    with pytest.raises(DataError):
        read_spider(data, source="x.yaml")


def test_a_file_beside_the_other_spiders_is_one_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advisor.crawling.spiders.registry.FOLDER", tmp_path)
    _small(tmp_path)
    assert make_spider("corner", "http://127.0.0.1:1").start_urls == ("http://127.0.0.1:1/",)
    for name in ("../corner", str(tmp_path / "corner"), "corner.yaml", "other"):
        with pytest.raises(UnknownSpiderError, match="harveynorman, schema-org, corner"):
            make_spider(name)
    (tmp_path / "corner.yaml").rename(tmp_path / "shop.yaml")
    with pytest.raises(DataError, match="expected 'shop', as the file is called"):
        make_spider("shop")


def test_a_file_that_is_not_there_or_takes_a_taken_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        open_spider(str(tmp_path / "none.yaml"))
    taken = tmp_path / "taken.yml"
    taken.write_text(SMALL.format(base="https://a.example").replace("corner", "harveynorman"))
    with pytest.raises(DataError, match="'harveynorman' is that of another spider"):
        open_spider(str(taken))
    (tmp_path / "big.yaml").write_text("#" * 2_000_000)
    with pytest.raises(DataError, match="larger than"):
        open_spider(str(tmp_path / "big.yaml"))


@pytest.mark.parametrize("html", ["", "\x00", "<" * 3000, "<div class=tile data-sku>"])
def test_no_markup_is_an_error(html: str) -> None:
    assert load_spider(PAGES / "spider.yaml").parse(Page("https://a.example/", html)).items == ()


def test_crawls_a_shop_that_a_file_declares(tmp_path: Path) -> None:
    pages = {
        "/": _page("S1", "<a href=/p/2>x</a><a href=https://other.example/>y</a>"),
        "/p/2": _page("S2"),
        "/S1.jpg": Answer(JPEG),
        "/S2.jpg": Answer(JPEG + b"2"),
    }
    with serving(pages) as shop:
        arguments = [str(_small(tmp_path, shop.url)), "--out", str(tmp_path / "out"), "--json"]
        result = CliRunner().invoke(crawl, arguments)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["items"], figures["photos"], figures["dropped"]) == (2, 2, {})
    lines = (tmp_path / "out" / "items.jsonl").read_text("utf-8").splitlines()
    item = next(one for one in map(json.loads, lines) if one["id"] == "S2")
    assert (item["price_minor"], item["currency"], item["shop"]) == (1250, "EUR", "corner")


def _preview(*arguments: object) -> Result:
    return CliRunner().invoke(spider, ["preview", *map(str, arguments)])


def _json(*arguments: object) -> dict[str, Any]:
    result = _preview(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_shows_what_a_saved_page_gives() -> None:
    found = _json(PAGES / "spider.yaml", PAGES / "page.html")
    first, second = found["items"]
    assert (first["item"]["id"], first["dropped"]) == ("K-1", "")
    assert first["missing"] == ["mpn"]
    assert second["missing"] == ["availability", "gtin", "images", "mpn"]
    assert found["links_to_other_sites"] == 1
    assert "https://kettles.example/?page=2" in found["links"]
    text = _preview(PAGES / "spider.yaml", PAGES / "page.html").stdout
    assert "item 2\n" in text
    assert "  missing       availability, gtin, images, mpn\n" in text
    assert "\n3 links to follow, 1 to other sites\n" in text


def test_shows_why_an_item_would_be_dropped(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<h1>Hat\x1b[31m</h1><b class=price>12 EUR</b>")
    found = _json(_small(tmp_path), page)
    assert found["items"][0]["dropped"] == "no id, category, description"
    assert {"id", "category", "description"} <= {*found["items"][0]["missing"]}
    shown = _preview(_small(tmp_path), page).stdout
    assert "item 1 (dropped: no id, category, description)" in shown
    assert "\x1b" not in shown
    page.write_text("<p>nothing")
    assert (
        "no items: nothing on the page has a title or an id"
        in _preview(_small(tmp_path), page).stdout
    )


def test_fetches_one_page_where_robots_txt_allows_it(tmp_path: Path) -> None:
    robots = Answer("User-agent: *\nDisallow: /no", content_type="text/plain")
    pages = {"/robots.txt": robots, "/p": _page("S1"), "/no": _page("S2"), "/z": Answer(b"", 404)}
    with serving(pages) as shop:
        path = _small(tmp_path, shop.url)
        assert _json(path, f"{shop.url}/p")["items"][0]["item"]["id"] == "S1"
        assert shop.asked == ["/robots.txt", "/p"]
        refused = _preview(path, f"{shop.url}/no")
        assert isinstance(refused.exception, RobotsDisallowedError)
        gone = _preview(path, f"{shop.url}/z")
        assert str(gone.exception) == f"{shop.url}/z answered 404"
        assert "/no" not in shop.asked
    assert isinstance(_preview(path, tmp_path / "none.html").exception, AdvisorError)


def test_each_spider_has_cookies_of_its_own(tmp_path: Path) -> None:
    with serving({"/": Answer(headers={"Set-Cookie": "cart=7"}), "/a": Answer()}) as shop:
        for name, more in (
            ("one", "settings: {cookies: {currency: EUR}, keep_cookies: true}\n"),
            ("two", "settings: {cookies: {store: cork}}\n"),
        ):
            file = tmp_path / f"{name}.yaml"
            text = SMALL.format(base=shop.url).replace("name: corner", f"name: {name}")
            file.write_text(text + more + "start: [/, /a]\n")
            shop.headers.clear()
            out = str(tmp_path / name)
            CliRunner().invoke(crawl, [str(file), "--out", out, "--concurrency", "1"])
            sent = [one["Cookie"] for one in shop.headers]
            expected = ["currency=EUR"] * 2 + ["currency=EUR; cart=7"]
            assert sent == (expected if name == "one" else ["store=cork"] * 3)


def test_a_product_within_a_product_is_not_another_one(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(
        "name: a\nbase_url: http://shop.test\nitem:\n  each: .p\n  id: '@id'\n  title: h1\n"
    )
    html = "<i class=p id=1><h1> </h1><h1>A</h1><i class=p id=2><h1>B</h1></i></i><i class=p id=3>"
    parsed = open_spider(str(file)).parse(Page("http://shop.test/", html))
    assert [(item.id, item.title) for item in parsed.items] == [("1", "A"), ("3", "")]


def test_the_guide_shows_a_spider_that_works_and_every_key() -> None:
    guide = DOCS.read_text("utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    found = read_spider(blocks[0].encode(), source="guide")
    assert {*found["rules"]} == {*FIELDS}
    keys = ("name", "base_url", "start", "follow", "item", "each", "defaults", "image_base")
    for key in (*keys, "settings", "stages"):
        assert f"{key}:" in blocks[0], key
