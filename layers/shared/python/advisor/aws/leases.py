"""Leases of hosts: one worker at a time asks a host, over all runs, and keeps its delay."""

from __future__ import annotations

import secrets
import zlib
from dataclasses import dataclass
from typing import Any

from advisor.aws.frontier_rows import KEPT_S, ONLY, Row, db, get
from advisor.crawling.frontier import HostState
from advisor.crawling.robots import MAX_BYTES

ROBOTS_MAX_AGE_S = 24 * 3600  # RFC 9309 section 2.4


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to ask a host until `until` (epoch seconds). holder: unique to this turn.

    broken_off: the turn before did not come to its end; what it wrote last may not be settled.
    broken_off_at: what it had noted then (`note_request`), "" for nothing.
    """

    host: str
    run_id: str
    holder: str
    until: float
    state: HostState
    broken_off: bool = False
    broken_off_at: str = ""


def take_lease(
    table_name: str, host: str, *, run_id: str, seconds: float, now: float
) -> Lease | None:
    """The lease, or None while another worker has it. One that ran out may be taken over."""
    client = db(table_name)
    holder, until = secrets.token_hex(8), now + seconds
    try:
        answer = client.update_item(
            TableName=table_name,
            Key=_key(host),
            UpdateExpression="SET holder = :holder, run_id = :run, lease_until = :until, "
            "expires_at = :expires REMOVE attempt",
            ConditionExpression="attribute_not_exists(lease_until) OR lease_until < :now",
            ExpressionAttributeValues={
                ":holder": holder,
                ":run": run_id,
                ":until": int(until * 1000),
                ":now": int(now * 1000),
                ":expires": int(now) + KEPT_S,
            },
            ReturnValues="ALL_OLD",
        )
    except client.exceptions.ConditionalCheckFailedException:
        return None
    before = answer.get("Attributes", {})
    return Lease(
        host=host,
        run_id=run_id,
        holder=holder,
        until=until,
        state=_state(before, now),
        broken_off="holder" in before,
        broken_off_at=str(before.get("attempt", "")),
    )


def holding_run(table_name: str, host: str, *, now: float) -> str:
    """The run whose worker has the host's lease now; "" if none."""
    row = get(table_name, _key(host)) or {}
    held = int(row.get("lease_until", 0)) >= int(now * 1000)
    return str(row["run_id"]) if held else ""


def release_lease(table_name: str, lease: Lease, *, in_order: bool = True) -> None:
    """Give the lease back; nothing happens if it was taken over meanwhile.

    in_order: the turn came to its end, and all that it wrote is settled.
    """
    names = "lease_until, run_id" + (", holder, attempt" if in_order else "")
    _update_if_held(table_name, lease, f"REMOVE {names}", {})


def note_request(table_name: str, lease: Lease, attempt: str) -> None:
    """Note what the turn is at, for the next one, if this one breaks off."""
    _update_if_held(table_name, lease, "SET attempt = :at", {":at": attempt})


def save_host_state(table_name: str, lease: Lease, state: HostState, *, now: float) -> None:
    """Remember the host's next allowed time, and its robots.txt if that was just read."""
    sets, values = ["next_at = :next"], {":next": int(state.next_at * 1000)}
    all_values: dict[str, Any] = dict(values)
    if state.robots is not None and state.robots != lease.state.robots:
        sets += ["robots = :robots", "robots_at = :at"]
        text = state.robots.encode()[:MAX_BYTES]
        all_values |= {":robots": zlib.compress(text), ":at": int(now)}
    _update_if_held(table_name, lease, f"SET {', '.join(sets)}", all_values)


def _update_if_held(table_name: str, lease: Lease, expression: str, values: Row) -> None:
    client = db(table_name)
    try:
        client.update_item(
            TableName=table_name,
            Key=_key(lease.host),
            UpdateExpression=expression,
            ConditionExpression="holder = :holder",
            ExpressionAttributeValues={**values, ":holder": lease.holder},
        )
    except client.exceptions.ConditionalCheckFailedException:
        return


def _key(host: str) -> Row:
    return {"pk": f"host#{host}", "sk": ONLY}


def _state(row: Row, now: float) -> HostState:
    fresh = "robots" in row and now - int(row["robots_at"]) < ROBOTS_MAX_AGE_S
    return HostState(
        robots=zlib.decompress(bytes(row["robots"])).decode("utf-8", "replace") if fresh else None,
        next_at=int(row.get("next_at", 0)) / 1000,
    )
