"""The spiders over saved pages, each with what to expect beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.crawling.messages import Page
from advisor.crawling.spiders.registry import NAMES, make_spider, open_spider, shop_name
from advisor.crawling.spiders.schema_org import SchemaOrg
from advisor.crawling.spiders.structured_data import microdata
from advisor.errors import UnknownSpiderError, UsageError

PAGES = Path(__file__).parents[2] / "pages"
REAL_PAGES = Path(__file__).parents[3].parent / "shared" / "data" / "html"


@pytest.mark.parametrize("folder", sorted(path.name for path in PAGES.iterdir() if path.is_dir()))
def test_reads_a_saved_page_as_expected(folder: str) -> None:
    expected: dict[str, Any] = json.loads((PAGES / folder / "expected.json").read_text("utf-8"))
    html = (PAGES / folder / "page.html").read_text("utf-8")
    declared = expected["spider"].endswith(".yaml")
    name = str(PAGES / folder / expected["spider"]) if declared else expected["spider"]
    spider = open_spider(name, expected["base_url"])
    parsed = spider.parse(Page(expected["url"], html))
    assert [item.to_dict() for item in parsed.items] == expected["items"]
    assert list(parsed.requests) == expected["requests"]
    assert list(parsed.problems) == expected["problems"]


@pytest.mark.skipif(not REAL_PAGES.exists(), reason="../shared/data/html is not here")
def test_reads_pages_that_others_collected() -> None:
    spider = SchemaOrg("http://shop.test")

    def read(name: str) -> dict[str, Any]:
        html = (REAL_PAGES / name).read_text("utf-8")
        return spider.parse(Page("http://shop.test/p", html)).items[0].to_dict()

    for name in ("product.html", "product_microdata.html"):
        anvil = read(name)
        assert (anvil["title"], anvil["brand"], anvil["id"]) == (
            "Executive Anvil",
            "ACME",
            "925872",
        )
        assert (anvil["price_minor"], anvil["currency"]) == (11999, "USD")
        assert anvil["availability"] == "in_stock"
        assert anvil["images"] == ["http://shop.test/anvil_executive.jpg"]
    film = read("opengraph_ns_product_test.html")
    assert film["title"].startswith("Better Off Dead [Exclusive Blu-ray Steelbook]")
    assert (film["id"], film["price_minor"]) == ("fye.000000032429335302", 1799)
    assert (film["currency"], film["availability"]) == ("USD", "in_stock")
    anvil = read("product-ref.html")
    assert (anvil["title"], anvil["brand"], anvil["mpn"]) == ("Executive Anvil", "ACME", "925872")
    tablets = read("microdata-with-description.html")
    assert tablets["title"] == "Johnsons 4 Fleas Cats & Kittens Tablets"
    assert (tablets["price_minor"], tablets["currency"]) == (529, "GBP")


@pytest.mark.parametrize("name", ["page.html", "", "\x00" * 10, "<" * 5000, "<a href>" * 100])
def test_no_markup_is_an_error(name: str) -> None:
    for spider in (make_spider("harveynorman"), SchemaOrg("https://shop.test")):
        spider.parse(Page("https://shop.test/", name))


def test_markup_nested_a_thousand_deep_is_no_error() -> None:
    scope = '<div itemscope itemprop="x" itemtype="https://schema.org/Product">'
    html = '<div itemscope itemtype="https://schema.org/Product">' + scope * 1000
    deep = '<script type="application/ld+json">' + "[" * 100_000 + "</script>"
    parsed = SchemaOrg("https://shop.test").parse(Page("https://shop.test/", html + deep))
    assert parsed.problems == ("json-ld",)


def test_a_reference_is_what_it_names_until_there_are_too_many() -> None:
    offer = {"@id": "o", "offers": [{"price": "3", "priceCurrency": "EUR"}] * 1_000}
    goods = [{"@type": "Product", "sku": str(at), "offers": {"@id": "o"}} for at in range(100)]
    html = f'<script type="application/ld+json">{json.dumps([offer, *goods])}</script>'
    parsed = SchemaOrg("https://shop.test").parse(Page("https://shop.test/", html))
    prices = [item.price_minor for item in parsed.items]
    assert (prices[0], prices[-1], len(prices)) == (300, None, 100)
    assert parsed.problems == ("json-ld",)


def test_a_property_in_another_and_one_told_twice_are_read_in_order() -> None:
    html = """<div itemscope itemtype="https://schema.org/Product" itemref="more">
        <p itemprop="sku">1</p><a itemprop="image" href="/a.jpg"></a>
        <div itemprop="offers" itemscope><span itemprop="price" content="2.50">x</span>
        <span itemprop="priceCurrency">EUR</span></div></div>
        <div id="more"><b itemprop="name">Hat<i itemprop="category">hats</i></b>
        <a itemprop="image" href="/b.jpg"></a></div>"""
    (item,) = SchemaOrg("https://shop.test").parse(Page("https://shop.test/", html)).items
    assert (item.id, item.title, item.category) == ("1", "Hathats", "hats")
    assert item.images == ("https://shop.test/a.jpg", "https://shop.test/b.jpg")
    assert (item.price_minor, item.currency) == (250, "EUR")


def test_properties_in_each_other_are_read_until_their_texts_are_too_much() -> None:
    html = '<div itemscope itemtype="https://schema.org/Product">' + "<b itemprop=name>" * 1_000
    (node,), too_much = microdata(Page("https://shop.test/", html + "x" * 200_000))
    assert (len(node["name"]), too_much) == (100, 1)
    (node,), too_much = microdata(Page("https://shop.test/", html + "x"))
    assert (len(node["name"]), too_much) == (1_000, 0)


def test_start_urls_follow_the_base_url() -> None:
    spider = make_spider("harveynorman")
    assert spider.start_urls == (
        "https://www.harveynorman.ie/",
        "https://www.harveynorman.ie/tvs-headphones/",
    )
    local = make_spider("harveynorman", "http://127.0.0.1:8001/")
    assert local.start_urls == (
        "http://127.0.0.1:8001/",
        "http://127.0.0.1:8001/tvs-headphones/",
    )
    deep = make_spider("harveynorman", "http://127.0.0.1:8001/tvs-headphones/")
    assert deep.start_urls == ("http://127.0.0.1:8001/tvs-headphones/",)
    assert make_spider("schema-org", "https://shop.test").start_urls == ("https://shop.test/",)


def test_an_unknown_spider_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownSpiderError, match=r"no spider 'nobody'.*harveynorman, schema-org"):
        make_spider("nobody")
    assert NAMES == ("harveynorman", "schema-org")


@pytest.mark.parametrize(
    "url", ["shop.test", "ftp://shop.test", "http://", "http://[", "http://a:b/", "file:///etc"]
)
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="base URL"):
        make_spider("schema-org", url)


def test_the_generic_spider_needs_a_base_url() -> None:
    with pytest.raises(UsageError, match="base URL"):
        make_spider("schema-org")


def test_a_shop_is_called_by_its_spider_or_its_host() -> None:
    generic = make_spider("schema-org", "http://127.0.0.1:8001")
    assert shop_name(make_spider("harveynorman", "http://127.0.0.1:8001")) == "harveynorman"
    assert shop_name(generic) == "127.0.0.1-8001"
    assert shop_name(generic, "corner") == "corner"
