"""Dead letters, sent back to the queue in which they failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.clients import client
from advisor.aws.queues import MAX_BATCH, send_batch
from advisor.aws.stacks import SERVICE_STACK, stack_outputs
from advisor.errors import AdvisorError, UsageError

_DEAD: Final = "Dead"
_URL: Final = "QueueUrl"


@dataclass(frozen=True, kw_only=True)
class WorkQueue:
    """A queue of the service stack by its name, "photos", and that of its dead letters."""

    name: str
    url: str
    dead_url: str

    def dead(self) -> int:
        """How many dead letters there are, about: SQS counts a minute late."""
        counted = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        found = self._ask("get_queue_attributes", QueueUrl=self.dead_url, AttributeNames=counted)
        return sum(int(found["Attributes"][one]) for one in counted)

    def redrive(self) -> int:
        """Send every dead letter again; returns their number.

        Each is sent, and then removed: one that is interrupted in between is sent twice, which
        what reads the queues bears. What fails again is back when its attempts are used up.
        Raises: AdvisorError saying how many were sent, if SQS refuses one.
        """
        sent = 0
        try:
            while letters := self._receive():
                send_batch(self.url, [one["Body"] for one in letters])
                sent += len(letters)
                self._remove(letters)
        except (ConnectionError, AdvisorError) as error:
            raise AdvisorError(f"{self.name}: {sent} sent again, then: {error}") from error
        return sent

    def _receive(self) -> list[dict[str, Any]]:
        """Up to ten; none only if there are none: a wait of a second asks all of SQS' servers."""
        answer = self._ask(
            "receive_message",
            QueueUrl=self.dead_url,
            MaxNumberOfMessages=MAX_BATCH,
            WaitTimeSeconds=1,
        )
        letters: list[dict[str, Any]] = answer.get("Messages", [])
        return letters

    def _remove(self, letters: list[dict[str, Any]]) -> None:
        answer = self._ask(
            "delete_message_batch",
            QueueUrl=self.dead_url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]}
                for number, one in enumerate(letters)
            ],
        )
        if refused := answer.get("Failed"):
            raise AdvisorError(
                f"SQS did not remove {len(refused)} of them from the dead letters:"
                f" {refused[0]['Code']}"
            )

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(client("sqs"), operation)(**arguments)
        except (BotoCoreError, ClientError) as error:
            raise AdvisorError(f"the dead letters of {self.name}: {error}") from error
        return answer


def work_queues(stack: str = SERVICE_STACK) -> list[WorkQueue]:
    """The queues of the service stack that have dead letters.

    Raises: UsageError if there is no such stack, it cannot be asked, or it has none.
    """
    found = queues_of(stack_outputs(stack))
    if not found:
        raise UsageError(f"stack {stack!r} has no dead-letter queue; expected {SERVICE_STACK}")
    return found


def queues_of(outputs: Mapping[str, str]) -> list[WorkQueue]:
    """The queues that a stack's outputs name: TokensQueueUrl with DeadTokensQueueUrl."""
    names = [
        name.removeprefix(_DEAD).removesuffix(_URL)
        for name in sorted(outputs)
        if name.startswith(_DEAD) and name.endswith(_URL)
    ]
    return [
        WorkQueue(
            name=name.lower(),
            url=outputs[f"{name}{_URL}"],
            dead_url=outputs[f"{_DEAD}{name}{_URL}"],
        )
        for name in names
    ]
