"""What a host's robots.txt asks of us (RFC 9309, with the common Crawl-delay)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from protego import Protego

from advisor.crawling.crawl_settings import USER_AGENT
from advisor.crawling.messages import Response
from advisor.errors import FetchError

MAX_BYTES = 500 * 1024  # RFC 9309 section 2.5: at least this much is read; the rest is ignored
MAX_DELAY_S = 300.0  # a longer Crawl-delay means "go away", and would hold a crawl for ever


@dataclass(frozen=True)
class Robots:
    """The rules of one host. text: its robots.txt; "" allows all. agent: the name we go by."""

    text: str
    agent: str = USER_AGENT

    @cached_property
    def _rules(self) -> Protego:
        return Protego.parse(self.text)

    @cached_property
    def _name(self) -> str:
        return re.split(r"[/\s]", self.agent, maxsplit=1)[0]

    def allows(self, url: str) -> bool:
        """Whether we may fetch the address."""
        return not self.text or bool(self._rules.can_fetch(url, self._name))

    @cached_property
    def delay_s(self) -> float:
        """The gap the host asks for between two requests, in seconds; 0 if it asks for none."""
        asked = self._rules.crawl_delay(self._name) if self.text else None
        return min(max(float(asked or 0), 0.0), MAX_DELAY_S)


ALLOW_ALL = Robots("")


def read_robots(response: Response) -> Robots:
    """The rules in an answer for /robots.txt.

    No such file (4xx) allows all; a page in its place (HTML) does too.
    Raises: FetchError, retryable, for 429 and 5xx: RFC 9309 says to stay away meanwhile.
    """
    if response.status == 429 or response.status >= 500:
        raise FetchError(
            f"{response.url} answered {response.status}",
            reason=f"http {response.status}",
            retryable=True,
        )
    if response.status != 200 or response.content_type == "text/html":
        return ALLOW_ALL
    text = response.body[:MAX_BYTES].decode("utf-8", "replace")
    return Robots(text.replace("\x00", "").lstrip("\ufeff"))
