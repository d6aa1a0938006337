"""The frontier on disk."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.crawling.frontier import HostState, Settlement
from advisor.crawling.messages import KINDS, Request
from advisor.crawling.sqlite_frontier import SqliteFrontier
from advisor.errors import DataError, UsageError

HOST = "shop.test"


def _request(at: int) -> Request:
    return Request(f"https://{HOST}/{at}")


def _open(tmp_path: Path) -> SqliteFrontier:
    (tmp_path / "dir").mkdir(exist_ok=True)
    return SqliteFrontier(tmp_path / "dir" / "frontier.sqlite")


def _take(frontier: SqliteFrontier, now: float = 10.0) -> list[Request]:
    return frontier.take(HOST, kinds=KINDS, limit=1000, now=now)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.integers(0, 30), max_size=20), max_size=8))
def test_never_lets_one_address_through_twice(tmp_path: Path, batches: list[list[int]]) -> None:
    with _open(tmp_path) as frontier:
        frontier.reset()
        taken: list[str] = []
        for batch in batches:
            frontier.settle(Settlement(new=[_request(at) for at in batch]))
            some = frontier.take(HOST, kinds=KINDS, limit=7, now=1.0)
            taken += [one.url for one in some]
            frontier.settle(Settlement(done=some))
        taken += [one.url for one in _take(frontier)]
    assert Counter(taken) == Counter({_request(at).url for batch in batches for at in batch})


def test_never_lets_one_address_through_twice_in_threads(tmp_path: Path) -> None:
    with _open(tmp_path) as frontier:

        def work(worker: int) -> list[str]:
            taken = []
            for start in range(0, 200, 20):
                new = [_request(at) for at in range(start, start + 40)]
                frontier.settle(Settlement(new=new, counts={"turns": 1}))
                some = frontier.take(HOST, kinds=KINDS, limit=10 + worker, now=1.0)
                taken += [one.url for one in some]
                frontier.settle(Settlement(done=some))
            return taken

        with ThreadPoolExecutor(8) as pool:
            found = [url for taken in pool.map(work, range(8)) for url in taken]
        found += [one.url for one in _take(frontier)]
        assert sorted(found) == sorted(_request(at).url for at in range(220))
        assert frontier.counts()["turns"] == 80


SPELLINGS = (
    f"https://{HOST}/p?id={{}}",
    f"HTTPS://{HOST.upper()}:443/p?id={{}}#top",
    f"https://{HOST}/p?utm_source=mail&id={{}}",
    f"https://{HOST}/p?id={{}}&gclid=x&fbclid=y",
)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.sampled_from(SPELLINGS)), max_size=30),
        min_size=2,
        max_size=6,
    )
)
def test_never_lets_two_spellings_of_one_address_through_in_threads(
    tmp_path: Path, workers: list[list[tuple[int, str]]]
) -> None:
    with _open(tmp_path) as frontier:
        frontier.reset()

        def work(found: list[tuple[int, str]]) -> list[str]:
            new = [Request(spelling.format(at)) for at, spelling in found]
            unseen = frontier.unseen(one.key for one in new)
            frontier.settle(Settlement(new=[one for one in new if one.key in unseen]))
            some = frontier.take(HOST, kinds=KINDS, limit=9, now=1.0)
            frontier.settle(Settlement(done=some))
            return [one.key for one in some]

        with ThreadPoolExecutor(len(workers)) as pool:
            taken = [key for keys in pool.map(work, workers) for key in keys]
        taken += [one.key for one in _take(frontier)]
    assert len(taken) == len(set(taken))
    assert len(taken) == len({at for found in workers for at, _ in found})


def test_goes_on_from_what_was_settled(tmp_path: Path) -> None:
    with _open(tmp_path) as frontier:
        frontier.settle(Settlement(new=[_request(1), _request(2), _request(3)]))
        one, two, _ = _take(frontier)
        frontier.settle(
            Settlement(
                done=[one],
                retries=[(two.failed(), 50.0)],
                claimed=["item:7"],
                counts={"pages": 1},
                checkpoint={"items.jsonl": 120},
            )
        )
        frontier.save_host(HOST, HostState(robots="User-agent: *", next_at=4.0))
        frontier.settle(Settlement())
    with _open(tmp_path) as frontier:
        assert frontier.hosts() == (HOST,)
        assert frontier.host(HOST) == HostState(robots="User-agent: *", next_at=4.0)
        assert frontier.checkpoint() == {"items.jsonl": 120}
        assert frontier.counts() == {"pages": 1}
        assert frontier.unseen(["item:7", one.key, "item:8"]) == {"item:8"}
        assert _take(frontier) == [_request(3)]
        assert frontier.next_due(HOST, kinds=KINDS) == 50.0
        assert _take(frontier, now=50.0) == [two.failed()]
        assert frontier.next_due(HOST, kinds=KINDS) is None


def test_a_request_comes_back_as_it_was() -> None:
    request = Request(f"https://{HOST}/1", "page", attempts=1, hops=2, depth=3)
    assert Request.from_dict(request.to_dict()) == request
    stored = Request.from_dict({"url": request.url, "depth": Decimal(3)})
    assert type(stored.depth) is int


def test_what_was_not_settled_is_to_do_again(tmp_path: Path) -> None:
    with _open(tmp_path) as frontier:
        frontier.settle(Settlement(new=[_request(1)]))
        _take(frontier)
        frontier.save_host(HOST, HostState(next_at=9.0))
    with _open(tmp_path) as frontier:
        assert _take(frontier) == [_request(1)]
        assert frontier.host(HOST) == HostState()


def test_an_address_may_be_a_page_and_a_photo(tmp_path: Path) -> None:
    photo = Request(_request(1).url, "photo", product_id="a:1", category="hats")
    with _open(tmp_path) as frontier:
        frontier.settle(Settlement(new=[_request(1), photo, photo]))
        assert frontier.take(HOST, kinds=("photo",), limit=5, now=1.0) == [photo]
        assert _take(frontier) == [_request(1)]


def test_one_crawl_at_a_time_holds_it(tmp_path: Path) -> None:
    with _open(tmp_path), pytest.raises(UsageError, match="another crawl is writing"):
        _open(tmp_path)
    _open(tmp_path).close()


def test_a_file_that_is_no_frontier_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "frontier.sqlite").write_bytes(b"not a database, but long enough" * 99)
    with pytest.raises(DataError, match="holds no crawl"):
        _open(tmp_path)
