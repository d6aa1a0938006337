"""What an outcome leaves in the ledger, and what the ledger's entries tell a reader. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from advisor.crawling.decide import Outcome
from advisor.crawling.ledger import (
    FAILED,
    FETCHED,
    REDIRECTED,
    REFUSED,
    RETRY,
    SEEN,
    TOO_DEEP,
    Entry,
    PastCrawl,
    Visit,
)
from advisor.crawling.urls import site_of


def visit_of(outcome: Outcome, *, at: float) -> Visit:
    """What became of a request. at: seconds since the epoch."""
    state, detail = _told(outcome)
    return Visit(
        request=outcome.request,
        state=state,
        status=outcome.status,
        at=at,
        detail=detail,
        headers=outcome.headers,
        body=_hash_of(outcome),
        parsed=outcome.parsed,
        extension=outcome.photo.extension if outcome.photo else "",
    )


def _hash_of(outcome: Outcome) -> str:
    if outcome.archive:
        return outcome.archive.digest
    return outcome.photo.image_id if outcome.photo else outcome.unchanged


def _told(outcome: Outcome) -> tuple[str, str]:
    if outcome.retry_in_s is not None:
        return RETRY, outcome.reason
    if outcome.redirect:
        return REDIRECTED, outcome.redirect.url
    if outcome.errors == ("robots",):
        return REFUSED, ""
    told = [f"dropped: {reason}" for reason in outcome.dropped]
    told += [f"error: {reason}" for reason in dict.fromkeys(outcome.errors)]
    if outcome.archive or outcome.unchanged or not outcome.errors:
        if outcome.parsed:
            told.insert(0, f"{len(outcome.items)} items")
        if outcome.unchanged:
            told.insert(0, "unchanged")
        return FETCHED, "; ".join(told)
    return FAILED, "; ".join(told)


def explain(url: str, entries: Sequence[Entry], crawls: Sequence[PastCrawl]) -> list[str]:
    """Sentences on whether and why an address was fetched, of the newest crawl that knows it.

    entries: the ledger's of this address. crawls: of the folder, the newest first.
    """
    if not crawls:
        return [f"{url}: never seen, for no crawl has started"]
    newest = crawls[0]
    if not entries:
        if site_of(url) != site_of(newest.base_url):
            return [
                f"{url}: not fetched, for it is of another site; "
                f"the crawl stays on {site_of(newest.base_url)}"
            ]
        return [
            f"{url}: never seen; no page that was fetched links to it, "
            "or the spider follows no such links"
        ]
    latest = max(entry.crawl for entry in entries)
    by_number = {one.crawl: one for one in crawls}
    told = []
    for entry in entries:
        if entry.crawl == latest:
            told += _sentences(entry, by_number[latest])
    if latest != newest.crawl:
        told.append(f"in the crawl of {_time(by_number[latest].started)}; not seen since")
    return told


def _sentences(entry: Entry, crawl: PastCrawl) -> list[str]:
    what = entry.url if entry.kind == "page" else f"{entry.url} (a photo)"
    where = f"found on {entry.found_on} at depth {entry.depth}"
    if not entry.found_on:
        where = "an address the crawl starts at"
    return [f"{what}: {_state(entry, crawl)}", where]


def _state(entry: Entry, crawl: PastCrawl) -> str:
    if entry.state == SEEN:
        end = crawl.finish_reason
        return f"seen, not fetched: the crawl ended ({end})" if end else "seen, not fetched yet"
    if entry.state == TOO_DEEP:
        return "not fetched, for it is deeper than the crawl's max_depth"
    if entry.state == REFUSED:
        return "not fetched, for robots.txt disallows it"
    at = f" at {_time(entry.at)}" if entry.at else ""
    status = f" with status {entry.status}" if entry.status else ""
    failures = f" after {entry.attempts} failed attempts" if entry.attempts else ""
    if entry.state == REDIRECTED:
        return f"redirected to {entry.detail}{at}{status}"
    detail = f": {entry.detail}" if entry.detail else ""
    return f"{entry.state}{at}{status}{failures}{detail}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
