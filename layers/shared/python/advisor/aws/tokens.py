"""Tokens in SQS: each lets one worker take a turn at one host of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from advisor.aws.clients import client
from advisor.aws.frontier_rows import db, run_host_key

MAX_DELAY_S = 900  # of SQS; the emulator would take more
_ON_ITS_WAY_S = 120  # a token that was due longer ago than this is lost


@dataclass(frozen=True)
class Token:
    """A turn at a host for a run."""

    run_id: str
    host: str

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read the SQS record that Lambda hands over."""
        body = json.loads(record["body"])
        return cls(run_id=str(body["run_id"]), host=str(body["host"]))


@dataclass(frozen=True)
class TokenQueue:
    """Sends tokens, and notes on the run's host until when one is on its way."""

    queue_url: str
    table_name: str

    def send(self, token: Token, *, now: float, delay_s: float = 0.0) -> None:
        """Send a token that is seen after the delay, at most 15 minutes (its turn then waits)."""
        delay = min(max(0, -int(-delay_s // 1)), MAX_DELAY_S)
        client("sqs").send_message(
            QueueUrl=self.queue_url,
            MessageBody=json.dumps({"run_id": token.run_id, "host": token.host}),
            DelaySeconds=delay,
        )
        db(self.table_name).update_item(
            TableName=self.table_name,
            Key=run_host_key(token.run_id, token.host),
            UpdateExpression="SET token_until = :until",
            ExpressionAttributeValues={":until": int(now + delay + _ON_ITS_WAY_S)},
        )
