"""Shop two, "Nordlys": its own markup, described by schema.org in the ways real shops do it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from examples.shops.assortment import CURRENCY, Good, Offer, categories, offers_of_shop_two, slug
from examples.shops.page import (
    Page,
    Site,
    file_page,
    html_page,
    in_pages,
    made_once,
    redirect,
    robots_txt,
    sitemap_xml,
)

NAME = "Nordlys"
LISTING_SIZE = 9
PHOTO_SCALE = 0.85
PHOTO_CROP = 0.03  # of each side
PHOTO_QUALITY = 80
_STYLE = Path(__file__).parent / "shop_two.css"
_CALENDAR = "/p/wall-calendar"
_GONE = "/p/summer-sale-bundle"
_PRIVATE = "/private/members-only"
_OLD = "/go/bestseller"

Json = dict[str, Any]


def site(goods: list[Good], base_url: str) -> Site:
    """Every page of the shop at base_url (no trailing slash)."""
    offers = offers_of_shop_two(goods)
    tree = categories(offers)
    pages: Site = {"/nordlys.css": file_page(_STYLE, content_type="text/css; charset=utf-8")}

    pages |= _listing("/", "Everything we have", offers, tree, odd=True)
    for department, names in tree.items():
        for name in names:
            chosen = [offer for offer in offers if offer.good.category == name]
            pages |= _listing(category_path(name), name, chosen, tree, above=department)

    for at, offer in enumerate(offers):
        page = _product(offer, tree, base_url, broken_photo=at == 1)
        pages[product_path(offer)] = html_page(page, fails_first=at == 2)
        pages[photo_path(offer)] = made_once(_photo(offer.good.photo), content_type="image/jpeg")
    pages[_OLD] = redirect(product_path(offers[0]))
    pages[_CALENDAR] = html_page(_calendar(tree, base_url))
    pages[_PRIVATE] = html_page(_document("Members only", "<h1>Members only</h1>", tree))

    listed = [path for path in pages if path.startswith(("/c/", "/p/")) or path == "/"]
    pages["/sitemap.xml"] = sitemap_xml(base_url, listed)
    pages["/robots.txt"] = robots_txt(base_url)
    return pages


def not_found() -> Page:
    """The answer at any other path."""
    return html_page(_document("Not found", "<h1>Nothing here</h1>", {}), status=404)


def category_path(category: str) -> str:
    """Where a category is listed."""
    return f"/c/{slug(category)}"


def product_path(offer: Offer) -> str:
    """Where a product is shown."""
    return f"/p/{slug(offer.title)}-{offer.sku.lower()}"


def photo_path(offer: Offer) -> str:
    """Where a product's photo is."""
    return f"/img/{offer.sku.lower()}.jpg"


def reencode(data: bytes) -> bytes:
    """The same photo as another shop would have it: cropped a little, smaller, JPEG again."""
    with Image.open(io.BytesIO(data)) as photo:
        width, height = photo.size
        dx, dy = round(width * PHOTO_CROP), round(height * PHOTO_CROP)
        box = (dx, dy, width - dx, height - dy)
        size = (round(width * PHOTO_SCALE), round(height * PHOTO_SCALE))
        smaller = photo.convert("RGB").resize(size, Image.Resampling.BICUBIC, box=box)
    out = io.BytesIO()
    smaller.save(out, "JPEG", quality=PHOTO_QUALITY)
    return out.getvalue()


def _photo(path: Path) -> Callable[[], bytes]:
    return lambda: reencode(path.read_bytes())


def _listing(
    path: str,
    heading: str,
    offers: Sequence[Offer],
    tree: dict[str, list[str]],
    *,
    above: str = "",
    odd: bool = False,
) -> Site:
    parts = in_pages(offers, LISTING_SIZE)
    pages: Site = {}
    for number, part in enumerate(parts, 1):
        more = f"{path}?page={number + 1}" if number < len(parts) else ""
        cards = "".join(
            _card(offer, _OLD if odd and offer == offers[0] else product_path(offer))
            for offer in part
        )
        body = (
            f'<p class="kicker">{escape(above)}</p><h1>{escape(heading)}</h1>\n'
            f'<ul class="cards">{cards}{_oddities() if odd and not more else ""}</ul>\n'
            + (f'<p class="more"><a rel="next" href="{escape(more)}">More</a></p>' if more else "")
        )
        head = f'<link rel="next" href="{escape(more)}">' if more else ""
        pages[path if number == 1 else f"{path}?page={number}"] = html_page(
            _document(heading, body, tree, head=head)
        )
    return pages


def _card(offer: Offer, path: str) -> str:
    return (
        f'<li class="card"><a href="{path}"><figure><img src="{photo_path(offer)}" alt=""'
        f' loading="lazy"></figure><span class="name">{escape(offer.title)}</span>'
        f'<span class="cost">{price_text(offer.price_minor)}</span></a></li>'
    )


def price_text(price_minor: int) -> str:
    """A price as the shop writes it: 1.299,00 €."""
    text = f"{price_minor / 100:,.2f}"
    return text.translate(str.maketrans(",.", ".,")) + " €"


def _oddities() -> str:
    """Links that a real shop has too: to a product without a text, to none, and to a closed one."""
    return "".join(
        f'<li class="card plain"><a href="{path}">{text}</a></li>'
        for path, text in (
            (_CALENDAR, "Wall calendar"),
            (_GONE, "Summer sale bundle"),
            (_PRIVATE, "Members only"),
        )
    )


def _product(offer: Offer, tree: dict[str, list[str]], base_url: str, *, broken_photo: bool) -> str:
    good = offer.good
    photos = [photo_path(offer)] + (["/img/missing.jpg"] if broken_photo else [])
    figure = "".join(f'<img src="{path}" alt="{escape(offer.title)}">' for path in photos)
    head, facts = "", _facts(offer)
    if good.position % 10 == 2:
        facts = _microdata(offer)
    else:
        head = _json_ld(offer, [base_url + path for path in photos], base_url)
    body = f"""\
<p class="kicker"><a href="{category_path(good.category)}">{escape(good.category)}</a></p>
<article class="sheet"><figure>{figure}</figure><div>{facts}
<p class="cost">{price_text(offer.price_minor)}</p>
<p class="stock">{"Ready to ship" if offer.in_stock else "Sold out for now"}</p>
</div></article>"""
    return _document(offer.title, body, tree, head=head)


def _facts(offer: Offer) -> str:
    good = offer.good
    return f"<h1>{escape(offer.title)}</h1><p>{escape(good.description)}</p>"


def _microdata(offer: Offer) -> str:
    """The product and its breadcrumbs as microdata, for a page without JSON-LD."""
    good = offer.good
    metas = "".join(
        f'<meta itemprop="{name}" content="{escape(value)}">'
        for name, value in (("sku", offer.sku), ("gtin13", offer.gtin), ("mpn", offer.mpn))
        if value
    )
    brand = (
        '<span itemprop="brand" itemscope itemtype="https://schema.org/Brand">'
        f'<meta itemprop="name" content="{escape(good.brand)}"></span>'
        if good.brand
        else ""
    )
    return f"""\
<div itemscope itemtype="https://schema.org/Product">
<h1 itemprop="name">{escape(offer.title)}</h1>
<p itemprop="description">{escape(good.description)}</p>
<link itemprop="image" href="{photo_path(offer)}">
<meta itemprop="category" content="{escape(good.category)}">{metas}{brand}
<div itemprop="offers" itemscope itemtype="https://schema.org/Offer">
<meta itemprop="price" content="{offer.price_minor / 100:.2f}">
<meta itemprop="priceCurrency" content="{CURRENCY}">
<link itemprop="availability" href="{_availability(offer)}"></div></div>"""


def _json_ld(offer: Offer, images: list[str], base_url: str) -> str:
    """The product in one of four ways: alone, in a graph, in a list, beside its breadcrumbs."""
    good = offer.good
    product = _product_data(offer, images)
    trail = _breadcrumbs(good, base_url)
    way = good.position % 4
    if way == 0:
        return _script({"@context": "https://schema.org"} | product | {"category": good.category})
    if way == 1:
        page = {"@type": "WebPage", "name": offer.title}
        return _script({"@context": "https://schema.org/", "@graph": [page, trail, product]})
    if way == 2:
        product |= {"brand": good.brand, "offers": [product["offers"]], "category": good.category}
        return _script([{"@context": "http://schema.org"} | product])
    own = {"@type": "ListItem", "position": 4, "name": offer.title}
    trail["itemListElement"].append(own)  # many shops end the trail with the page itself
    return _script({"@context": "https://schema.org"} | trail) + _script(
        {"@context": "https://schema.org"} | product
    )


def _product_data(offer: Offer, images: list[str]) -> Json:
    good = offer.good
    price = offer.price_minor / 100
    data: Json = {
        "@type": "Product",
        "name": offer.title,
        "description": good.description,
        "image": images if len(images) > 1 else images[0],
        "sku": offer.sku,
        "offers": {
            "@type": "Offer",
            "price": price if good.position % 3 == 0 else f"{price:.2f}",
            "priceCurrency": CURRENCY,
            "availability": _availability(offer),
            "itemCondition": "https://schema.org/NewCondition",
        },
    }
    if good.brand:
        data["brand"] = {"@type": "Brand", "name": good.brand}
    if offer.gtin:
        data["gtin13" if good.position % 4 == 0 else "gtin"] = offer.gtin
    if offer.mpn:
        data["mpn"] = offer.mpn
    return data


def _breadcrumbs(good: Good, base_url: str) -> Json:
    steps = (("Home", "/"), (good.department, "/"), (good.category, category_path(good.category)))
    return {
        "@type": "BreadcrumbList",
        "itemListElement": [
            {"@type": "ListItem", "position": at, "name": name, "item": base_url + path}
            for at, (name, path) in enumerate(steps, 1)
        ],
    }


def _availability(offer: Offer) -> str:
    return f"https://schema.org/{'InStock' if offer.in_stock else 'OutOfStock'}"


def _calendar(tree: dict[str, list[str]], base_url: str) -> str:
    """A product without a description, behind a block of JSON-LD that is no JSON."""
    broken = '<script type="application/ld+json">{"@type": "Organization",}</script>'
    product = {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": "Wall calendar",
        "sku": "N-000001",
        "category": "stationery",
        "url": base_url + _CALENDAR,
        "offers": {"@type": "Offer", "price": "12.00", "priceCurrency": CURRENCY},
    }
    head = broken + _script(product)
    return _document("Wall calendar", "<h1>Wall calendar</h1>", tree, head=head)


def _script(data: Json | list[Json]) -> str:
    text = json.dumps(data, ensure_ascii=False, indent=1).replace("</", "<\\/")
    return f'<script type="application/ld+json">{text}</script>\n'


def _document(title: str, body: str, tree: dict[str, list[str]], *, head: str = "") -> str:
    names = [name for names in tree.values() for name in names]
    links = "".join(
        f'<li><a href="{category_path(name)}">{escape(name)}</a></li>' for name in names
    )
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · {NAME}</title>
<link rel="stylesheet" href="/nordlys.css">
{head}</head>
<body>
<header><a class="logo" href="/">{NAME}</a><nav aria-label="Categories"><ul>{links}</ul></nav>
</header>
<main>
{body}
</main>
<footer>A demo shop: nothing here is for sale. Goods and photos: @vendure/create, MIT.
<a href="/about/press">Press</a></footer>
</body>
</html>
"""
