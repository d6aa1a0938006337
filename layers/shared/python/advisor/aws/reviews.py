"""What people decided, in DynamoDB: what a photo shows, whether two offers are one product, and
what a shop's category is.

reviews   kind ("photo", "match", "category"), about -> the decision, by whom and when; index
          by_time
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from botocore.exceptions import ClientError

from advisor.aws.clients import column, row_key, table
from advisor.aws.remembered import MAX_AGE_S, Remembered
from advisor.aws.rows import get_all, query_all
from advisor.catalog.categories import Shelved
from advisor.catalog.pins import Pins, pins_of

PHOTO: Final = "photo"
MATCH: Final = "match"
CATEGORY: Final = "category"
SAME: Final = "same"
DIFFERENT: Final = "different"
BY_TIME: Final = "by_time"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One decision.

    kind: PHOTO, MATCH or CATEGORY. about: the photo's id (sha256), or the match's or category's
    (catalog/pins.py). said: the label; SAME or DIFFERENT; or the unified category. by: the
    caller's ARN. at: ISO 8601, UTC, with microseconds. seen: what it was decided on
    (`shop_label`, `label` and `model_version`; `one` and `other`, ids of products; or `shop`,
    `category` and what photos told it to be, `unified`).
    """

    kind: str
    about: str
    said: str
    by: str
    at: str
    seen: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object, and as a row."""
        return asdict(self)


@dataclass(frozen=True)
class ReviewTable:
    """The reviews table, by name."""

    name: str

    def put(self, decision: Decision) -> Decision:
        """Store a decision in place of an earlier one; the one that is in force then.

        The same decision again, by whomever, changes nothing: the first one stays.
        """
        try:
            table(self.name).put_item(
                Item=decision.to_dict(),
                ConditionExpression=column("about").not_exists() | column("said").ne(decision.said),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return self.get(decision.kind, decision.about) or decision
        return decision

    def get(self, kind: str, about: str) -> Decision | None:
        """A decision; None where there is none."""
        row = table(self.name).get_item(Key=_key(kind, about), ConsistentRead=True).get("Item")
        return _decision(row) if row else None

    def remove(self, kind: str, about: str) -> bool:
        """Undo a decision; False if there was none."""
        answer = table(self.name).delete_item(Key=_key(kind, about), ReturnValues="ALL_OLD")
        return "Attributes" in answer

    def decided(self, kind: str, abouts: Collection[str]) -> set[str]:
        """Those of the ids that are decided."""
        keys = [_key(kind, one) for one in dict.fromkeys(abouts)]
        return {row["about"] for row in get_all(self.name, keys, consistent=True)}

    def latest(self, kind: str, limit: int) -> list[Decision]:
        """The decisions made last, newest first."""
        answer = table(self.name).query(
            IndexName=BY_TIME,
            KeyConditionExpression=row_key("kind").eq(kind),
            ScanIndexForward=False,
            Limit=limit,
        )
        return list(map(_decision, answer["Items"]))

    def all(self, kind: str) -> Iterator[Decision]:
        """All decisions of a kind, in the order of what they are about."""
        rows = query_all(
            self.name, KeyConditionExpression=row_key("kind").eq(kind), ConsistentRead=True
        )
        return map(_decision, rows)


def corrections(decisions: Iterable[Decision]) -> Iterator[dict[str, str]]:
    """Decided photos as lines of the corrections that a training reads (docs/models.md)."""
    for one in decisions:
        yield {"image": one.about, "label": one.said, "by": one.by, "at": one.at}


def pairs(decisions: Iterable[Decision]) -> Iterator[dict[str, Any]]:
    """Decided matches as lines of a folder's matches.jsonl (docs/matching.md)."""
    for one in decisions:
        seen = {"one": one.seen["one"], "other": one.seen["other"]}
        yield seen | {"same": one.said == SAME, "by": one.by, "at": one.at}


def category_pins(decisions: Iterable[Decision]) -> dict[Shelved, str]:
    """Decided categories as `advisor.catalog.categories.map_categories` takes them."""
    return {(one.seen["shop"], one.seen["category"]): one.said for one in decisions}


class MatchPins(Remembered[Pins]):
    """Which products people said are one, as it was known at most a minute ago."""

    def __init__(self, reviews: ReviewTable, *, max_age_s: float = MAX_AGE_S) -> None:
        """max_age_s: the table is asked at most so often."""

        def read() -> Pins:
            decided = pairs(reviews.all(MATCH))
            return pins_of((one["one"], one["other"], one["same"]) for one in decided)

        super().__init__("pins", read, max_age_s=max_age_s)


def _key(kind: str, about: str) -> dict[str, str]:
    return {"kind": kind, "about": about}


def _decision(row: Mapping[str, Any]) -> Decision:
    return Decision(**{name: row[name] for name in Decision.__dataclass_fields__})
