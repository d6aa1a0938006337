from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin
from urllib.robotparser import RobotFileParser

import pytest
import requests
from PIL import Image
from selectolax.lexbor import LexborHTMLParser

from advisor.errors import UsageError
from examples.shops.serve import Shops, ShopServer, start_shops
from examples.shops.shop_two import reencode

ONE_LINKS = "ol.pager li a, a.product-img"
TWO_LINKS = "a[rel=next], .card a"


@pytest.fixture
def shops(goods_dir: Path) -> Iterator[Shops]:
    with start_shops(goods_dir) as shops:
        yield shops


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def walk(
    session: requests.Session, shop: ShopServer, links: str, start: str = "/"
) -> dict[str, tuple[int, LexborHTMLParser]]:
    """Every page reached by the links, by its path, fetched once more after a 500."""
    todo, pages = [shop.url + start], {}
    while todo:
        url = todo.pop()
        path = url.removeprefix(shop.url)
        if path in pages:
            continue
        answer = session.get(url)
        if answer.status_code == 500:
            answer = session.get(url)
        tree = LexborHTMLParser(answer.text)
        pages[path] = (answer.status_code, tree)
        todo += [urljoin(answer.url, link.attributes["href"] or "") for link in tree.css(links)]
    return pages


def text_of(tree: LexborHTMLParser, selector: str) -> str:
    node = tree.css_first(selector)
    assert node is not None, selector
    return node.text()


def products_in(tree: LexborHTMLParser) -> list[dict[str, object]]:
    found = []
    for script in tree.css('script[type="application/ld+json"]'):
        data = json.loads(script.text())
        nodes = data if isinstance(data, list) else data.get("@graph", [data])
        found += [node for node in nodes if node["@type"] == "Product"]
    return found


@pytest.mark.parametrize("start", ["/", "/tvs-headphones/"])
def test_shop_one_shows_all_its_goods_in_the_markup_of_the_spider(
    shops: Shops, session: requests.Session, start: str
) -> None:
    pages = walk(session, shops.one, ONE_LINKS, start)
    products = [
        tree for _, tree in pages.values() if tree.css_first("h1.product-title") is not None
    ]
    codes = {text_of(tree, ".product-id") for tree in products}

    assert codes == {f"S/{at}" for at in range(20) if at % 13 != 7} | {"GIFT-50"}
    _, tree = pages["/good-4.html"]
    assert text_of(tree, "h1.product-title") == "Good 4"
    assert [node.text() for node in tree.css(".nav-breadcrumbs :nth-child(3)")] == [
        "computers & tablets"
    ]
    assert text_of(tree, ".product-tab-wrapper") == 'Good "number" 4, <b>fine</b> & cheap'
    assert text_of(tree, ".price") == "€1,204.50"
    assert [node.attributes["src"] for node in tree.css("img.pict")] == ["/media/4.jpg"]
    assert len(text_of(tree, ".gtin")) == 13


def test_shop_two_describes_its_goods_by_schema_org(
    shops: Shops, session: requests.Session
) -> None:
    pages = walk(session, shops.two, TWO_LINKS)
    del pages["/p/wall-calendar"]  # its first block is no JSON
    json_ld = [product for _, tree in pages.values() for product in products_in(tree)]
    microdata = [
        tree for _, tree in pages.values() if tree.css("[itemtype='https://schema.org/Product']")
    ]

    assert len(json_ld) + len(microdata) == 18
    assert len(microdata) == 2
    for product in json_ld:
        assert {"name", "description", "image", "sku", "offers"} <= product.keys()
    graph = [tree for _, tree in pages.values() if '"@graph"' in (tree.html or "")]
    assert graph
    assert "computers & tablets" in text_of(pages["/"][1], "nav")


def test_the_shops_break_in_the_ways_shops_do(shops: Shops, session: requests.Session) -> None:
    one, two = shops.one.url, shops.two.url

    assert session.get(f"{one}/last-years-model.html").status_code == 404
    assert session.get(f"{two}/p/summer-sale-bundle").status_code == 404
    assert session.get(f"{one}/media/detail-view.jpg").status_code == 404
    assert session.get(f"{two}/img/missing.jpg").status_code == 404
    assert [session.get(f"{one}/good-2.html").status_code for _ in range(3)] == [500, 200, 200]
    moved = session.get(f"{one}/catalog/product/good-0", allow_redirects=False)
    assert (moved.status_code, moved.headers["Location"]) == (301, "/good-0.html")
    assert session.get(f"{two}/go/bestseller").history[0].status_code == 301
    assert "product-tab-wrapper" not in session.get(f"{one}/gift-card.html").text
    assert "Out of stock" in session.get(f"{one}/good-5.html").text


def test_robots_txt_closes_the_private_area_that_pages_link_to(
    shops: Shops, session: requests.Session
) -> None:
    for shop, links in ((shops.one, ONE_LINKS), (shops.two, TWO_LINKS)):
        robots = RobotFileParser()
        robots.parse(session.get(f"{shop.url}/robots.txt").text.splitlines())
        private = [path for path in walk(session, shop, links) if path.startswith("/private/")]

        assert private
        assert not robots.can_fetch("anyone", shop.url + private[0])
        assert robots.can_fetch("anyone", f"{shop.url}/")
        assert robots.site_maps() == [f"{shop.url}/sitemap.xml"]
        sitemap = session.get(f"{shop.url}/sitemap.xml").text
        assert f"<loc>{shop.url}/</loc>" in sitemap
        assert "/private/" not in sitemap


def test_shop_two_has_the_photos_smaller_and_encoded_anew(
    shops: Shops, session: requests.Session
) -> None:
    pages = walk(session, shops.two, TWO_LINKS)
    del pages["/p/wall-calendar"]
    image = next(product["image"] for _, tree in pages.values() for product in products_in(tree))
    answer = session.get(str(image))

    assert answer.headers["Content-Type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as photo:
        assert photo.size == (170, 102)
    assert answer.content == session.get(str(image)).content


def test_encoding_anew_keeps_what_the_photo_shows(goods_dir: Path) -> None:
    with Image.open(io.BytesIO(reencode((goods_dir / "images" / "3.jpg").read_bytes()))) as photo:
        red, green, blue = photo.getpixel((80, 50))  # type: ignore[misc]  # RGB: three

    assert max(abs(red - 36), abs(green - 80), abs(blue - 160)) < 5


def test_the_log_tells_every_request(shops: Shops, session: requests.Session) -> None:
    session.get(f"{shops.one.url}/good-1.html?from=mail")
    session.head(f"{shops.one.url}/nowhere")

    assert [request[1:] for request in shops.one.requests_log] == [
        ("GET", "/good-1.html?from=mail", 200),
        ("HEAD", "/nowhere", 404),
    ]
    assert shops.two.requests_log == []


def test_a_connection_serves_many_requests(shops: Shops, session: requests.Session) -> None:
    answers = [session.get(f"{shops.one.url}/") for _ in range(3)]

    assert {answer.raw.version for answer in answers} == {11}
    assert all(answer.headers.get("Connection") != "close" for answer in answers)


def test_a_port_in_use_is_one_clear_sentence(shops: Shops, goods_dir: Path) -> None:
    port = shops.one.server_port
    with pytest.raises(UsageError, match=f"port {port}"), start_shops(goods_dir, port_one=port):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_prints_the_addresses_and_stops_on_a_signal(
    goods_dir: Path, session: requests.Session, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "examples.shops.serve", "--goods", str(goods_dir), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout
        assert program.stderr
        urls = json.loads(program.stdout.readline())
        assert session.get(urls["two"]).status_code == 200
        program.send_signal(number)
        assert program.wait(timeout=10) == 0
        assert program.stderr.read() == b""


def test_the_program_refuses_a_folder_without_goods(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "examples.shops.serve", "--goods", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 1
    assert done.stderr.startswith("shops: no ")
    assert len(done.stderr.splitlines()) == 1
