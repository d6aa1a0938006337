from __future__ import annotations

from pathlib import Path

from training.container import keep_over_interruptions, note_failure


def test_what_takes_long_outlives_the_instance(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    keep_over_interruptions(tmp_path / "none", checkpoints)
    assert not (tmp_path / "none").exists()
    checkpoints.mkdir()
    keep_over_interruptions(tmp_path / "first", checkpoints)
    (tmp_path / "first" / "features" / "a").write_text("computed")
    for _ in range(2):  # a second time changes nothing
        keep_over_interruptions(tmp_path / "second", checkpoints)
    assert (tmp_path / "second" / "features" / "a").read_text() == "computed"
    assert (tmp_path / "second" / "checkpoints").is_dir()


def test_a_failure_is_cut_to_what_sagemaker_takes(tmp_path: Path) -> None:
    note_failure({}, "outside a container nothing is written")
    note_failure({"SM_OUTPUT_DIR": str(tmp_path)}, "x" * 5000)
    assert (tmp_path / "failure").read_text() == "x" * 1024
