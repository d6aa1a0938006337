"""The `advisor` command as a whole: errors and Ctrl-C become one sentence and a status."""

from __future__ import annotations

import importlib
import sys

import pytest

from advisor.errors import DataError, UnreadableImageError
from cli.main import COMMANDS, main

ARGUMENTS = {
    "crawl": ["harveynorman", "--out", "x"],
    "train": [".", "--out", "x"],
    "evaluate": ["--bundle", ".", "."],
    "classify": ["--bundle", ".", "photo.jpg"],
    "suggest": ["--bundle", ".", "--items", ".", "."],
}


def run(
    monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException, *arguments: str
) -> int | str | None:
    def fail(**_: object) -> None:
        raise error

    command = importlib.import_module(f"cli.{name}").command
    monkeypatch.setattr(command, "callback", fail)
    monkeypatch.setattr(sys, "argv", ["advisor", name, *(arguments or ARGUMENTS[name])])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


@pytest.mark.parametrize("name", COMMANDS)
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
