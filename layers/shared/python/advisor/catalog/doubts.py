"""Pairs of offers that may be one product, for a person to look at. Found without comparing all.

Products are compared with those that share a code, a name or a photo with them: time grows with
their number, and what shares nothing but a likeness is not looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from advisor.catalog.gtin import normalise_gtin
from advisor.catalog.matching import brand_and_mpn, group
from advisor.catalog.names import read_name
from advisor.catalog.pins import Pins, match_id
from advisor.catalog.products import Product

MOST_ALIKE: Final = 30  # a name that more products have says nothing
MOST_DOUBTS: Final = 1_000  # a person looks at the likeliest first


@dataclass(frozen=True)
class ProductPhoto:
    """One photo of a product. key: where it lies. embedding: unit length, or None if not kept."""

    key: str
    image_id: str
    embedding: npt.NDArray[np.float32] | None

    def likeness(self, other: ProductPhoto) -> float | None:
        """Cosine of the embeddings; 1 for the same bytes; None if that cannot be told."""
        if self.image_id == other.image_id:
            return 1.0
        if self.embedding is None or other.embedding is None:
            return None
        return float(self.embedding @ other.embedding)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """Two products, by their ids in the order of the alphabet, that may be one.

    reason: gtin, mpn, name. why: what speaks against it. score: 0..1, how alike they are.
    one_photo, other_photo: where they lie, or "".
    """

    one: str
    other: str
    reason: str
    why: str
    score: float
    one_photo: str = ""
    other_photo: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object, with its `match_id`."""
        known = match_id(self.one, self.other)
        return {"match_id": known} | asdict(self) | {"score": round(self.score, 4)}


def alike(
    products: Iterable[Product], image_of: Mapping[str, str] | None = None
) -> list[list[Product]]:
    """Products of several shops that share a code, a name or a photo, two to MOST_ALIKE each.

    image_of: the id of a photo of each product, by product id.
    """
    image_of = image_of or {}
    shared: dict[tuple[str, object], list[Product]] = defaultdict(list)
    for product in products:
        item = product.item
        words = tuple(sorted(read_name(item.title, frozenset({item.brand} - {""})).words))
        for kind, value in (
            ("gtin", normalise_gtin(item.gtin) if item.gtin else ""),
            ("mpn", brand_and_mpn(item)),
            ("name", words),
            ("photo", image_of.get(product.product_id, "")),
        ):
            if value:
                shared[kind, value].append(product)
    return [
        found
        for found in shared.values()
        if len(found) <= MOST_ALIKE and len({one.item.shop for one in found}) > 1
    ]


def find_doubts(
    groups: Iterable[Sequence[Product]], photos: Mapping[str, ProductPhoto], pins: Pins
) -> list[Doubt]:
    """The doubtful pairs among products that are `alike`, the likeliest first; none that is pinned.

    photos: by product id.
    """
    found: dict[str, Doubt] = {}
    for products in groups:
        seen = [photos.get(one.product_id) for one in products]
        grouping = group(
            [one.item for one in products], photo_similarity=partial(_likeness, seen), pins=pins
        )
        for first, second, match in grouping.doubtful:
            one, other = sorted((first, second), key=lambda at: products[at].product_id)
            doubt = Doubt(
                one=products[one].product_id,
                other=products[other].product_id,
                reason=str(match.reason),
                why=match.why,
                score=match.score,
                one_photo=_key(seen[one]),
                other_photo=_key(seen[other]),
            )
            found[match_id(doubt.one, doubt.other)] = doubt
    ranked = sorted(found.values(), key=lambda one: (-one.score, one.one, one.other))
    return ranked[:MOST_DOUBTS]


def _likeness(seen: Sequence[ProductPhoto | None], first: int, second: int) -> float | None:
    one, other = seen[first], seen[second]
    return one.likeness(other) if one and other else None


def _key(photo: ProductPhoto | None) -> str:
    return photo.key if photo else ""
