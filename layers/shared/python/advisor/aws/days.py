"""How many photos a day were classified, and how many of them the model was not sure of.

days   what ("photos"), day = 2026-11-22#<model version> -> classified, unknown, unreadable
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from advisor.aws.clients import row_key, table
from advisor.aws.rows import query_all

_PHOTOS: Final = "photos"


@dataclass(frozen=True, kw_only=True)
class Day:
    """The stored photos of one day (UTC) that one model saw.

    classified: those that could be read. unknown: of these, those that it was not sure of.
    unreadable: the others.
    """

    day: str
    model_version: str
    classified: int
    unknown: int
    unreadable: int


@dataclass(frozen=True)
class DayTable:
    """The days table, by name."""

    name: str

    def add(
        self, day: date, model_version: str, *, classified: int, unknown: int, unreadable: int
    ) -> None:
        """Add to a day's numbers, in one write; nothing for no photo."""
        if not classified + unreadable:
            return
        table(self.name).update_item(
            Key={"what": _PHOTOS, "day": f"{day.isoformat()}#{model_version}"},
            UpdateExpression="ADD classified :seen, #unknown :unknown, unreadable :unreadable",
            ExpressionAttributeNames={"#unknown": "unknown"},
            ExpressionAttributeValues={
                ":seen": classified,
                ":unknown": unknown,
                ":unreadable": unreadable,
            },
        )

    def since(self, day: date) -> list[Day]:
        """The days from one on, oldest first; of a day with two models both."""
        condition = row_key("what").eq(_PHOTOS) & row_key("day").gte(day.isoformat())
        return list(map(_day, query_all(self.name, KeyConditionExpression=condition)))


def _day(row: Mapping[str, Any]) -> Day:
    day, _, version = row["day"].partition("#")
    return Day(
        day=day,
        model_version=version,
        classified=int(row["classified"]),
        unknown=int(row["unknown"]),
        unreadable=int(row["unreadable"]),
    )
