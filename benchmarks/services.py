"""What the classify function works with, where only its own time and memory are asked for."""

from __future__ import annotations

from typing import Any

from advisor.catalog.photo_classifier import PhotoClassifier
from functions.classify.handler import Services


class Rows(dict[str, Any]):
    """The labels table, in which nothing is known. last: the row that was put last."""

    name = "labels"
    last: Any = None

    def get(self, *_: Any) -> Any:
        """Nothing is known."""
        return None

    def put(self, row: Any) -> None:
        """Keep it."""
        self[row.image_id] = self.last = row


class Days:
    """The days table."""

    def add(self, *_: Any, **__: Any) -> None:
        """Count nothing."""


def stand_ins(classifier: PhotoClassifier) -> tuple[Services, Rows]:
    """The function's services, tables being dictionaries, and its labels table."""
    rows = Rows()
    labels: Any = rows
    days: Any = Days()
    unused: Any = None
    made = Services(
        data_bucket="data",
        uploads_bucket="uploads",
        classifier=lambda **_: classifier,
        catalog=unused,
        labels=labels,
        embeddings=unused,
        pins=unused,
        days=days,
    )
    return made, rows
