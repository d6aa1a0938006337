"""Messages to SQS, ten at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from advisor.aws.clients import client

MAX_BATCH: Final = 10  # messages that one SendMessageBatch takes
ATTEMPTS: Final = 5


def send_batch(
    queue_url: str, bodies: Sequence[str], *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Send at most MAX_BATCH messages; those that SQS refuses are sent again.

    Raises: ConnectionError if some are refused ATTEMPTS times.
    """
    left = {str(number): body for number, body in enumerate(bodies)}
    for attempt in range(ATTEMPTS):
        answer = client("sqs").send_message_batch(
            QueueUrl=queue_url,
            Entries=[{"Id": number, "MessageBody": body} for number, body in left.items()],
        )
        refused = answer.get("Failed", [])
        left = {entry["Id"]: left[entry["Id"]] for entry in refused}
        if not left:
            return
        sleep(0.1 * 2**attempt)
    reasons = ", ".join(sorted({entry["Code"] for entry in refused}))
    raise ConnectionError(f"SQS refused {len(left)} messages {ATTEMPTS} times: {reasons}")
