"""Harvey Norman Ireland, https://www.harveynorman.ie: the reference spider."""

from __future__ import annotations

from collections.abc import Mapping
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
        requests = dict.fromkeys(page.absolute(link.attributes.get("href") or "") for link in links)
        title = page.tree.css_first("h1.product-title")
        items = (self._item(page, title),) if title else ()
        return ParsedPage(items=items, requests=tuple(url for url in requests if url))

    def _item(self, page: Page, title: LexborNode) -> Item:
        price = _own_price(page)
        text = price.text(deep=True) if price else ""
        currency = page.tree.css_first("meta[itemprop=priceCurrency]")
        hint = (currency.attributes.get("content") or "") if currency else "EUR"
        money = parse_price(clean(text), currency=hint)
        photos = (node.attributes.get("src") or "" for node in page.tree.css(".pict"))
        return Item(
            id=_text(page, ".product-id"),
            title=clean(title.text(deep=True)),
            category=_text(page, ".nav-breadcrumbs :nth-child(3)"),
            description=_text(page, ".product-tab-wrapper", separator=" "),
            images=tuple(
                dict.fromkeys(page.absolute(src, f"{self.image_host}/") for src in photos if src)
            ),
            url=page.url,
            price_minor=money.minor if money else None,
            currency=money.currency if money else "",
            availability=availability_of(_text(page, ".availability")),
            brand=_text(page, ".brand"),
            gtin=gtin_of(_text(page, ".gtin")),
            mpn=_text(page, ".mpn"),
        )


def _text(page: Page, selector: str, *, separator: str = "") -> str:
    """The text of the first match. separator: put where an element ends."""
    node = page.tree.css_first(selector)
    return clean(node.text(deep=True, separator=separator)) if node else ""


def _own_price(page: Page) -> LexborNode | None:
    """The product's price: the first that stands in no other product's card."""
    for node in page.tree.css(".price"):
        parent = node.parent
        while parent and not parent.css_first("h1.product-title"):
            if parent.css_first("a.product-img"):
                break
            parent = parent.parent
        else:
            return node
    return None
