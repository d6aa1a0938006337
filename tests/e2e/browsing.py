"""A person's browser on the deployed pages: headless Chromium, under the distribution's policy."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, expect, sync_playwright

from advisor.aws.clients import client
from local.cloud import Cloud
from local.screenshots import CHROMIUM, SIZES, chromium_path

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE_MS = 45_000  # a busy machine, a cold function
DESKTOP, PHONE = SIZES["desktop"], SIZES["phone"]
# A camera that shows a moving picture, and is allowed without a question.
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

KEPT_AS = "products-advisor.key"  # as web/src/signed.ts names it

# What a shop may call its goods.
MARKUP = '<img src=x onerror="document.title=1"> & <b>Lamp</b> "new"'

expect.set_options(timeout=PATIENCE_MS)


SAID = f"no Chromium on the PATH ({', '.join(CHROMIUM)}) for the tests of the pages"
# A mark, not a fixture: the stacks would be deployed first, which takes a minute.
NEEDS_CHROMIUM = pytest.mark.skipif(
    chromium_path() is None and not os.environ.get("CI"),
    reason=f"{SAID}: `apt-get install chromium`, or your system's way",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium; a test without one fails."""
    path = chromium_path()
    if path is None:
        pytest.fail(SAID)
    with sync_playwright() as playwright:
        # As root Chromium has no sandbox; it opens nothing but our own pages. A container's
        # shared memory may be too small for it.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", *FAKE_CAMERA]
        )
        yield browser
        browser.close()


def policy_of(cloud: Cloud) -> str:
    """The Content-Security-Policy that the deployed distribution sends.

    On the emulator pages, API and photos are of one origin, so 'self' stands for them all.
    """
    answer = requests.get(
        f"{cloud.emulator.url}/",
        headers={"Host": cloud["SiteUrl"].removeprefix("https://"), "X-Forwarded-Proto": "https"},
        timeout=30,
    )
    return answer.headers["Content-Security-Policy"]


class Visit:
    """One person's visit: a page, and what went wrong on it that a person would not see."""

    def __init__(
        self,
        browser: Browser,
        cloud: Cloud,
        policy: str,
        *,
        size: tuple[int, int] = DESKTOP,
        scheme: str = "light",
    ) -> None:
        self.folder = cloud.page_url.rpartition("/")[0]
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            locale="en-US",
            permissions=["camera"],
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.route(re.compile(r"\.html(\?|$)"), lambda route: _with_policy(route, policy))
        self.page: Page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))

    def go(self, page: str, **query: str) -> Page:
        """Open a page of the site."""
        search = f"?{urlencode(query)}" if query else ""
        self.page.goto(f"{self.folder}/{page}{search}")
        return self.page

    def signed_in(self) -> None:
        """Have the staff's pages find the key of somebody who has signed in; before `go`."""
        key = json.dumps({"accessKeyId": "test", "secretAccessKey": "test"})
        self.page.add_init_script(f"sessionStorage.setItem('{KEPT_AS}', '{key}')")

    def forgive(self, text: str) -> None:
        """Forget troubles that the test has made itself; there must be one."""
        kept = [one for one in self.troubles if text not in one]
        assert len(kept) < len(self.troubles), self.troubles
        self.troubles = kept

    def findings(self) -> list[str]:
        """What axe finds serious or worse."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: dict[str, Any] = self.page.evaluate("axe.run()")
        return [
            f"{one['id']}: {json.dumps([node['html'] for node in one['nodes'][:3]])}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    def close(self) -> None:
        """End the visit.

        Raises: AssertionError for errors in the console, and for what the policy forbade.
        """
        self.context.close()
        assert self.troubles == [], self.troubles

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.troubles.append(message.text)


def _with_policy(route: Route, policy: str) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, headers={**answer.headers, "content-security-policy": policy})


@contextmanager
def nobody_lists(cloud: Cloud) -> Iterator[None]:
    """The demo's shops are crawled each minute, and listed when a crawl ends: not meanwhile."""
    name = cloud["IndexFunction"]
    client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        client("lambda").delete_function_concurrency(FunctionName=name)


def file_of(photo: bytes, name: str = "mine.jpg") -> Any:
    return {"name": name, "mimeType": "image/jpeg", "buffer": photo}


def choose(page: Page, photo: bytes) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photo").click()
    chooser.value.set_files(file_of(photo))


def is_answered(page: Page) -> None:
    expect(page.locator("#main")).to_have_attribute("data-state", "answered")


def answer_with(page: Page, path: str, answer: Any, status: int = 200) -> None:
    """Have the page see another answer of the service than it would give."""
    kind = "application/json" if status == 200 else "application/problem+json"
    page.route(
        re.compile(path),
        lambda route: route.fulfill(status=status, content_type=kind, body=json.dumps(answer)),
    )


def hold(page: Page, path: str) -> list[Route]:
    """Keep the service's answers back; gives the requests that came so far."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route(re.compile(path), keep)
    return held


def wait_until(page: Page, true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not true():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
