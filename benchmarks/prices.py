"""The one table of AWS's list prices for us-east-1, in USD, for comparing designs.

Each price was looked up in November 2026 in the page that it names, as that page was stored by
others; AWS's own price list was out of reach. The pages are of the dates given, mostly not AWS's
own, and none of them is a bill: look the prices up before you plan a budget. Other regions have
others. No free tier, no discount for large numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

AS_OF: Final = "list prices of 2024 to 2026, us-east-1"


@dataclass(frozen=True)
class Price:
    """What one of something costs, what counts as one, and where and of when that is told."""

    usd: float
    unit: str
    source: str


# Half of what they were before November 2024.
_DYNAMODB: Final = "airbyte.com/data-engineering-resources/dynamodb-pricing, July 2025"
_LAMBDA: Final = "cloudchipr.com/blog/aws-lambda-pricing, 2024"
# That requests are billed which a condition refuses: "Billing for Amazon S3 error responses" and
# "Add preconditions to S3 operations" in the S3 user guide.
_S3: Final = "c3x.dev/blog/s3-request-fees-explained, no date"

PRICES: Final[Mapping[str, Price]] = {
    "DynamoDB write units": Price(
        0.625e-6, "1 KB written on demand; two in a transaction", _DYNAMODB
    ),
    "DynamoDB read units": Price(
        0.125e-6, "4 KB read consistently on demand; half if eventually", _DYNAMODB
    ),
    "SQS requests": Price(
        0.40e-6,
        "a call to a standard queue, up to 64 KB",
        "cloudburn.io/blog/amazon-sqs-pricing, March 2026",
    ),
    "SNS messages": Price(
        0.50e-6,
        "64 KB published",
        "factualminds.com/blog/amazon-sns-pricing-publishes-fanout-protocols, June 2026",
    ),
    "Lambda GB-seconds": Price(16.6667e-6, "x86, by the millisecond", _LAMBDA),
    "Lambda requests": Price(
        0.20e-6,
        "an invocation",
        "docs.aws.amazon.com/whitepapers/latest/how-aws-pricing-works/lambda.html, no date",
    ),
    "S3 puts": Price(5.0e-6, "a PUT, COPY, POST or LIST, also one that a condition refuses", _S3),
    "S3 gets": Price(0.4e-6, "a GET or HEAD", _S3),
    "API Gateway requests": Price(
        1.0e-6,
        "a call of an HTTP API, up to 512 KB",
        "awsforengineers.com/blog/aws-api-gateway-pricing-explained, May 2025",
    ),
    "Scheduler invocations": Price(
        1.0e-6,
        "a schedule of EventBridge that fires",
        "cloudburn.io/blog/amazon-eventbridge-pricing, March 2026",
    ),
    "S3 GB-months": Price(
        0.023,
        "standard storage, of the first 50 TB",
        "devnotes.tech/understanding-aws-s3-pricing-a-complete-cost-breakdown-with-examples, "
        "no date",
    ),
    "DynamoDB GB-months": Price(
        0.25, "standard storage", "aws.amazon.com/dynamodb/pricing, an older copy"
    ),
}


def usd(counts: Mapping[str, float]) -> float:
    """What so many of each cost. Raises: KeyError for what has no price."""
    return sum(number * PRICES[name].usd for name, number in counts.items())


def lines(counts: Mapping[str, float]) -> list[str]:
    """A table of what so many of each cost, with the sum."""
    rows = [f"{name:<24}{n:>12.1f}{usd({name: n}):>12.6f}" for name, n in counts.items()]
    head = f"{'':<24}{'number':>12}{'USD':>12}   ({AS_OF})"
    return [head, *rows, f"{'in all':<36}{usd(counts):>12.6f}"]
