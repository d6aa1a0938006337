"""Any shop that describes its products by schema.org, in JSON-LD or microdata, or OpenGraph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from advisor.crawling.items import Item
from advisor.crawling.messages import Page
from advisor.crawling.money import Money, parse_price
from advisor.crawling.spiders.base import MAX_ITEMS, ParsedPage, starts_at
from advisor.crawling.spiders.structured_data import (
    Node,
    as_list,
    is_a,
    json_ld,
    microdata,
    open_graph,
    text_of,
)
from advisor.crawling.spiders.vocabulary import availability_of, gtin_of
from advisor.crawling.stages import DEFAULT_STAGES, Stage
from advisor.crawling.urls import Remembered, canonical_url, is_web_url

_MAX_CRUMBS = 50
_GTINS = ("gtin13", "gtin", "gtin14", "gtin12", "gtin8", "ean", "isbn")
_IDS = ("sku", "productID", "productGroupID", "mpn", *_GTINS)
# Prices beside the one to pay: crossed out, recommended, of a kilogram.
_OTHER_PRICES = re.compile(
    "ListPrice|Strikethrough|SRP|RegularPrice|InvoicePrice|MinimumAdvertised"
)
# Pages that never show a product, and that a shop would rather not see a crawler at.
_NEVER = re.compile(
    r"/(cart|basket|bag|checkout|login|log-in|logout|signin|sign-in|register|account|my-account|"
    r"wishlist|compare|wp-admin|wp-login\.php)(/|$)|[?&](add-to-cart|add_to_cart|replytocom)=",
    re.IGNORECASE,
)
_FILES = re.compile(
    r"\.(jpe?g|png|gif|webp|avif|svg|ico|bmp|css|js|json|xml|rss|pdf|zip|gz|docx?|xlsx?|mp[34]|"
    r"webm|mov|avi|woff2?|ttf|exe|dmg|apk)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class SchemaOrg:
    """Reads schema.org Product; follows the shop's own links."""

    base_url: str
    name: ClassVar[str] = "schema-org"
    settings: ClassVar[Mapping[str, Any]] = {}
    stages: ClassVar[tuple[Stage, ...]] = DEFAULT_STAGES

    @property
    def start_urls(self) -> tuple[str, ...]:
        return starts_at(self.base_url, ("/",))

    def parse(self, page: Page) -> ParsedPage:
        nodes, broken = json_ld(page)
        products = _products(nodes)
        too_much = 0
        if not products:
            found, too_much = microdata(page)
            nodes += found
            products = _products(nodes) or open_graph(page)
        if len(products) == 1 and not _is_whole(products[0]):
            told = {name: value for name, value in products[0].items() if value}
            products = [node | told for node in open_graph(page)] or products
        here = _of_this_page(page, products)
        trail = next((node for node in nodes if is_a(node, "BreadcrumbList")), {})
        return ParsedPage(
            items=tuple(_item(page, product, trail) for product in here[: MAX_ITEMS + 1]),
            requests=tuple(_links(page)),
            problems=("json-ld",) * broken + ("microdata",) * too_much,
        )


def _products(nodes: list[Node]) -> list[Node]:
    return [node for node in nodes if is_a(node, "Product") or is_a(node, "ProductGroup")]


def _is_whole(product: Node) -> bool:
    return all(
        any(product.get(name) for name in names)
        for names in (("name",), ("description",), ("image",), ("offers", "hasVariant"), _IDS)
    )


def _of_this_page(page: Page, products: list[Node]) -> list[Node]:
    """Without the products that point to pages of their own: a list's, or "see also"."""
    if len(products) < 2:
        return products
    here = canonical_url(page.url)
    addresses = [text_of(product.get("url")) for product in products]
    return [
        product
        for product, url in zip(products, addresses, strict=True)
        if not url or canonical_url(page.absolute(url)) == here
    ]


def _links(page: Page) -> dict[str, None]:
    """The pages that this one links to, next pages first; the crawl leaves other sites out."""
    following = page.tree.css('link[rel~="next"][href], a[rel~="next"][href]')
    links = page.links([*following, *page.tree.css("a[href]")])
    return {url: None for url in [link.partition("#")[0] for link in links] if _may_be_pages[url]}


def _may_be_a_page(url: str) -> bool:
    if not is_web_url(url) or _NEVER.search(url):
        return False
    return not _FILES.search(urlsplit(url).path)


_may_be_pages = Remembered(_may_be_a_page)


def _item(page: Page, product: Node, trail: Node) -> Item:
    title = text_of(product.get("name"))
    variants = [one for one in as_list(product.get("hasVariant")) if isinstance(one, dict)]
    offers = [one for variant in variants for one in as_list(variant.get("offers"))]
    offer = _best_offer(product.get("offers") or offers)
    money = _price(offer)
    return Item(
        id=next(filter(None, (text_of(product.get(name)) for name in _IDS)), ""),
        title=title,
        category=_category(product.get("category")) or _last_crumb(page, trail, title),
        description=text_of(product.get("description")),
        images=tuple(dict.fromkeys(_images(page, product.get("image")))),
        url=page.url,
        price_minor=money.minor if money else None,
        currency=money.currency if money else "",
        price_text=money.text if money else "",
        availability=availability_of(text_of(offer.get("availability"))),
        brand=text_of(product.get("brand") or product.get("manufacturer")),
        gtin=next(filter(None, (gtin_of(text_of(product.get(name))) for name in _GTINS)), ""),
        mpn=text_of(product.get("mpn")),
    )


def _best_offer(offers: object) -> Node:
    """The cheapest offer; of an AggregateOffer without offers, its low price."""
    found: list[Node] = []
    for offer in as_list(offers):
        if not isinstance(offer, dict):
            continue
        inner = [one for one in as_list(offer.get("offers")) if isinstance(one, dict)]
        currency = {"priceCurrency": offer["priceCurrency"]} if "priceCurrency" in offer else {}
        found += [currency | one for one in inner] or [offer]
    priced = [(money.minor, at) for at, one in enumerate(found) if (money := _price(one))]
    if priced:
        return found[min(priced)[1]]
    return found[0] if found else {}


def _price(offer: Node) -> Money | None:
    currency = text_of(offer.get("priceCurrency"))
    for name in ("price", "lowPrice"):
        if money := parse_price(text_of(offer.get(name)), currency=currency):
            return money
    specs = [one for one in as_list(offer.get("priceSpecification")) if isinstance(one, dict)]
    for spec in sorted(specs, key=_is_another_price):
        if money := _price({"priceCurrency": currency} | spec):
            return money
    return None


def _is_another_price(spec: Node) -> bool:
    kind = spec.get("priceType")
    return bool(isinstance(kind, str) and _OTHER_PRICES.search(kind)) or "referenceQuantity" in spec


def _category(value: object) -> str:
    """The product's own category, or the last part of one written as a path ("A > B")."""
    text = text_of(value).rsplit(" > ", 1)[-1].strip()
    is_code = text.isdigit() or text.startswith(("http://", "https://"))
    return "" if is_code else text


def _last_crumb(page: Page, trail: Node, title: str) -> str:
    """The category the breadcrumbs end in: the last one that is not the page itself."""
    listed = as_list(trail.get("itemListElement"))[:_MAX_CRUMBS]
    crumbs = [one for one in listed if isinstance(one, dict)]
    crumbs.sort(key=_position)
    steps = [(_crumb_name(crumb), _crumb_url(page, crumb)) for crumb in crumbs]
    here = canonical_url(page.url)
    if len(steps) > 1 and not steps[-1][1] and steps[0][1]:
        steps.pop()  # by custom only the page's own crumb has no address
    while steps and (
        steps[-1][0] == title or (steps[-1][1] and canonical_url(steps[-1][1]) == here)
    ):
        steps.pop()
    return steps[-1][0] if len(steps) > 1 else ""  # the first is the shop itself


def _position(crumb: Node) -> float:
    try:
        return float(crumb.get("position", 0))
    except (TypeError, ValueError):
        return 0.0


def _crumb_name(crumb: Node) -> str:
    return text_of(crumb.get("name")) or text_of(crumb.get("item"))


def _crumb_url(page: Page, crumb: Node) -> str:
    item = crumb.get("item")
    url: Any = (item.get("@id") or item.get("url")) if isinstance(item, dict) else item
    return page.absolute(url) if isinstance(url, str) and url else ""


def _images(page: Page, value: object) -> list[str]:
    found = []
    for one in as_list(value):
        url = one.get("contentUrl") or one.get("url") if isinstance(one, dict) else one
        for each in as_list(url):
            if isinstance(each, str) and each.strip():
                found.append(page.absolute(each))
    return [url for url in found if url]
