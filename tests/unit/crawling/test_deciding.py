"""Pages decided in a process beside."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.crawling import deciding
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.decide import Outcome, decide
from advisor.crawling.deciding import Arrived, Deciding, Untold
from advisor.crawling.messages import Request, Response
from advisor.crawling.recall import unpack
from advisor.crawling.spiders.base import Spider
from advisor.crawling.spiders.schema_org import SchemaOrg
from tests.unit.crawling.deadly import Deadly
from tests.unit.crawling.loopback import product_page

SETTINGS = CrawlSettings(first_backoff_s=0.01)
BASE = "https://shop.test"
HTML = {"content-type": "text/html"}


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "_cores", lambda: 2)


def _answers(*bodies: str) -> list[tuple[Request, Response]]:
    return [
        (
            Request(f"{BASE}/{at}"),
            Response(url=f"{BASE}/{at}", status=200, body=body.encode(), headers=HTML),
        )
        for at, body in enumerate(bodies)
    ]


@contextmanager
def _beside(spider: Spider, *, most_s: float = deciding.MOST_S) -> Iterator[Deciding]:
    with Deciding(spider, shop="corner", settings=SETTINGS, beside=True, most_s=most_s) as beside:
        yield beside


def _decided(beside: Deciding, answers: list[tuple[Request, Response]]) -> dict[str, Outcome]:
    """The outcomes by address, when all are there."""
    told: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    for request, response in answers:
        beside.give(Arrived(request, response, None, 0.0, told.put))
    outcomes = [told.get(timeout=60) for _ in answers]
    return {outcome.request.url.rpartition("/")[2]: outcome for outcome in outcomes}


def _readers(outcomes: dict[str, Outcome]) -> set[int]:
    """The processes that read the pages."""
    found = (unpack(outcome.parsed).requests for outcome in outcomes.values() if outcome.parsed)
    return {int(url.rpartition("/")[2]) for (url,) in found}


def test_a_process_beside_decides_as_this_one_would() -> None:
    answers = _answers(*(str(product_page(f"S{at}", links="<a href=/x>").body) for at in range(99)))
    last, response = answers[-1]
    answers[-1] = (last, replace(response, headers={"content-type": "text/plain"}))
    spider = SchemaOrg(BASE)
    with _beside(spider) as beside:
        there = _decided(beside, answers)
    for at, (request, response) in enumerate(answers):
        here = decide(request, response, spider=spider, shop="corner", settings=SETTINGS, now=0)
        # A link is told once.
        assert there[str(at)] == (here if at == 0 else replace(here, links=()))


@pytest.mark.parametrize("cores", [1, 2])
def test_a_link_is_told_again_only_where_a_shorter_way_leads_to_it(
    monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(deciding, "_cores", lambda: cores)
    body = str(product_page("S", links="<a href=/x>").body)
    answers = [
        (replace(request, depth=depth), response)
        for depth, (request, response) in zip((5, 5, 6, 3, 3), _answers(*[body] * 5), strict=True)
    ]
    with _beside(SchemaOrg(BASE)) as beside:
        outcomes = _decided(beside, answers)
    told = [outcomes[str(at)].links == (f"{BASE}/x",) for at in range(5)]
    assert told == [True, False, False, True, False]


def test_links_are_told_again_when_too_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "_MOST_TOLD", 2)
    untold = Untold()
    page = Outcome(request=Request(f"{BASE}/"), links=("a", "b"))
    assert untold.of(page).links == ("a", "b")
    assert untold.of(page).links == ()
    assert untold.of(replace(page, links=("c",))).links == ("c",)
    assert untold.of(page).links == ("a", "b")


def test_pages_are_read_in_one_other_process_which_ends_with_the_crawl() -> None:
    with _beside(Deadly()) as beside:
        (reader,) = _readers(_decided(beside, _answers(*"abc")))
        assert reader != os.getpid()
        assert os.getsid(reader) != os.getsid(0)  # Ctrl-C on the terminal does not reach it
    with pytest.raises(ProcessLookupError):
        os.kill(reader, 0)


def test_a_page_that_its_process_dies_of_is_tried_again_and_costs_no_other() -> None:
    with _beside(Deadly()) as beside:
        outcomes = _decided(beside, _answers("a", "die", "b", "die", "c"))
        readers = _readers(outcomes)
    crashed = {name: one for name, one in outcomes.items() if one.parsed is None}
    assert set(crashed) == {"1", "3"}
    for outcome in crashed.values():
        assert (outcome.request.attempts, outcome.reason) == (1, "crash")
        assert outcome.retry_in_s is not None
        assert not outcome.unreachable
    assert len(readers) == 3
    assert os.getpid() not in readers


def test_a_page_that_its_spider_comes_to_no_end_with_is_an_error_and_costs_no_other() -> None:
    with _beside(Deadly(), most_s=5.0) as beside:
        outcomes = _decided(beside, _answers("a", "loop", "b", "c"))
        readers = _readers(outcomes)
        pages = _answers(*"d" * 5)  # the next process has its own time
        assert len(_readers(_decided(beside, pages))) == 1
    overdue = {name: one for name, one in outcomes.items() if one.parsed is None}
    assert {name: one.errors for name, one in overdue.items()} == {"1": ("spider too slow",)}
    assert overdue["1"].retry_in_s is None
    assert len(readers) == 2


def test_a_spider_that_no_other_process_can_load_is_used_here() -> None:
    class Local(Deadly):
        pass

    with _beside(Local()) as beside:
        assert _readers(_decided(beside, _answers("a"))) == {os.getpid()}


def test_a_process_that_cannot_start_leaves_the_pages_to_this_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    false = tmp_path / "python"
    false.write_text("#!/bin/sh\nexit 1\n")
    false.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(false))
    with _beside(Deadly()) as beside:
        assert _readers(_decided(beside, _answers("a", "b"))) == {os.getpid()}
        assert _readers(_decided(beside, _answers("c"))) == {os.getpid()}


def test_on_one_core_pages_are_decided_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "_cores", lambda: 1)
    with _beside(Deadly()) as beside:
        assert _readers(_decided(beside, _answers("a"))) == {os.getpid()}


@pytest.mark.parametrize("endless", ["loop", "loop catching all", "loop matching"])
def test_on_one_core_too_a_page_without_end_is_an_error(
    monkeypatch: pytest.MonkeyPatch, endless: str
) -> None:
    monkeypatch.setattr(deciding, "_cores", lambda: 1)
    before = signal.getsignal(signal.SIGALRM)
    with _beside(Deadly(), most_s=5.0) as beside:
        outcomes = _decided(beside, _answers("a", endless, "b"))
    assert {name: one.errors for name, one in outcomes.items()} == {
        "0": (),
        "1": ("spider too slow",),
        "2": (),
    }
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_has_room_until_the_process_has_enough_to_do() -> None:
    with _beside(Deadly()) as beside:
        (reader,) = _readers(_decided(beside, _answers("a")))
        os.kill(reader, signal.SIGSTOP)
        pages = _answers(*"b" * 40)
        told: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        given = 0
        while beside.has_room():
            beside.give(Arrived(*pages[given], None, 0.0, told.put))
            given += 1
        assert given == 32
        os.kill(reader, signal.SIGCONT)
        for _ in range(given):
            told.get(timeout=60)
        assert beside.has_room()


def test_a_killed_crawl_leaves_no_process_behind() -> None:
    code = """
import sys, time
from advisor.crawling import deciding
from tests.unit.crawling.test_deciding import _answers, _beside, _decided, _readers
from tests.unit.crawling.deadly import Deadly
deciding._cores = lambda: 2
with _beside(Deadly()) as beside:
    print(*_readers(_decided(beside, _answers("a"))), flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as crawl:
        assert crawl.stdout is not None
        reader = int(crawl.stdout.readline())
        assert Path(f"/proc/{reader}").exists()
        crawl.kill()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{reader}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
