"""From a photo to products: what looks like it, grouped over the shops, with every price."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from advisor.catalog.gtin import normalise_gtin
from advisor.catalog.pins import Pins, partners_of
from advisor.catalog.products import Offer, Product, cheapest_first
from advisor.catalog.similarity import PhotoSearch, SimilarPhoto
from advisor.vision.classification import Classification

if TYPE_CHECKING:
    from advisor.catalog.matching import Group

# So many products are looked at for one suggestion shown: the same product of another shop
# stands right below it, and each pair of products is compared.
LOOKED_AT_PER_SUGGESTION: Final = 4
# A photo of a road bike at .45 "sports equipment" and .43 "cameras" must not miss the bike that
# the shop's own photo put among the cameras.
SURE: Final = 0.9
MOST_LABELS: Final = 2
CODES_LOOKED_UP: Final = 5  # so many of the best candidates' GTINs are asked for in all shops


class Catalog(PhotoSearch, Protocol):
    """Where products and their photos are kept: tables and indexes on AWS, or folders."""

    def products(self, product_ids: Iterable[str]) -> Mapping[str, Product]:
        """The products of these ids; ids that there are not are left out."""

    def by_gtin(self, gtin: str) -> Sequence[Product]:
        """Every shop's product of a valid GTIN."""

    def pins(self) -> Pins:
        """What people said of pairs of products."""


@dataclass(frozen=True)
class Candidate:
    """A product that may be suggested: how much it looks like the photo asked for (0..1).

    photo: where the product's photo lies. embedding: the photo's, unit length; None for a
    product that was found by its code and not by a photo.
    """

    product: Product
    similarity: float
    photo: str = ""
    embedding: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """One product: its offers in all shops, cheapest first.

    similarity: of the photo, 0..1, that looks most like the one asked for. match: what says
    that the offers are of one product: gtin, mpn, name, person; "" for a single offer.
    confidence: high or medium; "" for a single offer.
    """

    title: str
    category: str
    similarity: float
    photo: str
    match: str
    confidence: str
    offers: tuple[Offer, ...]

    @property
    def same(self) -> bool:
        """Whether the photo asked for shows this product itself, not one that looks like it."""
        from advisor.catalog.matching import SAME_PHOTO  # noqa: PLC0415 (rapidfuzz)

        return self.similarity >= SAME_PHOTO

    @property
    def product_ids(self) -> tuple[str, ...]:
        """The shops' products that are this one."""
        return tuple(offer.product_id for offer in self.offers)

    def to_dict(self, photo_url: Callable[[str], str | None]) -> dict[str, Any]:
        """The JSON object of an answer. photo_url: turns where a photo lies into its address."""
        return {
            "title": self.title,
            "category": self.category,
            "similarity": round(self.similarity, 4),
            "same": self.same,
            "photo_url": photo_url(self.photo) if self.photo else None,
            "match": self.match,
            "confidence": self.confidence,
            "offers": [offer.to_dict(photo_url) for offer in self.offers],
        }


def find_suggestions(
    classification: Classification,
    embedding: npt.NDArray[np.float32],
    catalog: Catalog,
    *,
    top_k: int,
) -> list[Suggestion]:
    """What the catalog holds that looks like a classified photo: at most top_k products."""
    similar = catalog.similar(
        labels_to_search(classification), embedding, limit=LOOKED_AT_PER_SUGGESTION * top_k
    )
    products = catalog.products(one.photo.product_id for one in similar)
    candidates = candidates_of(similar, products)
    # A shop whose photo is on another shelf may sell the same product, too.
    elsewhere = [
        product
        for gtin in gtins_of(candidates)[:CODES_LOOKED_UP]
        for product in catalog.by_gtin(gtin)
    ]
    pins = catalog.pins()
    candidates = with_same_gtin(candidates, elsewhere)
    partners = catalog.products(partners_of((one.product.product_id for one in candidates), pins))
    return suggest(with_partners(candidates, partners, pins), top_k=top_k, pins=pins)


def labels_to_search(classification: Classification) -> tuple[str, ...]:
    """The categories to look in: the predicted one, and the next best where it may be that one.

    A photo of a shop is put on the shelves of the same categories, so that either side may err.
    """
    best = classification.labels[:MOST_LABELS]
    sure = not classification.unknown and bool(best) and best[0].probability >= SURE
    return tuple(one.label for one in (best[:1] if sure else best))


def candidates_of(
    similar: Iterable[SimilarPhoto], products: Mapping[str, Product]
) -> list[Candidate]:
    """The similar photos with their products; those whose product is gone are left out."""
    return [
        Candidate(products[one.photo.product_id], one.similarity, one.photo.photo, one.embedding)
        for one in similar
        if one.photo.product_id in products
    ]


def suggest(
    candidates: Sequence[Candidate], *, top_k: int, pins: Pins | None = None
) -> list[Suggestion]:
    """At most top_k products: what is the photo's own product first, then what looks like it.

    Of the others, those that can be had come before those that cannot, each most alike first.
    pins: what people said of pairs of products.
    """
    from advisor.catalog.matching import group  # noqa: PLC0415 (rapidfuzz)

    grouping = group(
        [candidate.product.item for candidate in candidates],
        photo_similarity=lambda first, second: _cosine(candidates[first], candidates[second]),
        pins=pins,
    )
    found = [
        _suggestion([candidates[index] for index in one.members], one)
        for one in grouping.groups
        # One that only its code has found, and that is not the same after all, is none of these.
        if any(candidates[index].embedding is not None for index in one.members)
    ]
    found.sort(key=lambda one: (not one.same, _is_gone(one), -one.similarity))
    return found[:top_k]


def gtins_of(candidates: Iterable[Candidate]) -> list[str]:
    """The valid GTINs among the candidates, by which other shops' offers can be found."""
    gtins = (normalise_gtin(candidate.product.item.gtin) for candidate in candidates)
    return list(dict.fromkeys(gtin for gtin in gtins if gtin))


def with_same_gtin(candidates: Sequence[Candidate], products: Iterable[Product]) -> list[Candidate]:
    """The candidates, and after them the products that no photo found: by their GTIN.

    Such a product is as similar as the candidate with its GTIN: it is the same one.
    """
    known = {candidate.product.product_id for candidate in candidates}
    similarity: dict[str, float] = {}
    for candidate in candidates:
        similarity.setdefault(normalise_gtin(candidate.product.item.gtin), candidate.similarity)
    more = [
        Candidate(product, similarity.get(normalise_gtin(product.item.gtin), 0.0))
        for product in products
        if product.product_id not in known
    ]
    return [*candidates, *more]


def with_partners(
    candidates: Sequence[Candidate], partners: Mapping[str, Product], pins: Pins
) -> list[Candidate]:
    """The candidates, and after them their partners, each as similar as its candidate."""
    more = {
        other: Candidate(partners[other], candidate.similarity)
        for candidate in reversed(candidates)  # so that the most similar one counts
        for other, same in pins.get(candidate.product.product_id, {}).items()
        if same and other in partners
    }
    return [*candidates, *more.values()]


def _is_gone(suggestion: Suggestion) -> bool:
    """Whether every shop says that it cannot be had; a shop that says nothing may have it."""
    return all(offer.availability == "out_of_stock" for offer in suggestion.offers)


def _suggestion(members: Sequence[Candidate], found: Group) -> Suggestion:
    best = max(members, key=lambda candidate: candidate.similarity)
    return Suggestion(
        title=best.product.item.title,
        category=best.product.item.category,
        similarity=best.similarity,
        photo=best.photo,
        match=str(found.reason) if found.reason else "",
        confidence=str(found.confidence) if found.confidence else "",
        offers=cheapest_first(Offer.of(one.product, photo=one.photo) for one in members),
    )


def _cosine(one: Candidate, other: Candidate) -> float | None:
    if one.embedding is None or other.embedding is None:
        return None
    return float(one.embedding @ other.embedding)
