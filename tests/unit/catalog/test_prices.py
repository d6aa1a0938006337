from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog.prices import is_jump, judge, photos_differ, price_of, rejudge, replayed
from advisor.catalog.products import PricePoint
from advisor.crawling.items import Item


def point(day: int, price: int, currency: str = "EUR", **more: Any) -> PricePoint:
    defaults = {"run_id": f"r{day}"}
    return PricePoint(
        observed_at=f"2026-11-{day:02d}", price_minor=price, currency=currency, **defaults | more
    )


def history(*seen: PricePoint, swapped: bool = False) -> list[tuple[int, str, str]]:
    """What each price that was seen, in turn, left in the history: price, state, flag."""
    points: list[PricePoint] = []
    for one in seen:
        if judged := judge(reversed(points), one, photos_changed=lambda: swapped):
            points.append(judged)
    return [(one.price_minor, one.state, one.flag) for one in points]


def test_only_a_change_is_appended() -> None:
    assert history(point(1, 100), point(2, 100), point(3, 90), point(4, 90)) == [
        (100, "", ""),
        (90, "", ""),
    ]


@pytest.mark.parametrize(
    ("price", "currency", "jump"),
    [(50, "EUR", False), (49, "EUR", True), (150, "EUR", False), (151, "EUR", True),
     (100, "CHF", True), (100, "EUR", False)],
)  # fmt: skip
def test_a_move_of_more_than_half_is_a_jump(price: int, currency: str, jump: bool) -> None:
    assert is_jump(point(1, 100), point(2, price, currency)) is jump


def test_a_jump_waits_until_a_second_run_confirms_it() -> None:
    assert history(point(1, 100), point(2, 40)) == [(100, "", ""), (40, "quarantined", "")]
    assert history(point(1, 100), point(2, 40), point(3, 40)) == [
        (100, "", ""),
        (40, "quarantined", ""),
        (40, "", ""),
    ]
    assert history(point(1, 100), point(2, 40), point(3, 42))[-1] == (42, "", "")


def test_the_same_run_is_no_second_look() -> None:
    again = point(2, 40, run_id="r2")
    assert history(point(1, 100), again, again) == [(100, "", ""), (40, "quarantined", "")]


def test_a_jump_that_was_none_is_not_confirmed_later() -> None:
    seen = (point(1, 100), point(2, 40), point(3, 100), point(4, 40))
    assert history(*seen) == [
        (100, "", ""),
        (40, "quarantined", ""),
        (100, "", ""),
        (40, "quarantined", ""),
    ]


def test_two_different_jumps_do_not_confirm_each_other() -> None:
    assert [state for _, state, _ in history(point(1, 100), point(2, 40), point(3, 400))] == [
        "",
        "quarantined",
        "quarantined",
    ]


def test_a_jump_with_another_photo_is_flagged_as_a_variant_swap_also_when_confirmed() -> None:
    assert history(point(1, 100), point(2, 40), point(3, 40), swapped=True) == [
        (100, "", ""),
        (40, "quarantined", "variant swap"),
        (40, "", "variant swap"),
    ]
    assert history(point(1, 100), point(2, 80), swapped=True)[-1] == (80, "", "")


@pytest.mark.parametrize("price", [None, 0, -5])
def test_a_page_without_a_real_price_gives_no_point(price: int | None) -> None:
    item = Item(id="1", title="t", category="c", description="d", price_minor=price, currency="EUR")
    assert price_of(item, run_id="r", observed_at="2026") is None


def test_a_point_says_where_it_comes_from() -> None:
    item = Item(
        id="1", title="t", category="c", description="d", price_minor=100, currency="EUR",
        price_text="now 1 EUR", page="ab", extractor="schema-org",
    )  # fmt: skip
    found = price_of(item, run_id="r", observed_at="2026")
    assert found
    assert (found.page, found.extractor, found.text) == ("ab", "schema-org", "now 1 EUR")


def test_photos_differ_only_if_none_is_the_same() -> None:
    assert photos_differ(["/a.jpg"], ["/b.jpg"])
    assert not photos_differ(["/a.jpg?w=100"], ["/c.jpg", "/a.jpg?w=200"])
    assert not photos_differ([], ["/a.jpg"])


@given(st.lists(st.sampled_from([10, 40, 90, 100, 110, 400]), max_size=12))
def test_judging_a_history_anew_changes_nothing(prices: list[int]) -> None:
    points: list[PricePoint] = []
    for day, price in enumerate(prices):
        judged = judge(reversed(points), point(day, price), photos_changed=lambda: False)
        points += [judged] if judged else []
    assert rejudge(points) == points


@given(st.lists(st.sampled_from([10, 40, 90, 100, 110, 400]), max_size=12))
def test_a_replay_by_the_same_parser_changes_nothing(prices: list[int]) -> None:
    rows: list[PricePoint] = []
    seen = []
    for day, price in enumerate(prices):
        sight = replace(point(day, price), page=f"p{day}")
        judged = judge(reversed(rows), sight, photos_changed=lambda: False)
        rows += [judged] if judged else []
        seen.append(sight)
        rows = [replace(one, observed_at=one.observed_at[:10] + "T9") for one in rows]  # written
    pages = {(one.run_id, one.page) for one in seen}
    assert replayed(rows, seen, pages) == rows


def test_a_replay_corrects_what_it_read_again_and_leaves_the_rest() -> None:
    gone, wrong, invented = (
        replace(point(day, price), page=f"p{day}") for day, price in ((1, 50), (2, 7), (3, 9))
    )
    seen = [replace(wrong, price_minor=60, observed_at="2026-11-02T09"),
            replace(point(4, 70), page="p4")]  # fmt: skip
    pages = {(one.run_id, one.page) for one in (wrong, invented, seen[1])}
    now = replayed([gone, wrong, invented], seen, pages)
    assert [(one.observed_at, one.price_minor, one.corrected_from) for one in now] == [
        (gone.observed_at, 50, ""), (wrong.observed_at, 60, "7 EUR"), (seen[1].observed_at, 70, ""),
    ]  # fmt: skip
    assert replayed(now, seen, pages) == now


@given(st.lists(st.sampled_from([10, 40, 90, 100, 110, 400]), min_size=2, max_size=12))
def test_no_counting_price_is_a_jump_that_was_seen_once(prices: list[int]) -> None:
    points: list[PricePoint] = []
    for day, price in enumerate(prices):
        judged = judge(reversed(points), point(day, price), photos_changed=lambda: False)
        points += [judged] if judged else []
    counting = [one for one in points if one.counts]
    for before, after in pairwise(counting):
        if is_jump(before, after):
            waited = points[points.index(after) - 1]
            assert not waited.counts
            assert not is_jump(waited, after)
