"""What a crawl was answered is there after a kill, for what it has not settled."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.crawling import answers
from advisor.crawling.answers import KeptAnswers, forget_answers
from advisor.crawling.messages import Request, Response

REQUEST = Request("https://shop.test/p/1", attempts=1, depth=2)


class Host:
    """A fetcher that says how often it was asked."""

    def __init__(self, body: bytes = b"<p>") -> None:
        self.asked: list[Request] = []
        self.body = body

    def fetch(self, request: Request) -> Response:
        self.asked.append(request)
        body = self.body + request.url.encode()
        return Response(url=request.url, status=200, body=body, headers={"etag": '"\u00fc"'})

    def close(self) -> None:
        """Nothing is open."""


def _all(requests: Collection[Request]) -> Collection[Request]:
    return requests


def _ask(
    host: Host,
    folder: Path,
    *requests: Request,
    waiting: Callable[[Collection[Request]], Collection[Request]] = _all,
) -> list[Response]:
    """What a crawl is answered that then is killed."""
    with closing(KeptAnswers(host, folder, waiting=waiting)) as kept:
        return [kept.fetch(one) for one in requests]


def _pages(count: int) -> list[Request]:
    return [replace(REQUEST, url=f"https://shop.test/p/{at}") for at in range(count)]


def test_the_same_question_is_asked_once_also_over_two_kills(tmp_path: Path) -> None:
    host = Host()
    conditional = replace(REQUEST, conditions=(("If-None-Match", '"1"'),))
    for _ in range(3):
        assert _ask(host, tmp_path, REQUEST) == [Host().fetch(REQUEST)]
    assert host.asked == [REQUEST]
    _ask(host, tmp_path, REQUEST.failed(), conditional)  # questions of their own
    _ask(host, tmp_path, REQUEST, REQUEST.failed(), conditional)
    assert host.asked == [REQUEST, REQUEST.failed(), conditional]


def test_what_is_settled_and_what_a_crawl_that_ended_was_answered_is_asked_anew(
    tmp_path: Path,
) -> None:
    host = Host()
    _ask(host, tmp_path, REQUEST)
    _ask(host, tmp_path, REQUEST, waiting=lambda _: [])
    assert len(host.asked) == 2
    forget_answers(tmp_path)
    assert not list(tmp_path.iterdir())
    _ask(host, tmp_path, REQUEST)
    assert len(host.asked) == 3


def test_a_file_that_a_kill_cut_anywhere_gives_whole_answers(tmp_path: Path) -> None:
    requests = _pages(3)
    expected = _ask(Host(), tmp_path, *requests)
    whole = (tmp_path / "answers.0").read_bytes()
    assert len(whole) > 600
    for cut in range(len(whole)):
        forget_answers(tmp_path)
        (tmp_path / "answers.0").write_bytes(whole[:cut] + b"\n" * (len(whole) - cut))
        host = Host()
        assert _ask(host, tmp_path, *requests) == expected
        assert host.asked == requests[3 - len(host.asked) :]
        assert host.asked


def test_what_lies_behind_the_new_answers_of_a_file_is_not_read(tmp_path: Path) -> None:
    host = Host()
    _ask(host, tmp_path, REQUEST)
    with (tmp_path / "answers.0").open("ab") as file:  # as of an older page, which may hold this
        file.write(b"[" * 200_000 + b"\n")
    _ask(host, tmp_path, REQUEST)
    assert host.asked == [REQUEST]


def test_the_newest_answers_stay_however_many_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_FILE_BYTES", 5_000)
    host, requests = Host(b"x" * 300), _pages(200)
    late = requests[0]
    _ask(host, tmp_path, late)
    with closing(KeptAnswers(host, tmp_path, waiting=_all)) as kept:
        for at, one in enumerate(requests[1:], start=1):
            kept.fetch(one)
            assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 12_000
            # As it is at this moment, to who reads it after a kill.
            paths = [tmp_path / name for name in answers._NAMES]
            found = dict(entry for path in paths for entry in answers._read(path))
            assert {late, *requests[max(1, at - 5) : at + 1]} <= found.keys()
            for request, answer in found.items():
                assert answer == Host(b"x" * 300).fetch(request)
        kept.fetch(late)
    assert host.asked == requests


def test_what_is_large_is_not_kept_and_where_nothing_can_be_kept_it_fetches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_BODY_BYTES", 10)
    host = Host()
    _ask(host, tmp_path, REQUEST)
    _ask(host, tmp_path, REQUEST)
    monkeypatch.undo()
    assert _ask(host, tmp_path / "gone", REQUEST) == [Host().fetch(REQUEST)]
    assert len(host.asked) == 3
