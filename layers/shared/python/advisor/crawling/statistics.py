"""The figures of a crawl, as shown at its end and kept with its run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_DROPPED = "dropped:"
_ERRORS = "errors:"


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What a crawl came to. The counts are of the whole crawl, also over a stop in between."""

    pages: int
    items: int
    photos: int
    dropped: Mapping[str, int]
    errors: Mapping[str, int]
    retries: int
    redirects: int
    bytes: int

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Statistics:
        """The statistics in a frontier's counters."""
        return cls(
            pages=counts.get("pages", 0),
            items=counts.get("items", 0),
            photos=counts.get("photos", 0),
            dropped=_by_reason(counts, _DROPPED),
            errors=_by_reason(counts, _ERRORS),
            retries=counts.get("retries", 0),
            redirects=counts.get("redirects", 0),
            bytes=counts.get("bytes", 0),
        )

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "pages": self.pages,
            "items": self.items,
            "photos": self.photos,
            "dropped": dict(self.dropped),
            "errors": dict(self.errors),
            "retries": self.retries,
            "redirects": self.redirects,
            "bytes": self.bytes,
        }


def _by_reason(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    found = {
        name.removeprefix(prefix): value
        for name, value in counts.items()
        if name.startswith(prefix)
    }
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
