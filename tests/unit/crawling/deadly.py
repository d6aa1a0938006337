"""A spider that another process can load, and that some pages kill."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from advisor.crawling.messages import Page
from advisor.crawling.spiders.base import ParsedPage
from advisor.crawling.stages import Stage


@dataclass(frozen=True)
class Deadly:
    """Dies of a page that says so, or is long at it; a link tells which process read the page."""

    base_url: str = "https://shop.test"
    name: str = "deadly"
    start_urls: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()

    def parse(self, page: Page) -> ParsedPage:
        if "die" in page.html:
            os.kill(os.getpid(), 9)
        tries, since = 0, time.monotonic()
        while "loop" in page.html and time.monotonic() < since + 30:
            try:
                with suppress(Exception):  # as spiders may
                    if "matching" in page.html:
                        re.fullmatch("(a+a+)+b", "a" * 26)
                    time.sleep(0.01)
            except BaseException:
                tries += 1
                if "all" not in page.html or tries > 1:
                    raise
        sys.stdout.write("a spider that prints\n")
        return ParsedPage(requests=(f"https://shop.test/{os.getpid()}",))
