"""Tells subscribers of an SNS topic that a crawl ended."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.clients import client
from advisor.aws.frontier import RunStatus
from advisor.crawling.completeness import LostField

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClosedTopic:
    """Publishes the record of each run that ended, as JSON."""

    arn: str

    def announce(self, run: RunStatus, lost_fields: Sequence[LostField]) -> bool:
        """Publish; whether it was. A failure of SNS is logged, and never that of the crawl."""
        record = asdict(run)
        del record["announced"]  # it is, by this
        try:
            client("sns").publish(
                TopicArn=self.arn,
                Subject=f"Crawl {run.run_id} {run.status}",  # the shop's own words stay out of it
                Message=json.dumps(
                    {**record, "lost_fields": [asdict(one) for one in lost_fields]},
                    ensure_ascii=False,
                ),
                MessageAttributes={
                    "status": {"DataType": "String", "StringValue": run.status},
                    "lost_fields": {"DataType": "Number", "StringValue": str(len(lost_fields))},
                    "finish_reason": {"DataType": "String", "StringValue": run.finish_reason},
                },
            )
        except (BotoCoreError, ClientError):
            _logger.exception("the end of crawl %s was not announced", run.run_id)
            return False
        return True
