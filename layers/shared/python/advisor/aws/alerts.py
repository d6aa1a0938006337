"""Alerts on products in DynamoDB; what they tell goes to an SNS topic.

alerts   product_id, alert_id -> the alert and how far it has come
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.clients import client, column, row_key, table
from advisor.aws.rows import query_all, scan_all
from advisor.catalog.alerts import Alert, Seen, check
from advisor.errors import NotFoundError

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AlertTable:
    """The alerts table, by name. topic_arn: where alerts are told; "" where they are only kept."""

    name: str
    topic_arn: str = ""

    def all(self) -> list[Alert]:
        """Every alert. Reads the whole table: for a person's list, not for a crawl."""
        return [Alert.from_dict(row) for row in scan_all(self.name)]

    def add(self, alert: Alert) -> None:
        """Keep one more alert."""
        table(self.name).put_item(Item=alert.to_dict())

    def remove(self, alert_id: str) -> None:
        """Forget an alert.

        Raises: NotFoundError if there is none of that id.
        """
        found = [one for one in self.all() if one.alert_id == alert_id]
        if not found:
            raise NotFoundError(f"no alert {alert_id!r} in table {self.name}")
        table(self.name).delete_item(Key=_key(found[0]))

    def see(self, product_id: str, seen: Seen) -> list[str]:
        """Compare a product's alerts with what a crawl saw; returns what was told.

        Of two calls with the same sight one tells: the row's change decides which.
        """
        told = []
        for alert in self._of(product_id):
            now, text = check(alert, seen)
            if now == alert or not self._change(alert, now) or not text:
                continue
            if self._tell(alert, now, text):
                told.append(text)
        return told

    def _of(self, product_id: str) -> Iterator[Alert]:
        condition = row_key("product_id").eq(product_id)
        rows = query_all(self.name, KeyConditionExpression=condition, ConsistentRead=True)
        return map(Alert.from_dict, rows)

    def _change(self, before: Alert, now: Alert) -> bool:
        """Write the new state over the one that was read; whether this call did it."""
        unchanged = column("armed").eq(before.armed)
        if before.reference is None:
            unchanged &= column("reference").not_exists()
        else:
            unchanged &= column("reference").eq(before.reference)
        try:
            table(self.name).put_item(Item=now.to_dict(), ConditionExpression=unchanged)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def _tell(self, before: Alert, now: Alert, text: str) -> bool:
        """Publish; whether that worked. If not, the alert is as before: the next crawl tells."""
        try:
            client("sns").publish(
                TopicArn=self.topic_arn,
                Subject="Products Advisor: a price alert",  # the shop's words stay out of it
                Message=json.dumps({"text": text, "alert": now.to_dict()}, ensure_ascii=False),
                MessageAttributes={
                    "kind": {"DataType": "String", "StringValue": now.kind.value},
                    "product_id": {"DataType": "String", "StringValue": now.product_id},
                },
            )
        except (BotoCoreError, ClientError):
            _logger.exception("alert %s was not told", now.alert_id)
            self._change(now, before)
            return False
        return True


def _key(alert: Alert) -> dict[str, str]:
    return {"product_id": alert.product_id, "alert_id": alert.alert_id}
