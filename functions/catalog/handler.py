"""Answers over HTTP what the catalog knows: photos' labels, products, prices, the model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from aws_lambda_powertools import Logger

from advisor.aws.catalog import CatalogTables
from advisor.aws.labels import LabelTable
from advisor.aws.listings import CurrentListing, ListingStore
from advisor.aws.models import ModelStore
from advisor.aws.photos import PhotoPlace, address, photos_of, upload_form
from advisor.aws.reviews import MatchPins, ReviewTable
from advisor.aws.routes import Body, Route, serve
from advisor.aws.watching import count_cold_start
from advisor.catalog.listing import Page, Query
from advisor.catalog.matching import Group, group
from advisor.catalog.pins import partners_of
from advisor.catalog.products import Offer, PricePoint, Product, cheapest_first
from advisor.crawling.currencies import CURRENCIES
from advisor.errors import RequestError
from advisor.http import Choice, Request, Whole, Words
from advisor.settings import Settings
from advisor.uploads import ANY_PHOTO, MAX_BYTES, checked_content_type, json_object, upload_key

MAX_WORDS_CHARS: Final = 200
MAX_MINOR: Final = 10**8
SEARCHED: Final = Words(
    name="q",
    about=f"words of the title, the last may be a beginning; {MAX_WORDS_CHARS} characters count",
)
CATEGORY: Final = Words(name="category", about="one of GET /categories")
SHOP: Final = Words(name="shop", about="only this shop's")
IN_STOCK: Final = Choice(name="in_stock", about="only what can be had", words=("false", "true"))
CURRENCY: Final = Words(name="currency", about="ISO 4217 code; min_minor and max_minor need it")
LEAST: Final = Whole(
    name="min_minor", about="least price, in minor units", default=None, least=0, most=MAX_MINOR
)
MOST: Final = Whole(
    name="max_minor", about="highest price, in minor units", default=None, least=0, most=MAX_MINOR
)
LIMIT: Final = Whole(name="limit", about="products a page", default=20, least=1, most=100)
CURSOR: Final = Words(name="cursor", about="of the page before")


@dataclass(frozen=True, kw_only=True)
class Services:
    """What this function works with."""

    uploads_bucket: str
    data_bucket: str
    catalog: CatalogTables
    listing: CurrentListing
    labels: LabelTable
    models: ModelStore
    pins: MatchPins


@cache
def default_services() -> Services:
    """The services that the settings name."""
    settings = Settings.from_env(os.environ)
    return Services(
        uploads_bucket=settings.uploads_bucket,
        data_bucket=settings.data_bucket,
        listing=CurrentListing(
            ListingStore(settings.data_bucket, Path(tempfile.gettempdir()) / "advisor-listing")
        ),
        catalog=CatalogTables(settings.products_table, settings.prices_table),
        labels=LabelTable(settings.labels_table),
        models=ModelStore(settings.data_bucket),
        pins=MatchPins(ReviewTable(settings.reviews_table)),
    )


def handler(
    event: dict[str, Any],
    context: object,  # noqa: ARG001 (Lambda passes it)
    *,
    services: Callable[[], Services] = default_services,
) -> dict[str, Any]:
    """Answer one HTTP request."""
    count_cold_start("catalog")
    return serve(event, ROUTES, services(), logger=_logger())


def health(_request: Request, _services: Services) -> dict[str, Any]:
    """Tell that the function runs."""
    return {"status": "ok"}


def model(_request: Request, services: Services) -> dict[str, Any]:
    """The model in use, its labels and its accuracy on its test photos."""
    current = services.models.current()
    return {
        "version": current.version,
        "labels": services.models.read_info(current.version)["labels"],
        "accuracy": current.accuracy,
        "published_at": current.published_at,
    }


def evaluation(_request: Request, services: Services) -> dict[str, Any]:
    """How good the model in use is on its test photos, by category, and what it takes for what."""
    current = services.models.current()
    info = services.models.read_info(current.version)
    metrics = info["metrics"]
    return {
        "version": current.version,
        "published_at": current.published_at,
        "reason": current.reason,
        "trained_on": info["data"].get("scanned", 0),
        "accuracy": metrics["accuracy"],
        "accuracy_interval": metrics.get("accuracy_interval"),
        "photos": metrics["count"],
        "answered": metrics.get("answered"),
        "answered_accuracy": metrics.get("answered_accuracy"),
        "labels": metrics.get("labels", info["labels"]),
        "per_class": {
            label: {"count": one["count"], "recall": one["recall"], "precision": one["precision"]}
            for label, one in metrics.get("per_class", {}).items()
        },
        "confusion": metrics.get("confusion", []),
        "before": [
            {"version": use.version, "accuracy": use.accuracy, "published_at": use.published_at}
            for use in current.history
        ],
    }


def image(request: Request, services: Services) -> dict[str, Any]:
    """What was said last of a photo, known by its sha256; or why it cannot be read."""
    return services.labels.latest(request.id("image_id")).to_dict()


def products(request: Request, services: Services) -> dict[str, Any]:
    """A page of the products that are asked for, by title; no table is read."""
    query = read_query(request)
    listed = services.listing.get()
    page = listed[0].find(query) if listed else Page((), "", 0)
    return {
        "products": [_with_photo_url(one, services) for one in page.products],
        "cursor": page.cursor,
        "count": page.count,
        "listed_at": listed[1]["built_at"] if listed else None,
    }


def categories(_request: Request, services: Services) -> dict[str, Any]:
    """The categories with their numbers of products, what each shop's is, and the currencies."""
    listed = services.listing.get()
    return {
        "categories": listed[0].categories() if listed else [],
        "currencies": listed[0].currencies if listed else [],
        "mapped": listed[1]["mapped"] if listed else [],
    }


def product(request: Request, services: Services) -> dict[str, Any]:
    """A product as its shop's page said when it was last seen, and every shop's offer of it."""
    found = services.catalog.get(request.id("product_id"))
    same, matched = _same_product(found, services)
    offers = cheapest_first(Offer.of(one) for one in same)
    photos = photos_of(services.data_bucket, found.item)
    return found.to_dict() | {
        "photo_urls": [address(place) for place in photos],
        "match": str(matched.reason) if matched.reason else "",
        "confidence": str(matched.confidence) if matched.confidence else "",
        "offers": [offer.to_dict(lambda _: None) for offer in offers],
    }


def prices(request: Request, services: Services) -> dict[str, Any]:
    """A product's price history, oldest first; apart from it what waits for a second look."""
    known = request.id("product_id")
    points = services.catalog.prices(known) or _none_of(services.catalog, known)
    return {
        "prices": [asdict(point) for point in points if point.counts],
        "waiting": [asdict(point) for point in points if not point.counts],
    }


def uploads(request: Request, services: Services) -> dict[str, Any]:
    """A form by which a photo can be sent to S3, where it is labelled."""
    wish = json_object(request.body or b"{}")
    filename, content_type = wish.get("filename", ""), wish.get("content_type", ANY_PHOTO)
    if not isinstance(filename, str) or not isinstance(content_type, str):
        raise RequestError(400, "filename and content_type are texts, where they are given")
    place = PhotoPlace(services.uploads_bucket, upload_key(uuid4(), filename))
    checked = checked_content_type(content_type)
    return upload_form(place, content_type=checked, max_bytes=MAX_BYTES)


def read_query(request: Request) -> Query:
    """What a query string asks for.

    Raises: RequestError 400, naming what it cannot be.
    """
    currency = CURRENCY.of(request)
    if currency and currency not in CURRENCIES:
        raise RequestError(400, f"currency is {currency[:50]!r}; expected an ISO 4217 code")
    return Query(
        words=SEARCHED.of(request)[:MAX_WORDS_CHARS],
        category=CATEGORY.of(request),
        shop=SHOP.of(request),
        currency=currency,
        least_minor=LEAST.of(request),
        most_minor=MOST.of(request),
        in_stock=IN_STOCK.of(request) == "true",
        limit=LIMIT.of(request),
        cursor=CURSOR.of(request),
    )


def _with_photo_url(listed: dict[str, Any], services: Services) -> dict[str, Any]:
    photo = listed.pop("photo")
    place = PhotoPlace(services.data_bucket, photo)
    return listed | {"photo_url": address(place) if photo else None}


def _same_product(found: Product, services: Services) -> tuple[list[Product], Group]:
    """The product, what other shops sell under its GTIN where the names agree, and what a person
    said is the same; and what they were matched by."""
    catalog, pins = services.catalog, services.pins.get()
    others = {one.product_id: one for one in catalog.by_gtin(found.item.gtin)}
    others |= catalog.get_many(partners_of([found.product_id, *others], pins))
    products = [found, *(one for one in others.values() if one.product_id != found.product_id)]
    items = [one.item for one in products]
    grouping = group(items, photo_similarity=lambda *_: None, pins=pins)
    own = grouping.groups[0]
    return [products[at] for at in own.members], own


def _none_of(catalog: CatalogTables, product_id: str) -> list[PricePoint]:
    """No price, of a product that there is."""
    catalog.get(product_id)
    return []


@cache
def _logger() -> Logger:
    return Logger(service="catalog")


ROUTES: Final = {
    "POST /uploads": Route(answers=uploads, takes=Body.UPLOAD, refuses=(400, 415)),
    "GET /images/{image_id}": Route(answers=image, refuses=(404, 429)),
    "GET /products": Route(
        answers=products,
        query=(SEARCHED, CATEGORY, SHOP, IN_STOCK, CURRENCY, LEAST, MOST, LIMIT, CURSOR),
        refuses=(400, 429),
    ),
    "GET /categories": Route(answers=categories, refuses=(429,)),
    "GET /products/{product_id}": Route(answers=product, refuses=(404, 429)),
    "GET /products/{product_id}/prices": Route(answers=prices, refuses=(404, 429)),
    "GET /model": Route(answers=model, refuses=(429, 503)),
    "GET /model/evaluation": Route(answers=evaluation, refuses=(429, 503)),
    "GET /health": Route(answers=health),
}
