"""Rows of the frontier table: how they are keyed, packed, read and queried.

By partition key (sort key):
runs (run id)                 a run: what it crawls, its status, its counters
shop#SHOP (-)                 the run that is going on for the shop
run#RUN (host#HOST)           a host of the run, and until when a token of it is on its way
todo#RUN#HOST (due#batch)     up to 100 requests that wait, compressed
seen#RUN#KEY (-)              a page that the run has seen, and the batch it is in
claimed#RUN (time#batch)      photos and items that the run has seen, up to 1,000 by their hash
host#HOST (-)                 lease, next allowed time and robots.txt, shared by all runs
"""

from __future__ import annotations

import hashlib
import json
import secrets
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from boto3.dynamodb.conditions import ConditionBase

from advisor.aws.clients import table
from advisor.crawling.messages import Request

KEPT_S = 30 * 24 * 3600  # what belongs to a run expires so long after it was written
_DIGEST_BYTES = 16
CLAIMS_A_ROW = 1000  # 16 KB; a batch has some dozens, and a write unit holds 60
REQUESTS_A_ROW = 100  # BatchGetItem, which checks them, takes as many
ONLY = "-"  # the sort key where a partition has one row

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TodoRow:
    """Requests of one host that wait until the same time. batch: who claims them as seen."""

    run_id: str
    host: str
    due: float
    batch: str
    requests: tuple[Request, ...]

    @property
    def key(self) -> Row:
        return {
            "pk": todo_partition(self.run_id, self.host),
            "sk": f"{due_key(self.due)}#{self.batch}",
        }

    def to_row(self, now: float) -> Row:
        text = json.dumps([request.to_dict() for request in self.requests])
        return {
            **self.key,
            "requests": zlib.compress(text.encode(), 1),
            "count": len(self.requests),
            "expires_at": int(now) + KEPT_S,
        }

    @classmethod
    def from_row(cls, row: Row, *, run_id: str, host: str) -> TodoRow:
        due, _, batch = str(row["sk"]).partition("#")
        text = zlib.decompress(bytes(row["requests"]))
        requests = tuple(Request.from_dict(one) for one in json.loads(text))
        return cls(run_id=run_id, host=host, due=int(due) / 1000, batch=batch, requests=requests)


def todo_rows(run_id: str, requests: Iterable[tuple[Request, float]]) -> list[TodoRow]:
    """The requests, each with its due time, packed into rows by host and time."""
    groups: dict[tuple[str, float], list[Request]] = {}
    for request, due in requests:
        groups.setdefault((request.host, due), []).append(request)
    return [
        TodoRow(run_id=run_id, host=host, due=due, batch=secrets.token_hex(8), requests=tuple(some))
        for (host, due), group in groups.items()
        for some in _batched(group, REQUESTS_A_ROW)
    ]


def todo_partition(run_id: str, host: str) -> str:
    return f"todo#{run_id}#{host}"


def due_key(due: float) -> str:
    """A time as text that sorts: milliseconds in 14 digits."""
    return f"{max(0, int(min(due, 9e10) * 1000)):014d}"


def seen_key(run_id: str, key: str) -> Row:
    return {"pk": f"seen#{run_id}#{key_digest(key).hex()}", "sk": ONLY}


def key_digest(key: str) -> bytes:
    """What a key is told by where there are many."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def claimed_partition(run_id: str) -> str:
    return f"claimed#{run_id}"


def claimed_rows(run_id: str, keys: Iterable[str], *, now: float) -> list[Row]:
    """Rows that say that these keys are seen."""
    return [
        {
            "pk": claimed_partition(run_id),
            "sk": f"{due_key(now)}#{secrets.token_hex(4)}",
            "digests": b"".join(some),
            "expires_at": int(now) + KEPT_S,
        }
        for some in _batched([key_digest(key) for key in keys], CLAIMS_A_ROW)
    ]


def claimed_in(row: Row) -> set[bytes]:
    """The digests of a row of `claimed_rows`."""
    data = bytes(row["digests"])
    return {data[at : at + _DIGEST_BYTES] for at in range(0, len(data), _DIGEST_BYTES)}


def run_host_key(run_id: str, host: str) -> Row:
    return {"pk": f"run#{run_id}", "sk": f"host#{host}"}


def db(table_name: str) -> Any:
    """The client behind a table: takes plain values, and may be used from threads."""
    return table(table_name).meta.client


def get(table_name: str, key: Row) -> Row | None:
    """One row as it is at this moment, or None."""
    row: Row | None = (
        db(table_name).get_item(TableName=table_name, Key=key, ConsistentRead=True).get("Item")
    )
    return row


def query(table_name: str, condition: ConditionBase, **options: Any) -> Iterator[Row]:
    """All rows of a condition on the keys, read as they are asked for."""
    options = {"ConsistentRead": True, **options, "KeyConditionExpression": condition}
    while True:
        answer = table(table_name).query(**options)
        yield from answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        options["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def put_all(table_name: str, rows: Iterable[Row]) -> None:
    """Write rows unconditionally, 25 a request."""
    with table(table_name).batch_writer() as writer:
        for row in rows:
            writer.put_item(Item=row)


def iso(moment: float) -> str:
    """Epoch seconds as ISO 8601 UTC with milliseconds, which sorts as text."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def _batched(values: list[Any], size: int) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(values), size):
        yield tuple(values[start : start + size])
