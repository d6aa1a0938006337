"""A list of the photos to train on, beside a folder or an S3 prefix."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from advisor.aws.prefixes import download
from advisor.errors import DataError
from advisor.vision.bundle import load_bundle
from cli.train import command
from tests.training import tiny
from training.backbones import resolve
from training.config import FROZEN, TrainingConfig
from training.features import FeatureCache
from training.manifest import listed, read_manifest
from training.selection import Selection, select
from training.split import Side
from training.train import TrainingResult, as_listed, run

EACH = 12


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def heap(tmp_path: Path) -> dict[str, bytes]:
    """Photos without categories, by name; the list is in labels_of."""
    return {
        f"{number:02}.png": tiny.photo(colour, seed=number)
        for number, colour in enumerate(list(tiny.COLOURS.values()) * EACH)
    }


def labels_of(heap: dict[str, bytes]) -> list[dict[str, str]]:
    return [
        {"path": name, "label": tiny.LABELS[number % 3], "product_id": f"shop:{number}"}
        for number, name in enumerate(heap)
    ]


def trained(
    images: str, manifest: str, out: Path, cache: Path, said: list[str] | None = None
) -> TrainingResult:
    config = TrainingConfig(backbone=str(tiny.BACKBONE), min_images=5, test_percent=20, steps=200,
                            fine_tune=FROZEN, manifest=manifest)  # fmt: skip
    say = tiny.ignore if said is None else said.append
    return run(images, str(out), config, cache=cache, say=say, progress=tiny.ignore)


@pytest.fixture
def bucket(s3: Any) -> Any:
    s3.create_bucket(Bucket="data")
    return s3


def test_trains_on_the_photos_of_a_prefix_that_the_list_names(
    bucket: Any, heap: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    heap["03.png"] = b"no photo"
    for name, data in heap.items():
        bucket.put_object(Bucket="data", Key=f"heap/{name}", Body=data)
    for key in ("heap/other.png", "heap-of-others/00.png"):
        bucket.put_object(Bucket="data", Key=key, Body=b"not asked for")
    bucket.delete_object(Bucket="data", Key="heap/04.png")
    listing = lines(*labels_of(heap)).encode()
    bucket.put_object(Bucket="data", Key="lists/spring.jsonl", Body=listing)
    said: list[str] = []
    result = trained("s3://data/heap/", "s3://data/lists/spring.jsonl", tmp_path / "m", cache, said)
    assert result.labels == tiny.LABELS
    assert sum(result.photos.values()) == len(heap) - 2
    assert result.unreadable["04.png"] == "cannot be read: No such file or directory"
    assert result.unreadable["03.png"].startswith("no image in")
    assert "Skipped 04.png: cannot be read: No such file or directory" in said
    assert load_bundle(tmp_path / "m").info.training["manifest"] == "s3://data/lists/spring.jsonl"
    assert not list((cache / "s3").rglob("other.png"))
    # The next run fetches what is new to the list, and keeps what another list has had fetched.
    bucket.put_object(Bucket="data", Key="heap/04.png", Body=heap["04.png"])
    folder = download("s3://data/heap/", cache / "s3", only={"04.png"})
    assert (folder / "04.png").read_bytes() == heap["04.png"]
    assert (folder / "05.png").read_bytes() == heap["05.png"]
    assert (download("s3://data/heap/", cache / "s3") / "other.png").is_file()


def test_photos_in_category_folders_need_no_labels(cache: Path, tmp_path: Path) -> None:
    photos = tiny.make_photos(tmp_path / "images", each=EACH)
    named = [path.relative_to(photos).as_posix() for path in sorted(photos.rglob("*.png"))]
    (tmp_path / "photos.jsonl").write_text(
        lines(*({"path": f"images/{name}", "product_id": f"shop:{name}"} for name in named))
    )
    (tmp_path / "list.jsonl").write_text(
        lines(
            *({"path": name} for name in named[1:]),
            {"path": named[0], "label": "red", "product_id": "b:1"},
        )
        + "\n"
    )
    read = read_manifest(str(tmp_path / "list.jsonl"), cache=cache)
    files = {file.name: file for file in listed(photos, read)}
    assert list(files) == named
    assert {file.label for file in files.values()} == set(tiny.LABELS)
    first = files[named[0]]
    assert (first.label, first.product_id) == ("red", "b:1")  # not what folder and crawl say
    assert files[named[1]].product_id == f"shop:{named[1]}"
    result = trained(str(photos), str(tmp_path / "list.jsonl"), tmp_path / "m", cache)
    assert sum(result.photos.values()) == 3 * EACH


def selected(records: list[dict[str, Any]], folder: Path, cache: Path) -> Selection:
    manifest = folder / "list.jsonl"
    manifest.write_text(lines(*records))
    config = TrainingConfig(backbone=str(tiny.BACKBONE), min_images=5, manifest=str(manifest))
    files = listed(folder / "heap", read_manifest(str(manifest), cache=cache))
    weights = resolve(str(tiny.BACKBONE), cache=cache, say=tiny.ignore)
    return select(files, tiny.LABELS, as_listed(config, files), FeatureCache(cache, weights),
                  graph=tiny.GRAPH.read_bytes, progress=tiny.ignore)  # fmt: skip


def test_a_list_tells_sides_and_nothing_else_is_drawn_for_those(
    heap: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "heap").mkdir()
    for name, data in heap.items():
        (tmp_path / "heap" / name).write_bytes(data)
    records: list[dict[str, Any]] = list(labels_of(heap))
    for record in records[:6]:
        record["side"] = "test"
    records[6]["product_id"] = "shop:0"  # of a test photo
    records[7] |= {"product_id": "shop:1", "side": "train"}
    sides = dict(zip(heap, selected(records, tmp_path, cache).sides, strict=True))
    names = list(heap)
    assert [name for name in names if sides[name] is Side.TEST] == names[:6]
    assert [name for name in names if sides[name] is Side.UNUSED] == names[6:8]
    drawn = [name for name in names if sides[name] is Side.VALIDATION]
    assert drawn
    # What is to be trained on is, where it would have been drawn, and its product's photos are.
    first, second = (names.index(name) for name in (drawn[0], names[-1]))
    records[first]["side"] = "train"
    records[second]["product_id"] = records[first]["product_id"]
    sides = dict(zip(heap, selected(records, tmp_path, cache).sides, strict=True))
    assert [sides[names[number]] for number in (first, second)] == [Side.TRAIN, Side.TRAIN]
    assert [name for name in names if sides[name] is Side.TEST] == names[:6]
    for record in records:
        record.setdefault("side", "train")
    (tmp_path / "list.jsonl").write_text(lines(*records))
    result = trained(str(tmp_path / "heap"), str(tmp_path / "list.jsonl"), tmp_path / "m", cache)
    assert (result.count, result.photos["test"], result.photos["unused"]) == (6, 6, 2)
    assert load_bundle(tmp_path / "m").info.data["scanned"] == len(heap)


def test_listed_test_photos_that_cannot_be_read_are_not_drawn_from_others(
    heap: dict[str, bytes], cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "heap").mkdir()
    for name, data in heap.items():
        (tmp_path / "heap" / name).write_bytes(data if name != "00.png" else b"no photo")
    records: list[dict[str, Any]] = list(labels_of(heap))
    records[0]["side"] = "test"
    with pytest.raises(DataError, match=r"list\.jsonl has no readable photo of a category that is"):
        selected(records, tmp_path, cache)


@pytest.mark.parametrize(
    ("bad", "said"),
    [("{", "line 2 is no photo: JSONDecodeError"),
     ('"a.png"', "line 2 is 'a.png'; expected {\"path\": ..., \"label\": ...}"),
     ('{"label": "hat"}', "line 2: path is None; expected a photo's path in the folder"),
     ('{"path": "a.png"}', "line 2: label is None, product_id ''; expected words, or a path in a"),
     ('{"path": "b.png", "label": " "}', "line 2: label is ' '"),
     ('{"path": "b.png", "label": 7}', "line 2: label is 7"),
     ('{"path": "b.png", "label": "hat", "product_id": 7}', "product_id 7; expected words"),
     ('{"path": "/etc/passwd", "label": "hat"}', "line 2: path is '/etc/passwd'; expected one tha"),
     ('{"path": "a/../../b.png"}', "path is 'a/../../b.png'; expected one that stays in the fol"),
     ('{"path": "a\\u0000.png", "label": "hat"}', "expected a photo's path in the folder"),
     ('{"path": "\\ud800.png", "label": "hat"}', "expected a photo's path in the folder"),
     ('{"path": "./first.png", "label": "hat"}', "line 2: 'first.png' was named before"),
     ('{"path": "b.png", "label": "hat", "side": "tset"}',
      "line 2: side is 'tset'; expected one of train, validation, test"),
     ('{"path": "b.png", "label": "hat", "side": ["test"]}', "line 2: side is ['test']; expected"),
     pytest.param("[" * 100_000, "line 2 is no photo: ", id="deep"),
     ('{"path": "first.png", "label": "hat"}', "line 2: 'first.png' was named before")],
)  # fmt: skip
def test_a_line_that_is_none_is_named(tmp_path: Path, bad: str, said: str) -> None:
    file = tmp_path / "list.jsonl"
    file.write_text(lines({"path": "first.png", "label": "hat"}) + bad)
    with pytest.raises(DataError, match=re.escape(said)):
        read_manifest(str(file), cache=tmp_path)


def test_paths_are_read_as_find_prints_them_and_ids_as_text(tmp_path: Path) -> None:
    file = tmp_path / "list.jsonl"
    file.write_text(lines({"path": "./hat//a.png", "product_id": "one:\ud800"}))
    [photo] = read_manifest(str(file), cache=tmp_path).values()
    assert (photo.inside, photo.label, photo.product_id) == ("hat/a.png", "hat", "one: ")


def test_a_list_that_is_not_there_or_empty_is_one_sentence(
    bucket: Any, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"manifest .*nope cannot be read: No such file"):
        read_manifest(str(tmp_path / "nope"), cache=cache)
    with pytest.raises(DataError, match="nothing is stored under s3://data/nope"):
        read_manifest("s3://data/nope", cache=cache)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(DataError, match=r"manifest .*empty names no photo"):
        read_manifest(str(tmp_path / "empty"), cache=cache)
    (tmp_path / "list").write_text(lines({"path": "hat/a.png"}))
    with pytest.raises(DataError, match="gone is no folder; expected the one that the manifest's"):
        trained(str(tmp_path / "gone"), str(tmp_path / "list"), tmp_path / "m", cache)


def test_the_command_takes_a_list(
    heap: dict[str, bytes], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.train.cache_folder", lambda: cache)
    (tmp_path / "heap").mkdir()
    for name, data in heap.items():
        (tmp_path / "heap" / name).write_bytes(data)
    (tmp_path / "list.jsonl").write_text(lines(*labels_of(heap)))
    arguments = [str(tmp_path / "heap"), "--out", str(tmp_path / "m"), "--frozen", "--json"]
    arguments += ["--backbone", str(tiny.BACKBONE), "--min-images", "5"]
    arguments += ["--manifest", str(tmp_path / "list.jsonl")]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert json.loads(result.stdout)["labels"] == list(tiny.LABELS)
