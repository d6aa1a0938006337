"""The shops to crawl on a schedule, as cdk.json lists them under `shops`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# What EventBridge Scheduler takes; the fields of a cron expression are its own to check.
SCHEDULE = re.compile(
    r"rate\((1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))\)"
    r"|cron\(\S+( \S+){5}\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)"
)
_TEXTS = ("spider", "schedule", "base_url", "shop")
# As `advisor.aws.start_crawl` takes them; a test compares the two. It checks the values, too.
SETTINGS = (
    "delay_s",
    "jitter",
    "concurrency",
    "max_attempts",
    "max_depth",
    "max_items",
    "max_pages",
    "max_bytes",
    "max_seconds",
    "min_items_a_minute",
    "min_photo_px",
    "sitemap",
)


class ShopsError(Exception):
    """`shops` cannot be used; the text is one sentence for whoever wrote it."""


@dataclass(frozen=True, kw_only=True)
class ScheduledShop:
    """A crawl and when it starts. base_url, shop: "" for the spider's own. limit: 0 for all.

    settings: of each of its runs, as `advisor crawl --remote start -s NAME=VALUE`.
    """

    spider: str
    schedule: str
    base_url: str = ""
    shop: str = ""
    limit: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What the schedule is called."""
        return self.shop or self.spider

    @property
    def event(self) -> dict[str, Any]:
        """What start_crawl is called with."""
        given = {
            "base_url": self.base_url,
            "shop": self.shop,
            "limit": self.limit,
            "settings": self.settings,
        }
        kept = {name: value for name, value in given.items() if value}
        return {"spider": self.spider, **kept, "trigger": "schedule"}


def read_shops(value: object) -> list[ScheduledShop]:
    """The entries of `shops`.

    Raises: ShopsError naming the entry and what is wrong with it.
    """
    if not isinstance(value, list):
        raise ShopsError(f"shops is {value!r}; expected a list")
    shops = [_read(entry, f"shops[{number}]") for number, entry in enumerate(value)]
    titles = [shop.title for shop in shops]
    for title in titles:
        if titles.count(title) > 1:
            raise ShopsError(f'shops has {title!r} twice; give one of them another "shop"')
    return shops


def _read(entry: object, place: str) -> ScheduledShop:
    if not isinstance(entry, dict):
        raise ShopsError(f"{place} is {entry!r}; expected an object")
    known = (*_TEXTS, "limit", "settings")
    for name, value in entry.items():
        if name not in known:
            raise ShopsError(f"{place} has {name!r}; expected {', '.join(known)}")
        if name in _TEXTS and not (isinstance(value, str) and value):
            raise ShopsError(f"{place}.{name} is {value!r}; expected text")
    for name in ("spider", "schedule"):
        if name not in entry:
            raise ShopsError(f"{place} has no {name}")
    limit = entry.get("limit", 0)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise ShopsError(f"{place}.limit is {limit!r}; expected a whole number of items")
    settings = entry.get("settings", {})
    if not isinstance(settings, dict):
        raise ShopsError(f"{place}.settings is {settings!r}; expected an object")
    for name in settings:
        if name not in SETTINGS:
            raise ShopsError(f"{place}.settings has {name!r}; expected {', '.join(SETTINGS)}")
    if not SCHEDULE.fullmatch(entry["schedule"]):
        raise ShopsError(
            f"{place}.schedule is {entry['schedule']!r}; expected one like rate(1 day), "
            "rate(12 hours) or cron(0 4 ? * MON *)"
        )
    if not entry.get("base_url", "https://").startswith(("http://", "https://")):
        raise ShopsError(f"{place}.base_url is {entry['base_url']!r}; expected http(s)://...")
    return ScheduledShop(**entry)
