"""The source archive run as SageMaker's container runs it: a local process, its folders, its rules.

The toolkit in AWS's container unpacks the archive, puts its folder on PYTHONPATH, calls the
program there with every hyperparameter as a flag, and describes the folders in SM_* variables.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from advisor.vision.bundle import load_bundle
from infra.training_stack import PROGRAM, source_archive
from tests.training import tiny

FLAGS = ["--min-images", "5", "--test-percent", "20", "--fine-tune", "0", "--seed", "1"]


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    with tarfile.open(source_archive()) as archive:
        # A Python 3.11 before 3.11.4 knows no filters; later ones warn where none is named.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)  # noqa: S202 (it is our own)
    return folder


def environment(ml: Path, code: Path) -> dict[str, str]:
    for folder in ("input/data/images", "model", "output"):
        (ml / folder).mkdir(parents=True, exist_ok=True)
    return os.environ | {
        "PYTHONPATH": str(code),
        "SM_CHANNEL_IMAGES": str(ml / "input/data/images"),
        "SM_MODEL_DIR": str(ml / "model"),
        "SM_OUTPUT_DIR": str(ml / "output"),
        "XDG_CACHE_HOME": str(ml / "cache"),
    }


def start(code: Path, ml: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, PROGRAM, *FLAGS, "--backbone", str(tiny.BACKBONE), *more]
    return subprocess.Popen(
        command, cwd=code, env=environment(ml, code), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_trains_from_the_channel_into_the_model_folder(code: Path, tmp_path: Path) -> None:
    tiny.make_photos(tmp_path / "input/data/images", each=20)
    process = start(code, tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    info = load_bundle(tmp_path / "model" / "bundle").info
    assert out == f"{info.version}\n"
    assert info.training["seed"] == 1  # a hyperparameter
    assert not (tmp_path / "output" / "failure").exists()


def test_tells_sagemaker_why_it_failed(code: Path, tmp_path: Path) -> None:
    process = start(code, tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    reason = (tmp_path / "output" / "failure").read_text()
    assert "holds no photo in a category folder" in reason
    assert f"training: {reason}\n" == err
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "said"),
    [("--min_images=5", "unrecognized arguments: --min_images=5"),
     ("--seed=two", "argument --seed: invalid int value: 'two'")],
)  # fmt: skip
def test_tells_sagemaker_of_a_hyperparameter_that_is_none(
    code: Path, tmp_path: Path, flag: str, said: str
) -> None:
    process = start(code, tmp_path, flag)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    reason = (tmp_path / "output" / "failure").read_text()
    assert reason == f"{said}; --help names all flags"
    assert err == f"training: {reason}\n"


def test_ends_when_sagemaker_stops_the_job(code: Path, tmp_path: Path) -> None:
    tiny.make_photos(tmp_path / "input/data/images", each=20)
    process = start(code, tmp_path, "--steps", "1000000")
    while not (tmp_path / "cache").exists():  # it has begun
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("training: interrupted; no bundle was written\n")
    assert list((tmp_path / "model").iterdir()) == []
