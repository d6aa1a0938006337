"""Crawl runs in DynamoDB: one a shop at a time, counted exactly, ended exactly once."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from boto3.dynamodb.conditions import Key

from advisor.aws.frontier_rows import (
    KEPT_S,
    ONLY,
    Row,
    db,
    get,
    iso,
    query,
    run_host_key,
    todo_partition,
    todo_rows,
)
from advisor.crawling.messages import Request
from advisor.crawling.statistics import Statistics
from advisor.errors import NotFoundError

RUNNING, PAUSED, FINISHED, FAILED = "running", "paused", "finished", "failed"
GOING_ON = frozenset({RUNNING, PAUSED})
COUNTER = "n:"  # begins the attributes of a run that count
_RUNS = "runs"


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """A run as it stands. Times are ISO 8601 UTC, "" before they are known.

    limit: items after which it ends, 0 for none. settings: what this run was given besides.
    dropped, errors: totals. todo: requests that wait. settles: grows with every batch, so an equal
    number means that nothing changed. triggers: what asked for a run of the shop while this one
    was going on. earlier: the shop's run before this one that came to its own end, "" for none.
    announced: nobody has still to be told of its end.
    """

    run_id: str
    spider: str
    shop: str
    base_url: str
    trigger: str = "manual"
    limit: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    earlier: str = ""
    status: str = RUNNING
    pages: int = 0
    items: int = 0
    photos: int = 0
    dropped: int = 0
    errors: int = 0
    todo: int = 0
    started_at: str = ""
    finished_at: str = ""
    finish_reason: str = ""
    announced: bool = True
    errors_by_reason: Mapping[str, int] = field(default_factory=dict)
    dropped_by_reason: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    settles: int = 0
    triggers: tuple[str, ...] = ()


def read_run(table_name: str, run_id: str) -> RunStatus:
    """One run. Raises: NotFoundError."""
    row = get(table_name, _run_key(run_id))
    if row is None:
        raise NotFoundError(f"no crawl run {run_id!r}")
    return _status(table_name, row)


def list_runs(table_name: str, limit: int | None = None) -> list[RunStatus]:
    """The runs that have not expired, newest first; all of them, or at most limit."""
    rows = query(table_name, Key("pk").eq(_RUNS), ScanIndexForward=False)
    return [_status(table_name, row) for row in islice(rows, limit)]


def is_running(table_name: str, run_id: str) -> bool:
    """Whether the run is there and going on."""
    row = get(table_name, _run_key(run_id))
    return row is not None and row["status"] == RUNNING


def start_run(table_name: str, run: RunStatus, requests: Collection[Request], *, now: float) -> str:
    """Start a run with its first requests; returns its id, or that of the one going on.

    All or nothing: a run is never there without something to do. On the one that is going on
    it is noted what triggered this.
    """
    lock_key = _lock_key(run.shop)
    rows = [
        {
            **_run_key(run.run_id),
            "status": RUNNING,
            "spider": run.spider,
            "shop": run.shop,
            "base_url": run.base_url,
            "trigger": run.trigger,
            "limit": run.limit,
            "settings": json.dumps(dict(run.settings)),
            "earlier": run.earlier,
            "settles": 0,
            "started_at": iso(now),
            "expires_at": int(now) + KEPT_S,
        },
        *(host_row(run.run_id, host, now=now) for host in {one.host for one in requests}),
        *(row.to_row(now) for row in todo_rows(run.run_id, [(one, 0.0) for one in requests])),
    ]
    lock = {
        "TableName": table_name,
        "Item": {**lock_key, "run_id": run.run_id},
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    client = db(table_name)
    while True:
        try:
            client.transact_write_items(
                TransactItems=[
                    {"Put": lock},
                    *({"Put": {"TableName": table_name, "Item": row}} for row in rows),
                ]
            )
            return run.run_id
        except client.exceptions.TransactionCanceledException:
            held = get(table_name, lock_key)
        if held is not None:  # else that run ended this very moment
            _note_trigger(table_name, str(held["run_id"]), run.trigger)
            return str(held["run_id"])


def end_run(
    table_name: str,
    run: RunStatus,
    *,
    status: str,
    reason: str,
    now: float,
    if_unchanged: bool = False,
) -> bool:
    """Record the end of a run and free its shop; True for the one caller that did it.

    Until `mark_announced` the run is one whose end is still to be told.
    if_unchanged: only if nothing was settled since the run was read.
    """
    condition = "attribute_not_exists(finished_at)"
    values: Row = {":status": status, ":reason": reason, ":now": iso(now), ":yes": True}
    if if_unchanged:
        condition += " AND settles = :settles"
        values[":settles"] = run.settles
    update = {
        "TableName": table_name,
        "Key": _run_key(run.run_id),
        "UpdateExpression": "SET #status = :status, finish_reason = :reason, finished_at = :now, "
        "unannounced = :yes",
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": values,
    }
    unlock = {"TableName": table_name, "Key": _lock_key(run.shop)}
    client = db(table_name)
    try:
        client.transact_write_items(TransactItems=[{"Update": update}, {"Delete": unlock}])
    except client.exceptions.TransactionCanceledException:
        return False
    return True


def mark_announced(table_name: str, run_id: str) -> None:
    """Note that the end of a run was told."""
    db(table_name).update_item(
        TableName=table_name, Key=_run_key(run_id), UpdateExpression="REMOVE unannounced"
    )


def change_status(table_name: str, run_id: str, *, before: str, after: str) -> bool:
    """Pause or resume a run; False if it was not in the status given.

    Raises: NotFoundError.
    """
    client = db(table_name)
    try:
        client.update_item(
            TableName=table_name,
            Key=_run_key(run_id),
            UpdateExpression="SET #status = :after",
            ConditionExpression="#status = :before",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":before": before, ":after": after},
        )
    except client.exceptions.ConditionalCheckFailedException:
        read_run(table_name, run_id)
        return False
    return True


def count_update(table_name: str, run_id: str, counts: Mapping[str, int]) -> Row:
    """The update, for a transaction, that adds to a run's counters and tells that it changed."""
    names = {f"#{at}": COUNTER + name for at, name in enumerate(counts)}
    values: Row = {f":{at}": value for at, value in enumerate(counts.values())}
    added = [f"#{at} :{at}" for at in range(len(counts))]
    update: Row = {
        "TableName": table_name,
        "Key": _run_key(run_id),
        "UpdateExpression": f"ADD {', '.join([*added, 'settles :one'])}",
        "ExpressionAttributeValues": {**values, ":one": 1},
    }
    return update | ({"ExpressionAttributeNames": names} if names else {})


def hosts_of(table_name: str, run_id: str) -> dict[str, float]:
    """The hosts of a run, and until when (epoch seconds) a token of each may be on its way."""
    rows = query(table_name, Key("pk").eq(f"run#{run_id}"))
    return {str(row["sk"]).removeprefix("host#"): float(row["token_until"]) for row in rows}


def host_row(run_id: str, host: str, *, now: float) -> Row:
    """The row that makes a host one of a run's."""
    return {**run_host_key(run_id, host), "token_until": 0, "expires_at": int(now) + KEPT_S}


def next_due(table_name: str, run_id: str, host: str) -> float | None:
    """When the run has something to do at a host, or None."""
    waiting = query(table_name, Key("pk").eq(todo_partition(run_id, host)), Limit=1)
    row = next(waiting, None)
    return None if row is None else int(str(row["sk"]).partition("#")[0]) / 1000


def new_run_id(now: float) -> str:
    """An id that sorts by time: 20261122T150000-1a2b3c."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _note_trigger(table_name: str, run_id: str, trigger: str) -> None:
    db(table_name).update_item(
        TableName=table_name,
        Key=_run_key(run_id),
        UpdateExpression="SET triggers = list_append(if_not_exists(triggers, :none), :one)",
        ExpressionAttributeValues={":none": [], ":one": [trigger]},
    )


def _run_key(run_id: str) -> Row:
    return {"pk": _RUNS, "sk": run_id}


def _lock_key(shop: str) -> Row:
    return {"pk": f"shop#{shop}", "sk": ONLY}


def _status(table_name: str, row: Row) -> RunStatus:
    counts = {
        name.removeprefix(COUNTER): int(value)
        for name, value in row.items()
        if name.startswith(COUNTER)
    }
    figures = Statistics.of(counts)
    run_id = str(row["sk"])
    return RunStatus(
        run_id=run_id,
        spider=row["spider"],
        shop=row["shop"],
        base_url=row["base_url"],
        trigger=row["trigger"],
        limit=int(row["limit"]),
        settings=json.loads(row.get("settings", "{}")),
        earlier=row.get("earlier", ""),
        status=row["status"],
        pages=figures.pages,
        items=figures.items,
        photos=figures.photos,
        dropped=sum(figures.dropped.values()),
        errors=sum(figures.errors.values()),
        todo=_todo(table_name, run_id) if row["status"] in GOING_ON else 0,
        started_at=row["started_at"],
        finished_at=row.get("finished_at", ""),
        finish_reason=row.get("finish_reason", ""),
        announced="unannounced" not in row,
        errors_by_reason=figures.errors,
        dropped_by_reason=figures.dropped,
        counts=counts,
        settles=int(row["settles"]),
        triggers=tuple(row.get("triggers", ())),
    )


def _todo(table_name: str, run_id: str) -> int:
    """How many requests wait, over the hosts of a run."""
    return sum(
        int(row["count"])
        for host in hosts_of(table_name, run_id)
        for row in query(
            table_name,
            Key("pk").eq(todo_partition(run_id, host)),
            ProjectionExpression="#count",
            ExpressionAttributeNames={"#count": "count"},
        )
    )
