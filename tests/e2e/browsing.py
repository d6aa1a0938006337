"""A person's browser on the deployed pages: headless Chromium, under the distribution's policy."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
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
        assert self.troubles == []

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
