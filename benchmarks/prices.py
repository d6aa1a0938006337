"""The one table of AWS's list prices, in USD, for comparing designs.

Written down from memory in November 2026, from the price lists of 2025 for us-east-1, and checked
against none since: look the current ones up before you plan a budget. No free tier, no discount.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

AS_OF: Final = "list prices of 2025, us-east-1, from memory"


@dataclass(frozen=True)
class Price:
    """What one of something costs, and what counts as one."""

    usd: float
    unit: str


PRICES: Final[Mapping[str, Price]] = {
    "DynamoDB write units": Price(0.625e-6, "1 KB written on demand; two in a transaction"),
    "DynamoDB read units": Price(0.125e-6, "4 KB read consistently on demand; half if eventually"),
    "SQS requests": Price(0.40e-6, "a call to a standard queue, up to 64 KB"),
    "SNS messages": Price(0.50e-6, "64 KB published"),
    "Lambda GB-seconds": Price(16.6667e-6, "x86, by the millisecond"),
    "Lambda requests": Price(0.20e-6, "an invocation"),
    "S3 puts": Price(5.0e-6, "a PUT, COPY, POST or LIST, also one that a condition refuses"),
    "S3 gets": Price(0.4e-6, "a GET or HEAD"),
    "API Gateway requests": Price(1.0e-6, "a call of an HTTP API, up to 512 KB"),
    "Scheduler invocations": Price(1.0e-6, "a schedule of EventBridge that fires"),
    "S3 GB-months": Price(0.023, "standard storage"),
    "DynamoDB GB-months": Price(0.25, "standard storage"),
}


def usd(counts: Mapping[str, float]) -> float:
    """What so many of each cost. Raises: KeyError for what has no price."""
    return sum(number * PRICES[name].usd for name, number in counts.items())


def lines(counts: Mapping[str, float]) -> list[str]:
    """A table of what so many of each cost, with the sum."""
    rows = [f"{name:<24}{n:>12.1f}{usd({name: n}):>12.6f}" for name, n in counts.items()]
    head = f"{'':<24}{'number':>12}{'USD':>12}   ({AS_OF})"
    return [head, *rows, f"{'in all':<36}{usd(counts):>12.6f}"]
