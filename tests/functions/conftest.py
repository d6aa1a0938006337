"""Buckets, tables and the queue of the storage stack, in moto: nothing reaches a network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from advisor.aws import clients

TABLES = {
    "products": ("product_id", None),
    "prices": ("product_id", "observed_at"),
    "labels": ("image_id", "model_version"),
    "embeddings": ("shelf", "photo"),
    "frontier": ("pk", "sk"),
}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The buckets `data` and `uploads`, the tables of TABLES, and the queue `photos`."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        _forget_clients()
        _make_buckets()
        _make_tables()
        clients.client("sqs").create_queue(QueueName="photos")
        yield
    _forget_clients()


def _forget_clients() -> None:
    clients.client.cache_clear()
    clients.table.cache_clear()


def _make_buckets() -> None:
    for name in ("data", "uploads"):
        clients.client("s3").create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )


def _make_tables() -> None:
    for name, (partition, sort) in TABLES.items():
        keys = [{"AttributeName": partition, "KeyType": "HASH"}]
        keys += [{"AttributeName": sort, "KeyType": "RANGE"}] if sort else []
        attributes = [key["AttributeName"] for key in keys]
        index = {}
        if name == "products":
            attributes.append("gtin")
            index["GlobalSecondaryIndexes"] = [
                {
                    "IndexName": "by_gtin",
                    "KeySchema": [{"AttributeName": "gtin", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ]
        clients.client("dynamodb").create_table(
            TableName=name,
            KeySchema=keys,
            AttributeDefinitions=[
                {"AttributeName": one, "AttributeType": "S"} for one in attributes
            ],
            BillingMode="PAY_PER_REQUEST",
            **index,
        )
