"""The stages an item goes through before it is kept. Pure: an item in, an item or a reason out.

A spider lists its stages in order (`Spider.stages`). What was found before is dropped after the
last of them, by id, in the frontier: only there does it also hold over a stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

from advisor.crawling.currencies import CURRENCIES
from advisor.crawling.items import REQUIRED, Item
from advisor.crawling.text import MAX_CHARS, plain_text
from advisor.crawling.urls import is_web_url

_TEXTS = ("id", "title", "category", "description", "brand", "gtin", "mpn")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b-\u200f\u2060\ufeff"
    "\ud800-\udfff]"  # halves of UTF-16 pairs, which JSON may have and no file
)
_MAX_PRICE_MINOR = 10**11  # a billion in most currencies: an article number, not a price


@dataclass(frozen=True)
class Dropped:
    """Why an item is not kept: a word or two to count it by."""

    reason: str


Stage = Callable[[Item], Item | Dropped]


def clean(item: Item) -> Item:
    """Text without markup, entities, odd white space and invisible characters; whole addresses."""
    texts: dict[str, Any] = {
        name: text
        for name in _TEXTS
        if (text := _clean_text(before := getattr(item, name))) != before
    }
    images = (_absolute(item.url, image.strip()) for image in item.images)
    return replace(
        item,
        **texts,
        images=tuple(url for url in dict.fromkeys(images) if is_web_url(url)),
        currency=item.currency.strip().upper(),
    )


def require(item: Item) -> Item | Dropped:
    """Only items that have all they need."""
    missing = [name for name in REQUIRED if not getattr(item, name).strip()]
    return Dropped(f"no {', '.join(missing)}") if missing else item


def check_price(item: Item) -> Item | Dropped:
    """Only prices that can be one, in a currency of ISO 4217; a price of 0 says nothing."""
    if item.price_minor is None:
        return replace(item, currency="") if item.currency else item
    if item.price_minor == 0:
        return replace(item, price_minor=None, currency="")
    if not 0 < item.price_minor < _MAX_PRICE_MINOR:
        return Dropped("price")
    return item if item.currency in CURRENCIES else Dropped("currency")


STAGES: dict[str, Stage] = {"clean": clean, "require": require, "price": check_price}
DEFAULT_STAGES: tuple[Stage, ...] = tuple(STAGES.values())


def run_stages(item: Item, stages: Sequence[Stage]) -> Item | Dropped:
    """The item as the last stage leaves it, or why one of them dropped it.

    A stage that crashes drops the item, with its own name and the error's as the reason.
    """
    for stage in stages:
        try:
            found = stage(item)
        except Exception as error:
            return Dropped(f"stage {_name(stage)} {type(error).__name__}")
        if isinstance(found, Dropped):
            return found
        if not isinstance(found, Item):
            return Dropped(f"stage {_name(stage)} {type(found).__name__}")
        item = found
    return item


def _name(stage: Stage) -> str:
    return getattr(stage, "__name__", type(stage).__name__)


def _clean_text(text: str) -> str:
    # Most are clean already. What is printable has no white space but " ", nothing invisible.
    is_plain = text.isprintable() and "<" not in text and "&" not in text
    if is_plain and "  " not in text and text == text.strip(" ") and len(text) <= MAX_CHARS:
        return text
    return " ".join(_INVISIBLE.sub("", plain_text(text)).split())


def _absolute(base: str, url: str) -> str:
    try:
        return urljoin(base, url) if url else ""
    except ValueError:
        return ""
