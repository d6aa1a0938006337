"""Shop one, "Harbour & Hearth": the markup that the harveynorman spider reads."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from examples.shops.assortment import CURRENCY, Good, Offer, categories, offers_of_shop_one, slug
from examples.shops.page import (
    Page,
    Site,
    file_page,
    html_page,
    in_pages,
    redirect,
    robots_txt,
    sitemap_xml,
)

NAME = "Harbour & Hearth"
HOME_SIZE = 12
LISTING_SIZE = 6
DEPARTMENT_PATHS = {"Electronics": "/tvs-headphones/"}  # the address the spider starts from
_STYLE = Path(__file__).parent / "shop_one.css"
_GIFT_CARD = "/gift-card.html"
_GONE = "/last-years-model.html"
_PRIVATE = "/private/staff-offer.html"


def site(goods: list[Good], base_url: str) -> Site:
    """Every page of the shop at base_url (no trailing slash)."""
    offers = offers_of_shop_one(goods)
    tree = categories(offers)
    pages: Site = {"/shop.css": file_page(_STYLE, content_type="text/css; charset=utf-8")}

    pages |= _listing("/", "All products", offers, tree, size=HOME_SIZE, extras=_oddities())
    for department, names in tree.items():
        path = department_path(department)
        chosen = [offer for offer in offers if offer.good.department == department]
        pages |= _listing(path, department, chosen, tree, size=HOME_SIZE)
        for name in names:
            chosen = [offer for offer in offers if offer.good.category == name]
            pages |= _listing(category_path(department, name), name, chosen, tree)

    for at, offer in enumerate(offers):
        kin = [other for other in offers if other.good.category == offer.good.category]
        pages[product_path(offer)] = html_page(
            _product(offer, kin, tree, broken_photo=at == 1), fails_first=at == 2
        )
        pages[_photo_path(offer)] = file_page(offer.good.photo, content_type="image/jpeg")
    pages[_old_path(offers[0])] = redirect(product_path(offers[0]))
    pages[_GIFT_CARD] = html_page(_gift_card(tree))
    pages[_PRIVATE] = html_page(_document("Staff only", "<h1>Staff only</h1>", tree))

    listed = [path for path in pages if path.endswith(("/", ".html")) and path != _PRIVATE]
    pages["/sitemap.xml"] = sitemap_xml(base_url, listed)
    pages["/robots.txt"] = robots_txt(base_url)
    return pages


def not_found() -> Page:
    """The answer at any other path."""
    return html_page(_document("Not found", "<h1>We do not have that page</h1>", {}), status=404)


def department_path(department: str) -> str:
    """Where a department is listed."""
    return DEPARTMENT_PATHS.get(department, f"/{slug(department)}/")


def category_path(department: str, category: str) -> str:
    """Where a category is listed."""
    return f"{department_path(department)}{slug(category)}/"


def product_path(offer: Offer) -> str:
    """Where a product is shown."""
    return f"/{offer.good.slug}.html"


def price_text(price_minor: int) -> str:
    """A price as the shop writes it: €1,299.00."""
    return f"€{price_minor / 100:,.2f}"


def _photo_path(offer: Offer) -> str:
    return f"/media/{offer.good.photo.name}"


def _old_path(offer: Offer) -> str:
    return f"/catalog/product/{offer.good.slug}"


def _listing(
    path: str,
    heading: str,
    offers: Sequence[Offer],
    tree: dict[str, list[str]],
    *,
    size: int = LISTING_SIZE,
    extras: str = "",
) -> Site:
    parts = in_pages(offers, size)
    pages: Site = {}
    for number, part in enumerate(parts, 1):
        cards = "".join(_card(offer, moved=path == "/" and offer == offers[0]) for offer in part)
        body = (
            f'<h1 class="label">{escape(heading)}</h1>\n'
            f'<div class="grid">{cards}{extras if number == len(parts) else ""}</div>\n'
            f"{_pager(path, number, len(parts))}"
        )
        page = html_page(_document(heading, body, tree))
        pages[f"{path}?p={number}"] = page
        if number == 1:
            pages[path] = page
    return pages


def _pager(path: str, current: int, count: int) -> str:
    def link(number: int, text: str) -> str:
        return f'<a href="{path}?p={number}">{text}</a>'

    steps = [
        f"<strong>{number}</strong>" if number == current else link(number, str(number))
        for number in range(1, count + 1)
    ]
    if current < count:
        steps.append(link(current + 1, "Next"))
    if path != "/":
        steps.append('<a href="/">All products</a>')
    items = "".join(f"<li>{text}</li>" for text in steps)
    return f'<nav aria-label="Pages"><ol class="pager">{items}</ol></nav>'


def _card(offer: Offer, *, moved: bool = False) -> str:
    path = _old_path(offer) if moved else product_path(offer)
    return (
        f'<article class="card"><a class="product-img" href="{path}">'
        f'<img src="{_photo_path(offer)}" alt="" loading="lazy" width="300" height="300"></a>'
        f'<h2><a href="{path}">{escape(offer.title)}</a></h2>'
        f'<p class="price">{price_text(offer.price_minor)}</p></article>'
    )


def _oddities() -> str:
    """Links that a real shop has too: to a product without a text, to none, and to a closed one."""
    return "".join(
        f'<article class="card plain"><a class="product-img" href="{path}">{text}</a></article>'
        for path, text in (
            (_GIFT_CARD, "Gift card"),
            (_GONE, "Last year's model"),
            (_PRIVATE, "Staff offer"),
        )
    )


def _product(
    offer: Offer, kin: list[Offer], tree: dict[str, list[str]], *, broken_photo: bool
) -> str:
    good = offer.good
    second = '<img class="pict" src="/media/detail-view.jpg" alt="Detail">' if broken_photo else ""
    related = "".join(_card(other) for other in kin if other != offer)
    body = f"""\
{_breadcrumbs(good.department, good.category)}
<div class="product" itemscope>
<div class="photos"><img class="pict" src="{_photo_path(offer)}" alt="{escape(offer.title)}">\
{second}</div>
<div class="facts">
<h1 class="product-title">{escape(offer.title)}</h1>
<p class="code">Product code <span class="product-id">{escape(offer.sku)}</span></p>
<p class="price" itemprop="price" content="{offer.price_minor / 100:.2f}">\
{price_text(offer.price_minor)}</p>
<meta itemprop="priceCurrency" content="{CURRENCY}">
<p class="availability">{"In stock" if offer.in_stock else "Out of stock"}</p>
<dl>{_fact("Brand", "brand", good.brand)}{_fact("EAN", "gtin", offer.gtin)}\
{_fact("Model", "mpn", offer.mpn)}</dl>
<h2>About this product</h2>
<div class="product-tab-wrapper"><p>{escape(good.description)}</p></div>
</div></div>
<h2 class="label">More {escape(good.category)}</h2><div class="grid">{related}</div>"""
    return _document(offer.title, body, tree)


def _fact(name: str, css_class: str, value: str) -> str:
    if not value:
        return ""
    prop = "gtin13" if css_class == "gtin" else css_class
    return f'<dt>{name}</dt><dd class="{css_class}" itemprop="{prop}">{escape(value)}</dd>'


def _gift_card(tree: dict[str, list[str]]) -> str:
    """A product page without a description and without a photo."""
    body = f"""\
{_breadcrumbs("Gifts", "gift cards")}
<h1 class="product-title">Gift card</h1>
<p class="code">Product code <span class="product-id">GIFT-50</span></p>
<p class="price">{price_text(50_00)}</p>"""
    return _document("Gift card", body, tree)


def _breadcrumbs(department: str, category: str) -> str:
    return (
        '<ul class="nav-breadcrumbs"><li><a href="/">Home</a></li>'
        f'<li><a href="{department_path(department)}">{escape(department)}</a></li>'
        f'<li><a href="{category_path(department, category)}">{escape(category)}</a></li></ul>'
    )


def _document(title: str, body: str, tree: dict[str, list[str]]) -> str:
    departments = "".join(
        f'<li><a href="{department_path(department)}">{escape(department)}</a><ul>'
        + "".join(
            f'<li><a class="label" href="{category_path(department, name)}">{escape(name)}</a></li>'
            for name in names
        )
        + "</ul></li>"
        for department, names in tree.items()
    )
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} | {escape(NAME)}</title>
<link rel="stylesheet" href="/shop.css">
</head>
<body>
<header><a class="brandmark" href="/">{escape(NAME)}</a>
<nav aria-label="Departments"><ul>{departments}</ul></nav></header>
<main>
{body}
</main>
<footer><p>A demo shop: nothing here is for sale. Goods and photos: @vendure/create, MIT.</p>
<p><a href="/careers">Careers</a></p></footer>
</body>
</html>
"""
