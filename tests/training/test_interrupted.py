"""Runs that are stopped, and two at once: what is cached stays, and so does the last good model."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from advisor.vision.bundle import load_bundle
from tests.training import tiny
from training.config import FROZEN, TrainingConfig
from training.train import train

EACH = 30
# Where tests run in the background, SIGINT may come to be ignored.
CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from cli.main import main; main()"
)
OPTIONS = ["--frozen", "--backbone", str(tiny.BACKBONE), "--min-images", "5"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tiny.make_photos(tmp_path / "images", each=EACH)


def start(photos: Path, out: Path, home: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CODE, "train", str(photos), "--out", str(out), *OPTIONS, *more],
        env={**os.environ, "XDG_CACHE_HOME": str(home)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def cached(home: Path) -> int:
    """How many photos' features are cached."""
    for file in home.glob("products-advisor/features/*.sqlite"):
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
                return int(connection.execute("SELECT COUNT(*) FROM photos").fetchone()[0])
        except sqlite3.OperationalError:  # it is being made
            return 0
    return 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_leaves_the_model_and_its_features(
    photos: Path, tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny.make_tiny_bundle(tmp_path / "model")
    # So many steps come to no end: without validation photos there is no patience, either.
    endless = ["--steps", "100000000", "--validation-percent", "0"]
    with start(photos, tmp_path / "model", tmp_path / "home", *endless) as process:
        try:
            deadline = time.monotonic() + 60
            while cached(tmp_path / "home") < 3 * EACH:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert said.endswith("advisor: interrupted; no bundle was written\n")
    assert load_bundle(tmp_path / "model").info.version == before

    def forget(_: bytes) -> None:
        pytest.fail("what was computed is computed again")

    monkeypatch.setattr("training.features.decode", forget)
    config = TrainingConfig(backbone=str(tiny.BACKBONE), min_images=5, fine_tune=FROZEN)
    train(photos, tmp_path / "model", config, cache=tmp_path / "home" / "products-advisor",
          say=tiny.ignore, progress=tiny.ignore)  # fmt: skip
    assert load_bundle(tmp_path / "model").info.version != before


def test_two_runs_at_once_share_a_cache_and_make_the_same_model(
    photos: Path, tmp_path: Path
) -> None:
    with (
        start(photos, tmp_path / "one", tmp_path / "home") as one,
        start(photos, tmp_path / "other", tmp_path / "home") as other,
    ):
        for process in (one, other):
            _, said = process.communicate()
            assert process.returncode == 0, said
    assert cached(tmp_path / "home") == 3 * EACH
    versions = {load_bundle(tmp_path / name).info.version for name in ("one", "other")}
    assert len({version.partition("-")[2] for version in versions}) == 1
