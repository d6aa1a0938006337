"""The crawl loop, against a shop on loopback or a fake fetcher."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from advisor.crawling import finish, loop
from advisor.crawling.addresses import AddressPolicy
from advisor.crawling.crawl_settings import CrawlSettings
from advisor.crawling.deciding import Deciding
from advisor.crawling.fetch import Fetch, Fetcher
from advisor.crawling.messages import Request, Response
from advisor.crawling.sink import Results
from advisor.crawling.spiders.schema_org import SchemaOrg
from advisor.crawling.sqlite_frontier import SqliteFrontier
from advisor.errors import FetchError
from tests.unit.crawling.loopback import JPEG, Answer, Shop, listing, product_page, serving, shop_of

BASE = "http://shop.test"
PHOTOS = "http://img.test"
QUICK = CrawlSettings(first_backoff_s=0.01)


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.items: list[str] = []
        self.photos: list[tuple[str, str]] = []

    def write(self, results: Results) -> Mapping[str, int]:
        self.pages += [page.url for page in results.pages]
        self.items += [item.id for item in results.items]
        self.photos += [(photo.product_id, photo.category) for photo in results.photos]
        return {}


class FakeWeb:
    """A fetcher that answers from a function, and keeps when it was asked."""

    def __init__(self, answer: Callable[[str], Response]) -> None:
        self.answer = answer
        self.asked: list[tuple[float, str]] = []
        self.at_a_time: dict[str, int] = defaultdict(int)
        self.most: dict[str, int] = defaultdict(int)
        self.lock = threading.Lock()

    def fetch(self, request: Request) -> Response:
        host = request.host
        with self.lock:
            self.asked.append((time.monotonic(), request.url))
            self.at_a_time[host] += 1
            self.most[host] = max(self.most[host], self.at_a_time[host])
        try:
            return self.answer(request.url)
        finally:
            with self.lock:
                self.at_a_time[host] -= 1

    def close(self) -> None:
        """Nothing is open."""


def _web(pages: Mapping[str, Answer]) -> Callable[[str], Response]:
    def answer(url: str) -> Response:
        page = pages.get(url.removeprefix(BASE), Answer(status=404))
        body = page.body.encode() if isinstance(page.body, str) else page.body
        headers = {"content-type": page.content_type} | {
            name.lower(): value for name, value in page.headers.items()
        }
        return Response(url=url, status=page.status, body=body, headers=headers)

    return answer


@contextmanager
def _crawl(
    folder: Path,
    fetcher: Fetch,
    *,
    base: str = BASE,
    settings: CrawlSettings = QUICK,
    should_stop: Callable[[], bool] = lambda: False,
    **more: Any,
) -> Iterator[tuple[loop.Crawl, Kept, SqliteFrontier]]:
    kept = Kept()
    (folder / "state").mkdir(exist_ok=True)
    with SqliteFrontier(folder / "state" / "frontier.sqlite") as frontier:
        crawl = loop.Crawl(
            SchemaOrg(base),
            shop="corner",
            frontier=frontier,
            sink=kept,
            fetcher=fetcher,
            settings=settings,
            should_stop=should_stop,
            **more,
        )
        crawl.seed()
        yield crawl, kept, frontier


def _real(shop: Shop) -> Fetcher:
    return Fetcher(AddressPolicy.for_base_url(shop.url))


def test_crawls_a_shop_with_the_troubles_of_a_real_one(tmp_path: Path) -> None:
    pages = shop_of(30)
    pages["/"] = listing(
        "/p/0", "/p/1", "/gone", "/private/x", "/old", "/slow", "/odd.txt", "/twin", "/half",
        "/bad", "/?page=1&utm_source=mail", "/?page=1", "/away", "/loop",
    )  # fmt: skip
    pages |= {
        "/robots.txt": Answer("User-agent: *\nDisallow: /private/", content_type="text/plain"),
        "/old": Answer(status=301, headers={"Location": "/p/2"}),
        "/slow": Answer(status=500, then=product_page("SLOW")),
        "/odd.txt": Answer("text", content_type="text/plain"),
        "/twin": product_page("S0"),
        "/half": product_page("HALF", description=None),
        "/bad": Answer('<script type="application/ld+json">{oops</script>'),
        "/away": Answer(status=302, headers={"Location": "http://169.254.169.254/meta"}),
        "/loop": Answer(status=302, headers={"Location": "/loop2"}),
        "/loop2": Answer(status=302, headers={"Location": "/loop"}),
        "/photos/S3.jpg": Answer("<html>", content_type="image/jpeg"),
        "/photos/SLOW.jpg": Answer(status=404),
    }
    with (
        serving(pages) as shop,
        _crawl(tmp_path, _real(shop), base=shop.url) as (crawl, kept, frontier),
    ):
        assert crawl.run() == finish.FINISHED
        counts = dict(frontier.counts())
        assert counts.pop("bytes") > 30 * 100
        asked = Counter(shop.asked)
    expected = {"SLOW", "S0", "S1", "S2", *(f"S{at}" for at in range(10, 30))}
    assert set(kept.items) == expected
    assert len(kept.items) == len(expected)
    assert counts == {
        "pages": 30,
        "items": 24,
        "has:images": 24,
        "has:price_minor": 24,
        "photos": 23,
        "retries": 1,
        "redirects": 3,
        "dropped:duplicate": 1,
        "dropped:no description": 1,
        "errors:http 404": 2,
        "errors:robots": 1,
        "errors:not html": 1,
        "errors:json-ld": 1,
        "errors:redirect to another site": 1,
    }
    assert {path for path, times in asked.items() if times > 1} == {"/slow"}
    assert "/private/x" not in asked
    assert all(owner.startswith("corner:") and label == "hats" for owner, label in kept.photos)


def _shop_with_photos_elsewhere() -> Callable[[str], Response]:
    pages = {f"/p/{at}": product_page(f"S{at}", image=f"{PHOTOS}/{at}.jpg") for at in range(6)}
    pages |= {f"{PHOTOS}/{at}.jpg": Answer(JPEG + bytes([at])) for at in range(5)}
    return _web(pages | {"/": listing(*(f"/p/{at}" for at in range(6)))})


def test_tells_the_figures_of_each_host(tmp_path: Path) -> None:
    with _crawl(tmp_path, FakeWeb(_shop_with_photos_elsewhere())) as (crawl, _, _):
        assert crawl.run() == finish.FINISHED
    assert {host: +figures for host, figures in crawl.by_host().items()} == {
        "shop.test": {"pages": 7, "items": 6},
        "img.test": {"photos": 5, "errors": 1},
    }


def test_each_host_is_asked_at_its_own_pace(tmp_path: Path) -> None:
    """However many connections there are; and one host does not wait for another."""
    web = FakeWeb(_shop_with_photos_elsewhere())
    with _crawl(tmp_path, web, settings=CrawlSettings(delay_s=0.06)) as (crawl, _, _):
        crawl.run()
    times = {host: [at for at, url in web.asked if url.startswith(host)] for host in (BASE, PHOTOS)}
    for of in times.values():
        assert min(after - before for before, after in pairwise(of)) >= 0.06
    both = sorted(at for of in times.values() for at in of)
    assert min(after - before for before, after in pairwise(both)) < 0.06


@pytest.mark.parametrize("stop", [False, True])
def test_tells_once_when_and_why_it_closed(tmp_path: Path, stop: bool) -> None:
    told: list[tuple[str, int]] = []
    web = FakeWeb(_web(shop_of(20)))
    with _crawl(
        tmp_path,
        web,
        should_stop=lambda: stop and len(web.asked) > 12,
        on_closed=lambda reason, counts: told.append((reason, counts["items"])),
    ) as (crawl, kept, _):
        reason = crawl.run()
    assert reason == (finish.STOPPED if stop else finish.FINISHED)
    assert told == [(reason, len(kept.items))]


def test_asks_a_host_for_at_most_so_many_pages_at_a_time(tmp_path: Path) -> None:
    def answer(url: str) -> Response:
        time.sleep(0.005)
        return _web(shop_of(60))(url)

    web = FakeWeb(answer)
    with _crawl(tmp_path, web, settings=CrawlSettings(concurrency=5)) as (crawl, kept, _):
        assert crawl.run() == finish.FINISHED
    assert len(kept.items) == 60
    assert web.most["shop.test"] == 5


@pytest.mark.parametrize("robots", ["", "User-agent: *\nCrawl-delay: 0.05"])
def test_keeps_the_delay_between_answer_and_next_request(tmp_path: Path, robots: str) -> None:
    pages = shop_of(4) | {"/robots.txt": Answer(robots, content_type="text/plain")}
    web = FakeWeb(_web(pages))
    settings = CrawlSettings(delay_s=0.0 if robots else 0.05)
    with _crawl(tmp_path, web, settings=settings) as (crawl, kept, _):
        crawl.run()
    assert len(kept.items) == 4
    times = [at for at, _ in web.asked]
    assert min(after - before for before, after in pairwise(times)) >= 0.05


def test_stops_at_the_limit_with_the_photos_of_its_items(tmp_path: Path) -> None:
    web = FakeWeb(_web(shop_of(50)))
    with _crawl(tmp_path, web, settings=CrawlSettings(max_items=7)) as (crawl, kept, _):
        assert crawl.run() == finish.LIMIT
    assert len(kept.items) == 7
    assert sorted(owner for owner, _ in kept.photos) == sorted(f"corner:{i}" for i in kept.items)
    with _crawl(tmp_path, web, settings=CrawlSettings(max_items=20)) as (
        crawl,
        more,
        frontier,
    ):
        assert crawl.run() == finish.LIMIT
        assert frontier.counts()["items"] == 20
    assert len({*kept.items, *more.items}) == 20


def test_pages_under_way_when_the_limit_is_reached_stay_to_do_as_if_never_fetched(
    tmp_path: Path,
) -> None:
    pages = shop_of(10)
    under_way = threading.Barrier(10)

    def answer(url: str) -> Response:
        if "/p/" in url:
            under_way.wait(timeout=60)  # all ten of them
        return _web(pages)(url)

    with _crawl(tmp_path, FakeWeb(answer), settings=CrawlSettings(max_items=7)) as (
        crawl,
        kept,
        frontier,
    ):
        assert crawl.run() == finish.LIMIT
        assert (frontier.counts()["items"], frontier.counts()["pages"]) == (7, 8)
    assert (len(kept.items), len(kept.pages)) == (7, 8)
    again = FakeWeb(_web(pages))
    with _crawl(tmp_path, again) as (crawl, more, _):
        assert crawl.run() == finish.FINISHED
    assert sorted(kept.items + more.items) == sorted(f"S{at}" for at in range(10))
    assert (len(more.pages), len({*kept.pages, *more.pages})) == (3, 11)


def test_a_page_with_more_items_than_the_limit_leaves_is_kept_for_later(tmp_path: Path) -> None:
    scripts = "".join(str(product_page(f"S{at}", image=None).body) for at in range(5))
    web = FakeWeb(_web({"/": Answer(scripts)}))
    with _crawl(tmp_path, web, settings=CrawlSettings(max_items=3)) as (crawl, kept, _):
        assert crawl.run() == finish.LIMIT
    assert len(kept.items) == 3
    with _crawl(tmp_path, web) as (crawl, more, _):
        assert crawl.run() == finish.FINISHED
    assert sorted(kept.items + more.items) == [f"S{at}" for at in range(5)]


def test_a_calendar_that_links_to_itself_for_ever_ends_at_the_page_budget(tmp_path: Path) -> None:
    def answer(url: str) -> Response:
        day = int(url.rpartition("=")[2]) if "=" in url else 0
        return _web({url.removeprefix(BASE): listing(f"/?day={day + 1}", f"/?day={day + 2}")})(url)

    with _crawl(tmp_path, FakeWeb(answer), settings=CrawlSettings(max_pages=40)) as (
        crawl,
        kept,
        _,
    ):
        assert crawl.run() == finish.PAGE_BUDGET
    assert 40 <= len(kept.pages) < 40 + 32  # what was under way is kept


def test_a_shop_that_is_down_is_told_after_a_few_tries(tmp_path: Path) -> None:
    def answer(url: str) -> Response:
        raise FetchError(url, reason="connection", retryable=True)

    web = FakeWeb(answer)
    with _crawl(tmp_path, web) as (crawl, _, _):
        assert crawl.run() == finish.SHOP_DOWN
    assert [url for _, url in web.asked] == [f"{BASE}/robots.txt"] * QUICK.max_attempts


def test_a_shop_that_goes_down_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    pages = shop_of(60)
    up = _web(pages)
    alive = 20

    def dying(url: str) -> Response:
        nonlocal alive
        alive -= 1
        if alive < 0:
            raise FetchError(url, reason="connection", retryable=True)
        return up(url)

    with _crawl(tmp_path, FakeWeb(dying)) as (crawl, kept, _):
        assert crawl.run() == finish.SHOP_DOWN
    with _crawl(tmp_path, FakeWeb(up)) as (crawl, rest, frontier):
        assert crawl.run() == finish.FINISHED
        lost = frontier.counts().get("errors:connection", 0)
    assert len(kept.items) + len(rest.items) + lost >= 60
    assert not {*kept.items} & {*rest.items}


def test_a_photo_host_that_is_down_costs_its_photos_only(tmp_path: Path) -> None:
    pages = {
        "/": listing(*(f"/p/{at}" for at in range(5))),
        **{
            f"/p/{at}": product_page(f"S{at}", image=f"http://img.test/{at}.jpg") for at in range(5)
        },
    }

    def answer(url: str) -> Response:
        if "img.test" in url:
            raise FetchError(url, reason="connection", retryable=True)
        return _web(pages)(url)

    with _crawl(tmp_path, FakeWeb(answer)) as (crawl, kept, frontier):
        assert crawl.run() == finish.FINISHED
        assert frontier.counts()["errors:host down"] == 5
    assert len(kept.items) == 5


def test_a_fetcher_that_crashes_is_counted_and_does_not_hang_the_crawl(tmp_path: Path) -> None:
    def answer(url: str) -> Response:
        if url.endswith("/p/3"):
            raise ZeroDivisionError
        return _web(shop_of(8))(url)

    with _crawl(tmp_path, FakeWeb(answer)) as (crawl, kept, frontier):
        assert crawl.run() == finish.FINISHED
        assert frontier.counts()["errors:ZeroDivisionError"] == 1
    assert len(kept.items) == 7


def test_a_host_that_asks_for_a_pause_is_left_alone_as_a_whole(tmp_path: Path) -> None:
    refused = False

    def answer(url: str) -> Response:
        nonlocal refused
        if url == f"{BASE}/" and not refused:
            refused = True
            return Response(url=url, status=429, headers={"retry-after": "1"})
        return _web(shop_of(3))(url)

    web = FakeWeb(answer)
    with _crawl(tmp_path, web) as (crawl, kept, _):
        assert crawl.run() == finish.FINISHED
    assert len(kept.items) == 3
    assert web.asked[2][0] - web.asked[1][0] >= 1


def test_a_stop_leaves_a_crawl_to_go_on_with(tmp_path: Path) -> None:
    web = FakeWeb(_web(shop_of(40)))
    with _crawl(tmp_path, web, should_stop=lambda: len(web.asked) > 25) as (crawl, kept, _):
        assert crawl.run() == finish.STOPPED
    assert 0 < len(kept.items) < 40
    with _crawl(tmp_path, web) as (crawl, rest, _):
        assert crawl.run() == finish.FINISHED
    assert sorted(kept.items + rest.items) == sorted(f"S{at}" for at in range(40))
    fetched = Counter(url for _, url in web.asked)
    assert max(fetched.values()) == 1


def test_follows_so_many_links_from_the_start_and_goes_the_shortest_way(tmp_path: Path) -> None:
    pages = {
        "/": listing("/a", "/b"),
        "/a": listing("/deep"),
        "/b": listing("/c"),
        "/c": listing("/d"),
        "/deep": Answer(status=301, headers={"Location": "/deeper"}),
        "/deeper": listing("/e"),
    }
    web = FakeWeb(_web(pages))
    with _crawl(tmp_path, web, settings=CrawlSettings(max_depth=2)) as (crawl, _, _):
        assert crawl.run() == finish.FINISHED
    asked = {url.removeprefix(BASE) for _, url in web.asked}
    assert asked == {"/robots.txt", "/", "/a", "/b", "/c", "/deep", "/deeper"}


def test_the_depth_is_kept_over_a_stop(tmp_path: Path) -> None:
    chain = {f"/{at}": listing(f"/{at + 1}") for at in range(9)} | {"/": listing("/0")}
    web = FakeWeb(_web(chain))
    settings = CrawlSettings(max_depth=5)
    for pages in (3, 9):
        with _crawl(
            tmp_path, web, settings=settings, should_stop=lambda most=pages: len(web.asked) > most
        ) as (crawl, _, _):
            crawl.run()
    assert web.asked[-1][1] == f"{BASE}/4"


def test_ends_when_its_bytes_or_its_time_are_spent(tmp_path: Path) -> None:
    web = FakeWeb(_web(shop_of(60)))
    with _crawl(tmp_path, web, settings=CrawlSettings(max_bytes=5000)) as (crawl, kept, frontier):
        assert crawl.run() == finish.BYTE_BUDGET
        assert 0 < len(kept.items) < 60
        assert frontier.counts()["bytes"] >= 5000
    slow = CrawlSettings(max_seconds=0.05, delay_s=0.04)
    with _crawl(tmp_path, web, settings=slow) as (crawl, _, _):
        assert crawl.run() == finish.TIME_BUDGET


def test_ends_when_minutes_bring_too_few_items(tmp_path: Path) -> None:
    now = [1000.0]

    def answer(url: str) -> Response:
        now[0] += 0.1
        day = int(url.rpartition("=")[2]) if "=" in url else 0
        return _web({url.removeprefix(BASE): listing(f"/?day={day + 1}")})(url)

    def crawl_with(least: int, folder: Path) -> str:
        (folder / "state").mkdir(parents=True)
        with SqliteFrontier(folder / "state" / "frontier.sqlite") as frontier:
            crawl = loop.Crawl(
                SchemaOrg(BASE),
                shop="corner",
                frontier=frontier,
                sink=Kept(),
                fetcher=FakeWeb(answer),
                settings=CrawlSettings(min_items_a_minute=least, max_pages=2500),
                clock=lambda: now[0],
            )
            crawl.seed()
            return crawl.run()

    assert crawl_with(10, tmp_path / "dry") == finish.TOO_FEW_ITEMS
    assert crawl_with(0, tmp_path / "all") == finish.PAGE_BUDGET


@pytest.mark.parametrize(("late_s", "pages"), [(20, 1), (100, 0)])
def test_what_comes_long_after_the_deadline_is_left_for_the_next_turn(
    tmp_path: Path, late_s: int, pages: int
) -> None:
    ahead = [0.0]

    def answer(url: str) -> Response:
        if url.endswith("/slow"):
            ahead[0] = late_s + 60
        return _web({"/": listing("/slow"), "/slow": listing()})(url)

    deadline = time.time() + 60
    with _crawl(
        tmp_path, FakeWeb(answer), deadline=deadline, clock=lambda: time.time() + ahead[0]
    ) as (crawl, kept, _):
        assert crawl.run() == finish.TURN_OVER
    assert kept.pages == [f"{BASE}/", f"{BASE}/slow"][: 1 + pages]
    with _crawl(tmp_path, FakeWeb(answer)) as (crawl, kept, frontier):
        crawl.run()
        assert frontier.counts()["pages"] == 2


def test_redirects_are_left_alone_where_that_is_asked_for(tmp_path: Path) -> None:
    web = FakeWeb(_web({"/": Answer(status=301, headers={"Location": "/new"})}))
    with _crawl(tmp_path, web, settings=CrawlSettings(follow_redirects=False)) as (crawl, _, f):
        crawl.run()
        assert f.counts()["errors:redirect"] == 1
    assert len(web.asked) == 2


def test_follows_links_to_hosts_that_are_allowed_besides_its_own(tmp_path: Path) -> None:
    home = listing("http://outlet.test/p", "http://else.test/p")
    spider_sees = {"/": home, "http://outlet.test/p": product_page("OUT", image=None)}
    web = FakeWeb(_web(spider_sees))
    settings = CrawlSettings(allowed_hosts=("outlet.test",))
    with _crawl(tmp_path, web, settings=settings) as (crawl, kept, _):
        crawl.run()
    assert kept.items == ["OUT"]
    assert not any("else.test" in url for _, url in web.asked)


def test_finds_goods_that_only_the_sitemap_names(tmp_path: Path) -> None:
    index = "<sitemapindex><loc>/goods.xml</loc><loc>http://else.test/x.xml</loc></sitemapindex>"
    pages = {
        "/": listing("/p/1"),
        "/robots.txt": Answer("Sitemap: /map.xml\n", content_type="text/plain"),
        "/map.xml": Answer(index, content_type="text/xml"),
        "/goods.xml": Answer("<urlset><loc>/p/1</loc><loc>/p/2</loc></urlset>"),
        "/p/1": product_page("S1", image=None),
        "/p/2": product_page("S2", image=None, links=listing("/p/3").body),
        "/p/3": product_page("S3", image=None, links=listing("/p/4").body),
        "/p/4": product_page("S4", image=None),
    }
    web = FakeWeb(_web(pages))
    settings = CrawlSettings(sitemap=True, max_depth=1)
    with _crawl(tmp_path, web, settings=settings) as (crawl, kept, frontier):
        assert crawl.run() == finish.FINISHED
        assert frontier.counts()["pages"] == 4
    assert sorted(kept.items) == ["S1", "S2", "S3"]
    asked = Counter(url for _, url in web.asked)
    assert asked.pop(f"{BASE}/robots.txt") == 2  # its rules, and its sitemaps
    assert max(asked.values()) == 1


def test_asks_for_addresses_without_what_tracks_a_visitor(tmp_path: Path) -> None:
    pages = {
        "/": listing("/p?utm_source=home&b=2&a=1#top", "/p?b=2&a=1&gclid=7"),
        "/p?b=2&a=1": product_page("S1", image=None),
    }
    web = FakeWeb(_web(pages))
    with _crawl(tmp_path, web) as (crawl, kept, _):
        crawl.run()
    assert [url for _, url in web.asked][2:] == [f"{BASE}/p?b=2&a=1"]
    assert kept.items == ["S1"]


def test_jitter_makes_gaps_longer_and_never_shorter(tmp_path: Path) -> None:
    web = FakeWeb(_web(shop_of(4)))
    settings = CrawlSettings(delay_s=0.02, jitter=5.0)
    with _crawl(tmp_path, web, settings=settings) as (crawl, kept, _):
        crawl.run()
    assert len(kept.items) == 4
    gaps = [after - before for before, after in pairwise(at for at, _ in web.asked)]
    assert min(gaps) >= 0.02
    assert max(gaps) > 0.04


def test_follows_a_shop_that_puts_the_query_in_order(tmp_path: Path) -> None:
    pages = {
        "/": listing("/p?b=2&a=1"),
        "/p?b=2&a=1": Answer(status=301, headers={"Location": "/p?a=1&b=2"}),
        "/p?a=1&b=2": product_page("S1", image=None),
    }
    with _crawl(tmp_path, FakeWeb(_web(pages))) as (crawl, kept, frontier):
        assert crawl.run() == finish.FINISHED
        assert "errors:redirects" not in frontier.counts()
    assert kept.items == ["S1"]


def test_one_at_a_time_asks_for_nothing_before_the_last_page_is_settled(tmp_path: Path) -> None:
    settled: list[int] = []

    def answer(url: str) -> Response:
        settled.append(frontier.counts().get("pages", 0))
        return _web({path: page for path, page in shop_of(20).items() if "S" not in path})(url)

    with _crawl(tmp_path, FakeWeb(answer), settings=CrawlSettings(concurrency=1)) as (crawl, *more):
        frontier = more[1]
        assert crawl.run() == finish.FINISHED
    pages = len([path for path in shop_of(20) if "S" not in path])
    assert settled[: pages + 1] == [0, *range(pages)]  # the first is robots.txt


def test_pages_are_decided_beside_where_that_is_asked_for(tmp_path: Path) -> None:
    web = FakeWeb(_web(shop_of(40)))
    with (
        Deciding(SchemaOrg(BASE), shop="corner", settings=QUICK, beside=True) as deciding,
        _crawl(tmp_path, web, deciding=deciding) as (crawl, kept, _),
    ):
        assert crawl.run() == finish.FINISHED
    assert sorted(kept.items) == sorted(f"S{at}" for at in range(40))
    assert len(kept.photos) == 40
    assert max(Counter(url for _, url in web.asked).values()) == 1


def test_a_link_that_was_settled_is_not_looked_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: Counter[str] = Counter()
    unseen = SqliteFrontier.unseen

    def counted(frontier: SqliteFrontier, keys: Iterable[str]) -> set[str]:
        keys = list(keys)
        looked_up.update(keys)
        return unseen(frontier, keys)

    monkeypatch.setattr(SqliteFrontier, "unseen", counted)
    with _crawl(tmp_path, FakeWeb(_web(shop_of(300)))) as (crawl, kept, _):
        assert crawl.run() == finish.FINISHED
    assert len(kept.items) == 300
    assert looked_up[f"page:{BASE}/p/0"] == 1  # all products link to it
