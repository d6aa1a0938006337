"""The frontier: what is seen, what is to do, and when a host may be asked again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from advisor.crawling.messages import Kind, Request


@dataclass(frozen=True, kw_only=True)
class HostState:
    """What is known of a host.

    robots: the text of its robots.txt, None before it is fetched. next_at: when it may be asked
    again, seconds since the epoch.
    """

    robots: str | None = None
    next_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What a batch of fetches came to; a frontier takes all of it or nothing.

    done: need not be fetched again. retries: again, not before the time given. new: not seen
    so far. claimed: other keys seen from now on (items). counts: to be added to the counters.
    checkpoint: how far the sink had written when the batch was complete.
    """

    done: Collection[Request] = ()
    retries: Collection[tuple[Request, float]] = ()
    new: Collection[Request] = ()
    claimed: Collection[str] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    checkpoint: Mapping[str, int] = field(default_factory=dict)


class Frontier(Protocol):
    """One crawl's frontier. Two homes: SQLite on a laptop, DynamoDB on AWS."""

    def hosts(self) -> Collection[str]:
        """The hosts that have, or had, something to do."""
        ...

    def host(self, host: str) -> HostState:
        """What is known of a host."""
        ...

    def save_host(self, host: str, state: HostState) -> None:
        """Remember what is known of a host."""
        ...

    def unseen(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that were never settled as new or claimed."""
        ...

    def take(self, host: str, *, kinds: Collection[Kind], limit: int, now: float) -> list[Request]:
        """Requests that are due, each handed out once; untaken ones and crashed ones come back."""
        ...

    def next_due(self, host: str, *, kinds: Collection[Kind]) -> float | None:
        """When the next request not handed out is due; None if there is none."""
        ...

    def settle(self, settlement: Settlement) -> None:
        """Apply a batch. A request in `new` that was seen already is left out."""
        ...

    def counts(self) -> Mapping[str, int]:
        """The counters of the whole crawl so far."""
        ...
