"""Who is told of a price or of stock, and when. Pure: an alert and what was seen in, both out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

from advisor.catalog.products import PricePoint
from advisor.crawling.currencies import exponent_of
from advisor.crawling.items import Item
from advisor.errors import UsageError

IN_STOCK = "in_stock"


class Kind(StrEnum):
    """What an alert waits for."""

    TARGET = "target"  # a price of `amount` (minor units) or less
    PERCENT = "percent"  # `amount` percent less than the highest price since the last alert
    BACK_IN_STOCK = "back_in_stock"


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert on a product, and how far it has come.

    currency: of a target; of a percentage the one of its reference. armed: it fires when its
    condition comes true; one that has fired is armed again when the condition is false again.
    reference: the price that a percentage is counted from, None until one was seen.
    """

    alert_id: str
    product_id: str
    kind: Kind
    amount: int = 0
    currency: str = ""
    armed: bool = True
    reference: int | None = None

    def __post_init__(self) -> None:
        """Raises: UsageError for an amount that can never come true, or always is."""
        if self.kind is Kind.TARGET and (self.amount <= 0 or not self.currency):
            raise UsageError(f"a target of {self.amount} {self.currency!r} is no price")
        if self.kind is Kind.PERCENT and not 1 <= self.amount <= 99:
            raise UsageError(f"{self.amount} percent; expected 1 to 99")

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object; `from_dict` reads it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote (numbers may come back as another numeric type)."""
        reference = values.get("reference")
        return cls(
            alert_id=values["alert_id"],
            product_id=values["product_id"],
            kind=Kind(values["kind"]),
            amount=int(values.get("amount", 0)),
            currency=values.get("currency", ""),
            armed=bool(values["armed"]),
            reference=None if reference is None else int(reference),
        )

    def __str__(self) -> str:
        if self.kind is Kind.TARGET:
            return f"at {money_text(self.amount, self.currency)} or less"
        if self.kind is Kind.PERCENT:
            return f"{self.amount} % less"
        return "back in stock"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a crawl saw of a product. price_minor: the one that counts, None if none is known."""

    title: str
    url: str
    price_minor: int | None
    currency: str
    availability: str

    @classmethod
    def of(cls, item: Item, price: PricePoint | None) -> Self:
        """price: the point that counts. One that came with other photos may be of another variant:
        nobody is told of it."""
        believed = price if price and not price.flag else None
        return cls(
            title=item.title,
            url=item.url,
            price_minor=believed.price_minor if believed else None,
            currency=believed.currency if believed else "",
            availability=item.availability,
        )


def check(alert: Alert, seen: Seen) -> tuple[Alert, str]:
    """The alert after a sight, and the sentence to tell; "" if there is nothing to tell.

    Each move is told once: a target or stock not again before the condition was false, a
    percentage not again before the price fell by as much once more. What the page did not say
    (no price, another currency, no availability) changes nothing.
    """
    if alert.kind is Kind.BACK_IN_STOCK:
        return _check_stock(alert, seen)
    if seen.price_minor is None or (alert.currency and seen.currency != alert.currency):
        return alert, ""
    if alert.kind is Kind.TARGET:
        reached = seen.price_minor <= alert.amount
        now = replace(alert, armed=not reached)
        return now, _sentence(seen) if reached and alert.armed else ""
    return _check_percent(alert, seen, seen.price_minor)


def _check_stock(alert: Alert, seen: Seen) -> tuple[Alert, str]:
    if not seen.availability:
        return alert, ""
    there = seen.availability == IN_STOCK
    told = f"{seen.title} is in stock again: {seen.url}" if there and alert.armed else ""
    return replace(alert, armed=not there), told


def _check_percent(alert: Alert, seen: Seen, price: int) -> tuple[Alert, str]:
    before = alert.reference
    if before is None or price > before:
        return replace(alert, reference=price, currency=seen.currency), ""
    if price * 100 > before * (100 - alert.amount):
        return alert, ""
    was = money_text(before, seen.currency)
    return replace(alert, reference=price), f"{_sentence(seen)} (was {was})"


def _sentence(seen: Seen) -> str:
    assert seen.price_minor is not None  # noqa: S101 (the callers' condition, for the type)
    return f"{seen.title} costs {money_text(seen.price_minor, seen.currency)}: {seen.url}"


def money_text(minor: int, currency: str) -> str:
    """A price for people: "1,299.00 EUR", "500 JPY"."""
    digits = exponent_of(currency)
    return f"{minor / 10**digits:,.{digits}f} {currency}".rstrip()
