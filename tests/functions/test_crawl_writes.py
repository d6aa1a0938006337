"""What a crawl on AWS costs in requests, counted."""

from __future__ import annotations

import pytest

from advisor.aws import clients
from advisor.aws.catalog import CatalogTables
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.tokens import TokenQueue
from benchmarks.crawl_cost import _WriteUnits, counting, crawl
from benchmarks.prices import PRICES, usd
from tests.unit.crawling.loopback import serving, shop_of


@pytest.fixture
def service(aws: None) -> CrawlService:
    url = clients.client("sqs").create_queue(QueueName="tokens")["QueueUrl"]
    return CrawlService(
        frontier_table="frontier",
        queue=TokenQueue(url, "frontier"),
        bucket="data",
        tables=CatalogTables("products", "prices"),
    )


def test_a_page_with_its_item_and_photo_takes_at_most_four_writes(service: CrawlService) -> None:
    with serving(shop_of(150)) as shop:
        with counting(("frontier", "products", "prices")) as first:
            run, _ = crawl(shop.url, service)
        assert (run.items, run.photos) == (150, 150)
        assert first["DynamoDB writes"] / run.pages <= 4
        # 3.8 of a shop of 500 products; the batches of a smaller one hold fewer pages.
        assert first["DynamoDB write units"] / run.pages <= 4.5
        with counting(("frontier", "products", "prices")) as again:
            run, _ = crawl(shop.url, service)
    assert again["DynamoDB writes"] / run.pages <= 3.2  # no price changed
    assert again["DynamoDB write units"] / run.pages <= 3.6


def test_writes_are_billed_by_the_size_of_their_row() -> None:
    units = _WriteUnits()
    product = {"TableName": "products", "Item": {"product_id": "a:1", "gtin": "4006381333931"}}
    assert units.of(product) == 2  # it is in the index, too
    row = {"TableName": "frontier", "Item": {"pk": "a", "sk": "b", "requests": b"x" * 1500}}
    assert units.of({"RequestItems": {"frontier": [{"PutRequest": {"Item": row["Item"]}}]}}) == 2
    key = {"TableName": "frontier", "Key": {"pk": "a", "sk": "b"}}
    assert units.of({"TransactItems": [{"Update": key}, {"Delete": key}]}) == 8
    assert units.of(key) == 2


def test_what_is_counted_has_a_price(service: CrawlService) -> None:
    with serving(shop_of(1)) as shop, counting(("frontier", "products", "prices")) as counts:
        crawl(shop.url, service)
        crawl(shop.url, service)  # reads the records of the first
    assert {"SQS requests", "S3 puts", "S3 gets", "DynamoDB write units"} < set(counts)
    assert set(counts) - set(PRICES) == {"DynamoDB writes", "DynamoDB reads"}
    assert usd({"S3 puts": 1_000_000}) == pytest.approx(5)
