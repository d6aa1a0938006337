"""Embeddings of the catalog's photos in DynamoDB, on one shelf a model and category.

embeddings   shelf = model_version#label, photo = product_id#image_id -> float16, unit length;
             on a photo's first shelf, that of its likeliest label, what training needs besides
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from advisor.aws.clients import row_key, table
from advisor.aws.rows import query_all
from advisor.catalog.similarity import Shelf, ShelfPhoto

STORED: Final = np.dtype("<f2")  # a third of a percent of rounding at most: the order stays


@dataclass(frozen=True, kw_only=True)
class EmbeddingRow:
    """A catalog photo on its shelf.

    label: the category predicted, with its probability (0..1). embedding: unit length.
    length, fingerprint: for training, None but on the photo's first shelf. Times the length the
    embedding is the feature vector that the head saw; fingerprint: Fingerprint.to_bytes().
    """

    model_version: str
    label: str
    product_id: str
    image_id: str
    photo_key: str
    probability: float
    embedding: npt.NDArray[np.float32]
    length: float | None = None
    fingerprint: bytes | None = None

    def of_product(self, product_id: str, photo_key: str) -> EmbeddingRow:
        """The same bytes as the photo of another product."""
        return replace(self, product_id=product_id, photo_key=photo_key)


@dataclass(frozen=True)
class EmbeddingTable:
    """The embeddings table, by name."""

    name: str

    def put(self, row: EmbeddingRow) -> None:
        """Store a row; the same photo of the same product on that shelf is replaced."""
        item: dict[str, Any] = {
            "product_id": row.product_id,
            "image_id": row.image_id,
            "photo_key": row.photo_key,
            "probability": Decimal(str(round(row.probability, 6))),
            "embedding": row.embedding.astype(STORED).tobytes(),
        }
        if row.length is not None and row.fingerprint is not None:
            item["length"] = Decimal(str(round(row.length, 4)))
            item["fingerprint"] = row.fingerprint
        key = _key(row.model_version, row.label, row.product_id, row.image_id)
        table(self.name).put_item(Item=key | item)

    def get(
        self, model_version: str, label: str, *, product_id: str, image_id: str
    ) -> EmbeddingRow | None:
        """One photo of one product on that shelf; None if it is not there."""
        key = _key(model_version, label, product_id, image_id)
        row = table(self.name).get_item(Key=key).get("Item")
        return _decode(row, model_version, label) if row else None

    def load(self, model_version: str, label: str) -> Shelf:
        """All photos of one category, as one model sees them."""
        return shelf_of(self.rows(model_version, label))

    def rows(self, model_version: str, label: str) -> Iterator[EmbeddingRow]:
        """The rows of one category, page by page."""
        condition = row_key("shelf").eq(_shelf(model_version, label))
        for row in query_all(self.name, KeyConditionExpression=condition):
            yield _decode(row, model_version, label)


def shelf_of(rows: Iterable[EmbeddingRow]) -> Shelf:
    """The rows' photos with their embeddings."""
    rows = list(rows)
    if not rows:
        return Shelf((), np.empty((0, 0), dtype=np.float32))
    photos = (ShelfPhoto(row.product_id, row.image_id, row.photo_key) for row in rows)
    return Shelf(tuple(photos), np.stack([row.embedding for row in rows]))


def _shelf(model_version: str, label: str) -> str:
    return f"{model_version}#{label}"


def _key(model_version: str, label: str, product_id: str, image_id: str) -> dict[str, str]:
    return {"shelf": _shelf(model_version, label), "photo": f"{product_id}#{image_id}"}


def _decode(row: dict[str, Any], model_version: str, label: str) -> EmbeddingRow:
    told = "fingerprint" in row
    return EmbeddingRow(
        model_version=model_version,
        label=label,
        product_id=row["product_id"],
        image_id=row["image_id"],
        photo_key=row["photo_key"],
        probability=float(row["probability"]),
        embedding=np.frombuffer(bytes(row["embedding"]), dtype=STORED).astype(np.float32),
        length=float(row["length"]) if told else None,
        fingerprint=bytes(row["fingerprint"]) if told else None,
    )
