"""The item: what a spider reads off a product page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from advisor.errors import InvalidItemError

REQUIRED = ("id", "title", "category", "description")
_ALWAYS = frozenset({*REQUIRED, "images", "url"})
SET_BY_THE_CRAWL = ("shop", "page", "extractor")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One product as one shop's page shows it.

    id: the shop's SKU. images: absolute photo URLs. url: the page's. price_minor: in minor
    units of currency (ISO 4217). availability: in_stock, out_of_stock, preorder or "".
    Empty text or None: the page does not say. price_text: what the price was read from. shop,
    page (the hash under which the page's body is archived) and extractor (the spider's name) are
    set by the crawl, not by the spider.
    """

    id: str
    title: str
    category: str
    description: str
    images: tuple[str, ...] = ()
    url: str = ""
    price_minor: int | None = None
    currency: str = ""
    availability: str = ""
    brand: str = ""
    gtin: str = ""
    mpn: str = ""
    price_text: str = ""
    shop: str = ""
    page: str = ""
    extractor: str = ""

    @property
    def product_id(self) -> str:
        """Unique over all shops: `<shop>:<sku>`."""
        return f"{self.shop}:{self.id}"

    def validate(self) -> Self:
        """Return the item itself.

        Raises: InvalidItemError, naming every required field that is empty.
        """
        missing = [name for name in REQUIRED if not getattr(self, name).strip()]
        if missing:
            raise InvalidItemError(f"{self.url or self.id!r} has no {', '.join(missing)}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """The line of items.jsonl: required fields and images always, others where known."""
        return {
            name: list(value) if name == "images" else value
            for name in self.__dataclass_fields__  # asdict takes ten times as long
            if (value := getattr(self, name)) not in ("", None) or name in _ALWAYS
        }

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> Self:
        """Read a line of items.jsonl; keys we do not know are left out."""
        known = {name: line[name] for name in cls.__dataclass_fields__ if name in line}
        return cls(**(known | {"images": tuple(known.get("images", ()))}))
