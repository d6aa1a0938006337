from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.catalog.index import FILES, CategoryIndex, encode, write_index
from advisor.catalog.similarity import Shelf, ShelfPhoto
from advisor.errors import DataError


def shelf(count: int, *, seed: int = 0, start: int = 0, dimensions: int = 64) -> Shelf:
    """Photos around twenty centres, unit length."""
    dice = np.random.default_rng(seed)
    centres = np.random.default_rng(1).standard_normal((20, dimensions))
    vectors = centres[dice.integers(0, 20, count)] + dice.standard_normal((count, dimensions)) / 2
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    photos = (ShelfPhoto(f"one:{n}", f"i{n}", f"k/{n}.jpg") for n in range(start, start + count))
    return Shelf(tuple(photos), vectors.astype(np.float32))


def both(one: Shelf, other: Shelf) -> Shelf:
    return Shelf(one.photos + other.photos, np.concatenate([one.embeddings, other.embeddings]))


def written(folder: Path, one: Shelf, before: CategoryIndex | None = None) -> CategoryIndex:
    assert write_index(folder, one, before=before)
    return CategoryIndex.open(folder)


def exact(one: Shelf, query: int, limit: int) -> list[str]:
    scores = one.embeddings @ one.embeddings[query]
    return [one.photos[at].product_id for at in np.argsort(-scores, kind="stable")[:limit]]


def test_finds_what_an_exact_search_finds(tmp_path: Path) -> None:
    photos = shelf(3_000)
    index = written(tmp_path / "i", photos)
    right = 0
    for query in range(50):
        found = index.search(photos.embeddings[query], limit=10)
        assert found[0].photo == photos.photos[query]
        assert found[0].similarity == pytest.approx(1.0, abs=1e-3)
        right += len({one.photo.product_id for one in found} & set(exact(photos, query, 10)))
    assert right >= 0.95 * 500


def test_the_most_alike_comes_first_with_its_embedding(tmp_path: Path) -> None:
    photos = shelf(500)
    found = written(tmp_path / "i", photos).search(photos.embeddings[3], limit=20)
    similarities = [one.similarity for one in found]
    assert similarities == sorted(similarities, reverse=True)
    for one in found:
        row = photos.photos.index(one.photo)
        assert float(one.embedding @ photos.embeddings[row]) > 0.999
        assert one.similarity == pytest.approx(
            max(0.0, float(photos.embeddings[row] @ photos.embeddings[3])), abs=0.01
        )


def test_a_category_of_one_product_has_an_index(tmp_path: Path) -> None:
    photos = shelf(1)
    [found] = written(tmp_path / "i", photos).search(photos.embeddings[0], limit=10)
    assert found.photo == photos.photos[0]


def test_a_category_without_photos_has_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="without photos"):
        write_index(tmp_path / "i", Shelf((), np.empty((0, 0), dtype=np.float32)))


def test_further_photos_are_appended_and_gone_ones_left_out(tmp_path: Path) -> None:
    first, more = shelf(300), shelf(100, seed=5, start=300)
    before = written(tmp_path / "a", first)
    everything = both(first, more)
    left = Shelf(everything.photos[50:], everything.embeddings[50:])
    index = written(tmp_path / "b", left, before)
    assert list(index.photos()) == list(left.photos)
    assert np.array_equal(index.basis, before.basis)
    assert np.array_equal(index.fine[:250], before.fine[50:])
    anew = written(tmp_path / "c", left)
    for query in (0, 200, 340):
        ours, theirs = (one.search(left.embeddings[query], limit=5) for one in (index, anew))
        assert [one.photo for one in ours] == [one.photo for one in theirs]


def test_an_index_that_is_up_to_date_is_not_written_again(tmp_path: Path) -> None:
    before = written(tmp_path / "a", shelf(300))
    assert not write_index(tmp_path / "b", shelf(300), before=before)
    assert not (tmp_path / "b").exists()


def test_a_category_that_has_grown_far_gets_new_directions(tmp_path: Path) -> None:
    before = written(tmp_path / "a", shelf(100))
    index = written(tmp_path / "b", shelf(500), before)
    assert not np.array_equal(index.basis, before.basis)


def test_a_category_that_began_small_gets_the_directions_it_lacked(tmp_path: Path) -> None:
    before = written(tmp_path / "a", shelf(10))
    index = written(tmp_path / "b", shelf(40), before)
    assert (before.basis.shape[1], index.basis.shape[1]) == (10, 40)


def test_a_photo_that_changed_its_place_is_the_new_one(tmp_path: Path) -> None:
    photos = shelf(150)
    moved = Shelf((ShelfPhoto("one:0", "i0", "new.jpg"), *photos.photos[1:]), photos.embeddings)
    index = written(tmp_path / "b", moved, written(tmp_path / "a", photos))
    assert len(index) == 150
    assert index.search(photos.embeddings[0], limit=1)[0].photo.photo == "new.jpg"


@pytest.mark.parametrize("name", FILES)
def test_half_an_index_is_refused(tmp_path: Path, name: str) -> None:
    written(tmp_path / "i", shelf(150))
    (tmp_path / "i" / name).unlink()
    with pytest.raises(DataError, match="no index"):
        CategoryIndex.open(tmp_path / "i")


def test_files_of_two_indexes_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "a", shelf(150))
    written(tmp_path / "b", shelf(151))
    (tmp_path / "a" / "fine.npy").write_bytes((tmp_path / "b" / "fine.npy").read_bytes())
    with pytest.raises(DataError, match="more than one index"):
        CategoryIndex.open(tmp_path / "a")


@given(st.lists(st.lists(st.floats(-1, 1, width=32), min_size=8, max_size=8), min_size=1))
@example([[0.0] * 7 + [1.1754943508222875e-38]])
def test_codes_point_where_the_vectors_point(rows: list[list[float]]) -> None:
    vectors = np.array(rows, dtype=np.float32)
    codes = encode(vectors).astype(np.float32)
    for vector, code in zip(vectors, codes, strict=True):
        size = float(np.linalg.norm(vector)) * float(np.linalg.norm(code))
        assert size < 1e-20 or float(vector @ code) / size > 0.99
