"""Is this the same product? Told by GTIN, else by brand and MPN, else by name and photo.

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
from advisor.catalog.names import SAME_WORD, Name, fold, name_similarity, read_name, variants_differ
from advisor.crawling.items import Item

# Cosine of two photos' embeddings, over the 54 demo goods and their re-encoded copies (85 %
# size, quality 80, cropped): the same photo at least .906 (MobileNet V2 alpha 0.35) or .930
# (alpha 1.0), two goods at most .80 or .67. Two photos of clothing of one kind: .79 at the
# 99.9th percentile. Backbones frozen; fine-tuned ones move a category closer together.
SAME_PHOTO: Final = 0.9
LIKE_PHOTO: Final = 0.7
# Names (0..1) that are enough together with the photos. .8: one may say one word of five more.
NAME_WITH_SAME_PHOTO: Final = 0.8
NAME_WITH_LIKE_PHOTO: Final = 0.9
NAME_WITHOUT_PHOTOS: Final = 0.95
_MIN_MPN_LENGTH = 3  # "1" and "XL" are no part numbers


class Reason(IntEnum):
    """Why two offers are of the same product; a greater reason is the better one."""

    NAME = 1
    MPN = 2
    GTIN = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, order=True)
class Match:
    """Two items are the same product. score: 0..1, how alike they are otherwise."""

    reason: Reason
    score: float


def match(one: Item, other: Item, *, photo_similarity: float | None = None) -> Match | None:
    """Whether the items of two shops are the same product, and why; None if they are not.

    photo_similarity: cosine of the embeddings of their photos; None if they were not compared.
    """
    if contradict(one, other):
        return None
    names = _names(one, other)
    alike = name_similarity(*names)
    if _gtin(one) and _gtin(one) == _gtin(other):
        return Match(Reason.GTIN, alike)
    if _brand_and_mpn(one) and _brand_and_mpn(one) == _brand_and_mpn(other):
        return Match(Reason.MPN, alike)
    if photo_similarity is None:
        return Match(Reason.NAME, alike) if alike >= NAME_WITHOUT_PHOTOS else None
    if (photo_similarity >= SAME_PHOTO and alike >= NAME_WITH_SAME_PHOTO) or (
        photo_similarity >= LIKE_PHOTO and alike >= NAME_WITH_LIKE_PHOTO
    ):
        return Match(Reason.NAME, (alike + photo_similarity) / 2)
    return None


def contradict(one: Item, other: Item) -> bool:
    """Whether the items cannot be the same product, however alike they look.

    Two different valid GTINs; two things that one shop sells apart; names that tell two
    variants apart; two brands; two part numbers of one brand. Of these, an equal GTIN
    outweighs what two shops say in other words, but never what one shop says of both.
    """
    gtins = {_gtin(one), _gtin(other)} - {""}
    if len(gtins) == 2:
        return True
    same_gtin = bool(gtins) and _gtin(one) == _gtin(other)
    apart = variants_differ(*_names(one, other))
    if one.shop == other.shop:
        return apart or not same_gtin
    return not same_gtin and (apart or _brands_differ(one, other) or _mpns_differ(one, other))


def group(
    items: Sequence[Item], *, photo_similarity: Callable[[int, int], float | None]
) -> list[tuple[list[int], Reason | None]]:
    """The items as products: the indexes of each, and what holds it together.

    The surest matches are joined first, and never so that two items that contradict each
    other end in one product. The reason is the weakest of those that were needed; None for
    an item on its own. Products come in the order of their first item.
    """
    found = [
        (verdict, first, second)
        for first, second in combinations(range(len(items)), 2)
        if (
            verdict := match(
                items[first], items[second], photo_similarity=photo_similarity(first, second)
            )
        )
    ]
    found.sort(key=lambda entry: (-entry[0].reason, -entry[0].score, entry[1], entry[2]))
    product_of = {index: [index] for index in range(len(items))}
    reasons: dict[int, Reason] = {}
    for verdict, first, second in found:
        ours, theirs = product_of[first], product_of[second]
        if ours is theirs or any(contradict(items[a], items[b]) for a in ours for b in theirs):
            continue
        joined = sorted(ours + theirs)
        for index in joined:
            product_of[index] = joined
            reasons[index] = verdict.reason  # sorted: each is as weak as those before, or weaker
    return [
        (product, reasons.get(index))
        for index, product in product_of.items()
        if product[0] == index
    ]


def _names(one: Item, other: Item) -> tuple[Name, Name]:
    brands = frozenset({one.brand, other.brand} - {""})
    return read_name(one.title, brands), read_name(other.title, brands)


def _gtin(item: Item) -> str:
    return normalise_gtin(item.gtin) if item.gtin else ""


def _code(text: str) -> str:
    return re.sub(r"[\W_]+", "", fold(text))


def _brand_and_mpn(item: Item) -> tuple[str, str] | None:
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
    ours, theirs = _brand_and_mpn(one), _brand_and_mpn(other)
    if not ours or not theirs or ours[0] != theirs[0]:
        return False
    return not (ours[1].startswith(theirs[1]) or theirs[1].startswith(ours[1]))
