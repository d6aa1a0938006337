"""What is learnt from: scanning, pruning, copies, the split."""

from __future__ import annotations

import json
import shutil
import tempfile
from io import BytesIO
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from advisor.errors import DataError
from advisor.naming import path_segment
from advisor.vision.fingerprints import Fingerprint, fingerprint
from advisor.vision.images import decode
from tests.training import tiny
from training.dataset import PhotoFile, held_out_shop, scan, split_by_size
from training.duplicates import Fingerprints, _near, group, near_copies
from training.rows import RowFile
from training.split import Side, split


def test_scans_category_folders_at_any_depth(tmp_path: Path) -> None:
    for name in ("hat/a.JPG", "hat/deep/er/b.png", "dress/c.webp", "hat/.hidden.jpg",
                 "hat/notes.txt", "loose.jpg", ".git/d.jpg", "hat/.thumbs/e.jpg"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = [(photo.name, photo.label) for photo in scan(tmp_path)]
    assert found == [("dress/c.webp", "dress"), ("hat/a.JPG", "hat"), ("hat/deep/er/b.png", "hat")]


def test_labels_are_the_shops_own_words(tmp_path: Path) -> None:
    label = "TVs / hi-fi: 50% off? 靴"
    (tmp_path / path_segment(label)).mkdir()
    (tmp_path / path_segment(label) / "a.jpg").write_bytes(b"x")
    assert [photo.label for photo in scan(tmp_path)] == [label]


def test_a_line_break_in_a_label_becomes_a_space(tmp_path: Path) -> None:
    (tmp_path / "two%0Alines").mkdir()
    (tmp_path / "two%0Alines" / "a.jpg").write_bytes(b"x")
    assert [photo.label for photo in scan(tmp_path)] == ["two lines"]


def test_joiners_inside_a_label_stay(tmp_path: Path) -> None:
    for label in ("می\u200cشود", "👩\u200d🍳 chef", "50\u00a0%"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.jpg").write_bytes(b"x")
    found = {photo.label for photo in scan(tmp_path)}
    assert found == {"می\u200cشود", "👩\u200d🍳 chef", "50\u00a0%"}


def test_a_line_of_photos_jsonl_may_hold_a_line_separator(tmp_path: Path) -> None:
    tiny.make_photos(tmp_path / "images", each=1)
    line = {"path": "images/red/0.png", "product_id": "a\u2028b"}
    (tmp_path / "photos.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n")
    assert "a\u2028b" in {photo.product_id for photo in scan(tmp_path / "images")}
    (tmp_path / "photos.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match=r"photos\.jsonl, line 1"):
        scan(tmp_path / "images")


def test_reads_which_product_a_photo_shows(tmp_path: Path) -> None:
    tiny.make_photos(tmp_path / "images", each=1)
    line = {"path": "images/red/0.png", "product_id": "shop:7", "image_id": "", "url": ""}
    (tmp_path / "photos.jsonl").write_text(json.dumps(line) + "\n")
    products = {photo.name: photo.product_id for photo in scan(tmp_path / "images")}
    assert products == {"red/0.png": "shop:7", "blue/0.png": "", "green, dark/0.png": ""}


def test_a_damaged_photos_jsonl_is_named_with_its_line(tmp_path: Path) -> None:
    tiny.make_photos(tmp_path / "images", each=1)
    (tmp_path / "photos.jsonl").write_text('{"path": "a", "product_id": "b"}\noops\n')
    with pytest.raises(DataError, match=r"photos\.jsonl, line 2"):
        scan(tmp_path / "images")


@pytest.mark.parametrize(("name", "expected"), [("nope", "is no folder"), ("", "holds no photo")])
def test_a_folder_without_photos_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        scan(tmp_path / name)


def test_prunes_small_categories_and_names_them() -> None:
    assert split_by_size({"b": 5, "a": 9, "c": 4}, 5) == (("a", "b"), {"c": 4})


@pytest.mark.parametrize(
    ("counts", "expected"),
    [({"hat": 900}, r"only one category with readable photos \('hat'\)"),
     ({"hat": 40, "dress": 30, "shoes": 30},
      r"0 of 3 .* \(hat 40, dress 30, shoes 30\).*--min-images 30 would keep 3"),
     ({"hat": 400, "dress": 30}, r"1 of 2 .*--min-images 30 would keep 2")],
)  # fmt: skip
def test_fewer_than_two_categories_are_refused(counts: dict[str, int], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        split_by_size(counts, 200)


def recoded(data: bytes) -> bytes:
    image = Image.open(BytesIO(data)).convert("RGB")
    file = BytesIO()
    image.resize((image.width * 4 // 5, image.height * 4 // 5)).save(file, "JPEG", quality=70)
    return file.getvalue()


def copies_of(marks: list[Fingerprint], folder: Path) -> list[tuple[int, int]]:
    with RowFile(folder, np.uint8) as thumbnails:
        for mark in marks:
            thumbnails.add(np.frombuffer(mark.thumbnail, np.uint8))
        hashes = np.array([mark.dhash for mark in marks], np.uint64)
        return near_copies(Fingerprints(hashes, thumbnails.rows()))


def test_a_recoded_smaller_copy_is_found_and_others_are_not(tmp_path: Path) -> None:
    photos = [tiny.photo((200, 60, 60), seed=seed) for seed in range(30)]
    photos.append(recoded(photos[17]))
    assert copies_of([fingerprint(decode(data)) for data in photos], tmp_path) == [(17, 30)]


def test_plain_photos_of_other_colours_are_no_copies(tmp_path: Path) -> None:
    """All have the same difference hash, as clothes on a plain wall nearly have."""
    flat = [Image.new("RGB", (50, 50), colour) for colour in ("red", "green", "white")]
    marks = []
    for image in flat:
        file = BytesIO()
        image.save(file, "PNG")
        marks.append(fingerprint(decode(file.getvalue())))
    assert len({mark.dhash for mark in marks}) == 1
    assert copies_of(marks, tmp_path) == []


@st.composite
def many_alike(draw: st.DrawFn) -> list[Fingerprint]:
    """Of a few photos of few bits and few greys, many at the very limits of being the same."""
    marks = []
    for _ in range(draw(st.integers(2, 40))):
        bits = draw(st.lists(st.integers(0, 63), max_size=5, unique=True))
        hashed = draw(st.sampled_from([0, (1 << 64) - 1])) ^ sum(1 << bit for bit in bits)
        row = np.full(768, draw(st.sampled_from([0, 100, 251])), np.uint8)
        at, much = draw(st.integers(0, 768)), draw(st.integers(0, 4))
        row[:at] += np.uint8(much)
        row[draw(st.integers(0, 767))] ^= draw(st.integers(0, 1))
        marks.append(Fingerprint(hashed, row.tobytes()))
    return marks


@settings(deadline=None)
@given(many_alike())
def test_the_same_photos_are_linked_as_when_each_is_compared_with_each(
    marks: list[Fingerprint],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert_links(marks, Path(folder))


def test_photos_on_one_plain_background_are_linked_as_they_look(tmp_path: Path) -> None:
    """All are equally bright and have one hash."""
    rng = np.random.default_rng(0)
    colours = [(int(red), int(green), 382 - int(red) - int(green))
               for red, green in rng.integers(64, 191, (500, 2))]  # fmt: skip
    assert_links([Fingerprint(7, bytes(colour) * 256) for colour in colours], tmp_path)


def test_textures_of_one_hash_and_tone_are_linked_as_they_look(tmp_path: Path) -> None:
    """More pairs to compare than are held at a time, and nothing but pixels to tell them apart."""
    rng = np.random.default_rng(0)
    marks = []
    for _ in range(20):
        tile = 4 * rng.permutation(64).astype(np.uint8).reshape(8, 8)
        for column in range(1, 21):
            pixels = np.repeat(np.tile(tile, (2, 2))[:, :, np.newaxis], 3, axis=2)
            ones, others = (0, 0), (column % 8, column // 8)  # in the first quarter, swapped
            pixels[ones], pixels[others] = pixels[others].copy(), pixels[ones].copy()
            marks.append(Fingerprint(7, pixels.tobytes()))
    assert_links(marks, tmp_path)
    assert len(copies_of(marks, tmp_path)) == 20 * 19


def test_photos_that_are_linked_are_not_compared_again() -> None:
    count = 1000
    same = np.zeros(count, np.int64)
    tones = np.zeros((count, 4), np.int64)
    assert not any(len(left) for left, _ in _near(same, same, tones, same))
    labels = np.repeat([0, 1], [count - 1, 1])
    ((left, right),) = _near(same, same, tones[:, :0], labels)
    assert set(zip(left.tolist(), right.tolist(), strict=True)) == {
        (number, count - 1) for number in range(count - 1)
    }


def test_six_bits_may_differ_wherever_they_are_and_seven_may_not(tmp_path: Path) -> None:
    for bits in combinations(range(56, 64), 6):
        other = Fingerprint(sum(1 << bit for bit in bits), bytes(768))
        assert copies_of([Fingerprint(0, bytes(768)), other], tmp_path) == [(0, 1)]
        seventh = Fingerprint(other.dhash | 1, bytes(768))
        assert copies_of([Fingerprint(0, bytes(768)), seventh], tmp_path) == []


def assert_links(marks: list[Fingerprint], folder: Path) -> None:
    rows = np.array([np.frombuffer(mark.thumbnail, np.uint8) for mark in marks], np.int16)
    hashes = np.array([mark.dhash for mark in marks], np.uint64)
    pairs = []
    for one in range(len(marks)):
        near = np.bitwise_count(hashes ^ hashes[one]) <= 6
        near &= np.abs(rows - rows[one]).mean(axis=1) <= 4
        pairs += [(one, int(other)) for other in np.flatnonzero(near) if one < other]
    found = copies_of(marks, folder)
    assert set(found) <= set(pairs)
    roots, expected = (
        group(len(marks), ((number, pair) for pair in some for number in pair))
        for some in (found, pairs)
    )
    assert roots == expected
    assert len(found) == len(marks) - len(set(roots))


def test_groups_are_transitive() -> None:
    keys = [(0, "a"), (1, "b"), (2, "a"), (2, "c"), (3, "d"), (4, "c"), (4, "b")]
    assert group(5, keys) == [0, 0, 0, 3, 0]
    assert group(5, reversed(keys)) == [0, 0, 0, 3, 0]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40)), min_size=1, max_size=60),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_a_split_holds_its_promises(
    photos: list[tuple[str, int]], test_percent: int, validation_percent: int
) -> None:
    labels = [label for label, _ in photos]
    groups = [f"group {number}" for _, number in photos]
    sides = split(labels, groups, test_percent=test_percent, validation_percent=validation_percent)
    assert len({(name, side) for name, side in zip(groups, sides, strict=True)}) == len(set(groups))
    for label in set(labels):
        own = [side for side, its in zip(sides, labels, strict=True) if its == label]
        assert Side.TRAIN in own


def test_every_label_with_two_groups_has_a_test_photo() -> None:
    labels = [label for label in "abcdefgh" for _ in range(2)]
    groups = [f"{label}{n}" for n, label in enumerate(labels)]
    sides = split(labels, groups, test_percent=1, validation_percent=1)
    for label in set(labels):
        own = {side for side, its in zip(sides, labels, strict=True) if its == label}
        assert own == {Side.TRAIN, Side.TEST}


def test_the_percentages_are_about_kept() -> None:
    groups = [f"photo {number}" for number in range(4000)]
    sides = split(["a", "b"] * 2000, groups, test_percent=10, validation_percent=20)
    assert 350 < sides.count(Side.TEST) < 450
    assert 720 < sides.count(Side.VALIDATION) < 880


def test_photos_stay_on_their_side_when_others_come() -> None:
    groups = [f"photo {number}" for number in range(500)]
    before = split(["a", "b"] * 250, groups, test_percent=10, validation_percent=10)
    more = [*groups, *(f"new {number}" for number in range(500))]
    after = split(["a", "b"] * 500, more, test_percent=10, validation_percent=10)
    assert after[:500] == before


def test_a_photo_is_on_the_same_side_in_every_process() -> None:
    """Pinned: another order would mix what an older model learnt into what measures it."""
    names = [f"photo {number}" for number in range(40)]
    sides = split(["a"] * 40, names, test_percent=20, validation_percent=20)
    letters = {Side.TRAIN: "t", Side.VALIDATION: "v", Side.TEST: "T"}
    assert "".join(letters[side] for side in sides) == "vttvtvTtttttttttTTtttttttvvtttTvtTtttTvt"


def test_moving_the_folder_changes_nothing(tmp_path: Path) -> None:
    first = tiny.make_photos(tmp_path / "one", each=3)
    shutil.copytree(first, tmp_path / "elsewhere" / "two")
    names = [[photo.name for photo in scan(folder)]
             for folder in (first, tmp_path / "elsewhere" / "two")]  # fmt: skip
    assert names[0] == names[1]


def test_a_shop_held_out_measures_and_nothing_else_does() -> None:
    groups = [f"shop{number % 4}:{number}" for number in range(400)]
    held_out = {name for name in groups if name.startswith("shop1:")}
    sides = split(["a", "b"] * 200, groups, test_percent=0, validation_percent=10,
                  given=dict.fromkeys(held_out, Side.TEST))  # fmt: skip
    measured = {name for name, side in zip(groups, sides, strict=True) if side is Side.TEST}
    assert measured == held_out
    usual = split(["a", "b"] * 200, groups, test_percent=10, validation_percent=10)
    assert Side.TEST in {side for name, side in zip(groups, usual, strict=True)
                         if name not in held_out}  # fmt: skip


def test_thousands_of_small_categories_are_split_in_no_time() -> None:
    groups = [f"photo {number}" for number in range(20_000)]
    labels = [f"label {number // 2}" for number in range(20_000)]
    sides = split(labels, groups, test_percent=10, validation_percent=10)
    by_label: dict[str, set[Side]] = {label: set() for label in labels}
    for label, side in zip(labels, sides, strict=True):
        by_label[label].add(side)
    assert all(own == {Side.TRAIN, Side.TEST} for own in by_label.values())


def test_ten_thousand_categories_are_refused_with_a_way_out() -> None:
    counts = {f"c{number}": 20 + number // 100 for number in range(10_000)}
    with pytest.raises(DataError, match=r"10000 categories .* at most 1000 .*--min-images 111"):
        split_by_size(counts, 20)
    assert len(split_by_size(counts, 111)[0]) == 900


def test_two_names_that_differ_only_in_case_are_refused_unless_one_is_pruned() -> None:
    with pytest.raises(DataError, match="'Hats' and 'hats' differ only in case"):
        split_by_size({"Hats": 9, "hats": 8, "shoes": 9}, 5)
    assert split_by_size({"Hats": 9, "hats": 2, "shoes": 9}, 5)[0] == ("Hats", "shoes")


@pytest.mark.parametrize(
    "twin",
    [
        "caf\N{LATIN SMALL LETTER E WITH ACUTE} bags ",
        "caf\N{LATIN SMALL LETTER E WITH ACUTE}\xa0bags",
    ],
)
def test_two_names_that_nobody_can_tell_apart_are_refused(twin: str) -> None:
    label = "cafe\N{COMBINING ACUTE ACCENT} bags"
    with pytest.raises(DataError, match="differ only in case, spaces or how a letter is encoded"):
        split_by_size({label: 9, twin: 8, "shoes": 9}, 5)


def test_a_shop_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    photos = [PhotoFile(folder=tmp_path, inside=name, label="hat", product_id=f"{name}:1")
              for name in ("one", "two")]  # fmt: skip
    assert [photo.name for photo in held_out_shop(photos, "one")] == ["one"]
    with pytest.raises(
        DataError, match="no photo is of the shop 'three'; the photos are of one, t"
    ):
        held_out_shop(photos, "three")
    nobody = [PhotoFile(folder=tmp_path, inside="a", label="hat")]
    with pytest.raises(DataError, match=r"no photos\.jsonl says of which shop"):
        held_out_shop(nobody, "one")
