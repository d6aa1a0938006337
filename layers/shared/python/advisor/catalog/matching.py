"""Is this the same product? Told by GTIN, else by brand and MPN, else by name and photo.

What a person said of two products wins over all of these.

Precision goes first: a comparison of two different products misleads, a missed match only
shows them one below the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations
from typing import Final

from rapidfuzz import fuzz

from advisor.catalog.gtin import normalise_gtin
from advisor.catalog.names import (
    SAME_WORD,
    Name,
    fold,
    is_contained,
    name_similarity,
    read_name,
    share_a_word,
    variants_differ,
)
from advisor.catalog.pins import Pins
from advisor.crawling.items import Item

# Cosine of two photos' embeddings, over the 54 demo goods and their re-encoded copies (85 %
# size, quality 80, cropped): the same photo at least .906 (MobileNet V2 alpha 0.35) or .930
# (alpha 1.0), two goods at most .80 or .67. Two photos of clothing of one kind: .79 at the
# 99.9th percentile. Backbones frozen; fine-tuned ones move a category closer together. The same
# photo mirrored and cut, or in a broad frame, is at .65 to .85 (benchmarks/matching.py).
SAME_PHOTO: Final = 0.9
LIKE_PHOTO: Final = 0.65
UNLIKE_PHOTO: Final = 0.5
# Names (0..1) that are enough together with the photos. .8: one may say one word of five more.
NAME_WITH_SAME_PHOTO: Final = 0.8
NAME_WITH_LIKE_PHOTO: Final = 0.9
EQUAL_NAME: Final = 0.95
_MIN_MPN_LENGTH = 3  # "1" and "XL" are no part numbers


class Reason(IntEnum):
    """Why two offers are of the same product; a greater reason is the better one."""

    NAME = 1
    MPN = 2
    GTIN = 3
    PERSON = 4

    def __str__(self) -> str:
        return self.name.lower()


class Confidence(IntEnum):
    """How sure a match is. LOW: for a person to look at, never shown as the same product."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, order=True)
class Match:
    """Two items are, or may be, the same product.

    score: 0..1, how alike names and photos are. why: what speaks against it; "" if nothing.
    """

    confidence: Confidence
    reason: Reason
    score: float
    why: str = ""

    @property
    def accepted(self) -> bool:
        """Whether it is sure enough to be shown."""
        return self.confidence > Confidence.LOW


@dataclass(frozen=True, kw_only=True)
class Group:
    """Items that are one product: their indexes, in order.

    reason: PERSON where a person's word was needed, else the weakest of the matches that were;
    confidence: the weakest. None for a single item.
    """

    members: tuple[int, ...]
    reason: Reason | None = None
    confidence: Confidence | None = None


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Items as products, in the order of their first items; and the matches to be reviewed.

    doubtful: the indexes of two items of different groups, and what may make them one.
    """

    groups: tuple[Group, ...]
    doubtful: tuple[tuple[int, int, Match], ...]


def match(one: Item, other: Item, *, photo_similarity: float | None = None) -> Match | None:
    """Whether the items of two shops are the same product, why, and how sure that is.

    photo_similarity: cosine of the embeddings of their photos; None if they were not compared.
    None if nothing says that they are the same, or one shop sells them apart. Of two items
    that `contradict` each other there is a match of LOW confidence at most.
    """
    if one.shop == other.shop and contradict(one, other):
        return None
    seen = _Evidence.of(one, other, photo_similarity)
    reason = _code_in_common(one, other)
    if reason is None:
        confidence, against = _judge_by_name(seen)
    else:
        confidence, against = _judge_by_code(seen)
    if confidence is None:
        return None
    if contradict(one, other):
        if not (reason or seen.is_same_photo):
            return None
        confidence, against = Confidence.LOW, "codes, brands or variants differ"
    return Match(confidence, reason or Reason.NAME, seen.score, against)


@dataclass(frozen=True)
class _Evidence:
    """What names and photos say. name: 0..1. photo: cosine, None if not compared."""

    names: tuple[Name, Name]
    name: float
    photo: float | None
    same_brand: bool | None  # None: one of them does not say

    @classmethod
    def of(cls, one: Item, other: Item, photo: float | None) -> _Evidence:
        names = _names(one, other)
        brands = bool(_code(one.brand) and _code(other.brand))
        return cls(
            names,
            name_similarity(*names),
            photo,
            not _brands_differ(one, other) if brands else None,
        )

    @property
    def score(self) -> float:
        return self.name if self.photo is None else (self.name + self.photo) / 2

    @property
    def is_same_photo(self) -> bool:
        return self.photo is not None and self.photo >= SAME_PHOTO

    @property
    def is_like_photo(self) -> bool:
        return self.photo is not None and self.photo >= LIKE_PHOTO


def _judge_by_code(seen: _Evidence) -> tuple[Confidence, str]:
    """Items with a code in common: a code is copied wrongly now and then, so the rest is asked.

    Names in two languages and photos from two sides are no contradiction; names that have
    nothing in common together with photos that are not alike are.
    """
    like_name = seen.name >= NAME_WITH_SAME_PHOTO
    common_word = share_a_word(*seen.names)
    if seen.same_brand is False and not seen.is_same_photo:
        return Confidence.LOW, "brands differ"
    if seen.photo is None:
        accepted, why = like_name or common_word or bool(seen.same_brand), "names differ"
        sure = like_name
    else:
        # The shorter name is the other's without a word that a shop adds of its own.
        shorter = seen.photo >= UNLIKE_PHOTO and is_contained(*seen.names)
        accepted, why = seen.is_same_photo or like_name or shorter, "names and photos differ"
        sure = (like_name and seen.is_like_photo) or (common_word and seen.is_same_photo)
    if not accepted:
        return Confidence.LOW, why
    return Confidence.HIGH if sure else Confidence.MEDIUM, ""


def _judge_by_name(seen: _Evidence) -> tuple[Confidence | None, str]:
    """Items without a code in common: name and photo must both say that they are the same."""
    equal = seen.name >= EQUAL_NAME
    if seen.photo is None:
        if equal and (seen.same_brand or _is_telling(seen.names)):
            return Confidence.MEDIUM, ""
        doubt = Confidence.LOW if seen.name >= NAME_WITH_LIKE_PHOTO else None
        return doubt, "no photos to compare, and a name that many things have"
    if seen.is_same_photo and seen.name >= NAME_WITH_SAME_PHOTO:
        return Confidence.HIGH if equal else Confidence.MEDIUM, ""
    if seen.is_like_photo and seen.name >= NAME_WITH_LIKE_PHOTO:
        return Confidence.MEDIUM, ""
    doubtful = equal or (seen.is_like_photo and seen.name >= NAME_WITH_SAME_PHOTO)
    return Confidence.LOW if doubtful else None, "photos differ"


def _is_telling(names: tuple[Name, Name]) -> bool:
    """Whether a name says enough to tell one product from its neighbours: "tent" does not."""
    return min(len(name.words) + len(name.figures) for name in names) >= 3


def _code_in_common(one: Item, other: Item) -> Reason | None:
    if _gtin(one) and _gtin(one) == _gtin(other):
        return Reason.GTIN
    if brand_and_mpn(one) and brand_and_mpn(one) == brand_and_mpn(other):
        return Reason.MPN
    return None


def contradict(one: Item, other: Item) -> bool:
    """Whether the items cannot be the same product, however alike they look.

    Two different valid GTINs; two things that one shop sells apart; names that tell two
    variants apart; two brands; two part numbers of one brand. An equal GTIN outweighs brands
    and part numbers that two shops write in their own ways, never a size or a colour.
    """
    gtins = {_gtin(one), _gtin(other)} - {""}
    if len(gtins) == 2:
        return True
    same_gtin = bool(gtins) and _gtin(one) == _gtin(other)
    apart = variants_differ(*_names(one, other))
    if one.shop == other.shop:
        return apart or not same_gtin
    return apart or (not same_gtin and (_brands_differ(one, other) or _mpns_differ(one, other)))


def group(
    items: Sequence[Item],
    *,
    photo_similarity: Callable[[int, int], float | None],
    pins: Pins | None = None,
) -> Grouping:
    """The items as products: what is one product, what holds it together, what is doubtful.

    The surest matches are joined first, and never so that two items that contradict each
    other end in one product, as when one shop sells two variants apart. pins: what people said;
    what they call one product is joined whatever else is said, what they tell apart never is.
    """
    pinned = pins or {}

    def pin(first: int, second: int) -> bool | None:
        return pinned.get(items[first].product_id, {}).get(items[second].product_id)

    def compare(first: int, second: int) -> Match | None:
        said = pin(first, second)
        if said is None:
            similarity = photo_similarity(first, second)
            return match(items[first], items[second], photo_similarity=similarity)
        return Match(Confidence.HIGH, Reason.PERSON, 1.0) if said else None

    def may_be_joined(first: int, second: int) -> bool:
        said = pin(first, second)
        return said is not False and (said or not contradict(items[first], items[second]))

    found = [
        (verdict, first, second)
        for first, second in combinations(range(len(items)), 2)
        if (verdict := compare(first, second))
    ]
    found.sort(
        key=lambda entry: (
            -entry[0].confidence,
            -entry[0].reason,
            -entry[0].score,
            entry[1],
            entry[2],
        )
    )
    product_of: dict[int, tuple[int, ...]] = {index: (index,) for index in range(len(items))}
    needed: dict[int, list[Match]] = {index: [] for index in range(len(items))}
    for verdict, first, second in found:
        ours, theirs = product_of[first], product_of[second]
        if not verdict.accepted or ours is theirs:
            continue
        if not all(may_be_joined(a, b) for a in ours for b in theirs):
            continue
        joined = tuple(sorted(ours + theirs))
        matches = [*needed[first], *needed[second], verdict]
        for index in joined:
            product_of[index], needed[index] = joined, matches
    return Grouping(
        groups=tuple(
            Group(
                members=members,
                reason=min(
                    (one.reason for one in needed[index]),
                    key=lambda reason: (reason is not Reason.PERSON, reason),
                    default=None,
                ),
                confidence=min((one.confidence for one in needed[index]), default=None),
            )
            for index, members in product_of.items()
            if members[0] == index
        ),
        doubtful=tuple(
            (first, second, verdict)
            for verdict, first, second in found
            if not verdict.accepted and product_of[first] is not product_of[second]
        ),
    )


def _names(one: Item, other: Item) -> tuple[Name, Name]:
    brands = frozenset({one.brand, other.brand} - {""})
    return read_name(one.title, brands), read_name(other.title, brands)


def _gtin(item: Item) -> str:
    return normalise_gtin(item.gtin) if item.gtin else ""


def _code(text: str) -> str:
    return re.sub(r"[\W_]+", "", fold(text))


def brand_and_mpn(item: Item) -> tuple[str, str] | None:
    """A part number with its brand, in one form; None where there is none that tells anything."""
    brand, mpn = _code(item.brand), _code(item.mpn)
    return (brand, mpn) if brand and len(mpn) >= _MIN_MPN_LENGTH else None


def _brands_differ(one: Item, other: Item) -> bool:
    ours, theirs = _code(one.brand), _code(other.brand)
    if not ours or not theirs:
        return False
    return not (ours.startswith(theirs) or theirs.startswith(ours)) and (
        fuzz.ratio(ours, theirs) < SAME_WORD
    )


def _mpns_differ(one: Item, other: Item) -> bool:
    """Of one brand; a part number may carry a country's suffix in one of the shops."""
    ours, theirs = brand_and_mpn(one), brand_and_mpn(other)
    if not ours or not theirs or ours[0] != theirs[0]:
        return False
    return not (ours[1].startswith(theirs[1]) or theirs[1].startswith(ours[1]))
