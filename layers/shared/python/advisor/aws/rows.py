"""Rows of DynamoDB tables, page by page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from advisor.aws.clients import table

Value = TypeVar("Value")
_BATCH: Final = 100  # keys that one BatchGetItem takes
_ATTEMPTS: Final = 6


def batches(values: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """The values, size at a time; the last of them may be fewer."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


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


def get_all(
    table_name: str,
    keys: Sequence[dict[str, Any]],
    *,
    consistent: bool = False,
    projection: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Any]]:
    """The rows of these keys, each key named once; keys that there are not are left out.

    What a BatchGetItem leaves unanswered is asked for again, 0.05, 0.1, ... s later.
    Raises: TimeoutError if DynamoDB leaves keys unanswered again and again.
    """
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        wanted: dict[str, Any] = {"Keys": batch, "ConsistentRead": consistent}
        if projection:
            wanted["ProjectionExpression"] = projection
        asked: dict[str, Any] = {table_name: wanted}
        for attempt in range(_ATTEMPTS):
            answer = table(table_name).meta.client.batch_get_item(RequestItems=asked)
            yield from answer["Responses"].get(table_name, ())
            asked = answer.get("UnprocessedKeys") or {}
            if not asked:
                break
            if attempt + 1 < _ATTEMPTS:
                sleep(0.05 * 2**attempt)
        else:
            left = len(asked[table_name]["Keys"])
            raise TimeoutError(f"DynamoDB left {left} keys unanswered in {_ATTEMPTS} attempts")
