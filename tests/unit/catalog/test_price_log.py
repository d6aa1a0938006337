"""The price history of a folder, over crawls of a shop on loopback."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from advisor.catalog.price_log import BEFORE_REPLAY, PRICES, PriceLog, record
from advisor.errors import DataError, NotFoundError
from cli.alert import command as alerts
from cli.crawl import command as crawl
from cli.prices import command as prices
from tests.unit.crawling.loopback import Answer, Shop, serving

PRODUCT = "corner:S1"


@pytest.fixture
def shop() -> Iterator[Shop]:
    with serving() as running:
        running.pages["/"] = Answer("<a href=/p/1>thing</a>")
        yield running


def sell(shop: Shop, price: str, *, status: int = 200, availability: str = "") -> None:
    node: dict[str, Any] = {
        "@type": "Product", "name": "Thing", "sku": "S1", "category": "hats",
        "description": "A thing.",
        "offers": {"price": price, "priceCurrency": "EUR", "availability": availability},
    }  # fmt: skip
    html = f"<script type='application/ld+json'>{json.dumps(node)}</script>"
    shop.pages["/p/1"] = Answer(html, status=status)


def crawled(shop: Shop, folder: Path) -> str:
    """Crawl the shop; what was said on stderr."""
    more = ["--delay", "0", "--shop", "corner"]
    result = CliRunner().invoke(
        crawl, ["schema-org", "--base-url", shop.url, "--out", str(folder), *more]
    )
    assert result.exit_code in (0, 1), result.output
    return result.stderr


def told(folder: Path) -> list[tuple[int, str]]:
    return [(one.price_minor, one.state) for one in PriceLog.read(folder).points(PRODUCT)]


def test_each_crawl_appends_what_changed_and_a_failed_fetch_nothing(
    shop: Shop, tmp_path: Path
) -> None:
    for price, status in (("100", 200), ("100", 200), ("90", 200), ("1", 404), ("30", 200)):
        sell(shop, price, status=status)
        crawled(shop, tmp_path / "out")
    assert told(tmp_path / "out") == [(10000, ""), (9000, ""), (3000, "quarantined")]
    crawled(shop, tmp_path / "out")  # unchanged: the page is not even parsed again
    assert told(tmp_path / "out")[-1] == (3000, "")
    [first, *_] = PriceLog.read(tmp_path / "out").points(PRODUCT)
    assert (first.extractor, first.text, first.run_id) == ("schema-org", "100", "1")
    archived = tmp_path / "out" / "pages" / first.page[:2] / f"{first.page}.gz"
    assert b'"price": "100"' in gzip.decompress(archived.read_bytes())


def test_the_same_crawl_recorded_twice_appends_nothing(shop: Shop, tmp_path: Path) -> None:
    sell(shop, "100")
    crawled(shop, tmp_path)
    assert record(tmp_path) == []
    assert told(tmp_path) == [(10000, "")]


def test_what_a_kill_left_of_a_line_is_cut_off(shop: Shop, tmp_path: Path) -> None:
    sell(shop, "100")
    crawled(shop, tmp_path)
    with (tmp_path / PRICES).open("a") as file:
        file.write('{"product_id": "corn')
    sell(shop, "90")
    crawled(shop, tmp_path)
    assert told(tmp_path) == [(10000, ""), (9000, "")]


def test_a_replay_reads_every_archived_page_with_todays_parser(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advisor.crawling import deciding
    from advisor.crawling.money import Money
    from advisor.crawling.spiders import schema_org

    monkeypatch.setattr(deciding, "_cores", lambda: 1)  # or another process parses, as it should
    with monkeypatch.context() as wrong:  # a parser that reads cents as euros
        wrong.setattr(schema_org, "parse_price", lambda text, currency: Money(7, "EUR", text))
        for price in ("100", "90"):
            sell(shop, price)
            crawled(shop, tmp_path)
    assert told(tmp_path) == [(7, "")]
    result = CliRunner().invoke(prices, ["replay", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert told(tmp_path) == [(10000, ""), (9000, "")]
    assert "7 EUR -> 10000 EUR" in result.stdout
    assert "no price -> 9000 EUR" in result.stdout
    assert "2 prices of 1 products, 2 changed" in result.stderr
    assert '"price_minor": 7' in (tmp_path / BEFORE_REPLAY).read_text()
    points = PriceLog.read(tmp_path).points(PRODUCT)
    assert [one.corrected_from for one in points] == ["7 EUR", ""]
    assert "0 changed" in CliRunner().invoke(prices, ["replay", str(tmp_path)]).stderr
    assert PriceLog.read(tmp_path).points(PRODUCT) == points
    assert '"price_minor": 7' in (tmp_path / BEFORE_REPLAY).read_text()  # which said otherwise


def test_a_replay_of_no_crawl_leaves_nothing_behind(tmp_path: Path) -> None:
    failed = CliRunner().invoke(prices, ["replay", str(tmp_path)])
    assert isinstance(failed.exception, DataError)
    assert list(tmp_path.iterdir()) == []
    gone = CliRunner().invoke(prices, ["replay", str(tmp_path / "gone")])
    assert "gone is no folder; a shop on AWS is asked for by --remote" in gone.stderr


def test_shows_a_products_history(shop: Shop, tmp_path: Path) -> None:
    for price in ("1234.5", "100"):
        sell(shop, price)
        crawled(shop, tmp_path)
    shown = CliRunner().invoke(prices, ["show", str(tmp_path), PRODUCT]).stdout.splitlines()
    assert ["1,234.50 EUR" in line for line in shown] == [True, False]
    assert "100.00 EUR" in shown[1]
    assert "quarantined" in shown[1]
    as_json = CliRunner().invoke(prices, ["show", str(tmp_path), PRODUCT, "--json"]).stdout
    assert json.loads(as_json.splitlines()[0])["text"] == "1234.5"
    unknown = CliRunner().invoke(prices, ["show", str(tmp_path), "corner:S9"])
    assert isinstance(unknown.exception, NotFoundError)


def alert(*words: str) -> Any:
    return CliRunner().invoke(alerts, list(words))


def test_an_alert_in_a_folder_is_printed_by_the_crawl_that_sees_it(
    shop: Shop, tmp_path: Path
) -> None:
    folder = str(tmp_path / "out")
    sell(shop, "100", availability="OutOfStock")
    crawled(shop, tmp_path / "out")
    for wish in (["--below", "95 EUR"], ["--percent", "20"], ["--back-in-stock"]):
        assert alert("add", folder, PRODUCT, *wish).exit_code == 0
    assert "at 95.00 EUR or less" in alert("list", folder).stdout
    sell(shop, "100", availability="OutOfStock")
    assert "alert:" not in crawled(shop, tmp_path / "out")
    sell(shop, "90", status=404)
    assert "alert:" not in crawled(shop, tmp_path / "out")
    sell(shop, "90", availability="InStock")
    said = crawled(shop, tmp_path / "out")
    assert said.count("alert:") == 2
    assert "Thing costs 90.00 EUR" in said
    assert "Thing is in stock again" in said
    assert "alert:" not in crawled(shop, tmp_path / "out")
    sell(shop, "79", availability="InStock")
    assert crawled(shop, tmp_path / "out").count("alert:") == 1  # the percentage


def test_alerts_are_removed_and_wrong_ones_refused(tmp_path: Path) -> None:
    folder = str(tmp_path)
    [alert_id] = alert("add", folder, PRODUCT, "--percent", "5").stdout.split()
    assert alert("remove", folder, alert_id).exit_code == 0
    assert alert("list", folder).stdout == ""
    for words, said in (
        (["remove", folder, "x"], "no alert 'x'"),
        (["add", folder, PRODUCT], "one of --below"),
        (["add", folder, PRODUCT, "--percent", "5", "--back-in-stock"], "one of --below"),
        (["add", folder, PRODUCT, "--below", "cheap"], "'cheap'"),
        (["add", folder, PRODUCT, "--below", "0 EUR"], "is no price"),
        (["add", folder, "thing", "--percent", "5"], "expected SHOP:SKU"),
        (["list", f"{folder}/none"], "is no folder"),
    ):
        result = alert(*words)
        assert said in str(result.exception), words


def test_a_log_that_is_none_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / PRICES).write_text('{"product_id": "a:b"}\n')
    with pytest.raises(DataError, match=r"prices\.jsonl, line 1: no price"):
        PriceLog.read(tmp_path)
