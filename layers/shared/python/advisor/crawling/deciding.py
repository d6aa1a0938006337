"""Where pages are decided: here, or in a process beside, so that parsing has a core of its own.

Python runs one thread at a time: a page that is parsed holds up those that are fetched. What
travels are pickles over the process's standard input and output. The process ends when they are
closed, and so with the crawl, however that ends.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from threading import Event, Lock, Thread, current_thread, main_thread
from typing import Any, Self

from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.decide import Outcome, decide, decide_crash, decide_overdue
from advisor.crawling.messages import Request, Response
from advisor.crawling.recall import Known
from advisor.crawling.spiders.base import Spider

_MOST_PAGES = 32  # in the hands of the process: enough to work on while the crawl writes a batch
_MOST_BYTES = 4_000_000
_PIPE_BYTES = 1 << 20  # what waits in it wakes nobody; 64 KB, as pipes have, hold one page
_BUFFER_BYTES = 1 << 16
MOST_S = 60.0  # for one page; the slowest of the hostile ones takes 2
_LOOK_S = 0.5
_MOST_TOLD = 10_000  # links, about 2 MB


@dataclass(frozen=True, slots=True)
class Arrived:
    """A page to decide, as `decide` takes it. then: called once with the outcome, in any thread."""

    request: Request
    response: Response
    known: Known | None
    now: float
    then: Callable[[Outcome], None]


class Untold:
    """Leaves out of outcomes the links that earlier ones told; most links of a page are of those.

    A link is told again where a shorter way leads to it, and when too many are remembered.
    """

    def __init__(self) -> None:
        self._told: dict[str, int] = {}  # by link, the depth

    def of(self, outcome: Outcome) -> Outcome:
        """The outcome, with what is new of its links."""
        if not outcome.links:
            return outcome
        depth = outcome.depth_of_links
        told = self._told
        new = [url for url in outcome.links if told.get(url, depth + 1) > depth]
        if len(told) + len(new) > _MOST_TOLD:
            told.clear()
        told.update(dict.fromkeys(new, depth))
        return replace(outcome, links=tuple(new))


class Deciding:
    """Decides pages as `decide` does: within the call, or `beside`, in the order given.

    Of their links, each outcome tells only those that are `Untold`.

    A page that its process dies of is to be tried again, as if it had not been answered; one that
    it is at for more than most_s is an error, and the process is killed; the others are decided
    by the next process. Without a second core, or for a spider that another process cannot load,
    all pages are decided here; in the main thread, where there are timers (not on Windows), for no
    longer than most_s each.
    """

    def __init__(
        self,
        spider: Spider,
        *,
        shop: str,
        settings: CrawlSettings,
        beside: bool = False,
        most_s: float = MOST_S,
    ) -> None:
        self._decide = partial(decide, spider=spider, shop=shop, settings=settings)
        self._untold = Untold()
        self._settings = settings
        self._most_s = most_s
        self._lock = Lock()
        self._process: _Process | None = None
        if beside and _cores() > 1:
            # Made in a function, or no process to be had. Locked: it may die before it is known.
            errors = (pickle.PicklingError, AttributeError, TypeError, OSError)
            with self._lock, suppress(*errors):
                self._spider = pickle.dumps((spider, shop, settings))
                self._process = _Process(self._spider, self._on_death, most_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def decide(self, request: Request, response: Response, **more: Any) -> Outcome:
        """What `decide` says, at once, in this process."""
        return self._untold.of(self._decide(request, response, **more))

    def has_room(self) -> bool:
        """Whether a page would be worked on soon; one that is given is kept in any case."""
        process = self._process
        return process is None or process.has_room()

    def give(self, page: Arrived) -> None:
        """Have a page decided."""
        with self._lock:
            if self._process:
                self._process.give(page)
                return
        self._decide_here(page)

    def close(self) -> None:
        """End the process; what it had is told no more."""
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.end()

    def _decide_here(self, page: Arrived) -> None:
        try:
            with _for_at_most(self._most_s):
                outcome = self.decide(page.request, page.response, known=page.known, now=page.now)
        except _OverdueError:
            outcome = decide_overdue(page.request)
        page.then(outcome)

    def _on_death(self, process: _Process) -> None:
        with self._lock:
            if process is not self._process:
                return  # closed
            pages = list(process.pages)
            self._process = None
            if process.ready:  # else the next would not start either
                with suppress(OSError):
                    self._process = _Process(self._spider, self._on_death, self._most_s)
            culprit = pages.pop(0) if process.ready and pages else None
        if culprit and process.overdue:
            culprit.then(decide_overdue(culprit.request))
        elif culprit:
            culprit.then(decide_crash(culprit.request, settings=self._settings))
        for page in pages:
            self.give(page)


class _Process:
    """A process that decides, and the threads that talk to it."""

    def __init__(self, spider: bytes, on_death: Callable[[_Process], None], most_s: float) -> None:
        self.pages: deque[Arrived] = deque()  # given and not told, the oldest is being decided
        self.ready = False
        self.overdue = False  # it was killed for the time it took
        self._since = 0.0  # it is at the oldest page
        self._most_s = most_s
        self._ended = Event()
        self._on_death = on_death
        self._bytes = 0
        self._outbox: SimpleQueue[Any] = SimpleQueue()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "advisor.crawling.deciding"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=_BUFFER_BYTES,
            pipesize=_PIPE_BYTES,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for the crawl, which still needs it
        )
        self._outbox.put(spider)
        for target in (self._send, self._receive, self._watch):
            Thread(target=target, daemon=True).start()

    def has_room(self) -> bool:
        return len(self.pages) < _MOST_PAGES and self._bytes < _MOST_BYTES

    def give(self, page: Arrived) -> None:
        self._bytes += len(page.response.body)
        if not self.pages:
            self._since = time.monotonic()
        self.pages.append(page)
        self._outbox.put((page.request, page.response, page.known, page.now))

    def end(self) -> None:
        self._process.kill()  # it holds nothing that must be kept
        self._process.wait()

    def _send(self) -> None:
        assert self._process.stdin is not None  # noqa: S101 (it is a pipe)
        with suppress(OSError), self._process.stdin as pipe:  # it died
            while (message := self._outbox.get()) is not None:
                pickle.dump(message, pipe, pickle.HIGHEST_PROTOCOL)
                pipe.flush()

    def _receive(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 (it is a pipe)
        with suppress(OSError, EOFError, pickle.UnpicklingError), self._process.stdout as pipe:
            self.ready = pickle.load(pipe)  # noqa: S301 (of our own process)
            self._since = time.monotonic()
            while True:
                outcome = pickle.load(pipe)  # noqa: S301 (of our own process)
                self._since = time.monotonic()
                page = self.pages.popleft()
                self._bytes -= len(page.response.body)
                page.then(outcome)
        self._outbox.put(None)
        self._process.wait()
        self._ended.set()
        self._on_death(self)

    def _watch(self) -> None:
        """Kill the process when it comes to no end with a page."""
        while not self._ended.wait(_LOOK_S):
            if self.ready and self.pages and time.monotonic() - self._since > self._most_s:
                self.overdue = True
                self._process.kill()
                return


class _OverdueError(BaseException):
    """A page takes too long; not an Exception, for a spider may catch those and go on."""


@contextmanager
def _for_at_most(seconds: float) -> Iterator[None]:
    """Let what the block does go on no longer. Raises: _OverdueError."""
    if current_thread() is not main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def end(*_: object) -> None:
        raise _OverdueError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # and again, for who catches even this
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:  # it may have rung in the line above
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _serve() -> None:
    """Decide what comes until nothing more comes. What the spider prints goes to stderr."""
    with os.fdopen(os.dup(0), "rb", _BUFFER_BYTES) as inbox, os.fdopen(os.dup(1), "wb") as outbox:
        os.dup2(2, 1)
        with suppress(EOFError, BrokenPipeError):
            spider, shop, settings = pickle.loads(pickle.load(inbox))  # noqa: S301 (of the crawl)
            told: Any = True
            untold = Untold()
            while True:
                pickle.dump(told, outbox, pickle.HIGHEST_PROTOCOL)
                outbox.flush()
                request, response, known, now = pickle.load(inbox)  # noqa: S301 (of the crawl)
                told = untold.of(
                    decide(
                        request,
                        response,
                        spider=spider,
                        shop=shop,
                        settings=settings,
                        now=now,
                        known=known,
                    )
                )


if __name__ == "__main__":
    _serve()
