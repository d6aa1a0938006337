"""The pages of the staff as a person uses them: reviews by one key each, operations."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect

from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import table
from advisor.aws.days import DayTable
from advisor.aws.doubts import DoubtStore
from advisor.aws.labels import LabelRow, LabelTable
from advisor.aws.reviews import CATEGORY, MATCH, PHOTO, ReviewTable
from advisor.catalog.doubts import Doubt
from advisor.catalog.pins import category_id, match_id
from advisor.vision.classification import Classification, Label
from local.cloud import Cloud
from local.demo import SHOP_ONE, SHOP_TWO, Demo
from tests.e2e.browsing import DESKTOP, MARKUP, PHONE, Visit, answer_with, nobody_lists

KEPT = {"kind": "photo", "about": "-", "said": "-", "by": "-", "at": "", "seen": {}}
RUNNING = {
    "run_id": "r", "shop": "bazaar", "status": "running", "finish_reason": "", "started_at": "",
    "pages": 1, "items": 0, "photos": 0, "errors": 0, "todo": 9, "errors_by_reason": {},
    "dropped_by_reason": {},
}  # fmt: skip
DECIDED = KEPT | {"said": "hat", "at": "2026-11-22T00:00:00Z", "seen": {"label": "hat"}}
NOTHING = {"photos": [], "waiting": 0, "labels": [], "model_version": ""}


@pytest.fixture(scope="module")
def reviews(cloud: Cloud) -> Iterator[ReviewTable]:
    """The decisions; those that the tests leave are taken away."""
    reviews = ReviewTable(cloud["ReviewsTable"])
    yield reviews
    for kind in (PHOTO, MATCH, CATEGORY):
        for one in list(reviews.all(kind)):
            reviews.remove(kind, one.about)


@pytest.fixture(scope="module")
def unsure(browser: Browser, demo: Demo, cloud: Cloud) -> Iterator[list[str]]:
    """Two photos that the model in use is less sure of than of any other: their ids."""
    del browser  # without one nothing needs to be deployed
    labels = LabelTable(cloud["LabelsTable"])
    stored = table(cloud["LabelsTable"]).scan()["Items"]
    example = next(
        row for row in stored if row.get("product_id") and len(row.get("labels", ())) > 1
    )
    names = [str(one["label"]) for one in example["labels"]]
    rows = [
        LabelRow(
            image_id=hashlib.sha256(f"staff {number}".encode()).hexdigest(),
            bucket=str(example["bucket"]),
            key=str(example["key"]),
            classified_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            product_id=str(example["product_id"]),
            classification=Classification(
                image_id=hashlib.sha256(f"staff {number}".encode()).hexdigest(),
                model_version=demo.version,
                labels=(Label(names[0], 0.0002 + number / 1e4), Label(names[1], 0.0001)),
                unknown=True,
            ),
        )
        for number in range(2)
    ]
    for row in rows:
        labels.put(row)
    yield [row.image_id for row in rows]
    for row in rows:
        key = {"image_id": row.image_id, "model_version": demo.version}
        table(labels.name).delete_item(Key=key)


@pytest.fixture(scope="module")
def doubtful(browser: Browser, cloud: Cloud) -> Iterator[tuple[str, str]]:
    """One doubtful pair of offers of the two shops: their ids."""
    del browser
    products = sorted(one.product_id for one in CatalogTables(cloud["ProductsTable"]).all())
    first, second = (
        next(one for one in products if one.startswith(f"{shop}:")) for shop in (SHOP_ONE, SHOP_TWO)
    )
    one, other = sorted((first, second))
    store = DoubtStore(cloud["DataBucket"])
    with nobody_lists(cloud):  # which would publish other doubts
        store.publish([Doubt(one=one, other=other, reason="gtin", why="names differ", score=0.5)])
        yield one, other
        store.publish([])


def sign_in(visit: Visit, page: str) -> Page:
    shown = visit.go(page)
    shown.get_by_label("Access key ID").fill("test")
    shown.get_by_label("Secret access key").fill("test")
    shown.get_by_role("button", name="Sign in").click()
    expect(shown.get_by_role("button", name="Sign out")).to_be_visible()
    return shown


def test_nothing_is_shown_before_somebody_signs_in_and_nothing_is_kept_after(visit: Visit) -> None:
    page = visit.go("review.html")
    expect(page.locator("#desk")).to_be_hidden()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("The access key ID is missing.")
    page.get_by_label("Access key ID").fill("test")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The secret access key is missing.")
    assert visit.findings() == []
    page.get_by_label("Secret access key").fill("very secret")
    page.keyboard.press("Enter")
    expect(page.locator("#desk")).to_be_visible()
    assert "secret" not in page.url
    assert "very secret" in str(page.evaluate("JSON.stringify(sessionStorage)"))
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    kept = "JSON.stringify([sessionStorage, localStorage, document.cookie])"
    assert "secret" not in str(page.evaluate(kept))


def test_a_key_that_is_not_accepted_is_told_in_a_sentence(visit: Visit) -> None:
    page = visit.go("operations.html")
    page.route(
        re.compile("/crawls"),
        lambda route: route.fulfill(status=403, json={"message": "Forbidden"}),
    )
    page.get_by_label("Access key ID").fill("AKIAWRONG")
    page.get_by_label("Secret access key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "This key is not accepted for /crawls. Check the key"
    )
    expect(page.locator("#desk")).to_be_hidden()
    visit.forgive("403")


def test_what_a_key_may_not_call_is_told_in_its_place_and_the_key_is_kept(visit: Visit) -> None:
    """Somebody who may review opens the other page, with the same key."""
    page = sign_in(visit, "review.html")
    page.route(
        re.compile("/(crawls|days|why)"),
        lambda route: route.fulfill(status=403, json={"message": "Forbidden"}),
    )
    visit.go("operations.html")
    for place, route in (("#crawls", "/crawls"), ("#days", "/days")):
        expect(page.locator(place)).to_contain_text(f"This key is not accepted for {route}")
    expect(page.locator("#days")).to_contain_text("its policy allows execute-api:Invoke there")
    page.get_by_label("Address of a page or photo").fill("https://one.example/")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#why")).to_contain_text("This key is not accepted for /why")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    visit.go("review.html")
    expect(page.locator("#desk")).to_be_visible()
    visit.forgive("403")


def test_a_crawl_that_a_key_may_not_pause_is_said_so(visit: Visit) -> None:
    visit.page.route(
        re.compile("/crawls$"),
        lambda route: route.fulfill(json={"crawls": [RUNNING]}),
    )
    visit.page.route(
        re.compile("/pause$"),
        lambda route: route.fulfill(status=403, json={"message": "Forbidden"}),
    )
    page = sign_in(visit, "operations.html")
    page.get_by_role("button", name="Pause the crawl of bazaar").click()
    expect(page.get_by_role("alert")).to_contain_text("This key is not accepted for /crawls.")
    expect(page.get_by_role("rowheader", name="bazaar")).to_be_visible()
    visit.forgive("403")


def test_a_match_stays_that_comes_while_the_decision_on_a_photo_is_sent(
    visit: Visit, unsure: list[str], doubtful: tuple[str, str]
) -> None:
    assert unsure
    assert doubtful
    page = sign_in(visit, "review.html")
    expect(page.get_by_role("heading", name="What does this photo show?")).to_be_visible()
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(re.compile("/reviews/photos/"), keep)
    with page.expect_request(re.compile("/reviews/photos/")):
        page.keyboard.press("Enter")
    page.get_by_role("link", name="Same product?").click()
    expect(page.get_by_role("heading", name="Are these the same product?")).to_be_visible()
    held[0].fulfill(json=KEPT)
    expect(page.locator("#announcer")).to_contain_text("Kept")
    expect(page.locator(".side")).to_have_count(2)
    expect(page.locator("#progress")).to_have_text("1 to go")


def test_undo_after_the_list_came_anew_counts_right(visit: Visit, unsure: list[str]) -> None:
    page = visit.page
    pages = iter(range(2))

    def one_at_a_time(route: Route) -> None:
        found = route.fetch().json()
        at = next(pages)
        route.fulfill(json=found | {"photos": found["photos"][at : at + 1], "waiting": 2 - at})

    assert len(unsure) == 2
    page.route(re.compile(r"/reviews/photos\?"), one_at_a_time)
    page.route(
        re.compile("/reviews/photos/"),
        lambda route: route.fulfill(
            json=KEPT if route.request.method == "POST" else {"undone": True}
        ),
    )
    sign_in(visit, "review.html")
    expect(page.locator("#progress")).to_have_text("2 to go")
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_have_text("1 to go")
    page.keyboard.press("u")
    expect(page.locator("#progress")).to_have_text("2 to go")


def test_photos_are_confirmed_corrected_and_undone_by_one_key_each(
    visit: Visit, unsure: list[str], reviews: ReviewTable
) -> None:
    page = sign_in(visit, "review.html")
    expect(page.get_by_role("heading", name="What does this photo show?")).to_be_visible()
    photo = page.locator(".task img")
    expect(photo).to_be_visible()
    assert photo.evaluate("async (one) => (await one.decode(), one.naturalWidth)") > 0
    assert visit.findings() == []
    guess, second = (page.locator(".choice .label").nth(at).text_content() for at in (0, 1))
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_contain_text("1 decision now")
    first = reviews.get(PHOTO, unsure[0])
    assert first and (first.said, first.seen["label"]) == (guess, guess)
    expect(page.locator("#decided li").first).to_contain_text("as the model thought")
    expect(page.locator("#decided li").first).to_contain_text("Waits for the next training")
    page.keyboard.press(page.locator(".choice").nth(1).get_attribute("data-key") or "")
    expect(page.locator("#progress")).to_contain_text("2 decisions now")
    corrected = reviews.get(PHOTO, unsure[1])
    assert corrected and corrected.said == second
    page.keyboard.press("u")
    expect(page.locator("#progress")).to_contain_text("1 decision now")
    assert reviews.get(PHOTO, unsure[1]) is None
    page.keyboard.press("c")
    expect(page.get_by_label("Something else")).to_be_focused()
    page.get_by_label("Something else").select_option(index=1)
    chosen = page.get_by_label("Something else").input_value()
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("#progress")).to_contain_text("2 decisions now")
    again = reviews.get(PHOTO, unsure[1])
    assert again and again.said == chosen
    expect(page.locator("#decided li")).to_have_count(2)  # the latest first
    page.get_by_role("button", name=re.compile("^Undo: ")).first.click()
    expect(page.locator("#decided li")).to_have_count(1)
    assert reviews.get(PHOTO, unsure[1]) is None


def test_what_cannot_be_kept_is_told_and_the_photo_stays(visit: Visit, unsure: list[str]) -> None:
    page = sign_in(visit, "review.html")
    expect(page.locator(".task")).to_be_visible()
    page.route(re.compile("/reviews/photos/"), lambda route: route.abort())
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    expect(page.locator(".task")).to_be_visible()
    assert len(unsure) == 2
    visit.forgive("ERR_FAILED")


def test_an_undo_of_the_list_that_fails_is_told_and_the_sitting_goes_on(
    visit: Visit, unsure: list[str]
) -> None:
    assert len(unsure) == 2
    visit.page.route(
        re.compile(r"/reviews/decisions"),
        lambda route: route.fulfill(json={"decisions": [DECIDED]}),
    )
    visit.page.route(
        re.compile("/reviews/photos/"),
        lambda route: route.fulfill(json=KEPT) if route.request.method == "POST" else route.abort(),
    )
    page = sign_in(visit, "review.html")
    expect(page.locator(".task")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_contain_text("1 decision now")
    page.get_by_role("button", name="Undo: hat").click()
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    expect(page.locator(".task")).to_be_visible()
    expect(page.locator("#progress")).to_contain_text("1 decision now")
    visit.forgive("ERR_FAILED")


def test_a_doubtful_match_is_decided_by_one_key(
    visit: Visit, doubtful: tuple[str, str], reviews: ReviewTable
) -> None:
    page = sign_in(visit, "review.html")
    page.get_by_role("link", name="Same product?").click()
    expect(page.get_by_role("heading", name="Are these the same product?")).to_be_visible()
    expect(page.locator(".side")).to_have_count(2)
    expect(page.locator(".task")).to_contain_text("The same barcode number, but names differ.")
    assert visit.findings() == []
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="Nothing to review")).to_be_visible()
    known = match_id(*doubtful)
    decision = reviews.get(MATCH, known)
    assert decision and decision.said == "different"
    expect(page.locator("#decided li").first).to_contain_text("is not")
    page.get_by_role("button", name="Undo the last").click()
    expect(page.get_by_role("heading", name="Are these the same product?")).to_be_visible()
    page.keyboard.press("y")
    expect(page.get_by_role("heading", name="Nothing to review")).to_be_visible()
    decision = reviews.get(MATCH, known)
    assert decision and decision.said == "same"


def test_a_shops_category_is_pinned_with_its_evidence_in_sight_and_unpinned(
    visit: Visit, cloud: Cloud, reviews: ReviewTable
) -> None:
    visit.signed_in()
    page = visit.go("review.html")
    page.get_by_role("link", name="Categories").click()
    rows = page.locator(".mapping")
    mapped = DoubtStore(cloud["DataBucket"]).mapped()
    expect(rows).to_have_count(len(mapped))
    for shop in (SHOP_ONE, SHOP_TWO):
        expect(rows.filter(has_text=shop).first).to_be_visible()
    one = next(one for one in mapped if one.shop == SHOP_ONE and one.evidence)
    row = rows.filter(has_text=SHOP_ONE).filter(
        has=page.get_by_role("heading", name=one.category, exact=True)
    )
    expect(row.locator(".bars li").first).to_contain_text(one.evidence[0].label)
    expect(row.locator(".bars li").first).to_contain_text(re.compile(r"\d+% · \d+ product"))
    assert visit.findings() == []
    said = row.get_by_role("combobox", name=f"What {one.category} of {SHOP_ONE} is")
    expect(said).to_have_value(one.unified)
    said.fill(" things  to play with")
    said.press("Enter")
    expect(row.locator(".tag")).to_have_text("Pinned")
    expect(row.get_by_role("button", name="Unpin")).to_be_focused()
    expect(row).to_contain_text(f"Listed as “{one.unified}” until the list is made anew")
    known = category_id(SHOP_ONE, one.category)
    decision = reviews.get(CATEGORY, known)
    assert decision and decision.said == "things to play with"
    expect(page.locator("#decided li").first).to_contain_text("is things to play with")
    assert visit.findings() == []
    page.reload()
    expect(row.locator(".tag")).to_have_text("Pinned")
    row.get_by_role("button", name="Unpin").click()
    expect(said).to_have_value(one.unified)
    assert reviews.get(CATEGORY, known) is None
    row.get_by_role("button", name="Pin").click()
    expect(row.locator(".tag")).to_have_text("Pinned")
    page.keyboard.press("u")  # takes the last one back
    expect(row.locator(".tag")).to_have_count(0)
    assert reviews.get(CATEGORY, known) is None
    said.press("Enter")
    page.get_by_role("button", name=re.compile("^Undo: ")).first.click()
    expect(page.locator("#decided")).to_have_text("Nothing yet.")
    assert reviews.get(CATEGORY, known) is None
    expect(row.locator(".tag")).to_have_count(0)


def test_a_pin_that_cannot_be_kept_is_told_in_its_row(visit: Visit) -> None:
    visit.signed_in()
    page = visit.go("review.html#categories")
    row = page.locator(".mapping").first
    expect(row).to_be_visible()
    page.route(re.compile("/reviews/categories$"), lambda route: route.abort())
    row.get_by_role("button", name="Pin").click()
    expect(row.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    expect(row.locator(".tag")).to_have_count(0)
    visit.forgive("ERR_FAILED")


def test_categories_before_a_first_crawl_and_more_of_them_than_are_shown(visit: Visit) -> None:
    visit.signed_in()
    answer_with(visit.page, r"/reviews/categories\?", {"categories": [], "count": 0, "names": []})
    page = visit.go("review.html#categories")
    expect(page.get_by_role("heading", name="No categories yet")).to_be_visible()
    page.unroute_all()
    one = {
        "category_id": "0" * 32, "shop": "bazaar", "category": MARKUP, "unified": MARKUP,
        "listed": MARKUP, "share": 0.0, "pinned": False, "evidence": [],
    }  # fmt: skip
    answer_with(
        page, r"/reviews/categories\?", {"categories": [one], "count": 12_000, "names": [MARKUP]}
    )
    page.reload()
    expect(page.get_by_role("heading", name=MARKUP, exact=True)).to_have_text(MARKUP)
    expect(page.locator("#progress")).to_have_text("12,000 categories; the 1 least sure")
    expect(page.get_by_text("No photo tells: it keeps its own name.")).to_be_visible()


def test_nothing_to_review_is_said_so(visit: Visit) -> None:
    visit.page.route(re.compile("/reviews/photos"), lambda route: route.fulfill(json=NOTHING))
    page = sign_in(visit, "review.html")
    expect(page.get_by_role("heading", name="Nothing to review")).to_be_visible()
    expect(page.get_by_text("No photos wait for a person.")).to_be_visible()


def test_operations_show_the_model_the_crawls_and_the_days(
    visit: Visit, demo: Demo, cloud: Cloud
) -> None:
    page = visit.go("operations.html")
    expect(page.locator("#model")).to_contain_text(demo.version)
    expect(page.get_by_role("table", name="Each row is what the photos show")).to_be_visible()
    page = sign_in(visit, "operations.html")
    crawls = page.get_by_role("region", name="Crawls")
    for shop in demo.runs:
        expect(crawls.get_by_role("rowheader", name=shop).first).to_be_visible()
    expect(crawls.get_by_role("row").nth(1)).to_contain_text("finished")
    crawls.locator("summary").first.click()
    expect(crawls.locator(".reasons").first).to_contain_text(re.compile(r"\w+: \d+"))
    days = DayTable(cloud["DaysTable"]).since(datetime(2026, 1, 1, tzinfo=UTC).date())
    assert sum(one.classified for one in days) > 0
    count = sum(one.classified for one in days)
    expect(page.locator("#days")).to_contain_text(f"of {count:,} photos")
    expect(page.get_by_role("img", name="Share of unsure photos by day")).to_be_visible()
    page.get_by_text("As a table").click()
    expect(page.get_by_role("region", name="Photos by day")).to_contain_text(demo.version)
    assert visit.findings() == []


def test_before_a_first_crawl_a_first_photo_and_a_first_model_operations_say_so(
    visit: Visit,
) -> None:
    visit.signed_in()
    page = visit.page
    answer_with(page, "/crawls$", {"crawls": []})
    answer_with(page, r"/days\?", {"days": []})
    answer_with(page, "/model/evaluation$", {"detail": "no model is published yet"}, status=503)
    visit.go("operations.html")
    for said in ("No crawls yet", "No photos yet", "No model is in use yet"):
        expect(page.get_by_role("heading", name=said)).to_be_visible()
    assert visit.findings() == []
    visit.forgive("503")


def test_crawls_running_paused_and_failed_are_told_apart_on_a_phone_too(visit: Visit) -> None:
    page = visit.page
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    failed = {"status": "failed", "finish_reason": "too many failures", "pages": 12_345}
    failed |= {"errors": 1_204, "errors_by_reason": {"http 404": 1_200, "timeout": 4}}
    runs = [
        RUNNING,
        RUNNING | {"run_id": "p", "shop": "souk", "status": "paused"},
        RUNNING | {"run_id": "f", "shop": MARKUP, "todo": 0, **failed},
    ]
    answer_with(page, "/crawls$", {"crawls": runs})
    visit.signed_in()
    visit.go("operations.html")
    rows = page.locator(".runs tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("running")
    expect(rows.nth(1).get_by_role("button", name="Resume the crawl of souk")).to_be_visible()
    expect(rows.nth(2)).to_contain_text("failed: too many failures")
    expect(rows.nth(2)).to_contain_text("12,345")
    expect(rows.nth(2).get_by_role("button")).to_have_count(0)
    rows.nth(2).locator("summary").click()
    expect(rows.nth(2).locator(".reasons li")).to_have_text(["http 404: 1200", "timeout: 4"])
    assert visit.findings() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_why_a_page_was_or_was_not_fetched_is_answered(
    visit: Visit, demo: Demo, cloud: Cloud
) -> None:
    product = next(iter(CatalogTables(cloud["ProductsTable"]).all()))
    page = sign_in(visit, "operations.html")
    address = page.get_by_label("Address of a page or photo")
    address.fill("not an address")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#why")).to_contain_text("Give a whole address")
    address.fill(product.item.url)
    page.keyboard.press("Enter")
    expect(page.locator("#why li").first).to_contain_text("fetched at")
    expect(page.locator("#why li").nth(1)).to_contain_text("found on")
    address.fill("https://unheard-of.example/p/1")
    page.keyboard.press("Enter")
    expect(page.locator("#why")).to_contain_text("No crawl is known of the site")
    assert demo.version
    visit.forgive("404")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_both_pages_are_for_everyone(
    browser: Browser, cloud: Cloud, policy: str, unsure: list[str], size: tuple[int, int]
) -> None:
    """axe finds nothing serious, in the dark too, and nothing is wider than the screen."""
    visit = Visit(browser, cloud, policy, size=size, scheme="dark")
    assert unsure
    for name, ready in (("review.html", ".task"), ("operations.html", "#days svg")):
        page = visit.go(name)
        if page.get_by_label("Access key ID").count():
            page = sign_in(visit, name)
        expect(page.locator(ready)).to_be_visible()
        assert visit.findings() == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], name
    visit.close()


def test_the_service_says_who_may_not_look(cloud: Cloud) -> None:
    """The emulator lets in whoever signs; without a signature nobody is."""
    for path in ("reviews/photos", "reviews/matches", "reviews/decisions", "days", "why"):
        answer = requests.get(f"{cloud.api_url}/{path}", timeout=30)
        assert answer.status_code == 403, path
        assert "photos" not in json.dumps(answer.json())
