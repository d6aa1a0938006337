"""Alerts in DynamoDB and SNS, against moto: what a crawl stores is what is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from advisor.aws.alerts import AlertTable
from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client
from advisor.catalog.alerts import Alert, Kind, Seen
from advisor.crawling.items import Item
from advisor.errors import NotFoundError

ITEM = Item(
    id="S1", title="Stool", category="c", description="d", url="http://s/1", price_minor=10000,
    currency="EUR", availability="in_stock", shop="one", images=("http://s/1.jpg",),
)  # fmt: skip
TARGET = Alert(alert_id="t", product_id="one:S1", kind=Kind.TARGET, amount=9000, currency="EUR")
STOCK = Alert(alert_id="s", product_id="one:S1", kind=Kind.BACK_IN_STOCK, armed=False)


@pytest.fixture
def alerts(aws: None) -> AlertTable:
    """The alerts table, and a topic whose messages land in the queue `photos`."""
    topic = client("sns").create_topic(Name="alerts")["TopicArn"]
    queue = client("sqs").get_queue_url(QueueName="photos")["QueueUrl"]
    arn = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
    return AlertTable("alerts", topic)


def told() -> list[str]:
    queue = client("sqs").get_queue_url(QueueName="photos")["QueueUrl"]
    answer = client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    found = []
    for message in answer.get("Messages", []):
        client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        found.append(json.loads(json.loads(message["Body"])["Message"])["text"])
    return found


def see(alerts: AlertTable, item: Item, day: int) -> list[str]:
    catalog = CatalogTables("products", "prices", alerts)
    catalog.put_item(item, run_id=f"r{day}", observed_at=f"2026-11-{day:02d}")
    return told()


def test_a_price_that_reaches_the_target_is_told_once(alerts: AlertTable) -> None:
    alerts.add(TARGET)
    assert see(alerts, ITEM, 1) == []
    low = replace(ITEM, price_minor=8900)
    assert see(alerts, low, 2) == ["Stool costs 89.00 EUR: http://s/1"]
    assert see(alerts, low, 2) == see(alerts, low, 3) == []
    assert see(alerts, ITEM, 4) == []
    assert len(see(alerts, low, 5)) == 1


def test_a_price_that_jumps_is_told_when_it_is_confirmed(alerts: AlertTable) -> None:
    alerts.add(TARGET)
    see(alerts, ITEM, 1)
    jump = replace(ITEM, price_minor=900)
    assert see(alerts, jump, 2) == []
    assert see(alerts, jump, 3) == ["Stool costs 9.00 EUR: http://s/1"]


def test_a_jump_with_another_photo_is_not_told(alerts: AlertTable) -> None:
    alerts.add(TARGET)
    see(alerts, ITEM, 1)
    swapped = replace(ITEM, price_minor=900, images=("http://s/2.jpg",))
    assert see(alerts, swapped, 2) == see(alerts, swapped, 3) == []


def test_a_page_without_price_and_an_older_sight_are_not_told(alerts: AlertTable) -> None:
    see(alerts, ITEM, 5)
    alerts.add(TARGET)
    assert see(alerts, replace(ITEM, price_minor=None), 6) == []
    assert see(alerts, replace(ITEM, price_minor=8000), 4) == []


def test_back_in_stock_is_told(alerts: AlertTable) -> None:
    alerts.add(STOCK)
    assert see(alerts, ITEM, 1) == []
    assert see(alerts, replace(ITEM, availability="out_of_stock"), 2) == []
    assert see(alerts, ITEM, 3) == ["Stool is in stock again: http://s/1"]


def test_of_two_crawls_that_see_the_same_only_one_tells(
    alerts: AlertTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts.add(TARGET)
    rows = list(alerts._of("one:S1"))
    seen = Seen(title="Stool", url="u", price_minor=1, currency="EUR", availability="")
    monkeypatch.setattr(AlertTable, "_of", lambda *_: iter(rows))  # both read before one writes
    assert alerts.see("one:S1", seen) == ["Stool costs 0.01 EUR: u"]
    assert alerts.see("one:S1", seen) == []
    assert len(told()) == 1


def test_an_alert_that_sns_does_not_take_is_told_by_the_next_crawl(
    alerts: AlertTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts.add(TARGET)

    def down(**_: object) -> None:
        raise ClientError({"Error": {"Code": "InternalError", "Message": "-"}}, "Publish")

    with monkeypatch.context() as broken:
        broken.setattr(client("sns"), "publish", down)
        assert see(alerts, replace(ITEM, price_minor=8000), 1) == []
    assert len(see(alerts, replace(ITEM, price_minor=8000), 2)) == 1


def test_alerts_are_listed_and_removed(alerts: AlertTable) -> None:
    for one in (TARGET, STOCK):
        alerts.add(one)
    assert sorted(one.alert_id for one in alerts.all()) == ["s", "t"]
    alerts.remove("t")
    assert [one.alert_id for one in alerts.all()] == ["s"]
    with pytest.raises(NotFoundError, match="'t'"):
        alerts.remove("t")
