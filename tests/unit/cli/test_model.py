"""`advisor model` on a folder of models, as a person would use it."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from advisor.errors import AdvisorError, BundleError, NotBetterError, NotFoundError, UsageError
from advisor.vision.bundle_info import ANSWERS, INFO, MODEL, REPORT
from advisor.vision.gate import answers_json
from advisor.vision.model_folder import ModelFolder
from advisor.vision.publishing import current_model, publish
from cli import model
from tests.training import tiny


def make_bundle(folder: Path, *, right: int, number: int) -> str:
    """A sound bundle that answered so many of ten test photos right."""
    tiny.make_tiny_bundle(folder, bias=(0, 0, number))
    answers = {f"photo {n}": ("red", "red" if n < right else "blue") for n in range(10)}
    data = answers_json(answers)
    (folder / ANSWERS).write_bytes(data)
    info = json.loads((folder / INFO).read_text())
    info["metrics"] = {"accuracy": right / 10, "count": 10}
    info["files"][ANSWERS] = hashlib.sha256(data).hexdigest()
    (folder / INFO).write_text(json.dumps(info))
    return str(info["version"])


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def advisor(models: Path, *arguments: str) -> Any:
    result = CliRunner().invoke(
        model.command, [*arguments, "--models", str(models)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def in_use(models: Path) -> str:
    return current_model(ModelFolder(models)).version


def test_the_life_of_models(models: Path, tmp_path: Path) -> None:
    assert advisor(models, "list") == f"No model is stored in {models} yet.\n"
    old = make_bundle(tmp_path / "old", right=2, number=1)
    new = make_bundle(tmp_path / "new", right=9, number=2)
    said = advisor(models, "publish", str(tmp_path / "old"))
    assert said == f"{old} is in use: no model was in use.\n"
    assert advisor(models, "publish", str(tmp_path / "new"), "--json")["previous"] == old
    listed = advisor(models, "list").splitlines()
    assert next(line for line in listed if line.startswith("*")).split()[1] == new
    assert listed[-1].endswith(f"{old}  no model was in use")
    assert "better than" in listed[-2]
    shown = advisor(models, "show")
    assert new in shown
    assert "0.900 on 10 photos" in shown
    assert advisor(models, "show", old, "--json")["version"] == old
    found = advisor(models, "compare", old, "--json")
    assert (found["gained"], found["lost"], found["other"]) == (0, 7, new)
    assert "right on 9 of 10 photos, the one in use on 2" in advisor(models, "compare", new, old)
    assert "rolled back from" in advisor(models, "rollback", "--reason", "odd")
    assert in_use(models) == old
    listed_json = advisor(models, "list", "--json")
    assert {one["version"] for one in listed_json["models"]} == {old, new}
    assert [use["version"] for use in listed_json["current"]["history"]] == [new, old]


def test_the_gate_refuses_with_the_figures_and_force_takes_a_reason(
    models: Path, tmp_path: Path
) -> None:
    old = make_bundle(tmp_path / "old", right=9, number=1)
    new = make_bundle(tmp_path / "new", right=8, number=2)
    advisor(models, "publish", str(tmp_path / "old"))
    with pytest.raises(NotBetterError, match=rf"{new} is not published: no better than {old}"):
        advisor(models, "publish", str(tmp_path / "new"))
    assert in_use(models) == old
    said = advisor(models, "publish", new, "--force", "the shop renamed its categories")
    assert "forced (the shop renamed its categories)" in said
    assert in_use(models) == new


@pytest.mark.parametrize("blank", ["", "  "])
def test_force_without_a_reason_is_refused(models: Path, tmp_path: Path, blank: str) -> None:
    version = make_bundle(tmp_path / "old", right=9, number=1)
    advisor(models, "publish", str(tmp_path / "old"))
    make_bundle(tmp_path / "new", right=2, number=2)
    arguments = ["publish", str(tmp_path / "new"), "--force", blank, "--models", str(models)]
    result = CliRunner().invoke(model.command, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--force without a reason; expected one, for the history" in result.stderr
    assert in_use(models) == version


@pytest.mark.parametrize("writing", ["shutil.copyfile", "os.fsync"])  # of the bundle; of the switch
def test_a_full_disk_is_one_sentence_and_leaves_the_model_in_use(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: str
) -> None:
    version = make_bundle(tmp_path / "old", right=2, number=1)
    advisor(models, "publish", str(tmp_path / "old"))
    make_bundle(tmp_path / "new", right=9, number=2)

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, no_space)
    with pytest.raises(UsageError, match=f"^models in {models} cannot be written: No space left"):
        advisor(models, "publish", str(tmp_path / "new"))
    assert in_use(models) == version
    assert [path.name for path in (models / "bundles").iterdir() if path.name[0] == "."] == []


def test_a_bundle_whose_report_was_removed_is_named(models: Path, tmp_path: Path) -> None:
    make_bundle(tmp_path / "new", right=9, number=1)
    info = json.loads((tmp_path / "new" / INFO).read_text())
    info["files"][REPORT] = "0" * 64
    (tmp_path / "new" / INFO).write_text(json.dumps(info))
    with pytest.raises(BundleError, match=rf"{tmp_path / 'new'} has no readable {REPORT}"):
        advisor(models, "publish", str(tmp_path / "new"))
    assert not models.exists()


def test_a_gain_by_chance_needs_a_larger_max_p(models: Path, tmp_path: Path) -> None:
    make_bundle(tmp_path / "old", right=5, number=1)
    new = make_bundle(tmp_path / "new", right=6, number=2)
    advisor(models, "publish", str(tmp_path / "old"))
    with pytest.raises(NotBetterError, match=r"p is above 0\.05"):
        advisor(models, "publish", str(tmp_path / "new"))
    advisor(models, "publish", new, "--max-p", "0.5")
    assert in_use(models) == new


def test_a_program_sees_a_refusal_by_its_exit_status(models: Path, tmp_path: Path) -> None:
    make_bundle(tmp_path / "old", right=9, number=1)
    make_bundle(tmp_path / "new", right=8, number=2)
    advisor(models, "publish", str(tmp_path / "old"))
    command = [sys.executable, "-c", "from cli.main import main; main()", "model", "publish"]
    done = subprocess.run(
        [*command, str(tmp_path / "new"), "--models", str(models)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("advisor: ")
    assert done.stderr.count("\n") == 1
    assert "right on 8 of 10 photos, the one in use on 9" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [(["publish", "nope"], NotFoundError, "no model bundle 'nope'"),
     (["publish", "../../old"], NotFoundError, r"no model bundle '\.\./\.\./old'"),
     (["show", "nope"], NotFoundError, "no model bundle 'nope'"),
     (["compare", "nope"], AdvisorError, "nope"),
     (["rollback"], UsageError, "nothing to roll back to: no model was in use before")],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    models: Path, tmp_path: Path, arguments: list[str], error: type[Exception], said: str
) -> None:
    version = make_bundle(tmp_path / "old", right=9, number=1)
    advisor(models, "publish", str(tmp_path / "old"))
    before = (models / "current.json").read_bytes()
    with pytest.raises(error, match=said):
        advisor(models, *arguments)
    assert (models / "current.json").read_bytes() == before
    assert in_use(models) == version


def test_without_a_model_in_use_there_is_nothing_to_show_or_to_go_back_to(models: Path) -> None:
    for command in ("show", "rollback"):
        with pytest.raises(AdvisorError, match=f"no model is published in {models} yet"):
            advisor(models, command)


def test_a_bundle_that_fails_its_checks_is_not_stored(models: Path, tmp_path: Path) -> None:
    make_bundle(tmp_path / "bad", right=9, number=1)
    (tmp_path / "bad" / MODEL).write_bytes(b"no model")
    with pytest.raises(BundleError, match="sha256"):
        advisor(models, "publish", str(tmp_path / "bad"))
    assert not models.exists()


def test_a_stored_bundle_that_was_changed_is_not_published(models: Path, tmp_path: Path) -> None:
    old = make_bundle(tmp_path / "old", right=2, number=1)
    advisor(models, "publish", str(tmp_path / "old"))
    make_bundle(tmp_path / "new", right=9, number=2)
    new = ModelFolder(models).add(tmp_path / "new")
    (models / "bundles" / new / MODEL).write_bytes(b"another")
    with pytest.raises(BundleError, match=rf"{MODEL} of bundle '{new}' is not what its"):
        advisor(models, "publish", new)
    assert in_use(models) == old


def test_compares_on_other_photos(models: Path, tmp_path: Path) -> None:
    photos = tiny.make_photos(tmp_path / "photos", each=2)
    reds = make_bundle(tmp_path / "reds", right=9, number=1)  # it says red to everything
    store = ModelFolder(models)
    store.add(tmp_path / "reds")
    tiny.make_tiny_bundle(tmp_path / "blues", bias=(5, 0, 0))
    blues = store.add(tmp_path / "blues")
    found = advisor(models, "compare", reds, blues, "--images", str(photos), "--json")
    assert (found["photos"], found["right"], found["gained"], found["lost"]) == (6, 2, 2, 2)
    with pytest.raises(NotFoundError, match="no model bundle 'a/b'"):
        advisor(models, "compare", "a/b", blues, "--images", str(photos))


def publish_for_ever(models: Path, versions: list[str]) -> None:
    while True:
        for version in versions:
            publish(ModelFolder(models), version, force="again")


def test_a_kill_at_any_moment_leaves_a_model_in_use(models: Path, tmp_path: Path) -> None:
    versions = []
    for number in (1, 2):
        make_bundle(tmp_path / str(number), right=9, number=number)
        versions.append(ModelFolder(models).add(tmp_path / str(number)))
    publish(ModelFolder(models), versions[0])
    spawn = multiprocessing.get_context("fork")
    for attempt in range(12):
        process = spawn.Process(target=publish_for_ever, args=(models, versions), daemon=True)
        process.start()
        time.sleep(0.02 + 0.007 * attempt)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        current = current_model(ModelFolder(models))
        assert current.version in versions
        if current.history:  # the switch and its history are one write
            assert current.previous == current.history[0].version
    assert len(current.history) > 10


def test_of_two_that_publish_at_once_one_is_told_so(models: Path, tmp_path: Path) -> None:
    make_bundle(tmp_path / "old", right=2, number=1)
    advisor(models, "publish", str(tmp_path / "old"))
    store = ModelFolder(models)
    data, mark = store.read_current()
    assert data is not None
    store.write_current(data + b" ", mark)
    with pytest.raises(UsageError, match=f"another model was published in {models} meanwhile"):
        store.write_current(data, mark)
