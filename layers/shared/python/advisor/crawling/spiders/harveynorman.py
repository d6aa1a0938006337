"""Harvey Norman Ireland, https://www.harveynorman.ie: the reference spider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selectolax.lexbor import LexborNode

from advisor.crawling.items import Item
from advisor.crawling.messages import Page
from advisor.crawling.money import parse_price
from advisor.crawling.spiders.base import ParsedPage, clean, starts_at
from advisor.crawling.spiders.vocabulary import availability_of, gtin_of
from advisor.crawling.stages import DEFAULT_STAGES, Stage
from advisor.crawling.urls import origin_of

BASE_URL = "https://www.harveynorman.ie"
IMAGE_HOST = "https://hniesfp.imgix.net"
_START_PATHS = ("/", "/tvs-headphones/")
_CLASSES = (
    "product-id", "product-tab-wrapper", "price", "availability", "brand", "gtin", "mpn", "pict",
)  # fmt: skip
_CURRENCY = "priceCurrency"
_MARKED = ", ".join([*(f".{name}" for name in _CLASSES), f"meta[itemprop={_CURRENCY}]"])


@dataclass(frozen=True)
class HarveyNorman:
    """Category pages with `ol.pager`, product pages with `h1.product-title`."""

    base_url: str = BASE_URL
    name: ClassVar[str] = "harveynorman"
    settings: ClassVar[Mapping[str, Any]] = {}
    stages: ClassVar[tuple[Stage, ...]] = DEFAULT_STAGES

    @property
    def start_urls(self) -> tuple[str, ...]:
        return starts_at(self.base_url, _START_PATHS)

    @property
    def image_host(self) -> str:
        """Where photos are; a shop elsewhere (a copy, a demo) has them on its own host."""
        return IMAGE_HOST if self.base_url.rstrip("/") == BASE_URL else origin_of(self.base_url)

    def parse(self, page: Page) -> ParsedPage:
        links = page.tree.css("ol.pager li a[href], a.product-img[href]")
        title = page.tree.css_first("h1.product-title")
        items = (self._item(page, title),) if title else ()
        return ParsedPage(items=items, requests=page.links(links))

    def _item(self, page: Page, title: LexborNode) -> Item:
        marked = _marked(page)
        price = _own_price(marked["price"])
        text = price.text(deep=True) if price else ""
        currency = next(iter(marked[_CURRENCY]), None)
        hint = (currency.attributes.get("content") or "") if currency else "EUR"
        money = parse_price(clean(text), currency=hint)
        photos = (node.attributes.get("src") or "" for node in marked["pict"])
        category = page.tree.css_first(".nav-breadcrumbs :nth-child(3)")
        return Item(
            id=_text(marked["product-id"]),
            title=clean(title.text(deep=True)),
            category=_text([category] if category else []),
            description=_text(marked["product-tab-wrapper"], separator=" "),
            images=tuple(
                dict.fromkeys(page.absolute(src, f"{self.image_host}/") for src in photos if src)
            ),
            url=page.url,
            price_minor=money.minor if money else None,
            currency=money.currency if money else "",
            price_text=money.text if money else "",
            availability=availability_of(_text(marked["availability"])),
            brand=_text(marked["brand"]),
            gtin=gtin_of(_text(marked["gtin"])),
            mpn=_text(marked["mpn"]),
        )


def _marked(page: Page) -> dict[str, list[LexborNode]]:
    """What fields stand in, by class or property; one pass, for each costs as much as links do."""
    found: dict[str, list[LexborNode]] = {name: [] for name in (*_CLASSES, _CURRENCY)}
    for node in page.tree.css(_MARKED):
        names = (node.attributes.get("class") or "").split()
        if node.tag == "meta" and node.attributes.get("itemprop") == _CURRENCY:
            names.append(_CURRENCY)
        for name in found.keys() & names:
            found[name].append(node)
    return found


def _text(nodes: Sequence[LexborNode], *, separator: str = "") -> str:
    """The text of the first of the nodes. separator: put where an element ends."""
    return clean(nodes[0].text(deep=True, separator=separator)) if nodes else ""


def _own_price(prices: Sequence[LexborNode]) -> LexborNode | None:
    """The product's price: the first that stands in no other product's card."""
    for node in prices:
        parent = node.parent
        while parent and not parent.css_first("h1.product-title"):
            if parent.css_first("a.product-img"):
                break
            parent = parent.parent
        else:
            return node
    return None
