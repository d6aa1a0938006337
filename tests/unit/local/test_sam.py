"""What `make sam-local` says where it cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import sam


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with no program at all."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(sam, "FOLDER", tmp_path / "sam")


def test_without_a_container_runtime_one_sentence_names_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert sam.main([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sam-local: needs Docker, Finch or podman, and none of them answers")
    assert "tests/infra/test_contract.py" in error


def test_without_sam_one_sentence_names_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sam, "SAM", tmp_path / "venv")
    with pytest.raises(sam.UsageError, match=r"run `make \.sam/\.installed` first"):
        sam.sam("build")
