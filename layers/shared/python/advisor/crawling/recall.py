"""What an earlier crawl made of a page or photo, so that an unchanged one costs little."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from isal import isal_zlib

from advisor.crawling.items import Item
from advisor.crawling.spiders.base import ParsedPage, Spider

Packed: TypeAlias = bytes  # a ParsedPage, by `pack`


@dataclass(frozen=True, kw_only=True)
class Known:
    """A page or photo as an earlier crawl found it.

    body: the hash of its body. parsed: what was read off the page. data: the photo's bytes.
    """

    body: str
    headers: Mapping[str, str]
    parsed: ParsedPage = field(default_factory=ParsedPage)
    data: bytes = b""

    @property
    def conditions(self) -> tuple[tuple[str, str], ...]:
        """The headers that ask for it only if it changed (RFC 9110, section 13.1)."""
        asked = {
            "If-None-Match": self.headers.get("etag"),
            "If-Modified-Since": self.headers.get("last-modified"),
        }
        return tuple((name, value) for name, value in asked.items() if value)


def fingerprint(spider: Spider) -> str:
    """Another one for a spider that may read a page otherwise: its values, and all our code."""
    digest = hashlib.sha256(repr(spider).encode("utf-8", "replace"))
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def pack(parsed: ParsedPage) -> Packed:
    """A parsed page in few bytes, for `unpack`."""
    values = (
        [item.to_dict() for item in parsed.items],
        parsed.requests,
        parsed.problems,
    )
    return isal_zlib.compress(json.dumps(values).encode(), 1)


def unpack(data: Packed) -> ParsedPage:
    """What `pack` was given."""
    items, requests, problems = json.loads(isal_zlib.decompress(data))
    return ParsedPage(
        items=tuple(Item.from_dict(item) for item in items),
        requests=tuple(requests),
        problems=tuple(problems),
    )
