"""`advisor prices replay --remote`: crawls of a shop on loopback, in moto."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from advisor.aws import price_replay, stacks
from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client, table
from advisor.aws.crawl_turns import CrawlService
from advisor.catalog.products import PricePoint
from advisor.crawling import deciding
from advisor.crawling.money import Money
from advisor.crawling.spiders import schema_org
from advisor.errors import AdvisorError, DataError, NotFoundError
from benchmarks.crawl_cost import crawl
from cli.prices import command
from tests.unit.crawling.loopback import Answer, Shop, serving

CATALOG = CatalogTables("products", "prices")
Replay = Callable[..., Result]


@pytest.fixture
def shop(service: CrawlService, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    outputs = {"DataBucket": "data", "ProductsTable": "products", "PricesTable": "prices"}
    monkeypatch.setattr(stacks, "stack_outputs", lambda _stack: outputs)
    monkeypatch.setattr(deciding, "_cores", lambda: 1)  # or another process parses, as it should
    with serving() as running:
        running.pages["/"] = Answer("<a href=/p/1>one</a> <a href=/p/2>two</a>")
        yield running


@pytest.fixture
def replay(shop: Shop, tmp_path: Path) -> Callable[..., Result]:
    def run(of: Shop = shop) -> Result:
        arguments = ["replay", name(of), "--remote", "--out", str(tmp_path / "archive")]
        return CliRunner().invoke(command, arguments)

    return run


def name(shop: Shop) -> str:
    return shop.url.removeprefix("http://").replace(":", "-")


def sell(shop: Shop, number: int, price: str) -> None:
    node: dict[str, Any] = {
        "@type": "Product", "name": f"Thing {number}", "sku": f"S{number}", "category": "hats",
        "description": "A thing.", "offers": {"price": price, "priceCurrency": "EUR"},
    }  # fmt: skip
    html = f"<script type='application/ld+json'>{json.dumps(node)}</script>"
    shop.pages[f"/p/{number}"] = Answer(html)


def read_wrongly(shop: Shop, service: CrawlService, *prices: str) -> None:
    """Crawl the shop at each of these prices by a parser to which all of thing 1 are 7 cents."""
    right = schema_org.parse_price

    def wrong(text: str, currency: str) -> Money | None:
        return Money(7, "EUR", text) if text != "50" else right(text, currency=currency)

    sell(shop, 2, "50")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema_org, "parse_price", wrong)
        for price in prices:
            sell(shop, 1, price)
            crawl(shop.url, service)


def history(shop: Shop, sku: str = "S1") -> list[PricePoint]:
    return CATALOG.prices(f"{name(shop)}:{sku}")


def told(shop: Shop) -> list[tuple[int, str, str]]:
    return [(one.price_minor, one.state, one.corrected_from) for one in history(shop)]


def price(shop: Shop) -> tuple[int | None, str]:
    item = CATALOG.get(f"{name(shop)}:S1").item
    return item.price_minor, item.currency


def meanwhile(patch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Have something changed when the tables were read and are not corrected yet."""
    found = price_replay.corrections

    def then(*arguments: Any) -> Any:
        planned = found(*arguments)
        change()
        return planned

    patch.setattr(price_replay, "corrections", then)


def kept() -> list[dict[str, Any]]:
    """What replays kept of before."""
    found = client("s3").list_objects_v2(Bucket="data", Prefix="prices/").get("Contents", ())
    return [
        json.loads(line)
        for one in found
        for line in client("s3").get_object(Bucket="data", Key=one["Key"])["Body"].iter_lines()
    ]


def test_the_tables_are_corrected_by_every_archived_page_and_what_was_is_kept(
    shop: Shop, service: CrawlService, replay: Replay
) -> None:
    read_wrongly(shop, service, "100", "90", "30")
    assert told(shop) == [(7, "", "")]
    before, other = history(shop), history(shop, "S2")
    result = replay()
    assert result.exit_code == 0, result.output
    assert told(shop) == [(10000, "", "7 EUR"), (9000, "", ""), (3000, "quarantined", "")]
    assert history(shop)[0].observed_at == before[0].observed_at
    assert price(shop) == (9000, "EUR")
    assert history(shop, "S2") == other
    assert "7 EUR -> 10000 EUR" in result.stdout
    assert "no price -> 3000 EUR quarantined" in result.stdout
    assert "3 crawls, 1 products corrected, 3 prices changed" in result.stderr
    [line] = kept()
    assert line["prices"] == [before[0].to_dict()]
    assert (line["product_id"], line["price_minor"]) == (f"{name(shop)}:S1", 7)


def test_the_same_replay_again_changes_nothing_and_the_next_crawl_goes_on(
    shop: Shop, service: CrawlService, replay: Replay
) -> None:
    read_wrongly(shop, service, "100", "90")
    replay()
    before = history(shop)
    assert "0 products corrected, 0 prices changed" in replay().stderr
    assert history(shop) == before
    assert len(kept()) == 1
    sell(shop, 1, "80")
    crawl(shop.url, service)
    assert [one.price_minor for one in history(shop)] == [10000, 9000, 8000]
    assert "0 products corrected" in replay().stderr


def test_a_product_whose_pages_show_no_price_today_has_none(
    shop: Shop, service: CrawlService, replay: Replay
) -> None:
    read_wrongly(shop, service, "on request")
    assert price(shop) == (7, "EUR")
    assert "7 EUR -> no price" in replay().stdout
    assert (history(shop), price(shop)) == ([], (None, ""))
    assert "0 products corrected" in replay().stderr


def test_a_point_of_a_page_that_is_not_in_the_archive_stays(
    shop: Shop, service: CrawlService, replay: Replay
) -> None:
    read_wrongly(shop, service, "100")
    old = replace(
        history(shop)[0], observed_at="2020-01-01", run_id="r", page="-", price_minor=9900
    )
    table("prices").put_item(Item={"product_id": f"{name(shop)}:S1"} | old.to_dict())
    replay()
    assert told(shop) == [(9900, "", ""), (10000, "", "7 EUR")]


def test_a_replay_that_is_broken_off_is_finished_by_the_same_command(
    shop: Shop, service: CrawlService, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_wrongly(shop, service, "100", "90")
    refused = ClientError({"Error": {"Code": "AccessDeniedException"}}, "TransactWriteItems")

    def no(_catalog: Any, _one: Any) -> bool:
        raise refused

    with monkeypatch.context() as broken:
        broken.setattr(price_replay, "_change", no)
        failed = replay()
    assert isinstance(failed.exception, DataError)
    assert "your AWS identity needs s3:PutObject" in str(failed.exception)
    assert told(shop) == [(7, "", "")]
    assert replay().exit_code == 0
    assert [one.price_minor for one in history(shop)] == [10000, 9000]


def test_a_product_that_a_crawl_changes_meanwhile_is_left_whole_and_told(
    shop: Shop, service: CrawlService, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_wrongly(shop, service, "100", "90")
    with monkeypatch.context() as busy:
        meanwhile(busy, lambda: read_wrongly(shop, service, "80"))
        result = replay()
    assert isinstance(result.exception, AdvisorError)
    assert "1 products, as" in str(result.exception)
    assert "were changed by a crawl meanwhile" in str(result.exception)
    assert told(shop) == [(7, "", "")]
    assert replay().exit_code == 0
    assert [one.price_minor for one in history(shop)] == [10000, 9000, 8000]


def test_a_row_that_is_not_as_it_was_read_is_not_overwritten(
    shop: Shop, service: CrawlService, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_wrongly(shop, service, "100", "90")
    [row] = history(shop)
    other = {"product_id": f"{name(shop)}:S1"} | replace(row, price_minor=8).to_dict()
    meanwhile(monkeypatch, lambda: table("prices").put_item(Item=other))
    assert isinstance(replay().exception, AdvisorError)
    assert told(shop) == [(8, "", "")]


def test_a_long_history_takes_several_transactions(
    shop: Shop, service: CrawlService, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_wrongly(shop, service, "100", "90", "80", "70")
    monkeypatch.setattr(price_replay, "_MOST_ACTIONS", 2)
    assert replay().exit_code == 0
    assert [one.price_minor for one in history(shop)] == [10000, 9000, 8000, 7000]
    assert price(shop) == (7000, "EUR")


def test_another_shop_in_the_folder_is_left_alone(
    shop: Shop, service: CrawlService, replay: Replay
) -> None:
    with serving() as other:
        other.pages["/"] = Answer("<a href=/p/1>one</a> <a href=/p/2>two</a>")
        for one in (other, shop):
            read_wrongly(one, service, "100")
        assert "1 products corrected" in replay(other).stderr
    assert told(shop) == [(7, "", "")]
    assert "1 crawls, 1 products corrected" in replay().stderr


def test_a_shop_without_records_is_told_with_those_that_there_are(
    shop: Shop, service: CrawlService, tmp_path: Path
) -> None:
    read_wrongly(shop, service, "100")
    result = CliRunner().invoke(command, ["replay", "x", "--remote", "--out", str(tmp_path)])
    assert isinstance(result.exception, NotFoundError)
    assert str(result.exception).endswith(f"there are those of {name(shop)}")
    assert CliRunner().invoke(command, ["replay", "x", "--remote"]).exit_code == 2
