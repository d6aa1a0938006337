"""Layers are built once, and older builds of them do not pile up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra import layers
from infra.layers import LAMBDA, THIS_MACHINE, Target, build_layer

HOLD = """
import sys
from pathlib import Path
from infra import layers
layers._hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one module."""
    monkeypatch.setattr(layers, "ROOT", tmp_path)
    monkeypatch.setattr(layers, "BUILD", tmp_path / "build" / "layers")
    module = tmp_path / "layers" / "shared" / "python" / "ours.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1\n")
    return module


def built() -> set[str]:
    return {path.name for path in layers.BUILD.iterdir() if path.is_dir()}


def test_builds_once_and_again_when_something_changed(package: Path) -> None:
    first = build_layer("shared", THIS_MACHINE)
    assert (first / "python" / "ours.py").read_text() == "x = 1\n"
    assert list((first / "python" / "__pycache__").iterdir())  # ships .pyc
    made = first.stat().st_mtime_ns
    assert build_layer("shared", THIS_MACHINE) == first
    assert first.stat().st_mtime_ns == made
    package.write_text("x = 2\n")
    assert build_layer("shared", THIS_MACHINE) != first


def test_removes_what_is_superseded_of_the_same_target_only(package: Path) -> None:
    stale = [layers.BUILD / f"shared-{THIS_MACHINE.name}-{end}" for end in ("0123", "half")]
    other = [layers.BUILD / f"shared-{LAMBDA.name}-0123", layers.BUILD / "vision-here-3.9-0123"]
    for folder in (*stale, *other):
        (folder / "python").mkdir(parents=True)
    target = Target(THIS_MACHINE.python_version)
    new = build_layer("shared", target)
    assert built() == {new.name, *(folder.name for folder in other)}


def test_leaves_what_another_program_is_about_to_deploy(package: Path) -> None:
    old = layers.BUILD / f"shared-{THIS_MACHINE.name}-0123"
    old.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(old)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        first = build_layer("shared", THIS_MACHINE)
        assert built() == {old.name, first.name}
        other.communicate()
    package.write_text("x = 2\n")
    assert old.name not in built_after_change()


def built_after_change() -> set[str]:
    build_layer("shared", THIS_MACHINE)
    return built()
