"""What a crawl on AWS costs in requests, counted."""

from __future__ import annotations

import pytest

from advisor.aws import clients
from advisor.aws.catalog import CatalogTables
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.tokens import TokenQueue
from benchmarks.crawl_cost import counting, crawl
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
    with serving(shop_of(60)) as shop:
        with counting(("frontier", "products", "prices")) as first:
            run, _ = crawl(shop.url, service)
        assert (run.items, run.photos) == (60, 60)
        assert first["dynamodb writes"] / run.pages <= 4
        with counting(("frontier", "products", "prices")) as again:
            run, _ = crawl(shop.url, service)
    assert again["dynamodb writes"] / run.pages <= 3.2  # no price changed
