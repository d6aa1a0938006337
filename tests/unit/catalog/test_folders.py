"""Catalogs in plain folders, and the command that suggests from them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from advisor.catalog.folders import CACHE, ShopFolder, look_at
from advisor.errors import DataError, UnreadableImageError
from advisor.vision.classification import Classification, Label
from advisor.vision.classifier import Prediction
from cli.categories import command as categories
from cli.disagreements import command as disagreements
from cli.suggest import command
from tests.training import tiny

Lines = list[dict[str, Any]]


class FakeClassifier:
    """Knows photos by their first byte; says that what begins with "?" is no image."""

    version = "m1"

    def __init__(self) -> None:
        self.seen = 0

    def predict(self, data: bytes, *, top_k: int = 5) -> Prediction:
        self.seen += 1
        if data.startswith(b"?"):
            raise UnreadableImageError("no image")
        labels = (Label(data[:1].decode(), 0.9), Label("z", 0.1))[:top_k]
        said = Classification(
            image_id="-", model_version="m1", labels=labels, unknown=data.startswith(b"u")
        )
        pixels = np.zeros((224, 224, 3), np.uint8)
        return Prediction(said, np.array([0.6, 0.8], dtype=np.float32), 1.0, pixels)


def make_shop(root: Path, photos: dict[str, bytes], items: Lines | None = None) -> Path:
    """A crawled folder with one photo a product; `items` adds to what the lines say."""
    root.mkdir(parents=True)
    more = items or [{}] * len(photos)
    lines, seen = [], []
    for (sku, data), extra in zip(photos.items(), more, strict=True):
        (root / f"{sku}.jpg").write_bytes(data)
        item = {"id": sku, "title": f"Thing {sku}", "category": "c", "description": "d"} | extra
        lines.append(item)
        image_id = hashlib.sha256(data).hexdigest()
        product_id = f"{item.get('shop', '')}:{sku}"
        seen.append({"path": f"{sku}.jpg", "product_id": product_id, "image_id": image_id})
    write(root / "items.jsonl", lines)
    write(root / "photos.jsonl", seen)
    return root


def write(path: Path, lines: Lines) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def look(*roots: Path, classifier: FakeClassifier | None = None) -> Any:
    shops = [ShopFolder.read(root) for root in roots]
    return look_at(shops, classifier or FakeClassifier(), progress=lambda *_: None)


def test_an_item_without_a_shop_is_of_the_folders_name(tmp_path: Path) -> None:
    shop = ShopFolder.read(make_shop(tmp_path / "corner", {"1": b"a"}))
    assert list(shop.products) == ["corner:1"]
    assert [photo.product_id for photo in shop.photos] == ["corner:1"]


def test_a_folder_may_hold_two_shops_with_the_same_sku(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "x", {"1": b"a"}, [{"shop": "one"}])
    other = make_shop(tmp_path / "y", {"1": b"b"}, [{"shop": "two"}])
    for name in ("items.jsonl", "photos.jsonl"):
        lines = (root / name).read_text() + (other / name).read_text()
        (root / name).write_text(lines, encoding="utf-8")
    shop = ShopFolder.read(root)
    assert [photo.product_id for photo in shop.photos] == ["one:1", "two:1"]


def test_photos_are_seen_once_and_remembered(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "one", {"1": b"a1", "2": b"b2", "3": b"a1"})
    first, second = FakeClassifier(), FakeClassifier()
    before = look(root, classifier=first)
    after = look(root, classifier=second)
    assert (first.seen, second.seen) == (2, 0)
    for catalog in (before, after):
        shelf = catalog.shelf("a")
        assert [photo.product_id for photo in shelf.photos] == ["one:1", "one:3"]
        assert shelf.embeddings.tolist() == before.shelf("a").embeddings.tolist()
    assert [path.name for path in (root / CACHE).iterdir()] == ["m1.npz"]


def test_only_new_photos_are_looked_at(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "one", {"1": b"a1"})
    look(root)
    lines = [json.loads(line) for line in (root / "photos.jsonl").read_text().splitlines()]
    (root / "2.jpg").write_bytes(b"b2")
    write(root / "photos.jsonl", [*lines, lines[0] | {"path": "2.jpg", "image_id": "2"}])
    classifier = FakeClassifier()
    assert len(look(root, classifier=classifier).seen) == 2
    assert classifier.seen == 1


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half", b"no zip at all"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: bytes) -> None:
    root = make_shop(tmp_path / "one", {"1": b"a1"})
    look(root)
    (root / CACHE / "m1.npz").write_bytes(damage)
    assert len(look(root).seen) == 1
    classifier = FakeClassifier()
    look(root, classifier=classifier)
    assert classifier.seen == 0


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "one", {"1": b"a1"})
    (root / CACHE).write_text("a file where the folder would be", encoding="utf-8")
    assert len(look(root).seen) == 1


def test_unreadable_and_missing_photos_are_told_and_left_out(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "one", {"1": b"a1", "2": b"?", "3": b"a3"})
    (root / "3.jpg").unlink()
    catalog = look(root)
    assert [Path(path).name for path in catalog.unreadable] == ["2.jpg", "3.jpg"]
    assert [photo.product_id for photo in catalog.shelf("a").photos] == ["one:1"]


def test_a_photo_the_model_is_not_sure_of_stands_on_two_shelves(tmp_path: Path) -> None:
    catalog = look(make_shop(tmp_path / "one", {"1": b"u1"}))
    assert len(catalog.shelf("u").photos) == len(catalog.shelf("z").photos) == 1


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("items.jsonl", None, "items.jsonl cannot be read; expected a folder that"),
        ("photos.jsonl", None, "photos.jsonl cannot be read"),
        ("items.jsonl", "{}\n", "items.jsonl, line 1: "),
        ("items.jsonl", "\n{", "items.jsonl, line 2: no JSON"),
        ("items.jsonl", "[]", "items.jsonl, line 1: list, not an object"),
        ("items.jsonl", '{"id": "1", "title": "", "category": "c", "description": "d"}', "title"),
        ("photos.jsonl", '{"path": "x"}', "photos.jsonl, line 1: no photo's line: 'product_id'"),
    ],
)
def test_a_folder_that_is_no_crawl_is_told_by_file_and_line(
    tmp_path: Path, name: str, text: str | None, error: str
) -> None:
    root = make_shop(tmp_path / "one", {"1": b"a"})
    if text is None:
        (root / name).unlink()
    else:
        (root / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=error):
        ShopFolder.read(root)


# --- the command, with a real bundle


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that finds everything red, two shops, and a photo."""
    root = tmp_path_factory.mktemp("world")
    tiny.make_tiny_bundle(root / "model", bias=(0, 1, 3))
    red = tiny.photo((200, 30, 40))
    prices = [{"price_minor": 9900, "currency": "EUR"}, {"price_minor": 500, "currency": "JPY"}]
    make_shop(
        root / "one",
        {"S1": red, "S2": tiny.photo((10, 30, 200), seed=5)},
        [{"title": "Grey Fabric Sofa", **prices[0]}, {"title": "Blue\x07 Lamp", **prices[1]}],
    )
    make_shop(
        root / "two",
        {"N1": tiny.photo((200, 30, 40), form="WEBP"), "N2": b"no photo"},
        [{"title": "Sofa, grey fabric", "price_minor": 8909, "currency": "EUR"}, {}],
    )
    (root / "photo.png").write_bytes(red)
    return root


def suggest(world: Path, *arguments: str) -> Any:
    return CliRunner().invoke(command, ["--bundle", str(world / "model"), *arguments])


@pytest.mark.parametrize("style", ["repeated", "in a row"])
def test_suggests_both_shops_offers_as_a_table(world: Path, style: str) -> None:
    second = ["--items", str(world / "two")] if style == "repeated" else [str(world / "two")]
    result = suggest(world, "--items", str(world / "one"), *second, str(world / "photo.png"))
    assert result.exit_code == 0, result.output
    head, _, *table = result.stdout.splitlines()
    assert head.startswith(f"{world / 'photo.png'}: red (")
    assert [line.split()[:4] for line in table[1:3]] == [
        ["1", "Grey", "Fabric", "Sofa"],
        ["one", "99.00", "EUR", "Grey"],
    ]
    assert "two   89.09 EUR" in table[1]
    assert "500 JPY" in table[3]
    assert "\x07" not in result.stdout
    assert "1 photos cannot be read, as" in result.stderr


def test_the_json_answer_has_the_shape_of_the_api(world: Path) -> None:
    folders = ["--items", str(world / "one"), "--items", str(world / "two")]
    result = suggest(world, *folders, "--json", "--top-k", "1", str(world / "photo.png"))
    answer = json.loads(result.stdout)
    assert answer.keys() == {"path", "classification", "suggestions"}
    assert answer["classification"]["labels"][0]["label"] == "red"
    [found] = answer["suggestions"]
    assert (found["title"], found["match"], found["similarity"]) == (
        "Grey Fabric Sofa",
        "name",
        pytest.approx(1.0, abs=1e-3),
    )
    assert found["photo_url"] == str(world / "one" / "S1.jpg")
    assert [(one["shop"], one["price_minor"]) for one in found["offers"]] == [
        ("two", 8909),
        ("one", 9900),
    ]


def test_tells_what_the_shops_categories_are_and_who_disagrees(world: Path) -> None:
    folders = ["--bundle", str(world / "model"), str(world / "one"), str(world / "two")]
    shown = CliRunner().invoke(categories, folders).stdout.splitlines()
    assert shown[1].split()[:3] == ["one", "c", "red"]
    one, *_ = CliRunner().invoke(categories, [*folders, "--json"]).stdout.splitlines()
    assert json.loads(one)["evidence"][0]["label"] == "red"
    quiet = CliRunner().invoke(disagreements, folders)
    assert (quiet.stdout, "Nothing" in quiet.stderr) == ("", True)
    write(world / "one" / "pins.json", [{"one": {"c": "blue\x1b things"}}])
    try:
        assert "pinned" in CliRunner().invoke(categories, folders).stdout
        found = CliRunner().invoke(disagreements, folders).stdout
        assert "one:S1" in found
        assert "\x1b" not in found
        for bad, said in (("[]", "no attribute 'items'"), ('{"one": {"c": null}}', "None is no")):
            (world / "one" / "pins.json").write_text(bad)
            refused = CliRunner().invoke(categories, folders)
            assert isinstance(refused.exception, DataError)
            assert said in str(refused.exception)
    finally:
        (world / "one" / "pins.json").unlink()


def test_a_category_without_a_photo_that_can_be_read_is_told_too(
    world: Path, tmp_path: Path
) -> None:
    shop = make_shop(tmp_path / "shop", {"1": b"?"}, [{"category": "sofas"}])
    shown = CliRunner().invoke(categories, ["--bundle", str(world / "model"), str(shop)]).stdout
    assert shown.splitlines()[1].split() == ["shop", "sofas", "sofas", "0%"]


def test_an_empty_result_says_so_in_words(world: Path, tmp_path: Path) -> None:
    empty = make_shop(tmp_path / "empty", {})
    result = suggest(world, "--items", str(empty), str(world / "photo.png"))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1] == "Nothing to suggest: the folders hold no photo of red."


def test_a_photo_that_is_none_is_an_error(world: Path) -> None:
    broken = world / "one" / "items.jsonl"
    result = suggest(world, "--items", str(world / "one"), str(broken))
    assert isinstance(result.exception, UnreadableImageError)
    assert str(result.exception).startswith(f"{broken}: no image in")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--items", "one"], "Missing argument"),
        (["photo.png"], "Missing option '--items'"),
        (["--items", "one", "two"], "the last argument is the photo, and"),
        (["--items", "nowhere", "photo.png"], "does not exist"),
        (["--items", "one", "--top-k", "0", "photo.png"], "not in the range"),
    ],
)
def test_wrong_arguments_are_told(
    world: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(world)
    result = suggest(world, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_what_people_said_of_matches_is_read_from_the_folder(tmp_path: Path) -> None:
    root = make_shop(tmp_path / "one", {"a": b"a"})
    write(root / "matches.jsonl", [{"one": "one:a", "other": "two:b", "same": True}])
    assert look(root).pins() == {"one:a": {"two:b": True}, "two:b": {"one:a": True}}
    write(root / "matches.jsonl", [{"one": "one:a", "other": "two:b"}])
    with pytest.raises(DataError, match=r"matches.jsonl, line 1: expected"):
        look(root).pins()
