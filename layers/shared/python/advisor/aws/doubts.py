"""What a person should look at, as the index function found it when it last listed all products.

listing/doubts.json    {"matches"}: pairs that may be one product (advisor.catalog.doubts)
listing/current.json   {"disagreements"}: products that may be mis-shelved, {"mapped"}: what shops'
                       categories are (advisor.aws.listings)
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from advisor.aws.clients import client
from advisor.aws.listings import CURRENT
from advisor.aws.objects import read_json
from advisor.catalog.categories import MappedCategory

if TYPE_CHECKING:
    from advisor.catalog.doubts import Doubt

DOUBTS: Final = "listing/doubts.json"


@dataclass(frozen=True)
class DoubtStore:
    """The doubts of one bucket."""

    bucket: str

    def publish(self, doubts: Iterable[Doubt]) -> int:
        """Put these in the place of those before; how many they are."""
        matches = [one.to_dict() for one in doubts]
        client("s3").put_object(
            Bucket=self.bucket,
            Key=DOUBTS,
            Body=json.dumps({"matches": matches}, ensure_ascii=False).encode(),
            ContentType="application/json",
        )
        return len(matches)

    def matches(self) -> list[dict[str, Any]]:
        """The doubtful matches (`Doubt.to_dict`), the likeliest first."""
        found: list[dict[str, Any]] = (read_json(self.bucket, DOUBTS) or {}).get("matches", [])
        return found

    def disagreements(self) -> list[dict[str, Any]]:
        """The products that may be mis-shelved (`Disagreement.to_dict`), the surest first."""
        found = self._listed("disagreements")
        return [one for one in found if one.get("image_id")]  # a list of before had none

    def mapped(self) -> list[MappedCategory]:
        """What each shop's category is in the list of products that is in use."""
        return [MappedCategory.from_dict(one) for one in self._listed("mapped")]

    def _listed(self, what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (read_json(self.bucket, CURRENT) or {}).get(what, [])
        return found
