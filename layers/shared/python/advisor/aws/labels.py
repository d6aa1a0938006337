"""What the models said of photos, in DynamoDB.

labels   image_id, model_version -> labelled, with the labels; or unreadable ("-"), with the reason;
         image_id is the sha256 of its bytes; of what is too large to be hashed its s3:// address
         index to_review: photos of products that the model is not sure of, the least sure first
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from advisor.aws.clients import row_key, table
from advisor.aws.rows import query_all
from advisor.errors import NotFoundError
from advisor.vision.classification import Classification, Label

UNREADABLE: Final = "-"  # the model version of a photo that no model could see
MAX_REASON: Final = 1000
TO_REVIEW: Final = "to_review"


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """One row: what was said of a photo, where the photo lies, and when that was.

    reason: "" unless the photo is unreadable. product_id: of the first catalog photo with
    these bytes, whose embedding is stored; "" for an upload.
    """

    image_id: str
    bucket: str
    key: str
    classified_at: str
    classification: Classification | None = None
    reason: str = ""
    product_id: str = ""

    @property
    def status(self) -> str:
        """labelled or unreadable."""
        return "labelled" if self.classification else "unreadable"

    def to_dict(self) -> dict[str, Any]:
        """The answer of GET /images/{image_id}."""
        said = self.classification.to_dict() if self.classification else {"reason": self.reason}
        return {
            "image_id": self.image_id,
            "status": self.status,
            **said,
            "classified_at": self.classified_at,
        }


@dataclass(frozen=True)
class LabelTable:
    """The labels table, by name."""

    name: str

    def put(self, row: LabelRow) -> None:
        """Store a row; one of the same photo and model version is replaced."""
        table(self.name).put_item(Item=_encode(row))

    def get(self, image_id: str, model_version: str) -> LabelRow | None:
        """What a model said of a photo; None if it has not seen it."""
        key = {"image_id": image_id, "model_version": model_version}
        row = table(self.name).get_item(Key=key).get("Item")
        return _decode(row) if row else None

    def latest(self, image_id: str) -> LabelRow:
        """What was said of a photo last, by whichever model.

        Raises: NotFoundError if no model has seen it (yet).
        """
        rows = query_all(self.name, KeyConditionExpression=row_key("image_id").eq(image_id))
        found = max(map(_decode, rows), key=lambda row: row.classified_at, default=None)
        if found is None:
            raise NotFoundError(f"no classification of image {image_id!r}, or not yet")
        return found

    def to_review(self, model_version: str) -> Iterator[LabelRow]:
        """The photos that a model is not sure of and nobody has looked at, the least sure first."""
        condition = row_key("review").eq(model_version)
        return map(
            _decode, query_all(self.name, IndexName=TO_REVIEW, KeyConditionExpression=condition)
        )

    def count_to_review(self, model_version: str) -> int:
        """How many photos `to_review` gives, counted up to the first megabyte of them."""
        condition = row_key("review").eq(model_version)
        answer = table(self.name).query(
            IndexName=TO_REVIEW, KeyConditionExpression=condition, Select="COUNT"
        )
        return int(answer["Count"])

    def mark_reviewed(self, row: LabelRow, *, reviewed: bool = True) -> None:
        """Take a photo out of those to be reviewed, or put it back if it is one of them."""
        if not _is_doubtful(row):
            return
        assert row.classification is not None  # noqa: S101 (a doubtful one has it)
        version = row.classification.model_version
        change: dict[str, Any] = {"UpdateExpression": "REMOVE review"}
        if not reviewed:
            change = {
                "UpdateExpression": "SET review = :version",
                "ExpressionAttributeValues": {":version": version},
            }
        table(self.name).update_item(
            Key={"image_id": row.image_id, "model_version": version}, **change
        )


def _is_doubtful(row: LabelRow) -> bool:
    """Whether a person should look: a photo that trains, since it is a product's, is `unknown`."""
    return bool(row.product_id and row.classification and row.classification.unknown)


def _encode(row: LabelRow) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "image_id": row.image_id,
        "model_version": UNREADABLE,
        "status": row.status,
        "bucket": row.bucket,
        "key": row.key,
        "classified_at": row.classified_at,
    }
    if row.product_id:
        encoded["product_id"] = row.product_id
    if row.classification is None:
        return encoded | {"reason": row.reason[:MAX_REASON]}
    said = row.classification
    if _is_doubtful(row):
        encoded["review"] = said.model_version
    return encoded | {
        "probability": _decimal(said.labels[0].probability),
        "model_version": said.model_version,
        "labels": [
            {"label": one.label, "probability": _decimal(one.probability)} for one in said.labels
        ],
        "unknown": said.unknown,
        "timing_ms": {stage: _decimal(value) for stage, value in said.timing_ms.items()},
    }


def _decode(row: Mapping[str, Any]) -> LabelRow:
    said = None
    if row["status"] == "labelled":
        said = Classification(
            image_id=row["image_id"],
            model_version=row["model_version"],
            labels=tuple(Label(one["label"], float(one["probability"])) for one in row["labels"]),
            unknown=row["unknown"],
            timing_ms={stage: float(value) for stage, value in row.get("timing_ms", {}).items()},
        )
    return LabelRow(
        image_id=row["image_id"],
        bucket=row["bucket"],
        key=row["key"],
        classified_at=row["classified_at"],
        classification=said,
        reason=row.get("reason", ""),
        product_id=row.get("product_id", ""),
    )


def _decimal(value: float) -> Decimal:
    return Decimal(str(round(value, 6)))
