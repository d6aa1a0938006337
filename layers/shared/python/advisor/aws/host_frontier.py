"""The frontier of one host for one turn, in DynamoDB.

Exactly once without a transaction per address: a page's new links are first written as to-do
rows, then claimed one by one with a conditional put that names the row. A turn that takes a row
fetches only what the row has claimed, claiming what a crash left unclaimed. Photos and items are
claimed without the condition, all of a batch in one row, which every turn of the run reads: a
write unit holds 60 of them. Where two hosts find the same photo at the same moment, or a worker
dies between the two writes, it may be fetched twice and is stored once. What a batch settled (rows
shrunk or deleted, items, counters) is one transaction, so a worker that lost its lease cannot
count anything twice, and one that dies leaves no item uncounted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from boto3.dynamodb.conditions import Key

from advisor.aws.frontier import count_update, host_row
from advisor.aws.frontier_rows import (
    KEPT_S,
    ONLY,
    Row,
    TodoRow,
    claimed_in,
    claimed_partition,
    claimed_rows,
    db,
    due_key,
    key_digest,
    put_all,
    query,
    seen_key,
    todo_partition,
    todo_rows,
)
from advisor.aws.leases import Lease, save_host_state
from advisor.aws.rows import get_all
from advisor.crawling.frontier import HostState, Settlement
from advisor.crawling.messages import Kind, Request

_WRITERS = 16
_ROWS_A_TRANSACTION = 90  # of 100 that DynamoDB takes; the run and items need some
_MAX_CACHED = 200_000
_PACKED = ("photo:", "item:")  # keys that are claimed many in a row
_CLOCKS_DIFFER_S = 10.0  # between two workers, at most


class LeaseLostError(Exception):
    """Another worker settled what this one was at: its lease had run out. Ends the turn."""


class HostFrontier:
    """A `Frontier` of the one host whose lease is held. Use it within `with`.

    on_work: called with a host, not this one, each time that something to do was added for it.
    """

    def __init__(
        self,
        table_name: str,
        lease: Lease,
        *,
        counts: Mapping[str, int],
        on_work: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._table = table_name
        self._lease = lease
        self._run_id = lease.run_id
        self._counts = counts
        self._on_work = on_work
        self._clock = clock
        self._taken: dict[str, TodoRow] = {}  # by batch; requests shrink as they are settled
        self._touched: set[str] = set()
        self._cache: set[str] = set()
        self._claimed: set[bytes] = set()  # of photos and items
        self._looked_at = 0.0
        self._known_hosts = {lease.host}
        self._writers = ThreadPoolExecutor(_WRITERS)

    def __enter__(self) -> HostFrontier:
        return self

    def __exit__(self, *_: object) -> None:
        self._writers.shutdown()

    def hosts(self) -> Collection[str]:
        return (self._lease.host,)

    def host(self, host: str) -> HostState:  # noqa: ARG002 (there is one)
        return self._lease.state

    def save_host(self, host: str, state: HostState) -> None:  # noqa: ARG002 (same)
        save_host_state(self._table, self._lease, state, now=self._clock())

    def counts(self) -> Mapping[str, int]:
        return self._counts

    def unseen(self, keys: Iterable[str]) -> set[str]:
        asked = {key for key in keys if key not in self._cache}
        packed = {key for key in asked if key.startswith(_PACKED)}
        rows = {seen_key(self._run_id, key)["pk"]: key for key in asked - packed}
        keyed = [{"pk": pk, "sk": ONLY} for pk in rows]
        found = get_all(self._table, keyed, consistent=True, projection="pk")
        seen = {rows[str(row["pk"])] for row in found}
        self._remember(seen)
        if packed:
            self._look_at_claimed()
            seen |= {key for key in packed if key_digest(key) in self._claimed}
        return asked - seen

    def take(self, host: str, *, kinds: Collection[Kind], limit: int, now: float) -> list[Request]:
        """See `Frontier.take`. Requests of other kinds are given up: a run's limit is final."""
        partition = Key("pk").eq(todo_partition(self._run_id, host))
        due = Key("sk").lt(due_key(now + 0.001))
        taken: list[Request] = []
        for row in query(self._table, partition & due, Limit=len(self._taken) + 4):
            todo = TodoRow.from_row(row, run_id=self._run_id, host=host)
            if todo.batch in self._taken:
                continue
            own = [one for one in self._owned(todo) if one.kind in kinds]
            self._taken[todo.batch] = replace(todo, requests=tuple(own))
            if len(own) < len(todo.requests):
                self._touched.add(todo.batch)
            taken += own
            if len(taken) >= limit:
                break
        return taken

    def next_due(self, host: str, *, kinds: Collection[Kind]) -> float | None:  # noqa: ARG002 (same)
        partition = Key("pk").eq(todo_partition(self._run_id, host))
        for row in query(self._table, partition, Limit=len(self._taken) + 1):
            due, _, batch = str(row["sk"]).partition("#")
            if batch not in self._taken:
                return int(due) / 1000
        return None

    def settle(self, settlement: Settlement) -> None:
        self._add(settlement.new)
        now = self._clock()
        again = todo_rows(self._run_id, settlement.retries)
        photos = [one.key for one in settlement.new if one.kind == "photo"]
        claims = claimed_rows(self._run_id, photos, now=now)
        put_all(self._table, [*(row.to_row(now) for row in again), *claims])
        self._claimed.update(map(key_digest, [*settlement.claimed, *photos]))
        self._shrink({*settlement.done, *(request for request, _ in settlement.retries)})
        self._commit(settlement.counts, claimed_rows(self._run_id, settlement.claimed, now=now))

    def _add(self, requests: Collection[Request]) -> None:
        """Write new requests as rows, then claim each for its row."""
        now = self._clock()
        rows = todo_rows(self._run_id, [(request, 0.0) for request in requests])
        for host in {row.host for row in rows} - self._known_hosts:
            self._register(host)
        put_all(self._table, [row.to_row(now) for row in rows])
        claims = [(request, row.batch) for row in rows for request in row.requests]
        pages = [claim for claim in claims if claim[0].kind == "page"]
        for claim in [self._writers.submit(self._claim, one.key, batch) for one, batch in pages]:
            claim.result()
        self._remember(one.key for one, _ in pages)
        for host in {row.host for row in rows} - {self._lease.host}:
            self._on_work(host)

    def _register(self, host: str) -> None:
        client = db(self._table)
        with suppress(client.exceptions.ConditionalCheckFailedException):
            client.put_item(
                TableName=self._table,
                Item=host_row(self._run_id, host, now=self._clock()),
                ConditionExpression="attribute_not_exists(pk)",
            )
        self._known_hosts.add(host)

    def _look_at_claimed(self) -> None:
        """Learn which photos and items other turns have claimed since the last look."""
        since = max(0.0, self._looked_at - _CLOCKS_DIFFER_S)
        self._looked_at = self._clock()
        partition = Key("pk").eq(claimed_partition(self._run_id))
        for row in query(self._table, partition & Key("sk").gt(due_key(since))):
            self._claimed |= claimed_in(row)

    def _claim(self, key: str, batch: str) -> bool:
        """Claim an address for a row; False if another row has it."""
        client = db(self._table)
        try:
            client.put_item(
                TableName=self._table,
                Item=self._seen_row(key, batch),
                ConditionExpression="attribute_not_exists(pk) OR claimed_by = :batch",
                ExpressionAttributeValues={":batch": batch},
            )
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _seen_row(self, key: str, batch: str) -> Row:
        expires_at = int(self._clock()) + KEPT_S
        return {**seen_key(self._run_id, key), "claimed_by": batch, "expires_at": expires_at}

    def _owned(self, todo: TodoRow) -> list[Request]:
        """The row's requests without those that another row has claimed."""
        keys = {
            one.key: seen_key(self._run_id, one.key) for one in todo.requests if one.kind != "photo"
        }
        rows = get_all(self._table, [*keys.values()], consistent=True, projection="pk, claimed_by")
        claimed = {str(row["pk"]): str(row.get("claimed_by", "")) for row in rows}
        own = []
        for one in todo.requests:
            owner = claimed.get(keys[one.key]["pk"], "") if one.key in keys else todo.batch
            if (
                one.attempts
                or owner == todo.batch
                or (not owner and self._claim(one.key, todo.batch))
            ):
                own.append(one)
        return own

    def _shrink(self, settled: Collection[Request]) -> None:
        keys = {request.key for request in settled}
        for batch, todo in self._taken.items():
            left = tuple(one for one in todo.requests if one.key not in keys)
            if len(left) < len(todo.requests):
                self._taken[batch] = replace(todo, requests=left)
                self._touched.add(batch)

    def _commit(self, counts: Mapping[str, int], claims: Sequence[Row]) -> None:
        """Write the rows that shrank, the items' claims and the counters, all or nothing."""
        touched = [self._taken[batch] for batch in self._touched][:_ROWS_A_TRANSACTION]
        if not touched and not counts and not claims:
            return
        now = self._clock()
        client = db(self._table)
        actions: list[Row] = [{"Update": count_update(self._table, self._run_id, counts)}]
        actions += [{"Put": {"TableName": self._table, "Item": row}} for row in claims]
        for todo in touched:
            exists = {"TableName": self._table, "ConditionExpression": "attribute_exists(pk)"}
            if todo.requests:
                actions.append({"Put": {**exists, "Item": todo.to_row(now)}})
            else:
                actions.append({"Delete": {**exists, "Key": todo.key}})
        try:
            client.transact_write_items(TransactItems=actions)
        except client.exceptions.TransactionCanceledException as error:
            raise LeaseLostError(f"lost the lease of {self._lease.host}") from error
        for todo in touched:
            self._touched.discard(todo.batch)
            if not todo.requests:
                del self._taken[todo.batch]
        self._counts = {
            name: self._counts.get(name, 0) + counts.get(name, 0)
            for name in {*self._counts, *counts}
        }
        if self._touched:
            self._commit({}, ())

    def _remember(self, keys: Iterable[str]) -> None:
        if len(self._cache) > _MAX_CACHED:
            self._cache.clear()
        self._cache.update(keys)
