"""Answers over HTTP what the catalog knows: photos' labels, products, prices, the model."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote
from uuid import uuid4

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response

from advisor.aws.catalog import CatalogTables
from advisor.aws.labels import LabelTable
from advisor.aws.listings import CurrentListing, ListingStore
from advisor.aws.models import ModelStore
from advisor.aws.photos import PhotoPlace, address, upload_form
from advisor.aws.watching import count_cold_start
from advisor.catalog.listing import Page, Query
from advisor.catalog.matching import group
from advisor.catalog.products import Offer, PricePoint, Product, cheapest_first
from advisor.crawling.currencies import CURRENCIES
from advisor.errors import AdvisorError, NotFoundError, RequestError
from advisor.http import ANSWERED, JSON, PROBLEM_JSON, Request, dumps, problem_body, status_of
from advisor.settings import Settings
from advisor.uploads import MAX_BYTES, checked_content_type, json_object, upload_key

PAGE: Final = 20
MAX_PAGE: Final = 100
MAX_WORDS_CHARS: Final = 200
MAX_KEY_BYTES: Final = 2048  # of a DynamoDB partition key


@dataclass(frozen=True, kw_only=True)
class Services:
    """What this function works with."""

    uploads_bucket: str
    data_bucket: str
    catalog: CatalogTables
    listing: CurrentListing
    labels: LabelTable
    models: ModelStore


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
    )


app = APIGatewayHttpResolver()


def handler(
    event: dict[str, Any],
    context: Any,
    *,
    services: Callable[[], Services] = default_services,
) -> dict[str, Any]:
    """Answer one HTTP request."""
    count_cold_start("catalog")
    app.context["services"] = services
    return app.resolve(at_root(event), context)


@app.get("/health")
def health() -> Response[str]:
    """Tell that the function runs."""
    return _answer({"status": "ok"})


@app.get("/model")
def model() -> Response[str]:
    """The model in use, its labels and its accuracy on its test photos."""
    store = _services().models
    current = store.current()
    return _answer(
        {
            "version": current.version,
            "labels": store.read_info(current.version)["labels"],
            "accuracy": current.accuracy,
            "published_at": current.published_at,
        }
    )


@app.get("/images/<image_id>")
def image(image_id: str) -> Response[str]:
    """What was said last of a photo, known by its sha256; or why it cannot be read."""
    return _answer(_services().labels.latest(_key(image_id)).to_dict())


@app.get("/products")
def products() -> Response[str]:
    """A page of the products that are asked for, by title; no table is read."""
    listed = _services().listing.get()
    query = read_query(app.current_event.query_string_parameters or {})
    page = listed[0].find(query) if listed else Page((), "")
    return _answer(
        {
            "products": [_with_photo_url(one) for one in page.products],
            "cursor": page.cursor,
            "listed_at": listed[1]["built_at"] if listed else None,
        }
    )


@app.get("/categories")
def categories() -> Response[str]:
    """The categories with their numbers of products, and what each shop's category is."""
    listed = _services().listing.get()
    return _answer(
        {
            "categories": listed[0].categories() if listed else [],
            "mapped": listed[1]["mapped"] if listed else [],
        }
    )


@app.get("/products/<product_id>")
def product(product_id: str) -> Response[str]:
    """A product as its shop's page said when it was last seen, and every shop's offer of it."""
    catalog = _services().catalog
    found = catalog.get(_key(product_id))
    offers = cheapest_first(Offer.of(one) for one in _same_product(found, catalog))
    return _answer(
        found.to_dict() | {"offers": [offer.to_dict(lambda _: None) for offer in offers]}
    )


@app.get("/products/<product_id>/prices")
def prices(product_id: str) -> Response[str]:
    """A product's price history, oldest first; apart from it what waits for a second look."""
    catalog = _services().catalog
    known = _key(product_id)
    points = catalog.prices(known) or _none_of(catalog, known)
    return _answer(
        {
            "prices": [asdict(point) for point in points if point.counts],
            "waiting": [asdict(point) for point in points if not point.counts],
        }
    )


@app.post("/uploads")
def uploads() -> Response[str]:
    """A form by which a photo can be sent to S3, where it is labelled."""
    wish = json_object((app.current_event.decoded_body or "{}").encode())
    filename, content_type = wish.get("filename", ""), wish.get("content_type", "")
    if not isinstance(filename, str) or not isinstance(content_type, str):
        raise RequestError(400, "filename and content_type are texts, where they are given")
    place = PhotoPlace(_services().uploads_bucket, upload_key(uuid4(), filename))
    checked = checked_content_type(content_type) if content_type else ""
    return _answer(upload_form(place, content_type=checked, max_bytes=MAX_BYTES))


@app.not_found
def no_route(_error: Exception) -> Response[str]:
    """A problem document for a path that is none of ours."""
    request = app.current_event
    return _problem(RequestError(404, f"no route {request.http_method} {request.path!r}"))


@app.exception_handler(list(ANSWERED))  # type: ignore[untyped-decorator]  # Powertools' own
def refused(error: AdvisorError) -> Response[str]:
    """A problem document for what the sender did wrong."""
    _logger().info("refused", extra={"path": app.current_event.path, "reason": str(error)})
    return _problem(error)


def at_root(event: dict[str, Any]) -> dict[str, Any]:
    """The event as if its route lay at the root, the path's parts percent-encoded.

    API Gateway has found the route and its parameters already. Its rawPath begins with the
    stage (the emulator's does not), and is decoded: a slash within a product's id would read
    as one between two parts.
    """
    route = event.get("routeKey", "$default").partition(" ")[2]
    if not route:
        return event
    given = event.get("pathParameters") or {}
    path = re.sub(r"{(\w+)\+?}", lambda name: quote(unquote(given[name[1]]), safe=""), route)
    http = event["requestContext"]["http"] | {"path": path}
    context = event["requestContext"] | {"stage": "$default", "http": http}
    return event | {"rawPath": path, "requestContext": context}


def read_query(given: Mapping[str, str]) -> Query:
    """What a query string asks for.

    Raises: RequestError 400, naming what it cannot be.
    """
    request = Request(route="", query=given, headers={}, body=b"")

    def price(name: str) -> int | None:
        return request.integer(name, default=0, least=0, most=10**8) if name in given else None

    in_stock = given.get("in_stock", "false")
    if in_stock not in ("true", "false"):
        raise RequestError(400, f"in_stock is {in_stock[:50]!r}; expected true or false")
    currency = given.get("currency", "")
    if currency and currency not in CURRENCIES:
        raise RequestError(400, f"currency is {currency[:50]!r}; expected an ISO 4217 code")
    return Query(
        words=given.get("q", "")[:MAX_WORDS_CHARS],
        category=given.get("category", ""),
        shop=given.get("shop", ""),
        currency=currency,
        least_minor=price("min_minor"),
        most_minor=price("max_minor"),
        in_stock=in_stock == "true",
        limit=request.integer("limit", default=PAGE, least=1, most=MAX_PAGE),
        cursor=given.get("cursor", ""),
    )


def _with_photo_url(listed: dict[str, Any]) -> dict[str, Any]:
    photo = listed.pop("photo")
    place = PhotoPlace(_services().data_bucket, photo)
    return listed | {"photo_url": address(place) if photo else None}


def _key(encoded: str) -> str:
    """The id of a path. One that no row can have is not found, without asking the table."""
    key = unquote(encoded, errors="replace")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise NotFoundError(f"nothing has an id of {len(key.encode())} bytes: {key[:50]!r}...")
    return key


def _same_product(found: Product, catalog: CatalogTables) -> list[Product]:
    """The product and what other shops sell under its GTIN, where the names agree."""
    others = catalog.by_gtin(found.item.gtin)
    products = [found, *(one for one in others if one.product_id != found.product_id)]
    grouping = group([one.item for one in products], photo_similarity=lambda *_: None)
    return [products[at] for at in grouping.groups[0].members]


def _none_of(catalog: CatalogTables, product_id: str) -> list[PricePoint]:
    """No price, of a product that there is."""
    catalog.get(product_id)
    return []


def _services() -> Services:
    services: Callable[[], Services] = app.context["services"]
    return services()


def _answer(value: Any) -> Response[str]:
    return Response(200, JSON, dumps(value), {"cache-control": "no-store"})


def _problem(error: AdvisorError) -> Response[str]:
    status = status_of(error)
    return Response(status, PROBLEM_JSON, problem_body(status, str(error)))


@cache
def _logger() -> Logger:
    return Logger(service="catalog")
