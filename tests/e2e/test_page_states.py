"""Each place of each page: on its way, slow, failed, tried again, offline, back online, empty.

What the service would not do at will is done in its place; what comes at last is its own answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from advisor.aws.catalog import CatalogTables
from local.cloud import Cloud
from tests.e2e.browsing import DESKTOP, PHONE, Visit, hold, wait_until

CAME_LATE_CLS = 0.1  # what is good: https://web.dev/articles/cls
COUNT_SHIFTS = """
window.shifted = [];
new PerformanceObserver((list) => {
    for (const one of list.getEntries()) {
        const moved = one.sources.map(({ node }) => node?.outerHTML?.slice(0, 80) ?? "");
        window.shifted.push({ by: one.value, moved });
    }
}).observe({ type: "layout-shift", buffered: true });
"""


@dataclass(frozen=True)
class Place:
    """A place of a page that an answer of the service fills. page: {id} is a product's."""

    page: str
    selector: str
    route: str
    staff: bool = False


PLACES = {
    "products": Place("browse.html", "#results", r"/products\?"),
    "categories": Place("browse.html", "#categories", r"/categories$"),
    "product": Place("product.html?id={id}", "#product", r"/products/[^/?]+$"),
    "prices": Place("product.html?id={id}", "#history", r"/prices$"),
    "similar": Place("product.html?id={id}", "#like", r"/suggestions\?"),
    "photos to review": Place("review.html", "#task", r"/reviews/photos\?", staff=True),
    "matches to review": Place("review.html#matches", "#task", r"/reviews/matches\?", staff=True),
    "categories to review": Place(
        "review.html#categories", "#task", r"/reviews/categories\?", staff=True
    ),
    "decisions": Place("review.html", "#decided", r"/reviews/decisions\?", staff=True),
    "model": Place("operations.html", "#model", r"/model/evaluation$"),
    "crawls": Place("operations.html", "#crawls", r"/crawls$", staff=True),
    "days": Place("operations.html", "#days", r"/days\?", staff=True),
}


@pytest.fixture(scope="module")
def product_id(cloud: Cloud) -> str:
    """Of any product of a shop of the demo's; those that other tests crawled are gone by now."""
    products = CatalogTables(cloud["ProductsTable"]).all()
    return next(one.product_id for one in products if one.item.shop == "harveynorman")


def has_come(place: Locator) -> None:
    """Neither on its way nor failed."""
    expect(place).not_to_have_attribute("aria-busy", "true")
    expect(place.locator(".waiting")).to_have_count(0)
    expect(place.get_by_role("button", name="Try again")).to_have_count(0)
    expect(place).not_to_be_empty()


@pytest.mark.parametrize("name", PLACES)
def test_each_place_tells_how_it_stands_and_comes_back(
    visit: Visit, product_id: str, name: str
) -> None:
    page, wanted = visit.page, PLACES[name]
    place, offline = page.locator(wanted.selector), page.locator("#offline")
    if wanted.staff:
        visit.signed_in()
    page.clock.install()
    held = hold(page, wanted.route)
    visit.go(wanted.page.format(id=product_id))
    wait_until(page, lambda: held)
    expect(place).to_have_attribute("aria-busy", "true")
    expect(place.locator(".waiting > [aria-hidden]")).to_be_attached()
    page.clock.run_for(5_000)
    expect(place.locator(".slow")).to_contain_text("Still loading.")
    assert visit.findings() == []

    failed = {"status": 500, "json": {"detail": "it broke"}}
    held[0].fulfill(**failed)
    expect(place.get_by_text("It broke.", exact=True)).to_be_visible()
    page.emulate_media(color_scheme="dark")
    assert visit.findings() == []
    page.unroute_all()
    place.get_by_role("button", name="Try again").press("Enter")
    has_come(place)
    assert place.evaluate("place => place.contains(document.activeElement)")

    held = hold(page, wanted.route)
    page.reload()
    wait_until(page, lambda: held)
    expect(offline).to_be_empty()
    visit.context.set_offline(True)
    expect(offline).to_contain_text("You are offline.")
    held[0].abort("internetdisconnected")
    expect(place.get_by_role("heading", name="You are offline")).to_be_visible()
    page.unroute_all()
    visit.context.set_offline(False)
    has_come(place)
    expect(offline).to_be_empty()
    visit.forgive("500")
    visit.forgive("ERR_INTERNET_DISCONNECTED")


@dataclass(frozen=True)
class Shape:
    """What stands for something that is on its way, and that something."""

    place: str
    ghost: str
    content: str


PAGES = {
    "browse": ["products", "categories"],
    "product": ["product", "prices", "similar"],
    "review": ["photos to review", "decisions"],
    "operations": ["model", "crawls", "days"],
}
SHAPES = {
    "browse": Shape("products", ".ghost-photo >> nth=0", ".card .thumb >> nth=0"),
    "product": Shape("product", ".ghost-photo", ".gallery .thumb"),
    "review": Shape("photos to review", ".ghost-photo", ".thumb"),
}


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=str)
@pytest.mark.parametrize("name", PAGES)
def test_what_comes_stands_where_its_shape_stood_and_moves_nothing(
    visit: Visit, product_id: str, name: str, size: tuple[int, int]
) -> None:
    page, places = visit.page, [PLACES[one] for one in PAGES[name]]
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.add_init_script(COUNT_SHIFTS)
    visit.signed_in()
    held = [hold(page, place.route) for place in places]
    visit.go(places[0].page.format(id=product_id))
    wait_until(page, lambda: all(held))
    shape = SHAPES.get(name)
    inside = page.locator(PLACES[shape.place].selector) if shape else page.locator("main")
    before = inside.locator(shape.ghost).bounding_box() if shape else None
    for place, requests in zip(places, held, strict=True):
        requests[0].continue_()
        has_come(page.locator(place.selector))
    after = inside.locator(shape.content).bounding_box() if shape else None
    assert after == pytest.approx(before, abs=1)
    # Two frames on, what the last of them moved has been counted.
    page.evaluate("new Promise((on) => requestAnimationFrame(() => requestAnimationFrame(on)))")
    shifted: list[dict[str, Any]] = page.evaluate("window.shifted")
    assert sum(one["by"] for one in shifted) < CAME_LATE_CLS, shifted
