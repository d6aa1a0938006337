"""Products as the catalog knows them, and their offers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from advisor.crawling.items import Item


@dataclass(frozen=True, kw_only=True)
class Product:
    """An item as the catalog knows it: what a shop's page said when it was last seen.

    observed_at: ISO 8601, UTC; "" where nobody wrote it down. run_id: the crawl that saw it.
    """

    item: Item
    observed_at: str = ""
    run_id: str = ""

    @property
    def product_id(self) -> str:
        """Unique over all shops: `<shop>:<sku>`."""
        return self.item.product_id

    def to_dict(self) -> dict[str, Any]:
        """One flat object: the row in DynamoDB and the answer of GET /products/{product_id}."""
        return {
            "product_id": self.product_id,
            **self.item.to_dict(),
            "shop": self.item.shop,
            "observed_at": self.observed_at,
            "run_id": self.run_id,
        }

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(
            item=Item.from_dict(row),
            observed_at=row.get("observed_at", ""),
            run_id=row.get("run_id", ""),
        )


@dataclass(frozen=True, kw_only=True)
class PricePoint:
    """A price that a page showed from observed_at on, in minor units of its currency.

    page: the hash under which that page is archived (in the run's or the folder's pages/).
    extractor: the spider that read it; text: what it read. state: "" for a price that counts,
    "quarantined" for one that moved too far to be believed at once. flag: "variant swap" if the
    photos changed with it. corrected_from: what it said before a replay ("4900 EUR"), or "".
    """

    observed_at: str
    price_minor: int
    currency: str
    availability: str = ""
    run_id: str = ""
    page: str = ""
    extractor: str = ""
    text: str = ""
    state: str = ""
    flag: str = ""
    corrected_from: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is a price to be shown, compared and alerted of."""
        return not self.state

    def to_dict(self) -> dict[str, Any]:
        """Its fields that are not empty."""
        fields = self.__dataclass_fields__  # asdict takes ten times as long
        return {name: value for name in fields if (value := getattr(self, name)) != ""}


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What one shop asks for a product. photo: where the photo that was compared lies.

    observed_at: when its page was last seen (ISO 8601, UTC); "" where nobody wrote it down.
    price_minor: None where the page shows no price, or one of nothing or less.
    """

    product_id: str
    shop: str
    title: str
    price_minor: int | None
    currency: str
    availability: str
    url: str
    photo: str
    observed_at: str = ""

    @property
    def in_stock(self) -> bool:
        """Whether the shop says that it can be had now; a shop that says nothing does not."""
        return self.availability == "in_stock"

    @classmethod
    def of(cls, product: Product, *, photo: str = "") -> Self:
        """The offer that a shop's product page makes."""
        item = product.item
        price = item.price_minor
        return cls(
            product_id=product.product_id,
            shop=item.shop,
            title=item.title,
            price_minor=price if price is not None and price > 0 else None,
            currency=item.currency,
            availability=item.availability,
            url=item.url,
            photo=photo,
            observed_at=product.observed_at,
        )

    def to_dict(self, photo_url: Callable[[str], str | None]) -> dict[str, Any]:
        """The JSON object of an answer. photo_url: turns where a photo lies into its address."""
        return {
            "product_id": self.product_id,
            "shop": self.shop,
            "title": self.title,
            "price_minor": self.price_minor,
            "currency": self.currency,
            "availability": self.availability,
            "url": self.url,
            "photo_url": photo_url(self.photo) if self.photo else None,
            "observed_at": self.observed_at,
        }


def cheapest_first(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """The offers by price; those without a price last.

    Prices in different currencies are not ranked against each other: the currency of most
    offers comes first, and the others stay together below. Of equal prices the one in stock
    comes first.
    """
    offers = list(offers)
    priced = Counter(offer.currency for offer in offers if offer.price_minor is not None)

    def rank(offer: Offer) -> tuple[Any, ...]:
        price = offer.price_minor
        return (
            price is None,
            -priced[offer.currency],
            offer.currency,
            price or 0,
            not offer.in_stock,
            offer.product_id,
        )

    return tuple(sorted(offers, key=rank))
