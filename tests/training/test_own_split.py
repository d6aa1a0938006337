"""Folders of validation and test photos of the user's own, beside the folder to train on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from advisor.errors import DataError, UsageError
from advisor.vision.bundle import load_bundle
from advisor.vision.bundle_info import ANSWERS, REPORT
from advisor.vision.images import image_id
from cli.train import command
from tests.training import tiny
from training.config import FROZEN, TrainingConfig
from training.train import TrainingResult, train

COUNTS = {"train": 36, "validation": 12, "test": 9}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders train, validation and test; no two photos are alike."""
    home = tmp_path_factory.mktemp("data")
    for number, (name, count) in enumerate(COUNTS.items()):
        for start, (label, colour) in enumerate(tiny.COLOURS.items()):
            (home / name / label).mkdir(parents=True)
            for photo in range(count // 3):
                seed = 10_000 * number + 1000 * start + photo
                (home / name / label / f"{photo}.png").write_bytes(tiny.photo(colour, seed=seed))
    return home


@pytest.fixture
def mine(data: Path, tmp_path: Path) -> Path:
    """A copy of the folders, to be changed."""
    shutil.copytree(data, tmp_path / "data")
    return tmp_path / "data"


def trained(home: Path, cache: Path, said: list[str] | None = None, **more: Any) -> TrainingResult:
    config = TrainingConfig(
        backbone=str(tiny.BACKBONE), min_images=5, steps=200, fine_tune=FROZEN, **more
    )
    say = tiny.ignore if said is None else said.append
    return train(home / "train", home / "model", config, cache=cache, say=say, progress=tiny.ignore)


def ids(folder: Path) -> set[str]:
    return {image_id(path.read_bytes()) for path in folder.rglob("*.png")}


def test_no_photo_of_the_folder_is_held_back_where_both_others_are_given(
    mine: Path, cache: Path
) -> None:
    result = trained(mine, cache, validation=str(mine / "validation"), test=str(mine / "test"))
    assert result.photos == {**COUNTS, "unused": 0}
    info = load_bundle(mine / "model").info
    assert {side: info.data[side] for side in COUNTS} == COUNTS
    assert info.data["scanned"] == COUNTS["train"]  # what is new is told by these
    assert info.training["test"] == str(mine / "test")
    assert set(json.loads((mine / "model" / ANSWERS).read_bytes())) == ids(mine / "test")
    assert "of 9 test photos" in (mine / "model" / REPORT).read_text()


def test_with_validation_photos_alone_a_tenth_still_measures(mine: Path, cache: Path) -> None:
    alone = trained(mine, cache, test_percent=20)
    before = set(json.loads((mine / "model" / ANSWERS).read_bytes()))
    result = trained(mine, cache, test_percent=20, validation=str(mine / "validation"))
    assert result.photos["validation"] == COUNTS["validation"]
    assert result.photos["test"] == alone.photos["test"]
    assert result.photos["train"] == COUNTS["train"] - result.photos["test"]
    # The same ones as without: two such models can be compared.
    assert set(json.loads((mine / "model" / ANSWERS).read_bytes())) == before


def test_validation_photos_measure_where_no_test_is_wanted_and_the_report_says_so(
    mine: Path, cache: Path
) -> None:
    result = trained(mine, cache, test_percent=0, validation=str(mine / "validation"))
    assert result.photos == {**COUNTS, "test": 0, "unused": 0}
    assert result.count == COUNTS["validation"]
    assert set(json.loads((mine / "model" / ANSWERS).read_bytes())) == ids(mine / "validation")
    page = (mine / "model" / REPORT).read_text()
    assert "of 12 validation photos" in page
    assert "these photos chose its calibration, too" in page


def test_with_test_photos_alone_a_tenth_still_calibrates(mine: Path, cache: Path) -> None:
    result = trained(mine, cache, validation_percent=20, test=str(mine / "test"))
    assert result.photos["test"] == COUNTS["test"]
    assert 0 < result.photos["validation"] < COUNTS["train"] / 2
    assert result.photos["train"] + result.photos["validation"] == COUNTS["train"]


def test_copies_of_the_photos_held_back_are_not_trained_on_and_are_counted(
    mine: Path, cache: Path
) -> None:
    shutil.copy(mine / "test" / "red" / "0.png", mine / "train" / "red" / "copy.png")
    shutil.copy(mine / "validation" / "blue" / "1.png", mine / "train" / "blue" / "copy.png")
    shutil.copy(mine / "test" / "red" / "1.png", mine / "validation" / "red" / "copy.png")
    lines = [
        {"path": "train/blue/3.png", "product_id": "shop:7"},
        {"path": "test/blue/0.png", "product_id": "shop:7"},
    ]
    (mine / "photos.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said: list[str] = []
    result = trained(mine, cache, said, validation=str(mine / "validation"),
                     test=str(mine / "test"))  # fmt: skip
    # The copies in training, the one in validation, and the other photo of the tested product.
    assert result.photos == {**COUNTS, "train": COUNTS["train"] - 1, "unused": 4}
    assert set(json.loads((mine / "model" / ANSWERS).read_bytes())) == ids(mine / "test")
    assert any(one.startswith("Left out 4 photos: a copy of each") for one in said)
    info = load_bundle(mine / "model").info
    assert info.data["unused"] == 4
    assert info.metrics["leak"]["leaked"] == 3
    assert "4 photos are not used" in (mine / "model" / REPORT).read_text()


def test_categories_that_are_not_trained_are_left_out_of_the_test_and_named(
    mine: Path, cache: Path
) -> None:
    (mine / "test" / "hat").mkdir()
    for number in range(6):  # as many as a category needs, and none to learn from
        photo = tiny.photo((9, 200, 200), seed=number)
        (mine / "test" / "hat" / f"{number}.png").write_bytes(photo)
    said: list[str] = []
    result = trained(mine, cache, said, test=str(mine / "test"))
    assert result.labels == tiny.LABELS
    assert result.count == COUNTS["test"]
    assert result.pruned == {}
    assert "Left out of the validation and test photos, as nothing trains them: hat (6)" in said


def test_an_unreadable_test_photo_is_named_with_its_side(mine: Path, cache: Path) -> None:
    (mine / "test" / "red" / "0.png").write_bytes(b"no photo")
    (mine / "train" / "red" / "0.png").write_bytes(b"no photo, either")
    result = trained(mine, cache, test=str(mine / "test"))
    assert set(result.unreadable) == {"red/0.png", "test/red/0.png"}
    assert result.count == COUNTS["test"] - 1


@pytest.mark.parametrize("option", ["validation", "test"])
def test_a_folder_that_is_none_is_one_sentence(mine: Path, cache: Path, option: str) -> None:
    with pytest.raises(DataError, match="nowhere is no folder"):
        trained(mine, cache, **{option: str(mine / "nowhere")})
    (mine / "other" / "hat").mkdir(parents=True)
    (mine / "other" / "hat" / "a.png").write_bytes(tiny.photo((9, 200, 200)))
    with pytest.raises(DataError, match="other has no readable photo of a category that is tr"):
        trained(mine, cache, **{option: str(mine / "other")})
    assert not (mine / "model").exists()


def test_the_folder_itself_cannot_measure(mine: Path, cache: Path) -> None:
    with pytest.raises(DataError, match="nothing is left to train blue, green, dark, red on"):
        trained(mine, cache, test=str(mine / "train"))


def test_options_that_exclude_each_other_are_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"a shop held out \('north'\) measures the model, and so"):
        TrainingConfig(holdout_shop="north", test="folder")
    with pytest.raises(UsageError, match="test_percent is 0; expected 1 to 90"):
        TrainingConfig(test_percent=0)


def test_the_command_takes_both_folders(
    mine: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.train.cache_folder", lambda: cache)
    arguments = [str(mine / "train"), "--out", str(mine / "m"), "--backbone", str(tiny.BACKBONE)]
    arguments += ["--min-images", "5", "--frozen"]
    arguments += ["--validation", str(mine / "validation"), "--test", str(mine / "test")]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert "on 9 test photos" in result.stdout
    assert "36 train, 12 validation, 9 test\n" in result.stdout
