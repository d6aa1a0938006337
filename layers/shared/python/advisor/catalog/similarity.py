"""Which photos of the catalog look most like this one: cosine over unit embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ShelfPhoto:
    """A catalog photo of a product. photo: where it lies (an S3 key, or a path)."""

    product_id: str
    image_id: str
    photo: str


@dataclass(frozen=True)
class Shelf:
    """The catalog photos of one category, as one model sees them.

    embeddings: float32 (len(photos), dimensions), each row of unit length.
    """

    photos: tuple[ShelfPhoto, ...]
    embeddings: npt.NDArray[np.float32]


@dataclass(frozen=True)
class SimilarPhoto:
    """A photo found, its likeness to the one asked for (0..1), and its own embedding."""

    photo: ShelfPhoto
    similarity: float
    embedding: npt.NDArray[np.float32]


class PhotoSearch(Protocol):
    """Finds catalog photos that look like one: over an index, a table, folders or S3 Vectors."""

    def similar(
        self, labels: Sequence[str], query: npt.NDArray[np.float32], *, limit: int
    ) -> list[SimilarPhoto]:
        """The products whose photos in these categories look most like the query.

        query: float32 (dimensions,), unit length. At most `limit` products, each named once, by
        the photo of it that looks most like the query; most alike first.
        """


def best_of_each_product(found: Iterable[SimilarPhoto], *, limit: int) -> list[SimilarPhoto]:
    """Of each product the photo that is most alike, most alike first; of equals in order of ids."""
    ranked = sorted(
        found, key=lambda one: (-one.similarity, one.photo.product_id, one.photo.image_id)
    )
    best: dict[str, SimilarPhoto] = {}
    for one in ranked:
        best.setdefault(one.photo.product_id, one)
    return list(best.values())[:limit]


def join(shelves: Sequence[Shelf]) -> Shelf:
    """One shelf out of several; a photo that stands on two of them is taken once."""
    rows = {
        (photo.product_id, photo.image_id): (photo, embedding)
        for shelf in shelves
        for photo, embedding in zip(shelf.photos, shelf.embeddings, strict=True)
    }
    if not rows:
        return Shelf((), np.empty((0, 0), dtype=np.float32))
    photos, embeddings = zip(*rows.values(), strict=True)
    return Shelf(tuple(photos), np.stack(embeddings))


def rank_similar(query: npt.NDArray[np.float32], shelf: Shelf, *, limit: int) -> list[SimilarPhoto]:
    """The products whose photos look most like the query, most alike first.

    query: float32 (dimensions,), unit length. A product is named once, by the photo of it
    that looks most like the query. Equals keep the order of their product ids, so that the
    same question always gets the same answer.
    """
    if not shelf.photos:
        return []
    similarities = np.clip(shelf.embeddings @ query, 0.0, 1.0)
    ids = np.array([f"{one.product_id}\0{one.image_id}" for one in shelf.photos])
    best: dict[str, int] = {}
    for index in np.lexsort((ids, -similarities)):
        best.setdefault(shelf.photos[index].product_id, int(index))
        if len(best) == limit:
            break
    return [
        SimilarPhoto(shelf.photos[index], float(similarities[index]), shelf.embeddings[index])
        for index in best.values()
    ]
