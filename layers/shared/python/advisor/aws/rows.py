"""Rows of DynamoDB tables, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from advisor.aws.clients import table


def query_all(table_name: str, **query: Any) -> Iterator[dict[str, Any]]:
    """All rows that a query finds, page by page."""
    while True:
        answer = table(table_name).query(**query)
        yield from answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def scan_all(table_name: str) -> Iterator[dict[str, Any]]:
    """All rows of a table, page by page: for what a person asks for, never for a request."""
    more: dict[str, Any] = {}
    while True:
        answer = table(table_name).scan(**more)
        yield from answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        more = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
