from __future__ import annotations

from typing import Any

import pytest

from advisor.catalog.alerts import Alert, Kind, Seen, check
from advisor.catalog.products import PricePoint
from advisor.crawling.items import Item
from advisor.errors import UsageError


def alert(kind: Kind, amount: int = 0, currency: str = "", **more: Any) -> Alert:
    return Alert(
        alert_id="a", product_id="one:S1", kind=kind, amount=amount, currency=currency, **more
    )


def sight(price: int | None = None, currency: str = "EUR", availability: str = "") -> Seen:
    return Seen(
        title="Stool", url="http://s/1", price_minor=price, currency=currency,
        availability=availability,
    )  # fmt: skip


def told(first: Alert, *seen: Seen) -> list[int]:
    """The numbers of the sights that were told."""
    now, numbers = first, []
    for number, one in enumerate(seen):
        now, text = check(now, one)
        numbers += [number] if text else []
    return numbers


def test_a_target_is_told_once_and_armed_again_above_it() -> None:
    prices = [120, 100, 90, 100, 101, 99, None, 99]
    assert told(alert(Kind.TARGET, 100, "EUR"), *map(sight, prices)) == [1, 5]


def test_a_target_says_what_it_costs_and_where() -> None:
    _, text = check(alert(Kind.TARGET, 200000, "EUR"), sight(129900))
    assert text == "Stool costs 1,299.00 EUR: http://s/1"


def test_a_target_in_another_currency_is_not_compared() -> None:
    assert told(alert(Kind.TARGET, 100, "EUR"), sight(50, "CHF"), sight(50, "EUR")) == [1]


def test_a_percentage_counts_from_the_highest_price_since_the_last_alert() -> None:
    prices = [100, 110, 90, 88, 88, 80, 70, 90, 72]
    #         high      no  20%          20%  high 20%
    assert told(alert(Kind.PERCENT, 20), *map(sight, prices)) == [3, 6, 8]


def test_a_percentage_says_what_it_was() -> None:
    now, _ = check(alert(Kind.PERCENT, 20), sight(10000))
    assert check(now, sight(7500))[1] == "Stool costs 75.00 EUR: http://s/1 (was 100.00 EUR)"


def test_a_percentage_is_not_counted_over_a_change_of_currency() -> None:
    assert told(alert(Kind.PERCENT, 20), sight(100), sight(50, "CHF"), sight(70)) == [2]


def test_back_in_stock_is_told_once_a_return() -> None:
    days = ["in_stock", "out_of_stock", "", "in_stock", "in_stock", "preorder", "in_stock"]
    seen = [sight(availability=one) for one in days]
    assert told(alert(Kind.BACK_IN_STOCK, armed=False), *seen) == [3, 6]
    assert "in stock again" in check(alert(Kind.BACK_IN_STOCK), seen[0])[1]


def test_a_page_that_says_nothing_changes_nothing() -> None:
    for one in (alert(Kind.TARGET, 1, "EUR"), alert(Kind.PERCENT, 5), alert(Kind.BACK_IN_STOCK)):
        assert check(one, sight()) == (one, "")


def test_a_price_that_came_with_other_photos_is_told_to_nobody() -> None:
    item = Item(id="S1", title="Stool", category="c", description="d", availability="in_stock")
    point = PricePoint(observed_at="1", price_minor=50, currency="EUR")
    assert Seen.of(item, point).price_minor == 50
    swapped = PricePoint(observed_at="1", price_minor=50, currency="EUR", flag="variant swap")
    assert Seen.of(item, swapped).price_minor is None


@pytest.mark.parametrize(
    ("kind", "amount", "currency"),
    [(Kind.TARGET, 0, "EUR"), (Kind.TARGET, -1, "EUR"), (Kind.TARGET, 5, ""),
     (Kind.PERCENT, 0, ""), (Kind.PERCENT, 100, "")],
)  # fmt: skip
def test_an_amount_that_makes_no_sense_is_refused(kind: Kind, amount: int, currency: str) -> None:
    with pytest.raises(UsageError, match=str(amount)):
        alert(kind, amount, currency)


@pytest.mark.parametrize("one", [alert(Kind.TARGET, 5, "EUR"), alert(Kind.PERCENT, 5, reference=9),
                                 alert(Kind.BACK_IN_STOCK, armed=False)])  # fmt: skip
def test_an_alert_is_read_as_it_was_written(one: Alert) -> None:
    assert Alert.from_dict(one.to_dict()) == one
