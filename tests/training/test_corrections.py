"""Labels that people gave override the shop's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import DataError
from advisor.vision.bundle import load_bundle
from advisor.vision.bundle_info import REPORT
from advisor.vision.images import image_id
from tests.training import tiny
from training.config import FROZEN, TrainingConfig
from training.corrections import Correction, correct, read_corrections
from training.dataset import scan
from training.train import train

AT = "2026-11-22T10:00:00Z"


def line(photo: bytes, label: Any, *, at: str = AT) -> str:
    return json.dumps({"image": image_id(photo), "label": label, "by": "ann", "at": at}) + "\n"


def test_the_latest_of_several_counts(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    later = line(b"x", "hat", at="2026-11-23T00:00:00Z")
    file.write_text(later + line(b"x", "shoe") + "\n" + line(b"y", " a\u2028b "))
    assert read_corrections(str(file), cache=tmp_path) == {
        image_id(b"x"): ("hat", "2026-11-23T00:00:00Z"),
        image_id(b"y"): ("a b", AT),
    }


@pytest.mark.parametrize(
    ("bad", "said"),
    [("{", "line 2 is no correction"),
     ('{"image": "abc", "label": "hat", "at": "x"}', "line 2: image is 'abc'; expected the sha25"),
     (line(b"x", " "), "line 2: label is ' '"),
     (line(b"x", 7), "line 2: label is 7"),
     ('{"label": "hat"}', "line 2 is no correction")],
)  # fmt: skip
def test_a_line_that_is_none_is_named(tmp_path: Path, bad: str, said: str) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text(line(b"x", "hat") + bad)
    with pytest.raises(DataError, match=re.escape(said)):
        read_corrections(str(file), cache=tmp_path)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"corrections .*nope cannot be read: No such file"):
        read_corrections(str(tmp_path / "nope"), cache=tmp_path)


def test_a_correction_changes_the_label_and_says_so(tmp_path: Path) -> None:
    photos = tiny.make_photos(tmp_path / "images", each=3)
    files = scan(photos)
    red, blue = files[-1], files[0]
    given = {
        image_id(red.path.read_bytes()): Correction("blue", AT),
        image_id(blue.path.read_bytes()): Correction("blue", "2026-11-22T11:00:00Z"),  # as it was
        image_id(b"gone"): Correction("blue", AT),
    }
    corrected, told = correct(files, given)
    assert [file.name for file in corrected] == [file.name for file in files]
    assert (corrected[-1].label, corrected[-1].shop_label) == ("blue", "red")
    assert corrected[:-1] == files[:-1]
    assert told == {
        "given": 3,
        "until": "2026-11-22T11:00:00Z",
        "photos": 2,
        "changed": 1,
        "moves": [{"from": "red", "to": "blue", "photos": 1}],
    }


def test_training_learns_from_corrected_labels_and_reports_them(tmp_path: Path) -> None:
    """All reds lie among the blues, and a person has said so."""
    photos = tiny.make_photos(tmp_path / "images", each=24)
    lines = ""
    for path in sorted((photos / "red").iterdir())[4:]:
        lines += line(path.read_bytes(), "red")
        path.rename(photos / "blue" / f"red{path.name}")
    (tmp_path / "c.jsonl").write_text(lines)
    config = TrainingConfig(
        backbone=str(tiny.BACKBONE), min_images=5, test_percent=20, steps=300, fine_tune=FROZEN,
        corrections=str(tmp_path / "c.jsonl"),
    )  # fmt: skip
    said: list[str] = []
    train(photos, tmp_path / "m", config, cache=tmp_path / "cache", say=said.append,
          progress=tiny.ignore)  # fmt: skip
    info = load_bundle(tmp_path / "m").info
    assert info.metrics["accuracy"] == 1.0
    assert info.data["corrections"]["moves"] == [{"from": "blue", "to": "red", "photos": 20}]
    tested = info.metrics["corrected"]["tested"]
    assert tested > 0
    assert info.metrics["corrected"] == {"tested": tested, "agrees": tested, "as_before": 0}
    assert any(one.startswith("20 photos have another label than the shop's") for one in said)
    page = (tmp_path / "m" / REPORT).read_text()
    assert "20 photos were corrected by hand; 20 files" in page
    assert f"{tested} of these are test photos: the model answers as corrected in" in page
