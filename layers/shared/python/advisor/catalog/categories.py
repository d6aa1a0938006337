"""Unified categories: what each shop's category is, told by what a model sees in its photos.

A person's word, a pin, wins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

Shelved = tuple[str, str]  # a shop, and one of its categories in its own words


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What a model says of one photo of a product: a label, and how probable it is (0..1)."""

    shop: str
    category: str
    product_id: str
    photo: str
    label: str
    probability: float
    image_id: str = ""


@dataclass(frozen=True)
class Evidence:
    """For one label: the sum of its probabilities over photos, and over how many products."""

    label: str
    weight: float
    products: int


@dataclass(frozen=True, kw_only=True)
class MappedCategory:
    """A shop's category and the unified one that it is.

    share: the label's part of all evidence, 0..1; of a pinned one the pin's. pinned: a person
    said so. evidence: for each label, the weightiest first; without any the category is its own.
    """

    shop: str
    category: str
    unified: str
    share: float
    pinned: bool
    evidence: tuple[Evidence, ...]

    @classmethod
    def of(cls, shelved: Shelved, evidence: Iterable[Evidence], pin: str | None = None) -> Self:
        """What a category is by this evidence, the weightiest first, unless a person pinned it."""
        evidence = tuple(evidence)
        unified = pin or (evidence[0].label if evidence else shelved[1])
        total = sum(one.weight for one in evidence)
        told = sum(one.weight for one in evidence if one.label == unified)
        return cls(
            shop=shelved[0],
            category=shelved[1],
            unified=unified,
            share=told / total if total else 0.0,
            pinned=pin is not None,
            evidence=evidence,
        )

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        evidence = tuple(Evidence(**one) for one in value["evidence"])
        return cls(**{**value, "evidence": evidence})

    def pinned_to(self, pin: str | None) -> Self:
        """The same category as a person says, or without a pin as the evidence does."""
        return self.of((self.shop, self.category), self.evidence, pin)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object (weights rounded to four digits)."""
        rounded = [asdict(one) | {"weight": round(one.weight, 4)} for one in self.evidence]
        return asdict(self) | {"share": round(self.share, 4), "evidence": rounded}


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A product that its shop files under one category and whose photos show another.

    confidence: how much more probable the label is than the category's own (0..1).
    """

    product_id: str
    category: str
    unified: str
    label: str
    probability: float
    confidence: float
    photo: str
    image_id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object (probabilities rounded to four digits)."""
        return asdict(self) | {
            "probability": round(self.probability, 4),
            "confidence": round(self.confidence, 4),
        }


def map_categories(
    votes: Iterable[Vote],
    pins: Mapping[Shelved, str] | None = None,
    *,
    shelves: Iterable[Shelved] = (),
) -> list[MappedCategory]:
    """Each shop's categories with the unified ones, in the order of their names.

    A label weighs what its probabilities come to, so that photos the model is unsure of count for
    less. Of equal weights the first in the alphabet. pins: what a person said; they win, also over
    no evidence at all. shelves: categories that there are, whether or not a photo tells of them.
    """
    pins = pins or {}
    weights: dict[Shelved, dict[str, float]] = {shelved: {} for shelved in (*pins, *shelves)}
    products: dict[tuple[Shelved, str], set[str]] = defaultdict(set)
    for vote in votes:
        shelved = (vote.shop, vote.category)
        of_labels = weights.setdefault(shelved, {})
        of_labels[vote.label] = of_labels.get(vote.label, 0.0) + vote.probability
        products[shelved, vote.label].add(vote.product_id)
    found = []
    for shelved, of_labels in sorted(weights.items()):
        ranked = sorted(of_labels.items(), key=lambda pair: (-pair[1], pair[0]))
        evidence = (
            Evidence(label, weight, len(products[shelved, label])) for label, weight in ranked
        )
        found.append(MappedCategory.of(shelved, evidence, pins.get(shelved)))
    return found


def disagreements(votes: Iterable[Vote], mapped: Iterable[MappedCategory]) -> list[Disagreement]:
    """The products whose photos show another category than their shop's, most confident first.

    A product's photos are averaged, so that one odd photo of several says little.
    """
    unified = {(one.shop, one.category): one.unified for one in mapped}
    by_product: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_product[vote.product_id].append(vote)
    found = []
    for product_id, said in by_product.items():
        photos = {vote.photo for vote in said}
        means: dict[str, float] = defaultdict(float)
        for vote in said:
            means[vote.label] += vote.probability / len(photos)
        label, probability = min(means.items(), key=lambda pair: (-pair[1], pair[0]))
        expected = unified[said[0].shop, said[0].category]
        if label == expected:
            continue
        best = max(
            (vote for vote in said if vote.label == label), key=lambda vote: vote.probability
        )
        found.append(
            Disagreement(
                product_id=product_id,
                category=said[0].category,
                unified=expected,
                label=label,
                probability=probability,
                confidence=probability - means.get(expected, 0.0),
                photo=best.photo,
                image_id=best.image_id,
            )
        )
    return sorted(found, key=lambda one: (-one.confidence, one.product_id))
