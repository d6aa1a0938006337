"""The settings of a crawl: what wins, what is refused, and when it finds too little."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from advisor.crawling import finish
from advisor.crawling.crawl_settings import CrawlSettings, checked_setting
from advisor.crawling.pace import Pace
from advisor.crawling.photos import pixels_of
from advisor.crawling.robots import Robots
from advisor.errors import SettingsError

DOCS = Path(__file__).parents[3] / "docs" / "crawl-settings.md"
IMAGES = Path(__file__).parents[2] / "images"


def test_the_last_word_wins_and_headers_add_up() -> None:
    settings = CrawlSettings().with_overrides(
        {"delay_s": 2, "concurrency": 4, "headers": {"A": "1", "B": "1"}},
        {"delay_s": "0.5"},
        {"headers": "B: 2"},
        {"headers": "C: x: y"},
    )
    assert (settings.delay_s, settings.concurrency, settings.max_attempts) == (0.5, 4, 4)
    assert settings.headers == {"A": "1", "B": "2", "C": "x: y"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_depth", "3", 3),
        ("jitter", "0.5", 0.5),
        ("keep_cookies", "yes", True),
        ("follow_redirects", "false", False),
        ("allowed_hosts", "Outlet.test, b.test:8080", ("outlet.test", "b.test:8080")),
        ("retry_statuses", "503,429", (503, 429)),
        ("retry_statuses", [500], (500,)),
        ("cookies", "currency=EUR", {"currency": "EUR"}),
        ("cookies", {"store": 7}, {"store": "7"}),
    ],
)
def test_reads_values_as_text_or_as_they_are(name: str, text: object, value: object) -> None:
    assert checked_setting(name, text) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("concurrency", 0), ("concurrency", 65), ("concurrency", True), ("concurrency", "many"),
        ("delay_s", -1), ("delay_s", "nan"), ("delay_s", float("inf")), ("delay_s", None),
        ("keep_cookies", 1), ("user_agent", "a\nb"), ("user_agent", ""), ("max_pages", 1.5),
        ("headers", {"A": "x\r\nB: y"}), ("headers", {"A B": "x"}), ("headers", "no colon"),
        ("cookies", {"a": "b; c"}), ("allowed_hosts", ["https://a.test/"]), ("allowed_hosts", 3),
        ("retry_statuses", [200]), ("retry_statuses", "soon"), ("max_items", "\u0663"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"setting {name} is .*; expected "):
        CrawlSettings().with_overrides({name: value})


def test_a_setting_that_is_none_is_answered_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match="no setting 'delay'; expected one of concurrency, de"):
        CrawlSettings().with_overrides({"delay": 1})


def test_every_setting_can_be_set_and_is_documented() -> None:
    documented = DOCS.read_text("utf-8")
    settings = CrawlSettings()
    for field in fields(settings):
        value = getattr(settings, field.name)
        assert checked_setting(field.name, value) == value
        assert f"`{field.name}`" in documented
    for name, reason in vars(finish).items():
        if name.isupper() and isinstance(reason, str) and reason != finish.TURN_OVER:
            assert f"`{reason}`" in documented


def test_names_the_budget_that_is_spent() -> None:
    settings = CrawlSettings(max_items=5, max_pages=50, max_bytes=500)
    assert settings.spent({"items": 4, "pages": 49}) == ""
    assert settings.spent({"items": 5, "pages": 50}) == finish.LIMIT
    assert settings.spent({"pages": 50}) == finish.PAGE_BUDGET
    assert settings.spent({"bytes": 501}) == finish.BYTE_BUDGET
    assert CrawlSettings(max_pages=0).spent({"pages": 10**9, "items": 10**9}) == ""


def _ends_after(per_minute: dict[str, int], *, least: int = 10, minutes: int = 60) -> int | None:
    """The minute in which a crawl with a steady pace is ended, or None."""
    pace = Pace(least, started_at=5000.0)
    for second in range(0, minutes * 60, 5):
        counts = {name: count * second // 60 for name, count in per_minute.items()}
        if pace.is_too_slow(counts, now=5000.0 + second):
            return second // 60
    return None


def test_a_crawl_that_finds_too_little_is_ended_after_its_start() -> None:
    assert _ends_after({"pages": 2000, "items": 9}) == 3
    assert _ends_after({"pages": 2000, "items": 10}) is None
    assert _ends_after({"pages": 100, "items": 0}) == 6  # the first 500 pages tell nothing
    assert _ends_after({"pages": 2000}, least=0) is None


def test_a_slow_or_small_shop_is_not_ended_for_it() -> None:
    assert _ends_after({"pages": 6, "items": 3}) is None  # Crawl-delay: 10
    assert _ends_after({"pages": 100, "items": 1}, minutes=5) is None  # 500 pages, 5 goods
    assert _ends_after({"pages": 6, "items": 3}, minutes=200) is None  # also past 500 pages
    assert _ends_after({"photos": 900}) is None


def test_a_burst_at_the_start_does_not_hide_what_comes_after() -> None:
    pace = Pace(10, started_at=0.0)
    looks = [
        pace.is_too_slow({"pages": 1000 + 100 * minute, "items": 900}, now=60.0 * minute)
        for minute in range(1, 5)
    ]
    assert looks == [False, False, True, True]


@pytest.mark.parametrize("attempts", range(8))
def test_waits_twice_as_long_after_each_failure_and_a_little_more_by_chance(attempts: int) -> None:
    waits = {CrawlSettings(first_backoff_s=0.25).backoff_s(attempts) for _ in range(50)}
    assert len(waits) > 1
    assert 0.25 * 2**attempts <= min(waits) < max(waits) <= 1.5 * 0.25 * 2**attempts


def test_robots_rules_are_looked_up_by_the_first_word_of_the_agent() -> None:
    text = "User-agent: Ours\nDisallow: /\nCrawl-delay: 3\n\nUser-agent: *\nAllow: /\n"
    assert not Robots(text, "Ours/2 (us)").allows("https://shop.test/a")
    assert Robots(text, "Ours/2 (us)").delay_s == 3
    assert Robots(text).allows("https://shop.test/a")


@pytest.mark.parametrize(
    "name",
    [
        "rgb.jpg",
        "progressive.jpg",
        "rgb.png",
        "animated.gif",
        "rgb.webp",
        "alpha.webp",
        "rgb.avif",
        "alpha.avif",
        "animated.avif",
    ],
)
def test_reads_the_size_of_a_photo_off_its_header(name: str) -> None:
    from PIL import Image

    data = (IMAGES / name).read_bytes()
    with Image.open(IMAGES / name) as image:
        assert pixels_of(data) == image.size
    for end in range(min(len(data), 40)):
        pixels_of(data[:end])


def test_an_avif_is_as_large_as_its_largest_image() -> None:
    sizes = [b"ispe" + bytes(4) + size.to_bytes(4) * 2 for size in (64, 640, 64)]  # tiles, whole
    assert pixels_of(b"\x00\x00\x00\x20ftypavif" + b"".join(sizes)) == (640, 640)
