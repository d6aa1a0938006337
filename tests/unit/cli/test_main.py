"""The `advisor` command as a whole: errors and Ctrl-C become one sentence and a status."""

from __future__ import annotations

import importlib
import sys

import pytest

from advisor.errors import DataError, UnreadableImageError
from cli.main import COMMANDS, main

ARGUMENTS = {
    "crawl": ["harveynorman", "--out", "x"],
    "spider preview": ["harveynorman", "http://127.0.0.1:9/"],
    "replay": ["."],
    "train": [".", "--out", "x"],
    "model list": [],
    "model publish": ["m1"],
    "model rollback": [],
    "evaluate": ["--bundle", ".", "."],
    "classify": ["--bundle", ".", "photo.jpg"],
    "prices show": [".", "a:b"],
    "prices replay": ["."],
    "alert add": [".", "a:b", "--percent", "10"],
    "alert list": ["."],
    "alert remove": [".", "x"],
    "categories": ["--bundle", ".", "."],
    "disagreements": ["--bundle", ".", "."],
    "suggest": ["--bundle", ".", "--items", ".", "."],
    "redrive": [],
    "reviews": ["photos", "--stack", "x"],
}


def run(
    monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException, *arguments: str
) -> int | str | None:
    def fail(**_: object) -> None:
        raise error

    first, *words = name.split()
    command = importlib.import_module(f"cli.{first}").command
    for word in words:
        command = command.commands[word]
    monkeypatch.setattr(command, "callback", fail)
    monkeypatch.setattr(sys, "argv", ["advisor", first, *words, *(arguments or ARGUMENTS[name])])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def test_no_command_is_left_out_here() -> None:
    assert {name.split()[0] for name in ARGUMENTS} == set(COMMANDS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_interrupt_is_one_sentence_and_130(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, name, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.strip() == "advisor: interrupted"


@pytest.mark.parametrize(
    ("error", "status"), [(DataError("no such folder"), 2), (UnreadableImageError("no photo"), 1)]
)
def test_an_error_of_ours_is_one_sentence(
    error: Exception,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "classify", error) == status
    assert capsys.readouterr().err == f"advisor: {error}\n"


def test_a_wrong_option_shows_how_to_use_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "classify", KeyboardInterrupt(), "--nonsense") == 2
    said = capsys.readouterr().err
    assert said.startswith("Usage: ")
    assert "--nonsense" in said


def test_help_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "suggest", KeyboardInterrupt(), "--help") in (0, None)
    assert "PHOTO" in capsys.readouterr().out
