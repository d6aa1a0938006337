"""A crawl on AWS: how a run starts, takes its turns, and ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from advisor.aws.careful import Careful
from advisor.aws.crawl_records import Heading, Recall
from advisor.aws.crawl_store import CrawlStore, ItemTables
from advisor.aws.frontier import (
    FAILED,
    FINISHED,
    PAUSED,
    RUNNING,
    RunStatus,
    change_status,
    end_run,
    hosts_of,
    is_running,
    list_runs,
    mark_announced,
    new_run_id,
    next_due,
    read_run,
    start_run,
)
from advisor.aws.frontier_rows import due_key
from advisor.aws.host_frontier import HostFrontier, LeaseLostError
from advisor.aws.leases import Lease, holding_run, release_lease, take_lease
from advisor.aws.tokens import Token, TokenQueue
from advisor.crawling import finish, loop
from advisor.crawling.addresses import AddressPolicy
from advisor.crawling.completeness import LostField, lost_fields, shares
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.deciding import Deciding
from advisor.crawling.fetch import Fetch, Fetcher
from advisor.crawling.recall import fingerprint
from advisor.crawling.sitemaps import first_requests
from advisor.crawling.spiders.base import Spider
from advisor.crawling.spiders.registry import make_spider, shop_name
from advisor.errors import NotFoundError

LEASE_S = 600.0  # longer than the function may run, shorter than a token stays invisible
_BUSY_S = 10.0  # how soon to come back to a host that another run is at
_ANNOUNCED_S = 60.0  # an end not told for so long is told by the sweep: its worker has died
_LOOK_S = 5.0  # how often a turn looks whether its run was stopped
# What a worker that dies may have fetched in vain. Each batch costs an object of records and one
# of items, and a put to S3 costs as much as eight write units of DynamoDB.
_BATCH_AGE_S = 5.0
_PAGE_S = 10.0  # for the spider to read one page: a turn that is over has some of them to read


@dataclass(frozen=True)
class StartedRun:
    """The answer to a request for a crawl. reason: why none was started, or ""."""

    run_id: str
    started: bool
    reason: str


@dataclass(frozen=True)
class Turn:
    """What a token came to. reason: how the turn ended, or why there was none."""

    token: Token
    reason: str
    finished: bool = False


@dataclass(frozen=True)
class Swept:
    """What a sweep did: tokens sent again, runs ended, ends told that nobody had told."""

    tokens: int
    finished: int
    announced: int


@dataclass(frozen=True, kw_only=True)
class CrawlService:
    """Crawls over the frontier table, the queue of tokens, a bucket and the catalog's tables."""

    frontier_table: str
    queue: TokenQueue
    bucket: str = ""
    tables: ItemTables | None = None
    fetcher: Callable[..., Fetch] = Fetcher
    # Called when a run has ended, with the fields its items lost since the run before; by the
    # sweep again until it returns True. At least once, and twice where a worker dies in between.
    announce: Callable[[RunStatus, Sequence[LostField]], bool] = lambda *_: True
    clock: Callable[[], float] = time.time

    def start(
        self,
        spider_name: str,
        *,
        base_url: str = "",
        shop: str = "",
        limit: int = 0,
        settings: Mapping[str, Any] | None = None,
        trigger: Literal["manual", "schedule"] = "manual",
    ) -> StartedRun:
        """Start a crawl, unless one of that shop is going on.

        settings: of this run, checked (`StartCrawl`).
        Raises: UnknownSpiderError, UsageError for a base URL that is none.
        """
        now = self.clock()
        spider = make_spider(spider_name, base_url)
        run = RunStatus(
            run_id=new_run_id(now),
            spider=spider.name,
            shop=shop_name(spider, shop),
            base_url=spider.base_url,
            trigger=trigger,
            limit=limit,
            settings=settings or {},
            earlier=self._last_complete(shop_name(spider, shop)),
        )
        first = first_requests(spider, _settings(spider, run))
        run_id = start_run(self.frontier_table, run, first, now=now)
        if run_id != run.run_id:
            return StartedRun(run_id, started=False, reason=f"a crawl of {run.shop} is going on")
        for host in {request.host for request in first}:
            self.queue.send(Token(run_id, host), now=now)
        return StartedRun(run_id, started=True, reason="")

    def take_turn(self, token: Token, *, budget_s: float) -> Turn:
        """Crawl one host until nothing is left or the time is up, then pass the token on."""
        try:
            run = read_run(self.frontier_table, token.run_id)
        except NotFoundError:
            return Turn(token, "no such run")
        if run.status != RUNNING:
            return Turn(token, f"run {run.status}")
        now = self.clock()
        lease = take_lease(
            self.frontier_table, token.host, run_id=run.run_id, seconds=LEASE_S, now=now
        )
        if lease is None:
            if holding_run(self.frontier_table, token.host, now=now) != run.run_id:
                self.queue.send(token, now=now, delay_s=_BUSY_S)
            return Turn(token, "host busy")  # its worker passes a token on when it is done
        in_order = False
        try:
            reason = self._crawl(run, lease, deadline=now + budget_s)
            in_order = True
        except LeaseLostError:
            return Turn(token, "lease lost")
        finally:
            release_lease(self.frontier_table, lease, in_order=in_order)
        return Turn(token, reason, finished=self._pass_on(token, reason))

    def stop(self, run_id: str) -> bool:
        """Stop a run for good: its turns end within seconds. False if it had ended.

        Raises: NotFoundError.
        """
        run = read_run(self.frontier_table, run_id)
        return self._end(run, finish.STOPPED)

    def pause(self, run_id: str) -> bool:
        """Let a run rest: its turns end within seconds. False if it was not running.

        Raises: NotFoundError.
        """
        return change_status(self.frontier_table, run_id, before=RUNNING, after=PAUSED)

    def resume(self, run_id: str) -> bool:
        """Let a paused run go on where it was. False if it was not paused.

        Raises: NotFoundError.
        """
        if not change_status(self.frontier_table, run_id, before=PAUSED, after=RUNNING):
            return False
        for host in hosts_of(self.frontier_table, run_id):
            self._send_if_due(Token(run_id, host))
        return True

    def sweep(self) -> Swept:
        """Send tokens that got lost again, end runs that have nothing left to do, tell of ends."""
        sent = ended = announced = 0
        for run in list_runs(self.frontier_table):
            now = self.clock()
            if not run.announced and now - _seconds(run.finished_at) > _ANNOUNCED_S:
                announced += self._announce(run.run_id)
            if run.status != RUNNING:
                continue
            for host, token_until in hosts_of(self.frontier_table, run.run_id).items():
                due = next_due(self.frontier_table, run.run_id, host)
                busy = holding_run(self.frontier_table, host, now=now) == run.run_id
                if due is not None and not busy and now > token_until:
                    self.queue.send(Token(run.run_id, host), now=now, delay_s=due - now)
                    sent += 1
            ended += self._end_if_done(run.run_id)
        return Swept(tokens=sent, finished=ended, announced=announced)

    def _crawl(self, run: RunStatus, lease: Lease, *, deadline: float) -> str:
        spider = make_spider(run.spider, run.base_url)
        settings = _settings(spider, run)
        asking = self._fetcher(spider, settings)
        if lease.broken_off:
            settings = replace(settings, concurrency=1)
            asking = Careful(asking, table_name=self.frontier_table, lease=lease)
        woken: set[str] = set()
        heading = Heading(
            run_id=run.run_id,
            spider=run.spider,
            base_url=run.base_url,
            shop=run.shop,
            started_at=run.started_at,
            fingerprint=fingerprint(spider),
        )
        assert self.tables is not None  # noqa: S101 (only the crawl function takes turns)
        with (
            HostFrontier(
                self.frontier_table,
                lease,
                counts=run.counts,
                on_work=woken.add,
                clock=self.clock,
            ) as frontier,
            closing(asking) as fetcher,
            CrawlStore(
                self.bucket,
                self.tables,
                heading=heading,
                again=bool(run.earlier),
                broken_off=lease.broken_off,
                turn=f"{due_key(self.clock())}-{lease.holder}",
                clock=self.clock,
            ) as store,
        ):
            crawl = loop.Crawl(
                spider,
                shop=run.shop,
                frontier=frontier,
                sink=store,
                fetcher=fetcher,
                settings=settings,
                should_stop=self._stop_flag(run.run_id),
                on_progress=lambda _: self._wake(run.run_id, woken),
                recall=Recall(
                    self.bucket, run.earlier, shop=run.shop, fingerprint=heading.fingerprint
                ),
                deadline=deadline,
                started_at=_seconds(run.started_at),
                deciding=Deciding(spider, shop=run.shop, settings=settings, most_s=_PAGE_S),
                batch_age_s=_BATCH_AGE_S,
                clock=self.clock,
            )
            reason = crawl.run()
        self._wake(run.run_id, woken)
        return reason

    def _fetcher(self, spider: Spider, settings: CrawlSettings) -> Fetch:
        return self.fetcher(AddressPolicy.for_base_url(spider.base_url), settings=settings)

    def _wake(self, run_id: str, hosts: set[str]) -> None:
        """Send a token to each host that this turn added work for."""
        while hosts:
            self.queue.send(Token(run_id, hosts.pop()), now=self.clock())

    def _stop_flag(self, run_id: str) -> Callable[[], bool]:
        """Whether the run was ended meanwhile; the row is read every few seconds."""
        looked_at, stopped = self.clock(), False

        def should_stop() -> bool:
            nonlocal looked_at, stopped
            if not stopped and self.clock() - looked_at > _LOOK_S:
                looked_at, stopped = self.clock(), not is_running(self.frontier_table, run_id)
            return stopped

        return should_stop

    def _pass_on(self, token: Token, reason: str) -> bool:
        """Send the token on if there is more to do; whether this ended the run."""
        if reason == finish.STOPPED and not is_running(self.frontier_table, token.run_id):
            return False  # running again: it was resumed before the turn had ended
        if reason in (finish.TIME_BUDGET, finish.TOO_FEW_ITEMS):
            run = read_run(self.frontier_table, token.run_id)
            return self._end(run, reason)
        if reason == finish.SHOP_DOWN:
            run = read_run(self.frontier_table, token.run_id)
            return self._end(run, reason, status=FAILED)
        return not self._send_if_due(token) and self._end_if_done(token.run_id)

    def _send_if_due(self, token: Token) -> bool:
        """Send the token if its host has something to do; whether it has."""
        due = next_due(self.frontier_table, token.run_id, token.host)
        if due is not None:
            now = self.clock()
            self.queue.send(token, now=now, delay_s=due - now)
        return due is not None

    def _end_if_done(self, run_id: str) -> bool:
        """End the run if no host of it has work or a worker; whether this call did it.

        A worker that adds work settles a batch before its own work is gone, so a run that is
        unchanged since it was read had none anywhere.
        """
        run = read_run(self.frontier_table, run_id)
        now = self.clock()
        for host in hosts_of(self.frontier_table, run_id):
            if holding_run(self.frontier_table, host, now=now) == run_id:
                return False
            if next_due(self.frontier_table, run_id, host) is not None:
                return False
        settings = _settings(make_spider(run.spider, run.base_url), run)
        reason = settings.spent(run.counts) or finish.FINISHED
        return self._end(run, reason, if_unchanged=True)

    def _end(
        self, run: RunStatus, reason: str, *, status: str = FINISHED, if_unchanged: bool = False
    ) -> bool:
        """Record the end and announce it; True for the one call that ended the run."""
        ended = end_run(
            self.frontier_table,
            run,
            status=status,
            reason=reason,
            now=self.clock(),
            if_unchanged=if_unchanged,
        )
        if ended:
            self._announce(run.run_id)
        return ended

    def _announce(self, run_id: str) -> bool:
        """Tell of a run's end; whether that worked."""
        closed = read_run(self.frontier_table, run_id)
        told = self.announce(closed, self._lost_fields(closed))
        if told:
            mark_announced(self.frontier_table, run_id)
        return told

    def _last_complete(self, shop: str) -> str:
        """The id of the shop's newest run that came to its own end, or ""."""
        complete = [
            one
            for one in list_runs(self.frontier_table)
            if one.shop == shop and one.finish_reason in finish.COMPLETE
        ]
        before = max(complete, key=lambda one: (one.started_at, one.finished_at), default=None)
        return before.run_id if before else ""

    def _lost_fields(self, run: RunStatus) -> list[LostField]:
        """What the items lost since the shop's last run before it that came to its own end."""
        if not run.earlier:
            return []
        try:
            before = read_run(self.frontier_table, run.earlier)
        except NotFoundError:  # it has expired
            return []
        return lost_fields(shares(before.counts), shares(run.counts))


def _settings(spider: Spider, run: RunStatus) -> CrawlSettings:
    limit = {"max_items": run.limit} if run.limit else {}
    return CrawlSettings().with_overrides(spider.settings, limit, run.settings)


def _seconds(time_iso: str) -> float:
    return datetime.fromisoformat(time_iso).timestamp()
