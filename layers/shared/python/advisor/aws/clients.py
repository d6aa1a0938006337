"""Cached boto3 clients: made on first use, and boto3 imported with the first."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def client(service: str) -> Any:
    """The boto3 client of one service, endpoint and region from the environment."""
    from advisor.aws.boto import make_client  # noqa: PLC0415 (boto3: some requests need no client)

    return make_client(service)


@cache
def table(name: str) -> Any:
    """A DynamoDB table by name."""
    from advisor.aws.boto import make_table  # noqa: PLC0415 (as above)

    return make_table(name)


def row_key(name: str) -> Any:
    """boto3's Key: a condition on a column by which a table's rows are found."""
    from boto3.dynamodb.conditions import Key  # noqa: PLC0415 (as above)

    return Key(name)


def column(name: str) -> Any:
    """boto3's Attr: a condition on any column."""
    from boto3.dynamodb.conditions import Attr  # noqa: PLC0415 (as above)

    return Attr(name)
