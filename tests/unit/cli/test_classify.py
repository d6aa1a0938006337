"""`advisor classify` with a tiny bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.classify import command
from tests.training import tiny

PHOTO = Path(__file__).parents[2] / "images" / "rgb.jpg"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "model"
    tiny.make_tiny_bundle(folder, bias=(0, 1, 2))
    return folder


def classify(*arguments: object, status: int = 0) -> str:
    found = CliRunner().invoke(command, [str(one) for one in arguments])
    assert found.exit_code == status, found.output
    return found.output


def test_json_tells_labels_model_and_timing(bundle: Path) -> None:
    said: dict[str, Any] = json.loads(classify("--bundle", bundle, "--json", PHOTO))
    assert sorted(said) == [
        "image_id", "labels", "model_version", "path", "timing_ms", "unknown",
    ]  # fmt: skip
    assert said["timing_ms"].keys() == {"decode", "inference"}


def test_labels_below_the_threshold_are_left_out(bundle: Path) -> None:
    every = json.loads(classify("--bundle", bundle, "--json", PHOTO))["labels"]
    least = every[0]["probability"] - 1e-6
    said = json.loads(classify("--bundle", bundle, "--threshold", least, "--json", PHOTO))
    assert said["labels"] == every[:1]
    assert len(every) > 1
    assert "%" not in classify("--bundle", bundle, "--threshold", "1", PHOTO)
    classify("--bundle", bundle, "--threshold", "1.1", PHOTO, status=2)


def test_an_unreadable_photo_does_not_lose_the_others(bundle: Path, tmp_path: Path) -> None:
    bad, film = tmp_path / "bad.jpg", tmp_path / "film.mov"
    bad.write_bytes(b"no photo")
    with film.open("wb") as file:
        file.truncate(1 << 36)  # more than fits into memory
    told = classify("--bundle", bundle, "--json", bad, film, PHOTO, status=1)
    first, second, third = map(json.loads, told.splitlines())
    assert "no image in" in first["error"]
    assert second["error"].startswith(f"{1 << 36} bytes; at most")
    assert third["labels"]
