"""The pages as a person uses them: find by photo, browse, a product."""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, FileChooser, Page, Route, expect

from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client, table
from advisor.aws.listings import CURRENT, ListingStore
from advisor.catalog.products import PricePoint, Product
from advisor.crawling.items import Item
from local.cloud import Cloud
from local.demo import PHOTO_OF, SHOP_ONE, SHOP_TWO
from tests.e2e.browsing import (
    DESKTOP,
    MARKUP,
    PHONE,
    Visit,
    answer_with,
    choose,
    file_of,
    hold,
    is_answered,
    nobody_lists,
    wait_until,
)

NOW = datetime.now(UTC)
GTIN = "4006381333931"
WIDTH = "async (image) => (await image.decode(), image.naturalWidth)"

GOODS = (
    Item(id="markup", shop="bazaar", title=MARKUP, category="<i>odd</i> goods", price_minor=1000,
         description="<script>document.title = 2</script>", currency="EUR", brand="<u>Brand</u>",
         url="javascript:document.title=3"),
    Item(id="7", shop="bazaar", title="Garden Hose", category="odd", description="-",
         price_minor=0, currency="EUR", url="https://bazaar.example/7"),
    Item(id="7", shop="souk", title="Reading Lamp", category="odd", description="-",
         price_minor=-500, currency="EUR", url="https://souk.example/7"),
    Item(id="gold", shop="souk", title="Golden Palace", category="odd", description="-",
         price_minor=99_999_999_999_999, currency="EUR", url="https://souk.example/gold"),
    Item(id="taler", shop="souk", title="Coin Box", category="odd", description="-",
         price_minor=1250, currency="ZZZ", url="https://souk.example/taler"),
    Item(id="pot", shop="bazaar", title="Copper Pot", category="odd", description="-", gtin=GTIN,
         price_minor=4900, currency="EUR", availability="in_stock", url="https://bazaar.example/p"),
    Item(id="pot", shop="souk", title="Copper Pot", category="odd", description="-", gtin=GTIN,
         price_minor=4500, currency="EUR", availability="in_stock", url="https://souk.example/p"),
    Item(id="pot", shop="alp", title="Copper Pot", category="odd", description="-", gtin=GTIN,
         price_minor=100, currency="CHF", availability="out_of_stock", url="https://alp.example/p"),
)  # fmt: skip
OLD = Item(id="clock", shop="vanished", title="Old Clock", category="clocks", description="-",
           price_minor=9900, currency="EUR", url="https://vanished.example/clock")  # fmt: skip


def days_ago(days: int) -> str:
    return (NOW - timedelta(days=days)).isoformat(timespec="seconds")


def list_anew(cloud: Cloud) -> None:
    cloud.invoke("Index", {})
    start_anew(cloud)


def start_anew(cloud: Cloud) -> None:
    """Have the catalog function start anew: a warm one looks for a new list once a minute."""
    name = cloud["CatalogFunction"]
    settings = client("lambda").get_function_configuration(FunctionName=name)["Environment"]
    variables = settings["Variables"] | {"STARTED": str(time.time())}
    client("lambda").update_function_configuration(
        FunctionName=name, Environment={"Variables": variables}
    )


@pytest.fixture(scope="module", autouse=True)
def goods(browser: Browser, cloud: Cloud) -> Iterator[None]:
    """What shops may say, besides the demo's goods; taken away again."""
    catalog = CatalogTables(cloud["ProductsTable"], cloud["PricesTable"])
    for item in GOODS:
        catalog.put_item(item, run_id="seeded", observed_at=days_ago(0))
    catalog.put_item(OLD, run_id="seeded", observed_at=days_ago(200))
    for days, price, state, flag in (
        (90, 6000, "", ""), (60, 5200, "", ""), (30, 5600, "", ""),
        (10, 990, "quarantined", "variant swap"),
    ):  # fmt: skip
        point = PricePoint(
            observed_at=days_ago(days), price_minor=price, currency="EUR", state=state, flag=flag
        )
        table(cloud["PricesTable"]).put_item(Item={"product_id": "bazaar:pot"} | point.to_dict())
    list_anew(cloud)
    with nobody_lists(cloud):
        yield
    for item in (*GOODS, OLD):
        key = {"product_id": item.product_id}
        table(cloud["ProductsTable"]).delete_item(Key=key)
        for point in catalog.prices(item.product_id):
            table(cloud["PricesTable"]).delete_item(Key=key | {"observed_at": point.observed_at})
    list_anew(cloud)


# --- Find by photo


def test_a_chosen_photo_is_answered_with_its_category_and_each_shops_price(
    visit: Visit, photo: bytes
) -> None:
    page = visit.go("index.html")
    expect(page.get_by_role("heading", name="See what each shop asks for it.")).to_be_visible()
    expect(page.locator(".known-list li")).to_have_count(6)
    choose(page, photo)
    is_answered(page)
    expect(page.locator("#category")).to_contain_text("%")
    best = page.locator("article.best")
    assert {SHOP_ONE, SHOP_TWO} <= set(re.split(r"\W+", best.inner_text()))
    assert best.locator(".offer.cheapest .tag").inner_text() == "Cheapest"
    prices = [float(one[1:]) for one in best.locator(".price").all_inner_texts()]
    assert prices == sorted(prices)
    shop = best.locator("a.shop").first
    assert shop.get_attribute("rel") == "noopener noreferrer"
    assert shop.get_attribute("target") == "_blank"
    assert best.locator(".thumb img").evaluate(WIDTH) > 0
    best.get_by_role("heading").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(
        re.compile("skateboard", re.IGNORECASE)
    )


def test_a_photo_can_be_pasted(visit: Visit, photo: bytes) -> None:
    page = visit.go("index.html")
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copied = io.BytesIO()
    with Image.open(io.BytesIO(photo)) as picture:
        picture.save(copied, "PNG")  # what a clipboard holds
    page.evaluate(
        """async (data) => {
            const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
            const copied = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": copied })]);
        }""",
        base64.b64encode(copied.getvalue()).decode(),
    )
    page.keyboard.press("Control+V")
    is_answered(page)
    expect(page.locator("article.best")).to_be_visible()


def test_a_photo_can_be_dropped_anywhere_and_the_frame_shows_that_it_will_be_taken(
    visit: Visit, photo: bytes, tmp_path: Path
) -> None:
    page = visit.go("index.html")
    files = {"mine.jpg": photo, "notes.txt": b"my notes"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    browser = visit.context.new_cdp_session(page)  # the browser's own drag, not events made here

    def drag(kind: str, name: str) -> None:
        data = {"items": [], "files": [str(tmp_path / name)], "dragOperationsMask": 1}
        about = {"type": kind, "x": 640, "y": 700, "data": data}
        browser.send("Input.dispatchDragEvent", about)

    drag("dragEnter", "mine.jpg")
    drag("dragOver", "mine.jpg")
    expect(page.locator(".frame.over")).to_be_visible()
    drag("drop", "mine.jpg")
    is_answered(page)
    expect(page.locator("article.best")).to_be_visible()
    expect(page.locator(".frame.over")).to_have_count(0)
    for kind in ("dragEnter", "dragOver", "drop"):
        drag(kind, "notes.txt")
    expect(page.get_by_role("heading", name="That is not a photo")).to_be_visible()


def test_a_photo_can_be_taken_with_the_camera(visit: Visit) -> None:
    page = visit.go("index.html")
    use, dialog = page.get_by_role("button", name="Use the camera"), page.get_by_role("dialog")
    use.press("Enter")
    expect(dialog.get_by_role("button", name="Take the photo")).to_be_focused()
    assert visit.findings() == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(use).to_be_focused()
    expect(page.locator("#main")).to_have_attribute("data-state", "start")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Take the photo")).to_be_focused()
    with page.expect_request("**/suggestions") as sent:
        page.keyboard.press("Enter")
    with Image.open(io.BytesIO(sent.value.post_data_buffer or b"")) as taken:
        assert (taken.format, min(taken.size) >= 240) == ("JPEG", True)
        assert len(taken.getcolors(taken.size[0] * taken.size[1]) or ()) > 1  # no empty picture
    is_answered(page)
    expect(dialog).to_be_hidden()
    assert page.evaluate("document.querySelector('#camera-video').srcObject") is None
    page.get_by_role("button", name="Try another photo").click()
    expect(page.get_by_role("button", name="Choose a photo")).to_be_focused()


def test_a_large_photo_is_made_smaller_before_it_is_sent(visit: Visit) -> None:
    page = visit.go("index.html")
    sent: list[bytes] = []

    def keep(route: Route) -> None:
        sent.append(route.request.post_data_buffer or b"")
        route.continue_()

    page.route("**/suggestions*", keep)
    noise = np.random.default_rng(1).integers(0, 255, (1500, 2600, 3), dtype=np.uint8)
    large = io.BytesIO()
    Image.fromarray(noise).save(large, "JPEG", quality=90)
    choose(page, large.getvalue())
    is_answered(page)
    with Image.open(io.BytesIO(sent[0])) as seen:
        assert (seen.format, max(seen.size)) == ("JPEG", 1024)
        assert seen.size[0] / seen.size[1] == pytest.approx(2600 / 1500, abs=0.01)


def test_what_is_no_photo_is_turned_away_and_what_cannot_be_read_is_said(visit: Visit) -> None:
    page = visit.go("index.html")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photo").click()
    notes = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"my notes"}
    chooser.value.set_files(notes)
    expect(page.get_by_role("heading", name="That is not a photo")).to_be_visible()
    assert page.get_by_role("button", name="Try again").count() == 0
    page.get_by_role("button", name="Try another photo").click()
    choose(page, b"\xff\xd8 cut short")
    expect(page.get_by_role("heading", name="This photo cannot be used")).to_be_visible()
    visit.forgive("422")


def said(*labels: tuple[str, float], unknown: bool = False) -> dict[str, Any]:
    ranked = [{"label": label, "probability": share} for label, share in labels]
    return {"labels": ranked, "unknown": unknown, "model_version": "m", "image_id": "i"}


def suggestion(title: str, *, same: bool, **more: Any) -> dict[str, Any]:
    offer = {
        "product_id": f"one:{title}", "shop": "one", "title": title, "price_minor": 500,
        "currency": "EUR", "availability": "in_stock", "url": "https://one.example/", "photo_url":
        None, "observed_at": "",
    }  # fmt: skip
    return {
        "title": title, "category": "c", "similarity": 0.97 if same else 0.7, "same": same,
        "match": "", "confidence": "", "photo_url": None, "offers": [offer | more],
    }  # fmt: skip


def test_an_unsure_model_and_a_thing_that_no_shop_sells_are_honestly_shown(
    visit: Visit, photo: bytes
) -> None:
    page = visit.go("index.html")
    answer = {
        "classification": said(("shoes", 0.31), ("plants", 0.29), unknown=True),
        "suggestions": [suggestion("Clog", same=False), suggestion(MARKUP, same=False)],
    }
    answer_with(page, "/suggestions", answer)
    choose(page, photo)
    expect(page.get_by_role("heading", name="Not sure")).to_be_visible()
    expect(page.locator("#category")).to_contain_text("31%")
    expect(page.get_by_role("heading", name="No shop we read sells this")).to_be_visible()
    assert page.get_by_text("Best match").count() == 0
    assert page.get_by_role("heading", name=MARKUP, exact=True).inner_text() == MARKUP
    expect(page.locator("#announcer")).to_contain_text("Not sure what this is")
    page.unroute_all()
    answer_with(page, "/suggestions", answer | {"suggestions": []})
    page.get_by_role("button", name="Try another photo").click()
    choose(page, photo)
    expect(page.get_by_role("heading", name="No matching products")).to_be_visible()


# Long names, also of scripts from right to left, without spaces, and of one word.
NAMES = (
    "Ultraleichter wasserdichter Trekking-Rucksack mit abnehmbarer Regenhülle und Laptopfach",
    "حقيبة ظهر مقاومة للماء خفيفة الوزن للرحلات الطويلة مع جيب للكمبيوتر المحمول ٤٥ لتر",
    "超軽量防水トレッキングバックパック取り外し可能レインカバー付きノートパソコン収納",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
)


def offers_of(names: tuple[str, ...], count: int) -> list[dict[str, Any]]:
    """As many offers of one product, the cheapest first."""
    return [
        suggestion(names[at % len(names)], same=True)["offers"][0]
        | {"product_id": f"shop{at}:1", "shop": f"{names[at % len(names)][:30]} {at}"}
        | {"price_minor": 500 + at}
        for at in range(count)
    ]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=str)
def test_long_names_of_any_script_and_two_hundred_offers_keep_their_place(
    visit: Visit, photo: bytes, size: tuple[int, int]
) -> None:
    page = visit.page
    page.set_viewport_size({"width": size[0], "height": size[1]})
    best = suggestion(NAMES[1], same=True) | {"match": "gtin", "offers": offers_of(NAMES, 200)}
    others = [suggestion(name, same=False) for name in NAMES]
    answer = {"classification": said((NAMES[3], 0.9)), "suggestions": [best, *others]}
    answer_with(page, "/suggestions$", answer)
    visit.go("index.html")
    choose(page, photo)
    is_answered(page)
    wider = "document.documentElement.scrollWidth - innerWidth"
    first = page.locator("article.best")
    expect(first.locator(".offer:visible")).to_have_count(5)
    expect(first.locator(".offer.cheapest:visible")).to_have_count(1)
    expect(first.get_by_role("heading").get_by_role("link")).to_have_attribute("dir", "auto")
    assert page.evaluate(wider) <= 0
    first.get_by_text("195 more offers").click()
    expect(first.locator(".offer:visible")).to_have_count(200)
    found = {
        "product_id": "shop0:1", "shop": NAMES[3], "title": NAMES[1], "category": NAMES[3],
        "description": NAMES[1], "brand": NAMES[2], "url": "", "observed_at": days_ago(0),
        "photo_urls": [], "match": "gtin", "offers": offers_of(NAMES, 200),
    }  # fmt: skip
    answer_with(page, r"/products/[^/]+$", found)
    answer_with(page, r"/prices$", {"prices": [], "waiting": []})
    answer_with(page, r"/suggestions\?", {"product": None, "suggestions": []})
    visit.go("product.html", id="shop0:1")
    rows = page.locator(".offers-table tbody tr:visible")
    expect(rows).to_have_count(8)
    assert page.evaluate(wider) <= 0
    # Read from the right, at the left edge that everything on the page has.
    sides = "one => [getComputedStyle(one).direction, getComputedStyle(one).textAlign]"
    assert page.get_by_role("heading", level=1).evaluate(sides) == ["rtl", "left"]
    assert visit.findings() == []
    page.get_by_role("button", name="192 more offers").press("Enter")
    expect(rows).to_have_count(200)
    expect(rows.nth(8).get_by_role("link").first).to_be_focused()
    assert page.evaluate(wider) <= 0


def test_a_failure_can_be_tried_again_and_keeps_the_photo(visit: Visit, photo: bytes) -> None:
    page = visit.go("index.html")
    answer_with(page, "/suggestions", {"detail": "no model is published yet"}, status=503)
    choose(page, photo)
    expect(page.get_by_text("No model is published yet.", exact=True)).to_be_visible()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    is_answered(page)
    visit.forgive("503")


def test_a_reader_without_a_network_is_told_so_and_answered_once_it_is_back(
    visit: Visit, photo: bytes
) -> None:
    page = visit.go("index.html")
    expect(page.locator(".known-list")).to_be_visible()
    visit.context.set_offline(True)
    expect(page.locator("#offline")).to_contain_text("You are offline.")
    choose(page, photo)
    expect(page.get_by_role("heading", name="You are offline")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    assert visit.findings() == []
    visit.context.set_offline(False)
    is_answered(page)
    expect(page.locator("#offline")).to_be_empty()
    visit.forgive("ERR_INTERNET_DISCONNECTED")


def test_a_photo_that_takes_long_is_said_to_and_can_be_stopped(visit: Visit, photo: bytes) -> None:
    visit.page.clock.install()
    held = hold(visit.page, "/suggestions")
    page = visit.go("index.html")
    choose(page, photo)
    wait_until(page, lambda: held)
    expect(page.locator("#answer").get_by_text("Looking for it in the shops")).to_be_visible()
    page.clock.run_for(5_000)
    expect(page.locator("#answer").get_by_text("Still looking.")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#main")).to_have_attribute("data-state", "start")
    expect(page.get_by_role("button", name="Choose a photo")).to_be_focused()


# --- Browse


def titles(page: Page) -> list[str]:
    return page.locator(".card h3").all_inner_texts()


def test_categories_have_counts_and_narrow_the_products_down(visit: Visit) -> None:
    page = visit.go("browse.html")
    odd = page.locator(".categories a", has_text=re.compile("^odd"))
    expect(odd.locator(".count")).to_have_text("7")
    expect(page.locator(".card")).to_have_count(24)
    odd.click()
    expect(page.get_by_role("heading", name="7 products")).to_be_visible()
    expect(page.locator(".card")).to_have_count(7)
    expect(page).to_have_url(re.compile("category=odd"))
    expect(page.locator(".categories [aria-current]")).to_contain_text("odd")
    page.go_back()
    expect(page.locator(".card")).to_have_count(24)
    expect(page).not_to_have_url(re.compile("category"))
    page.go_forward()
    expect(page.get_by_role("heading", name="7 products")).to_be_visible()


def test_search_as_one_types_is_one_step_of_the_history(visit: Visit) -> None:
    page = visit.go("browse.html")
    expect(page.locator(".card")).to_have_count(24)
    page.get_by_role("searchbox").press_sequentially("skateb", delay=40)
    expect(page.locator(".card")).to_have_count(2)
    expect(page).to_have_url(re.compile("q=skateb$"))
    page.get_by_role("searchbox").press_sequentially("oard cru", delay=300)
    expect(page).to_have_url(re.compile(r"q=skateboard\+cru"))
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(page.locator(".card")).to_have_count(24)


def test_a_price_as_one_types_is_one_step_of_the_history(visit: Visit) -> None:
    page = visit.go("browse.html", shop="souk")
    expect(page.locator(".card")).to_have_count(4)
    page.get_by_role("textbox", name="From").press_sequentially("44", delay=400)
    expect(page).to_have_url(re.compile("min=44"))
    page.get_by_role("textbox", name="To").press_sequentially("46", delay=400)
    expect(page).to_have_url(re.compile("max=46"))
    expect(page.locator(".card")).to_have_count(1)
    page.go_back()
    expect(page).to_have_url(re.compile("min=44(?!.*max)"))
    page.go_back()
    expect(page).not_to_have_url(re.compile("min="))
    expect(page.get_by_role("textbox", name="From")).to_have_value("")
    expect(page.locator(".card")).to_have_count(4)


def test_an_older_search_is_stopped_and_never_shown(visit: Visit) -> None:
    page = visit.go("browse.html")
    expect(page.locator(".card")).to_have_count(24)
    held = hold(page, r"q=bonsai(&|$)")
    stopped: list[str] = []
    page.on("requestfailed", lambda request: stopped.append(request.url))
    page.get_by_role("searchbox").fill("bonsai")
    wait_until(page, lambda: held)
    page.get_by_role("searchbox").fill("skateboard")
    expect(page.locator(".card")).to_have_count(2)
    wait_until(page, lambda: stopped)
    assert "q=bonsai" in stopped[0]
    assert all("kateboard" in one for one in titles(page))


def test_filters_stand_in_the_address_and_a_link_can_be_shared(visit: Visit) -> None:
    page = visit.go("browse.html")
    shops = page.get_by_label("Shop").locator("option")
    expect(shops.filter(has_text=re.compile("^souk$"))).to_have_count(1)
    page.get_by_label("Shop").select_option("souk")
    expect(page.locator(".card")).to_have_count(4)
    page.get_by_label("Currency").select_option("EUR")
    page.get_by_role("textbox", name="From").fill("40")
    page.get_by_role("textbox", name="To").fill("50,00")
    expect(page).to_have_url(re.compile("min=40&max=50"))
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_label("In stock only").check()
    expect(page).to_have_url(re.compile("in_stock=true"))
    shared = page.url
    page.goto("about:blank")
    page.goto(shared)
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card h3")).to_have_text(["Copper Pot"])
    expect(page.get_by_role("textbox", name="From")).to_have_value("40")
    expect(page.get_by_label("In stock only")).to_be_checked()
    page.get_by_role("textbox", name="From").fill("cheap")
    expect(page.get_by_text("“cheap” is no price.")).to_be_visible()
    expect(page.get_by_role("textbox", name="From")).to_have_attribute("aria-invalid", "true")


def test_what_finds_nothing_tells_how_to_widen_it(visit: Visit) -> None:
    page = visit.go("browse.html", q="zebra", shop="souk", in_stock="true")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.get_by_role("button", name="Leave out “zebra”").click()
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("searchbox").fill("zebra")
    page.get_by_role("button", name="Clear everything").click()
    expect(page.locator(".card")).to_have_count(24)
    expect(page).to_have_url(re.compile(r"browse\.html$"))


def test_more_are_shown_page_by_page_and_the_keyboard_goes_on_with_them(visit: Visit) -> None:
    page = visit.go("browse.html")
    expect(page.locator(".card")).to_have_count(24)
    page.get_by_role("button", name="Show more").press("Enter")
    expect(page.locator(".card")).to_have_count(48)
    expect(page.locator(".card").nth(24).get_by_role("link")).to_be_focused()
    expect(page.locator("#announcer")).to_have_text("24 more products, 48 shown")
    assert len(set(page.locator(".card a").evaluate_all("all => all.map((a) => a.href)"))) == 48
    page.reload()
    expect(page.locator(".card")).to_have_count(48)


def test_a_failed_look_up_can_be_tried_again_and_goes_on_by_itself_when_back_online(
    visit: Visit,
) -> None:
    page = visit.go("browse.html")
    expect(page.locator(".card")).to_have_count(24)
    answer_with(page, "/products", {"detail": "it broke"}, status=500)
    page.get_by_label("In stock only").check()
    expect(page.get_by_text("It broke.", exact=True)).to_be_visible()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".card").first).to_be_visible()
    visit.context.set_offline(True)
    page.get_by_role("searchbox").fill("skateboard")
    expect(page.get_by_role("heading", name="You are offline")).to_be_visible()
    visit.context.set_offline(False)
    expect(page.locator(".card")).to_have_count(2)
    visit.forgive("500")
    visit.forgive("ERR_INTERNET_DISCONNECTED")


def test_what_takes_long_says_so(visit: Visit) -> None:
    visit.page.clock.install()
    held = hold(visit.page, r"/products\?")
    page = visit.go("browse.html")
    expect(page.get_by_text("Looking up products")).to_be_visible()
    wait_until(page, lambda: held)
    page.clock.run_for(5_000)
    expect(page.locator("#results").get_by_text("Still loading.")).to_be_visible()
    held[0].continue_()
    expect(page.locator(".card")).to_have_count(24)


def test_before_a_first_crawl_there_is_nothing_and_it_says_why(visit: Visit) -> None:
    nothing = {"products": [], "cursor": "", "count": 0, "listed_at": None}
    answer_with(visit.page, r"/products\?", nothing)
    answer_with(visit.page, "/categories", {"categories": [], "currencies": [], "mapped": []})
    page = visit.go("browse.html")
    expect(page.get_by_role("heading", name="No products yet")).to_be_visible()


def test_a_hundred_thousand_products_are_browsed_like_ten(
    visit: Visit, cloud: Cloud, tmp_path: Path
) -> None:
    many = [
        Product(
            item=Item(
                id=str(number), shop=f"shop {number % 40}", title=f"Thing {number:06d}",
                category=f"category {number % 300}", description="-", price_minor=number + 1,
                currency="EUR", availability="in_stock",
            )
        )
        for number in range(100_000)
    ]  # fmt: skip
    store = ListingStore(cloud["DataBucket"], tmp_path)
    before = store.current()
    store.build(many, [])
    start_anew(cloud)
    try:
        page = visit.go("browse.html")
        expect(page.get_by_role("heading", name="More than 1,000 products")).to_be_visible()
        expect(page.locator(".card")).to_have_count(24)
        expect(page.locator(".categories li")).to_have_count(13)
        page.get_by_role("button", name="All 300 categories").click()
        expect(page.locator(".categories li")).to_have_count(301)
        page.get_by_role("searchbox").fill("thing 09999")
        expect(page.get_by_role("heading", name="10 products")).to_be_visible()
        expect(page.locator(".card")).to_have_count(10)
        page.goto(page.url.partition("?")[0] + "?category=category+7")
        expect(page.get_by_role("heading", name="334 products")).to_be_visible()
        assert page.locator(".categories [aria-current]").inner_text().startswith("Category 7\n")
    finally:
        body = json.dumps(before).encode()
        client("s3").put_object(Bucket=cloud["DataBucket"], Key=CURRENT, Body=body)
        start_anew(cloud)


# --- A product


def test_a_product_is_compared_over_the_shops_each_currency_apart(visit: Visit) -> None:
    page = visit.go("product.html", id="bazaar:pot")
    expect(page.get_by_role("heading", level=1)).to_have_text("Copper Pot")
    rows = page.locator(".offers-table tbody tr")
    expect(rows).to_have_count(3)
    shops = [row.get_by_role("rowheader").locator(".shop").inner_text() for row in rows.all()]
    assert [shop.split()[0] for shop in shops] == ["souk", "bazaar", "alp"]
    expect(rows.nth(0)).to_contain_text("Cheapest in EUR")
    assert page.locator(".tag").count() == 1
    expect(rows.nth(2)).to_contain_text("CHF 1.00")
    expect(rows.nth(2)).to_contain_text("Out of stock")
    expect(page.get_by_text("In 3 shops, matched by barcode number")).to_be_visible()
    expect(page.get_by_text("not ranked against each other")).to_be_visible()
    link = rows.nth(0).locator("a.shop")
    assert (link.get_attribute("href"), link.get_attribute("rel")) == (
        "https://souk.example/p",
        "noopener noreferrer",
    )


def test_its_price_history_is_a_chart_and_a_table_with_what_waits_apart(visit: Visit) -> None:
    page = visit.go("product.html", id="bazaar:pot")
    figures = page.locator(".figures")
    expect(figures).to_contain_text("Lowest€49.00")
    expect(figures).to_contain_text("Highest€60.00")
    chart = page.get_by_role("img", name=re.compile("lowest €49.00, average €5.*, highest €60.00"))
    expect(chart.locator(".dot")).to_have_count(4)
    expect(chart.locator(".ring")).to_have_count(1)
    expect(page.get_by_text("Waits for a second look", exact=True)).to_be_visible()
    page.get_by_text("5 prices as a table").click()
    rows = page.locator("table.prices tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.nth(1)).to_contain_text("€9.90")
    expect(rows.nth(1)).to_contain_text("it may be another variant")


def test_a_product_leads_to_what_looks_like_it(visit: Visit) -> None:
    page = visit.go("browse.html", q=PHOTO_OF, shop=SHOP_ONE)
    page.locator(".card").get_by_role("link", name=PHOTO_OF).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(PHOTO_OF)
    expect(page).to_have_title(f"{PHOTO_OF} · Products Advisor")
    expect(page.locator(".offers-table tbody tr")).to_have_count(2)
    assert page.locator(".gallery img").evaluate(WIDTH) > 0
    similar = page.locator("#like .card")
    expect(similar.first).to_be_visible()
    names = similar.locator("h3").all_inner_texts()
    assert not any("kateboard" in name for name in names)  # its own offers stand above
    similar.first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(names[0])
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text(PHOTO_OF)


def test_a_product_that_is_gone_says_so(visit: Visit) -> None:
    page = visit.go("product.html", id=f"nobody:{MARKUP}")
    expect(page.get_by_role("heading", name="This product is gone")).to_be_visible()
    expect(page.get_by_text(MARKUP)).to_be_visible()
    expect(page.locator("#history-part")).to_be_hidden()
    visit.forgive("404")
    page.get_by_role("link", name="Browse all products").click()
    expect(page.locator(".card")).to_have_count(24)
    visit.go("product.html")
    expect(page.get_by_role("heading", name="No product was named")).to_be_visible()


def test_a_product_of_a_vanished_shop_is_shown_with_the_day_it_was_last_seen(visit: Visit) -> None:
    page = visit.go("product.html", id="vanished:clock")
    day = f"{NOW - timedelta(days=200):%b} {(NOW - timedelta(days=200)).day}"
    expect(page.get_by_text(f"vanished has not shown this product since {day}")).to_be_visible()
    expect(page.locator("#history")).to_contain_text("€99.00 since")
    expect(page.get_by_role("heading", name="Nothing like it")).to_be_visible()


def test_names_with_markup_are_text_and_their_addresses_no_links(visit: Visit) -> None:
    page = visit.go("product.html", id="bazaar:markup")
    expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
    expect(page.get_by_text("<script>document.title = 2</script>")).to_be_visible()
    expect(page.get_by_text("<u>Brand</u>")).to_be_visible()
    assert page.locator(".offers-table a").count() == 0
    expect(page).to_have_title(f"{MARKUP} · Products Advisor")
    page = visit.go("browse.html", shop="bazaar")
    expect(page.get_by_role("heading", name=MARKUP, exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="<i>odd</i> goods")).to_be_visible()


@pytest.mark.parametrize(
    ("product_id", "title", "price"),
    [
        ("bazaar:7", "Garden Hose", "No price shown"),
        ("souk:7", "Reading Lamp", "No price shown"),
        ("souk:gold", "Golden Palace", "€999,999,999,999.99"),
        ("souk:taler", "Coin Box", "ZZZ 12.50"),
    ],
)
def test_prices_of_nothing_absurd_ones_and_odd_currencies_break_no_page(
    visit: Visit, product_id: str, title: str, price: str
) -> None:
    """Two of them have one SKU for different goods."""
    page = visit.go("product.html", id=product_id)
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.locator(".offers-table tbody tr")).to_have_count(1)
    shown = page.locator(".offers-table tbody .price").inner_text()
    assert shown.replace("\N{NO-BREAK SPACE}", " ") == price
    seen = f"{price} since" if price[-1].isdigit() else "has shown no price so far."
    expect(page.locator("#history")).to_contain_text(seen)
    visit.go("browse.html", q=title)
    expect(page.locator(".card .price")).to_have_text(
        re.compile(re.escape(price.rpartition(" ")[2]))
    )


def test_a_category_with_one_product_is_browsed_and_has_nothing_like_it(visit: Visit) -> None:
    page = visit.go("browse.html", category="clocks")
    expect(page.get_by_role("heading", name="1 product", exact=True)).to_be_visible()
    expect(page.locator(".card")).to_have_count(1)


# --- Everybody


def focus_by_tab(page: Page, wanted: str, most: int = 30) -> None:
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
    raise AssertionError(f"{wanted} is not reached by Tab")


def test_a_photo_is_found_and_products_are_browsed_with_the_keyboard_alone(
    visit: Visit, photo: bytes
) -> None:
    choosers: list[FileChooser] = []

    def keep(chooser: FileChooser) -> None:
        choosers.append(chooser)

    visit.page.on("filechooser", keep)  # early: it takes effect a moment later
    page = visit.go("index.html")
    focus_by_tab(page, ".skip")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    focus_by_tab(page, "#choose")
    page.keyboard.press("Enter")
    wait_until(page, lambda: choosers)
    choosers[0].set_files(file_of(photo))
    is_answered(page)
    expect(page.locator("#answer")).to_be_focused()
    focus_by_tab(page, "h4 a")
    page.keyboard.press("Enter")
    expect(page.locator(".offers-table")).to_be_visible()
    focus_by_tab(page, "nav [href='./browse.html']")
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(24)
    focus_by_tab(page, "#words")
    page.keyboard.type("bonsai")
    expect(page.locator(".card").first).to_contain_text(re.compile("bonsai", re.IGNORECASE))
    expect(page.locator("#words")).to_be_focused()
    expect(page.locator("#in-stock")).to_be_visible()  # once the categories have come
    focus_by_tab(page, "#in-stock")
    page.keyboard.press("Space")
    expect(page).to_have_url(re.compile("in_stock=true"))
    expect(page.locator(".chip")).to_have_count(2)
    focus_by_tab(page, ".card a")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(
        re.compile("bonsai", re.IGNORECASE)
    )


@pytest.fixture
def visit_as(
    request: pytest.FixtureRequest, browser: Browser, cloud: Cloud, policy: str
) -> Iterator[Visit]:
    size, scheme = request.param
    visit = Visit(browser, cloud, policy, size=size, scheme=scheme)
    yield visit
    visit.close()


LOOKS = [(size, scheme) for size in (DESKTOP, PHONE) for scheme in ("light", "dark")]


@pytest.mark.parametrize("visit_as", LOOKS, indirect=True, ids=str)
def test_axe_finds_nothing_serious_and_nothing_stands_out_of_the_window(
    visit_as: Visit, photo: bytes
) -> None:
    visit, page = visit_as, visit_as.page
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        page.evaluate("document.fonts.ready")
        found[name] = visit.findings()
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        found[name] += [f"{wider} pixels wider than the window"] if wider > 0 else []

    visit.go("index.html")
    expect(page.get_by_role("button", name="Choose a photo")).to_be_visible()
    look("find")
    choose(page, photo)
    is_answered(page)
    look("found")
    visit.go("browse.html")
    expect(page.locator(".card")).to_have_count(24)
    page.locator("#narrow").evaluate("details => { details.open = true }")
    look("browse")
    visit.go("browse.html", q="zebra", min="5", currency="EUR")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    look("nothing")
    visit.go("product.html", id="bazaar:pot")
    expect(page.locator(".chart svg")).to_be_visible()
    expect(page.locator("#like")).not_to_have_attribute("aria-busy", "true")
    page.get_by_text("prices as a table").click()
    look("product")
    visit.go("product.html", id="vanished:clock")
    expect(page.locator(".notice")).to_be_visible()
    look("vanished")
    assert {name: one for name, one in found.items() if one} == {}
