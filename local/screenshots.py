"""`make screenshots`: a picture of each page, light and dark, desktop and phone.

Of the demo's stacks, which it deploys first, or with --url of a site that runs already.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
from playwright.sync_api import Browser, FilePayload, Page, sync_playwright
from rich.console import Console
from rich.progress import Progress

from advisor.aws.clients import table
from advisor.catalog.products import PricePoint
from advisor.errors import AdvisorError, UsageError
from local import demo as demos
from local.lock import only_one
from local.processes import interrupt_on_signals

FOLDER: Final = demos.BUILD / "screenshots"
CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")
SIZES: Final = {"desktop": (1280, 860), "phone": (390, 844)}
TIMEOUT_MS: Final = 60_000
# They load as they come into view, and are decoded after they have.
LOAD_PHOTOS: Final = """Promise.all([...document.images].filter((one) => one.src).map((one) => {
    one.loading = "eager";
    one.decoding = "sync";
    return one.decode();
}))"""
# What the photographed product cost before: days ago, minor units; the last one is doubtful.
EARLIER: Final = ((170, 2999), (128, 2799), (92, 3199), (80, 2899), (41, 2599))
DOUBTFUL: Final = (12, 990)


def chromium_path() -> str | None:
    """This machine's own Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


def find_by_photo(page: Page) -> None:
    """The demo's photo, answered."""
    photo = FilePayload(name="a.jpg", mimeType="image/jpeg", buffer=demos.photo_of_a_visitor())
    page.locator("#file").set_input_files(photo)
    page.wait_for_selector("[data-state=answered]")


def narrowed(page: Page) -> None:
    """A search with a filter."""
    page.wait_for_selector(".card")
    page.get_by_role("searchbox").fill("chair")
    page.wait_for_selector(".chip")


def first_product(page: Page) -> None:
    """The product on the demo's photo."""
    page.get_by_role("link", name=demos.PHOTO_OF).first.click()
    page.wait_for_selector("#like .card")


def sign_in(page: Page) -> None:
    """As the staff; the emulator takes any key."""
    page.get_by_label("Access key ID").fill("test")
    page.get_by_label("Secret access key").fill("test")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_selector("#sign-out:not([hidden])")


def something_to_review(page: Page) -> None:
    """The first of what waits for a person, or that nothing does."""
    sign_in(page)
    page.wait_for_selector("#task h2")
    page.wait_for_selector("#decided :is(li, p)")


def operations(page: Page) -> None:
    """Model, crawls and days."""
    sign_in(page)
    for place in ("#model table", "#crawls table", "#days svg"):
        page.wait_for_selector(place, state="attached")


def asked_for_a_photo(page: Page) -> None:
    """The first page, which names what the model knows."""
    page.wait_for_selector(".known-list", state="attached")


def as_it_is(_page: Page) -> None:
    """The page as it opens."""


# Name of the picture: the page's address, and what is done on it.
PICTURES: Final[dict[str, tuple[str, Callable[[Page], None]]]] = {
    "find": ("index.html", asked_for_a_photo),
    "found": ("index.html", find_by_photo),
    "browse": ("browse.html", as_it_is),
    "search": ("browse.html", narrowed),
    "nothing": ("browse.html?q=zebra&in_stock=true", as_it_is),
    "product": (f"browse.html?q={demos.PHOTO_OF.replace(' ', '+')}", first_product),
    "gone": ("product.html?id=nobody:1", as_it_is),
    "sign-in": ("review.html", as_it_is),
    "review-photos": ("review.html", something_to_review),
    "review-matches": ("review.html#matches", something_to_review),
    "review-categories": ("review.html#categories", something_to_review),
    "operations": ("operations.html", operations),
}


@click.command()
@click.option("--url", default="", help="Folder of a site that runs; default: deploy the demo.")
@click.option("--only", default="", help="Name of one picture.")
def main(url: str, only: str) -> None:
    """Make pictures of the pages in build/screenshots.

    Example: python -m local.screenshots --only browse
    """
    interrupt_on_signals()
    if only and only not in PICTURES:
        raise click.BadParameter(f"{only!r}; expected one of {', '.join(PICTURES)}")
    try:
        with ExitStack() as stack:
            folder = url.rpartition("/")[0] if url.endswith(".html") else url.rstrip("/")
            folder = folder or deployed(stack)
            for path in take(folder, [only] if only else list(PICTURES)):
                print(path.relative_to(demos.ROOT))
    except AdvisorError as error:
        print(f"screenshots: {error}", file=sys.stderr)
        sys.exit(1)


def deployed(stack: ExitStack) -> str:
    """Deploy the demo until the stack closes; where its site is.

    Raises: UsageError if a demo runs already.
    """
    stack.enter_context(only_one(demos.FOLDER, "a demo"))
    progress = Progress(console=Console(stderr=True), disable=True)
    demo = demos.Demo(stack, progress)
    for name, step in demos.STEPS:
        if step is not demos.schedule:
            demo.run(name, step)
    tell_history(demo)
    return demo.cloud.page_url.rpartition("/")[0]


def tell_history(demo: demos.Demo) -> None:
    """Earlier prices of the product on the photo, as months of crawls would have found them."""
    products = table(demo.cloud["ProductsTable"]).scan()["Items"]
    [product_id] = [
        str(row["product_id"])
        for row in products
        if row["title"] == demos.PHOTO_OF and row["shop"] == demos.SHOP_ONE
    ]
    states = [(*one, "") for one in EARLIER] + [(*DOUBTFUL, "quarantined")]
    for days, price, state in states:
        then = datetime.now(UTC) - timedelta(days=days)
        point = PricePoint(
            observed_at=then.isoformat(timespec="seconds"),
            price_minor=price,
            currency="EUR",
            state=state,
        )
        table(demo.cloud["PricesTable"]).put_item(
            Item={"product_id": product_id, **point.to_dict()}
        )


def take(folder: str, names: list[str]) -> list[Path]:
    """The pictures of a site, each in light and dark, on a desktop and a phone.

    Raises: UsageError if this machine has no Chromium.
    """
    path = chromium_path()
    if path is None:
        raise UsageError(
            "no Chromium on the PATH: `apt-get install chromium`, or your system's way"
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # As root Chromium has no sandbox; it opens nothing but our own pages.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        taken = [
            _picture(browser, folder, name, size=size, dark=dark)
            for name in names
            for size in SIZES
            for dark in (False, True)
        ]
        browser.close()
    return taken


def _picture(browser: Browser, folder: str, name: str, *, size: str, dark: bool) -> Path:
    address, prepare = PICTURES[name]
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        has_touch=size == "phone",
        is_mobile=size == "phone",
        reduced_motion="reduce",
        locale="en-US",
    )
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto(f"{folder}/{address}")
    prepare(page)
    page.wait_for_function("!document.querySelector('[aria-busy=true]')")
    page.evaluate(LOAD_PHOTOS)
    path = FOLDER / f"{name}-{size}-{'dark' if dark else 'light'}.png"
    page.screenshot(path=path, full_page=True)
    context.close()
    return path


if __name__ == "__main__":
    main()
