"""The crawl loop: gather answers, decide, apply; the same on a laptop and on Lambda.

One thread runs the loop; a pool of threads does nothing but fetch, and pages are decided in a
process beside where there is a second core. On a laptop the loop works on all hosts until nothing
is left; a turn on Lambda works on one host until its time is up.
"""

from __future__ import annotations

import queue
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from advisor.crawling.completeness import fields_of
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.decide import Outcome, decide_failure
from advisor.crawling.deciding import Arrived, Deciding
from advisor.crawling.fetch import Fetch, fetch_following
from advisor.crawling.finish import (
    FINISHED,
    SHOP_DOWN,
    STOPPED,
    TIME_BUDGET,
    TOO_FEW_ITEMS,
    TURN_OVER,
)
from advisor.crawling.frontier import Frontier, HostState, Settlement
from advisor.crawling.items import Item
from advisor.crawling.ledger import FAILED, Visit
from advisor.crawling.messages import KINDS, ArchivedPage, Kind, Request, Response, request_key
from advisor.crawling.pace import Pace
from advisor.crawling.photos import Photo
from advisor.crawling.recall import Known
from advisor.crawling.robots import ALLOW_ALL, Robots, read_robots
from advisor.crawling.sink import Results, Sink
from advisor.crawling.sitemaps import first_requests
from advisor.crawling.spiders.base import Spider
from advisor.crawling.urls import origin_of, site_of, without_tracking
from advisor.crawling.visits import visit_of
from advisor.errors import FetchError

_BATCH = 32  # outcomes applied at once: one transaction, a few batch writes
_BATCH_AGE_S = 1.0
_DOWN_AFTER = 20  # failures in a row without one answer: the host is down, not the page
_LATE_S = 45.0  # after its deadline a turn decides no more pages: what ends it must have time
_IDLE_S = 0.5  # how often the loop looks at the stop flag when nothing happens


@dataclass
class _Host:
    """The loop's view of a host."""

    name: str
    state: HostState
    robots: Robots | None
    ready: deque[Request] = field(default_factory=deque)
    in_flight: int = 0
    robots_attempts: int = 0
    failures_in_row: int = 0
    dry: bool = False  # nothing was due when last asked, and nothing was applied since
    down: bool = False
    figures: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Answer:
    host: _Host
    request: Request
    result: Response | FetchError
    is_robots: bool = False
    known: Known | None = None


@dataclass(frozen=True)
class _Decided:
    host: _Host
    outcome: Outcome


class Crawl:
    """One crawl, or one turn of it. `run` once."""

    def __init__(
        self,
        spider: Spider,
        *,
        shop: str,
        frontier: Frontier,
        sink: Sink,
        fetcher: Fetch,
        settings: CrawlSettings,
        should_stop: Callable[[], bool] = lambda: False,
        on_progress: Callable[[Counter[str]], None] = lambda _: None,
        recall: Callable[[Request], Known | None] = lambda _: None,
        on_closed: Callable[[str, Counter[str]], None] = lambda *_: None,
        deciding: Deciding | None = None,
        deadline: float = float("inf"),
        started_at: float | None = None,
        batch_age_s: float = _BATCH_AGE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """deadline: when this turn ends; started_at: when the crawl began, if not in this turn.

        Both, and clock, in seconds since the epoch. on_closed: called once, at the end, with why
        it ended and the counters of the whole crawl. recall: a page or photo as an earlier crawl
        found it, asked in several threads. deciding: what decides the pages; None: this thread
        does. batch_age_s: how long an outcome may wait to be settled with others. What is not
        settled when a worker dies is fetched again, or comes from `KeptAnswers`.
        """
        self._spider = spider
        self._frontier = frontier
        self._sink = sink
        self._fetcher = fetcher
        self._settings = settings
        self._should_stop = should_stop
        self._on_progress = on_progress
        self._recall = recall
        self._on_closed = on_closed
        self._deciding = deciding or Deciding(spider, shop=shop, settings=settings)
        self._deadline = deadline
        self._batch_age_s = batch_age_s
        self._clock = clock
        started = clock() if started_at is None else started_at
        self._time_up = started + settings.max_seconds if settings.max_seconds else float("inf")
        self._pace = Pace(settings.min_items_a_minute, clock())
        self._too_slow = False
        self._hosts: dict[str, _Host] = {}
        self._counts = Counter(frontier.counts())
        self._outcomes: list[Outcome] = []
        self._applied_at = clock()
        self._answers: queue.SimpleQueue[_Answer | _Decided | Exception] = queue.SimpleQueue()
        self._arrived: deque[_Answer] = deque()  # to be decided; their connections are free
        self._undecided = 0  # given to be decided, and not back
        # One request at a time means one: that before it is settled.
        self._most_unsettled = 1 + 8 * (settings.concurrency - 1)
        self._site = site_of(spider.base_url)
        self.last_failure = ""  # what is to be told of a shop that is down

    def seed(self) -> None:
        """Put the spider's start addresses to do."""
        new = first_requests(self._spider, self._settings)
        self._sink.write(Results(found=[(request, "") for request in new]))
        self._frontier.settle(Settlement(new=new))

    def run(self) -> str:
        """Crawl until nothing is left, or a limit, the deadline or a stop; returns which.

        What was fetched is settled when it returns, and the rest is still to do.
        """
        pool = ThreadPoolExecutor(max_workers=2 * self._settings.concurrency)
        try:
            while True:
                self._look_at_hosts()
                self._submit(pool)
                if self._in_flight() or self._arrived or self._undecided:
                    self._gather(pool)
                    if self._batch_is_due():
                        self._apply()
                elif self._outcomes:
                    self._apply()
                elif reason := self._rest():
                    self._on_closed(reason, self._counts)
                    return reason
                else:
                    self._wait()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def by_host(self) -> dict[str, Counter[str]]:
        """Pages, photos, items and errors of each host since this run began."""
        return {host.name: host.figures for host in self._hosts.values()}

    def next_due(self) -> float | None:
        """When there is something to fetch again, over the hosts of this turn; None: nothing."""
        dues = []
        for host in self._hosts.values():
            if host.ready:
                dues.append(host.state.next_at)
            elif (due := self._frontier.next_due(host.name, kinds=self._kinds())) is not None:
                dues.append(max(due, host.state.next_at))
        return min(dues, default=None)

    # gather

    def _look_at_hosts(self) -> None:
        for name in self._frontier.hosts():
            if name not in self._hosts:
                state = self._frontier.host(name)
                robots = None if state.robots is None else self._robots(state.robots)
                self._hosts[name] = _Host(name, state, robots)

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        if self._ending() or len(self._arrived) >= self._settings.concurrency:
            return  # what is not decided yet would pile up in memory
        now = self._clock()
        for host in self._hosts.values():
            while self._may_ask(host, now) and (request := self._next(host, now)):
                if host.robots is None:
                    host.ready.appendleft(request)
                    self._start(pool, host, _robots_request(request), is_robots=True)
                    break
                if not host.robots.allows(request.url):
                    self._outcomes.append(Outcome(request=request, errors=("robots",)))
                    continue
                self._start(pool, host, request)

    def _may_ask(self, host: _Host, now: float) -> bool:
        if host.down or now < host.state.next_at or self._unsettled() >= self._most_unsettled:
            return False
        one = host.robots is None or self._delay_s(host) > 0  # then a gap can be kept exactly
        return host.in_flight < (1 if one else self._settings.concurrency)

    def _unsettled(self) -> int:
        undecided = len(self._arrived) + self._undecided
        return self._in_flight() + undecided + len(self._outcomes)

    def _next(self, host: _Host, now: float) -> Request | None:
        kinds = self._kinds()
        if not host.ready and not host.dry:
            host.ready.extend(
                self._frontier.take(host.name, kinds=kinds, limit=2 * _BATCH, now=now)
            )
            host.dry = not host.ready
        while host.ready:
            request = host.ready.popleft()
            if request.kind in kinds:
                return request
        return None

    def _start(
        self, pool: ThreadPoolExecutor, host: _Host, request: Request, *, is_robots: bool = False
    ) -> None:
        host.in_flight += 1
        pool.submit(self._fetch, host, request, is_robots)

    def _fetch(self, host: _Host, request: Request, is_robots: bool) -> None:
        """In a thread of the pool: one fetch, answered through the queue whatever happens."""
        fetch = partial(fetch_following, self._fetcher) if is_robots else self._fetcher.fetch
        result: Response | FetchError
        try:
            known = None if is_robots else self._recall(request)
        except Exception as error:  # of our own storage, and no fault of this address
            self._answers.put(error)
            return
        try:
            result = fetch(replace(request, conditions=known.conditions) if known else request)
        except FetchError as error:
            result = error
        except Exception as error:  # an answer must come, or the loop waits for ever
            result = FetchError(f"{request.url}: {error!r}", reason=type(error).__name__)
        self._answers.put(_Answer(host, request, result, is_robots, known))

    def _gather(self, pool: ThreadPoolExecutor) -> None:
        """Take the answers that are there, waiting a little if none is; then have one decided.

        That may take time: first the connections that became free get their next request.
        """
        with suppress(queue.Empty):
            ready = self._arrived and self._deciding.has_room()
            self._take_in(self._answers.get(timeout=0 if ready else self._wait_s()))
            while True:
                self._take_in(self._answers.get_nowait())
        if self._clock() > self._deadline + _LATE_S:
            self._arrived.clear()  # they stay to do
        if self._arrived and self._deciding.has_room():
            self._submit(pool)
            self._receive(self._arrived.popleft())

    def _take_in(self, answer: _Answer | _Decided | Exception) -> None:
        """Keep what is to be parsed for later; anything else may change how the host is asked."""
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, _Decided):
            self._undecided -= 1
            self._take_note(answer.host, answer.outcome)
            return
        host, result = answer.host, answer.result
        host.in_flight -= 1
        if not answer.is_robots and isinstance(result, Response) and result.status == 200:
            self._arrived.append(answer)
        else:
            self._receive(answer)
        if delay := self._delay_s(host):
            jitter = self._settings.jitter * random.random()  # noqa: S311 (no secret)
            self._pause(host, delay * (1 + jitter))

    def _wait_s(self) -> float:
        """Until a host may be asked again, but no longer than the stop flag can wait."""
        now = self._clock()
        waits = [host.state.next_at - now for host in self._hosts.values() if not host.down]
        return max(0.0, min([_IDLE_S, *(wait for wait in waits if wait > 0)]))

    def _wait(self) -> None:
        """Sleep until something is due, but no longer than the stop flag can wait."""
        due = self.next_due()
        if due is not None:
            time.sleep(max(0.0, min(_IDLE_S, due - self._clock())))
        self._look_again()

    def _look_again(self) -> None:
        for host in self._hosts.values():
            host.dry = False

    # decide

    def _receive(self, answer: _Answer) -> None:
        host, result, now = answer.host, answer.result, self._clock()
        if answer.is_robots:
            self._receive_robots(host, result)
        elif isinstance(result, FetchError):
            self.last_failure = str(result)
            outcome = decide_failure(answer.request, result, settings=self._settings)
            self._take_note(host, outcome)
        elif result.status != 200 or answer.request.kind == "photo":  # little to decide
            outcome = self._deciding.decide(answer.request, result, known=answer.known, now=now)
            self._take_note(host, outcome)
        else:
            self._undecided += 1
            self._deciding.give(
                Arrived(
                    answer.request,
                    result,
                    answer.known,
                    now,
                    then=lambda outcome: self._answers.put(_Decided(host, outcome)),
                )
            )

    def _take_note(self, host: _Host, outcome: Outcome) -> None:
        """Keep the outcome for the next batch; what it says of the host holds at once."""
        self._outcomes.append(outcome)
        is_page = outcome.request.kind == "page"
        host.figures["pages"] += is_page and bool(outcome.archive or outcome.unchanged)
        host.figures["photos"] += outcome.photo is not None
        host.figures["items"] += len(outcome.items)
        host.figures["errors"] += len(outcome.errors)
        host.failures_in_row = host.failures_in_row + 1 if outcome.unreachable else 0
        if host.failures_in_row >= _DOWN_AFTER:
            host.down = True
        if outcome.host_pause_s:
            self._pause(host, outcome.host_pause_s)

    def _receive_robots(self, host: _Host, result: Response | FetchError) -> None:
        """Learn a host's rules, ask again a little later, or give the host up.

        Without an answer or with 5xx the host is left alone (RFC 9309); a robots.txt that cannot
        be read for another reason forbids nothing.
        """
        try:
            robots = _robots_of(result)
        except FetchError as error:
            self.last_failure = str(error)
            host.robots_attempts += 1
            self._pause(host, self._settings.backoff_s(host.robots_attempts - 1))
            host.down = host.robots_attempts >= self._settings.max_attempts
            counts = {f"errors:robots.txt {error.reason}" if host.down else "retries": 1}
            self._frontier.settle(Settlement(counts=counts))
            self._counts.update(counts)
            return
        host.robots = self._robots(robots.text)
        host.state = replace(host.state, robots=robots.text)
        self._frontier.save_host(host.name, host.state)

    def _robots(self, text: str) -> Robots:
        return Robots(text, self._settings.user_agent)

    def _pause(self, host: _Host, seconds: float) -> None:
        later = max(host.state.next_at, self._clock() + seconds)
        host.state = replace(host.state, next_at=later)

    def _delay_s(self, host: _Host) -> float:
        asked = host.robots.delay_s if host.robots else 0.0
        return max(self._settings.delay_s, asked)

    # apply

    def _batch_is_due(self) -> bool:
        if not self._outcomes or len(self._outcomes) >= _BATCH:
            return bool(self._outcomes)
        # With nothing more to fetch the links of these outcomes are what keeps the pool busy.
        if all(host.dry for host in self._hosts.values()):
            return not self._arrived
        aged = self._clock() - self._applied_at >= self._batch_age_s
        return aged and not self._arrived and not self._undecided

    def _apply(self) -> None:
        """Write what the outcomes brought, then settle them in the frontier."""
        batch, self._outcomes = self._outcomes, []
        tally = _Tally()
        keys = [_item_key(item) for one in batch for item in one.items]
        unseen_items = self._frontier.unseen(keys) if keys else set()
        room = self._room_for_items()
        for outcome in batch:
            if outcome.items and room <= 0:
                tally.add_links(outcome)  # they are told once
                continue  # stays to do, for a crawl that goes on with a higher limit
            room -= tally.add(outcome, unseen_items, room=room)
        now = self._clock()
        found = self._new_requests(tally)
        checkpoint = self._sink.write(
            Results(
                pages=tally.pages,
                items=tally.items,
                photos=tally.photos,
                visits=[visit_of(outcome, at=now) for outcome in tally.outcomes],
                found=found,
                too_deep=tally.too_deep,
            )
        )
        self._frontier.settle(
            Settlement(
                done=tally.done,
                retries=[(request, now + wait_s) for request, wait_s in tally.retries],
                new=[request for request, _ in found],
                claimed=[_item_key(item) for item in tally.items],
                counts=tally.counts,
                checkpoint=checkpoint,
            )
        )
        self._counts.update(tally.counts)
        self._look_again()
        self._applied_at = now
        self._on_progress(self._counts)

    def _new_requests(self, tally: _Tally) -> list[tuple[Request, str]]:
        """Requests for what was not seen before, each with the page that it is on.

        Only for those a Request is made.
        """
        pages: dict[str, tuple[str, int, str]] = {}
        for depth in sorted(tally.links, reverse=True):  # the shortest way to a page counts
            pages |= {
                request_key("page", url): (url, depth, page)
                for url, page in tally.links[depth].items()
            }
        others = {request.key: (request, page) for request, page in tally.others}
        for item in tally.items:
            for url in item.images:
                others.setdefault(
                    request_key("photo", url),
                    (
                        Request(url, "photo", product_id=item.product_id, category=item.category),
                        item.url,
                    ),
                )
        unseen = self._frontier.unseen([*pages, *others])
        return [
            (Request(without_tracking(url), depth=depth), page)
            for key, (url, depth, page) in pages.items()
            if key in unseen and key not in others
        ] + [found for key, found in others.items() if key in unseen]

    # when to end

    def _kinds(self) -> Collection[Kind]:
        """What may still be fetched: with the items complete, only their photos."""
        return ("photo",) if self._pages_are_over() else KINDS

    def _pages_are_over(self) -> str:
        return self._settings.spent(self._counts)

    def _room_for_items(self) -> int:
        if not self._settings.max_items:
            return 2**31
        return self._settings.max_items - self._counts["items"]

    def _ending(self) -> str:
        if self._should_stop():
            return STOPPED
        now = self._clock()
        if now >= self._time_up:
            return TIME_BUDGET
        if now >= self._deadline:
            return TURN_OVER
        if self._too_slow or self._pace.is_too_slow(self._counts, now=now):
            self._too_slow = True
            return TOO_FEW_ITEMS
        return SHOP_DOWN if any(host.down for host in self._own_hosts()) else ""

    def _own_hosts(self) -> Iterator[_Host]:
        return (
            host for host in self._hosts.values() if host.name.removeprefix("www.") == self._site
        )

    def _never_answered(self) -> bool:
        """Whether there was nothing but a robots.txt."""
        return not self._counts["pages"] and any(one.failures_in_row for one in self._own_hosts())

    def _in_flight(self) -> int:
        return sum(host.in_flight for host in self._hosts.values())

    def _rest(self) -> str:
        """Why the loop ends, or "" while there is something to wait for."""
        if reason := self._ending():
            self._save_hosts()
            return reason
        self._give_up_hosts()
        due = self.next_due()
        if due is None:
            self._save_hosts()
            if self._never_answered():
                return SHOP_DOWN
            return self._pages_are_over() or FINISHED
        if due > min(self._deadline, self._time_up):
            self._save_hosts()
            return TURN_OVER if self._deadline < self._time_up else TIME_BUDGET
        return ""

    def _give_up_hosts(self) -> None:
        """Count what was to be fetched of a host that is down as errors (never the shop's own)."""
        for host in self._hosts.values():
            while host.down:
                lost = [*host.ready]
                host.ready.clear()
                lost += self._frontier.take(host.name, kinds=KINDS, limit=500, now=float("inf"))
                if not lost:
                    break
                visits = [Visit(request=one, state=FAILED, detail="host down") for one in lost]
                checkpoint = self._sink.write(Results(visits=visits))
                counts = {"errors:host down": len(lost)}
                self._frontier.settle(Settlement(done=lost, counts=counts, checkpoint=checkpoint))
                self._counts["errors:host down"] += len(lost)

    def _save_hosts(self) -> None:
        for host in self._hosts.values():
            self._frontier.save_host(host.name, host.state)
        self._frontier.settle(Settlement())


class _Tally:
    """What a batch of outcomes adds up to."""

    def __init__(self) -> None:
        self.pages: list[ArchivedPage] = []
        self.items: list[Item] = []
        self.photos: list[Photo] = []
        self.outcomes: list[Outcome] = []
        self.links: dict[int, dict[str, str]] = {}  # by depth, each with the page it is on
        self.others: list[tuple[Request, str]] = []  # redirects and sitemaps
        self.too_deep: list[tuple[Request, str]] = []
        self.done: list[Request] = []
        self.retries: list[tuple[Request, float]] = []
        self.counts: Counter[str] = Counter()
        self._item_keys: set[str] = set()

    def add(self, outcome: Outcome, unseen_items: Collection[str], *, room: int) -> int:
        """Add an outcome, with at most `room` of its items; returns how many it added."""
        if outcome.retry_in_s is not None:
            self.outcomes.append(outcome)
            self.retries.append((outcome.request, outcome.retry_in_s))
            self.counts["retries"] += 1
            return 0
        twice = self.counts["dropped:duplicate"]
        added, complete = self._add_items(outcome.items, unseen_items, room)
        twice = self.counts["dropped:duplicate"] - twice
        told = replace(outcome, dropped=(*outcome.dropped, *(["duplicate"] * twice)))
        self.outcomes.append(told if twice else outcome)
        if complete:
            self.done.append(outcome.request)
        if outcome.archive is not None:
            self.pages.append(outcome.archive)
            self.counts["pages"] += 1
        if outcome.photo is not None:
            self.photos.append(outcome.photo)
            self.counts["photos"] += 1
            self.counts.update(["unchanged photos"] if outcome.unchanged else [])
        elif outcome.unchanged:
            self.counts["pages"] += 1
            self.counts["unchanged"] += 1
        self.too_deep.extend((one, outcome.request.url) for one in outcome.too_deep)
        self.others.extend((one, outcome.request.url) for one in outcome.sitemaps)
        if outcome.redirect is not None:
            self.others.append((outcome.redirect, outcome.request.url))
            self.counts["redirects"] += 1
        self.add_links(outcome)
        if outcome.bytes:
            self.counts["bytes"] += outcome.bytes
        self.counts.update(f"dropped:{reason}" for reason in outcome.dropped)
        self.counts.update(f"errors:{reason}" for reason in outcome.errors)
        return added

    def add_links(self, outcome: Outcome) -> None:
        """Add the pages that it leads to."""
        if outcome.links:
            deeper = self.links.setdefault(outcome.depth_of_links, {})
            deeper.update(dict.fromkeys(outcome.links, outcome.request.url))

    def _add_items(
        self, items: Collection[Item], unseen: Collection[str], room: int
    ) -> tuple[int, bool]:
        added = 0
        for item in items:
            key = _item_key(item)
            if key not in unseen or key in self._item_keys:
                self.counts["dropped:duplicate"] += 1
            elif added == room:
                return added, False
            else:
                self._item_keys.add(key)
                self.items.append(item)
                self.counts["items"] += 1
                self.counts.update(fields_of(item))
                added += 1
        return added, True


def _item_key(item: Item) -> str:
    return f"item:{item.id}"


def _robots_request(request: Request) -> Request:
    return Request(f"{origin_of(request.url)}/robots.txt", "robots")


def _robots_of(result: Response | FetchError) -> Robots:
    if not isinstance(result, FetchError):
        return read_robots(result)
    if result.retryable:
        raise result
    return ALLOW_ALL
