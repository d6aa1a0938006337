"""The classification result: one shape for DynamoDB, HTTP and the command line."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True)
class Label:
    """A category in the shop's own words, and its probability (0..1)."""

    label: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Classification:
    """What a model says of one photo.

    image_id: sha256 of the photo's bytes, hex. labels: ranked, most probable first.
    unknown: the best probability is below the bundle's threshold. timing_ms: by stage.
    """

    image_id: str
    model_version: str
    labels: tuple[Label, ...]
    unknown: bool
    timing_ms: dict[str, float] = field(default_factory=dict, compare=False)

    def at_least(self, probability: float) -> Self:
        """The same without the labels that are less probable."""
        kept = tuple(one for one in self.labels if one.probability >= probability)
        return replace(self, labels=kept)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object shown everywhere (probabilities rounded to six digits)."""
        return {
            "image_id": self.image_id,
            "model_version": self.model_version,
            "labels": [
                {"label": one.label, "probability": round(one.probability, 6)}
                for one in self.labels
            ],
            "unknown": self.unknown,
            "timing_ms": self.timing_ms,
        }
