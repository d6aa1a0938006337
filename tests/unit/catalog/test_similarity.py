from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.catalog.similarity import Shelf, ShelfPhoto, join, rank_similar


def shelf(rows: dict[tuple[str, str], tuple[float, float]]) -> Shelf:
    photos = tuple(ShelfPhoto(product, image, f"images/{image}") for product, image in rows)
    return Shelf(photos, np.array(list(rows.values()), dtype=np.float32).reshape(-1, 2))


EMPTY = Shelf((), np.empty((0, 0), dtype=np.float32))
QUERY = np.array([1, 0], dtype=np.float32)


def test_ranks_by_cosine() -> None:
    found = rank_similar(
        QUERY, shelf({("a", "1"): (0.6, 0.8), ("b", "2"): (1, 0), ("c", "3"): (0, 1)}), limit=2
    )
    assert [(one.photo.product_id, one.similarity) for one in found] == [
        ("b", 1.0),
        ("a", pytest.approx(0.6)),
    ]


def test_names_a_product_once_by_its_best_photo() -> None:
    found = rank_similar(QUERY, shelf({("a", "1"): (0, 1), ("a", "2"): (0.8, 0.6)}), limit=5)
    assert [(one.photo.image_id, round(one.similarity, 3)) for one in found] == [("2", 0.8)]
    assert found[0].embedding.tolist() == pytest.approx([0.8, 0.6])


def test_similarity_stays_within_0_and_1() -> None:
    found = rank_similar(QUERY, shelf({("a", "1"): (1.001, 0), ("b", "2"): (-1, 0)}), limit=5)
    assert [one.similarity for one in found] == [1.0, 0.0]


def test_an_empty_shelf_has_nothing_similar() -> None:
    assert rank_similar(QUERY, EMPTY, limit=5) == []


def test_a_photo_on_two_shelves_is_taken_once() -> None:
    one = shelf({("a", "1"): (1, 0), ("b", "2"): (0, 1)})
    other = shelf({("b", "2"): (0, 1), ("c", "3"): (1, 0)})
    both = join([one, EMPTY, other])
    assert [photo.product_id for photo in both.photos] == ["a", "b", "c"]
    assert both.embeddings.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert join([]).photos == join([EMPTY]).photos == ()


@given(st.permutations(range(6)))
def test_the_order_on_the_shelf_does_not_matter(order: list[int]) -> None:
    rows = {(f"p{n % 4}", str(n)): ((1.0, 0.0) if n % 2 else (0.6, 0.8)) for n in range(6)}
    mixed = dict(list(rows.items())[n] for n in order)
    expected = [(one.photo, one.similarity) for one in rank_similar(QUERY, shelf(rows), limit=3)]
    found = rank_similar(QUERY, shelf(mixed), limit=3)
    assert [(one.photo, one.similarity) for one in found] == expected
