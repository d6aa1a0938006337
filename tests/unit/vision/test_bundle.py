"""A bundle says what it is, and is refused where that is not so."""

from __future__ import annotations

import json
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import BundleError, UsageError
from advisor.vision.bundle import (
    Golden,
    check_target,
    hashes,
    load_bundle,
    pack_labels,
    unpack_labels,
    write_bundle,
)
from advisor.vision.bundle_info import GOLDEN, INFO, LABELS, MODEL, BundleInfo, read_info
from advisor.vision.classifier import Classifier
from tests.training import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.make_tiny_bundle(tmp_path / "model")
    return tmp_path / "model"


def change_info(folder: Path, **changes: object) -> None:
    info = json.loads((folder / INFO).read_text())
    (folder / INFO).write_text(json.dumps(info | changes))


def test_loads_what_was_written(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.info.labels == tiny.LABELS
    assert bundle.info == BundleInfo.from_json(bundle.info.to_json())
    assert unpack_labels(bundle.model) == tiny.LABELS


def test_the_version_sorts_by_time_and_names_the_content(folder: Path, tmp_path: Path) -> None:
    version = read_info(folder).version
    assert version.startswith("20260102T030405-")
    assert tiny.make_tiny_bundle(tmp_path / "same") == version
    assert tiny.make_tiny_bundle(tmp_path / "other", bias=(1, 0, 0)) != version


@pytest.mark.parametrize("name", [MODEL, LABELS, GOLDEN])
def test_refuses_a_changed_file(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name} has sha256 \w+; bundle.json says"):
        load_bundle(folder)


@pytest.mark.parametrize("name", [MODEL, LABELS, GOLDEN])
def test_refuses_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(folder)


def test_refuses_another_preprocessing(folder: Path) -> None:
    change_info(folder, preprocessing_id="rgb224/pillow-9.0.0")
    with pytest.raises(BundleError, match=r"'rgb224/pillow-9\.0\.0', but here it is"):
        load_bundle(folder)


def test_refuses_labels_in_another_order(folder: Path) -> None:
    change_info(folder, labels=list(reversed(tiny.LABELS)))
    with pytest.raises(BundleError, match="different labels"):
        load_bundle(folder)


def test_refuses_a_file_outside_the_bundle(folder: Path) -> None:
    info = read_info(folder)
    change_info(folder, files=dict(info.files) | {"../secret": "0"})
    with pytest.raises(BundleError, match="outside the bundle"):
        load_bundle(folder)


def test_refuses_a_model_that_answers_otherwise(folder: Path) -> None:
    golden = Golden.from_bytes((folder / GOLDEN).read_bytes())
    changed = Golden(golden.images, golden.probabilities[:, ::-1] + 0.1, golden.embeddings)
    (folder / GOLDEN).write_bytes(changed.to_bytes())
    names = (MODEL, LABELS, GOLDEN)
    change_info(folder, files=hashes({name: (folder / name).read_bytes() for name in names}))
    with pytest.raises(BundleError, match=r"golden photo 0: probabilities differ by 0\.1"):
        Classifier.load(folder)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("{", "cannot be read"), ("[]", "cannot be read"), ('{"format": 99}', "has format 99"),
     ('{"format": 1}', "lacks 'version'")],
)  # fmt: skip
def test_refuses_a_damaged_info(folder: Path, text: str, expected: str) -> None:
    (folder / INFO).write_text(text)
    with pytest.raises(BundleError, match=expected):
        load_bundle(folder)


@pytest.mark.parametrize("changes", [{"files": [1]}, {"files": None}, {"unknown_threshold": {}}])
def test_refuses_an_info_of_other_types(folder: Path, changes: dict[str, object]) -> None:
    change_info(folder, **changes)
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(folder)


def test_a_place_that_takes_no_folder_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file takes no new folder"):
        check_target(tmp_path / "file" / "model")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(UsageError, match=f"{tmp_path} takes no new folder"):
        check_target(tmp_path / "deep" / "model")


def test_refuses_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no model bundle"):
        load_bundle(tmp_path)


def test_replaces_a_bundle_and_leaves_nothing_beside_it(folder: Path) -> None:
    version = tiny.make_tiny_bundle(folder, bias=(1, 0, 0))
    assert load_bundle(folder).info.version == version
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="one step on Linux only")
def test_there_is_a_bundle_at_every_moment_of_a_replacement(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = Path.rename

    def rename(self: Path, target: Path) -> Path:
        moved = renamed(self, target)
        assert (folder / INFO).is_file(), "a kill here would have left none"
        return moved

    monkeypatch.setattr(Path, "rename", rename)
    before = load_bundle(folder).info.version
    tiny.make_tiny_bundle(folder, bias=(0, 1, 0))
    assert load_bundle(folder).info.version != before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_writes_into_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    tiny.make_tiny_bundle(tmp_path / "model")
    load_bundle(tmp_path / "model")


def test_leaves_what_is_no_bundle_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="exists and is no model bundle"):
        tiny.make_tiny_bundle(tmp_path)
    with pytest.raises(UsageError, match="exists and is no model bundle"):
        check_target(tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("moved", ["model", "new"])
def test_a_failed_write_leaves_the_bundle_that_was_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    done: list[Path] = []
    before = load_bundle(folder)
    # As where two folders cannot change places in one step.
    monkeypatch.setattr("advisor.vision.bundle._exchange", lambda *_: False)
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == moved and not done:
            if moved == "new":
                raise KeyboardInterrupt
            done.append(rename(self, target))
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(folder, {MODEL: b"half"}, before.info)
    assert load_bundle(folder).info == before.info
    assert list(folder.parent.iterdir()) == [folder]


def test_packed_labels_are_the_same_bytes_every_day_and_keep_every_word() -> None:
    labels = ("hi-fi, audio & speakers", "café\u2028x", "靴")
    packed = pack_labels(b"model", labels)
    assert packed == pack_labels(b"model", labels)
    assert packed.startswith(b"model")
    assert unpack_labels(packed) == labels
    assert zipfile.is_zipfile(BytesIO(packed))


def test_a_model_without_labels_is_refused() -> None:
    with pytest.raises(BundleError, match=r"no labels\.txt is packed"):
        unpack_labels(b"no zip at all")


def test_nan_never_passes_the_golden_check(folder: Path) -> None:
    from advisor.vision.interpreter import Output

    golden = load_bundle(folder).golden
    nan = Output(np.full(3, np.nan, np.float32), golden.embeddings[0])
    with pytest.raises(BundleError, match="differ by nan"):
        golden.check(lambda _: nan)
