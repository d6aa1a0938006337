"""Which prices are believed: a history is appended to, and what jumps waits for a second look."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from advisor.catalog.products import PricePoint
from advisor.crawling.items import Item

QUARANTINED: Final = "quarantined"
VARIANT_SWAP: Final = "variant swap"


def price_of(item: Item, *, run_id: str, observed_at: str) -> PricePoint | None:
    """The price that an item's page showed; None if it showed none, or one of nothing or less.

    What failed to be fetched gives no item, and so no price.
    """
    if item.price_minor is None or item.price_minor <= 0 or not item.currency:
        return None
    return PricePoint(
        observed_at=observed_at,
        price_minor=item.price_minor,
        currency=item.currency,
        availability=item.availability,
        run_id=run_id,
        page=item.page,
        extractor=item.extractor,
        text=item.price_text,
    )


def judge(
    history: Iterable[PricePoint], seen: PricePoint, *, photos_changed: Callable[[], bool]
) -> PricePoint | None:
    """The point to append for a price that was seen, with its state; None if it says nothing new.

    history: the product's points not later than `seen`, newest first; read no further than to
    the last that counts. A price that moved by more than half of the last one, or to another
    currency, is quarantined until another run sees one like it. photos_changed: asked only then.
    """
    waiting, last = _latest(history)
    if last is None:
        return seen
    if waiting and not is_jump(waiting, seen):
        if waiting.run_id == seen.run_id:
            return None  # the same run is no second look
        return replace(seen, flag=waiting.flag)
    if _same(last, seen):
        return seen if waiting else None  # it is back: what waited is not confirmed
    if not is_jump(last, seen):
        return seen
    flag = VARIANT_SWAP if photos_changed() else ""
    return replace(seen, state=QUARANTINED, flag=flag)


def is_jump(before: PricePoint, seen: PricePoint) -> bool:
    """Whether the price moved by more than half of what it was, or changed its currency."""
    if before.currency != seen.currency:
        return True
    return abs(seen.price_minor - before.price_minor) * 2 > before.price_minor


def photos_differ(before: Sequence[str], now: Sequence[str]) -> bool:
    """Whether a page shows none of the photos that it showed before (by address, query aside)."""
    ours, theirs = ({one.partition("?")[0] for one in photos} for photos in (before, now))
    return bool(ours and theirs) and not ours & theirs


def rejudge(points: Iterable[PricePoint]) -> list[PricePoint]:
    """A history judged anew from its first point on; flags stay, points that say nothing go."""
    history: list[PricePoint] = []
    for point in sorted(points, key=lambda one: one.observed_at):
        seen = replace(point, state="", flag="")
        judged = judge(reversed(history), seen, photos_changed=partial(_was_swap, point))
        if judged:
            history.append(judged)
    return history


def replayed(
    before: Sequence[PricePoint], seen: Iterable[PricePoint], pages: Container[tuple[str, str]]
) -> list[PricePoint]:
    """A product's history made anew, from what its archived pages say today.

    before: the history as it is. seen: the prices that the pages show now, each with a swap's flag
    where the photos changed. pages: run and page of all that were read again: a point of another
    one stays, as nobody can say better. A point of the same run and page keeps its time, and tells
    in corrected_from what it said before. The same again changes nothing.
    """
    at = {(one.run_id, one.page): one.observed_at for one in before}
    stay = [one for one in before if (one.run_id, one.page) not in pages]
    again = [
        replace(one, observed_at=at.get((one.run_id, one.page), one.observed_at)) for one in seen
    ]
    return corrected(before, rejudge([*stay, *again]))


def corrected(before: Iterable[PricePoint], now: Iterable[PricePoint]) -> list[PricePoint]:
    """The points of now, each with what the one of its time said before if that was otherwise."""
    known = {one.observed_at: one for one in before}
    found = []
    for point in now:
        was = known.get(point.observed_at)
        if was is not None:
            told = was.corrected_from if _same(was, point) else f"{was.price_minor} {was.currency}"
            point = replace(point, corrected_from=told)  # noqa: PLW2901 (the point, told whole)
        found.append(point)
    return found


def _was_swap(point: PricePoint) -> bool:
    return point.flag == VARIANT_SWAP


def _latest(history: Iterable[PricePoint]) -> tuple[PricePoint | None, PricePoint | None]:
    """The newest point if it waits to be confirmed, and the newest that counts."""
    waiting: PricePoint | None = None
    for number, point in enumerate(history):
        if point.counts:
            return waiting, point
        if number == 0:
            waiting = point
    return None, None


def _same(one: PricePoint, other: PricePoint) -> bool:
    return (one.price_minor, one.currency) == (other.price_minor, other.currency)
