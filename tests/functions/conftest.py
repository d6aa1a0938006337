"""Buckets, tables and the queue of the storage stack, in moto: nothing reaches a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import RLock
from typing import Any

import pytest
from moto import mock_aws
from moto.backends import get_backend
from moto.core.botocore_stubber import BotocoreStubber

from advisor.aws import clients
from advisor.aws.catalog import CatalogTables
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.tokens import TokenQueue

TABLES = {
    "products": ("product_id", None),
    "prices": ("product_id", "observed_at"),
    "labels": ("image_id", "model_version"),
    "reviews": ("kind", "about"),
    "days": ("what", "day"),
    "embeddings": ("shelf", "photo"),
    "alerts": ("product_id", "alert_id"),
    "frontier": ("pk", "sk"),
}
# Table -> name, partition, sort (with its type) of its index.
INDEXES = {
    "products": ("by_gtin", ("gtin", "S")),
    "labels": ("to_review", ("review", "S"), ("probability", "N")),
    "reviews": ("by_time", ("kind", "S"), ("at", "S")),
}


@pytest.fixture(scope="module")
def account() -> Iterator[None]:
    """An AWS account in moto, with clients of its own; they are what takes time to make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        patch.setattr(BotocoreStubber, "__call__", _one_at_a_time(BotocoreStubber.__call__))
        with mock_aws():  # sets credentials, too
            _forget_clients()
            yield
    _forget_clients()


@pytest.fixture
def aws(account: None) -> Iterator[None]:
    """The buckets `data` and `uploads`, the tables of TABLES, the queue `photos`: all empty."""
    make_buckets()
    make_tables()
    clients.client("sqs").create_queue(QueueName="photos")
    yield
    for service in ("s3", "dynamodb", "sqs"):
        get_backend(service).reset()


@pytest.fixture
def service(aws: None) -> CrawlService:
    """What the crawl's functions work with, and a queue of tokens."""
    url = clients.client("sqs").create_queue(QueueName="tokens")["QueueUrl"]
    return CrawlService(
        frontier_table="frontier",
        queue=TokenQueue(url, "frontier"),
        bucket="data",
        tables=CatalogTables("products", "prices"),
    )


def _one_at_a_time(answer: Callable[..., Any]) -> Callable[..., Any]:
    """moto's tables are plain dictionaries, and ours are written by several threads."""
    lock = RLock()

    def guarded(*arguments: Any, **more: Any) -> Any:
        with lock:
            return answer(*arguments, **more)

    return guarded


def _forget_clients() -> None:
    clients.client.cache_clear()
    clients.table.cache_clear()


def make_buckets() -> None:
    for name in ("data", "uploads"):
        clients.client("s3").create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )


def make_tables() -> None:
    for name, (partition, sort) in TABLES.items():
        keys = [{"AttributeName": partition, "KeyType": "HASH"}]
        keys += [{"AttributeName": sort, "KeyType": "RANGE"}] if sort else []
        attributes = {key["AttributeName"]: "S" for key in keys}
        index = {}
        if name in INDEXES:
            index_name, *index_keys = INDEXES[name]
            attributes |= dict(index_keys)
            index["GlobalSecondaryIndexes"] = [
                {
                    "IndexName": index_name,
                    "KeySchema": [
                        {"AttributeName": one, "KeyType": kind}
                        for (one, _), kind in zip(index_keys, ("HASH", "RANGE"), strict=False)
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ]
        clients.client("dynamodb").create_table(
            TableName=name,
            KeySchema=keys,
            AttributeDefinitions=[
                {"AttributeName": one, "AttributeType": kind} for one, kind in attributes.items()
            ],
            BillingMode="PAY_PER_REQUEST",
            **index,
        )
