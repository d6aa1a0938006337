"""`make openapi`: writes docs/openapi.json, by Powertools, from the functions' tables of routes.

Powertools takes a route's parameters from its handler's signature, in types of pydantic, which no
function loads (docs/decisions/0037-openapi.md): here each route becomes such a handler.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NotRequired

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.openapi.params import Path as InPath
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field
from typing_extensions import TypedDict

from advisor.aws.crawl_turns import StartedRun
from advisor.aws.days import Day
from advisor.aws.frontier import RunStatus
from advisor.aws.routes import Body, Route
from advisor.aws.start_crawl import MAX_CHARS, SETTINGS
from advisor.catalog.categories import Evidence, MappedCategory
from advisor.catalog.products import PricePoint
from advisor.http import PROBLEM_JSON, RETRY_AFTER_S, Choice, Parameter, Share, Whole
from advisor.uploads import MAX_BYTES, MAX_PHOTOS, PREFIX
from functions.catalog.handler import ROUTES as CATALOG
from functions.classify.handler import ROUTES as CLASSIFY
from functions.crawls.handler import ROUTES as CRAWLS
from functions.reviews.handler import MAX_LABEL_CHARS
from functions.reviews.handler import ROUTES as REVIEWS

FILE: Final = Path(__file__).parents[1] / "docs" / "openapi.json"
PUBLIC: Final[Mapping[str, Route[Any]]] = {**CLASSIFY, **CATALOG}
NEEDS_IAM: Final[Mapping[str, Route[Any]]] = {**CRAWLS, **REVIEWS}
ABOUT: Final = """Photos to categories and products; products, offers and prices of all shops.

Errors are RFC 9457 problem documents that say what was received. API Gateway stands before the
functions and has errors of its own, JSON with a `message`: 403 for a signature that IAM does not
accept, 404 for a path that is none, 413 for a body too large for it or for the function, 429 for
more requests than the stage lets in, 500 and 503 when a function fails or takes more than 30 s."""


class Problem(TypedDict):
    """RFC 9457. detail: what was received."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str


class LabelAnswer(TypedDict):
    """A category in the shop's own words."""

    label: str
    probability: Annotated[float, Field(ge=0, le=1)]


class ClassificationAnswer(TypedDict):
    """What a model says of a photo: labels by rank; unknown if it is not sure enough.

    image_id: sha256 of the photo's bytes, hex. timing_ms: by stage.
    """

    image_id: str
    model_version: str
    labels: list[LabelAnswer]
    unknown: bool
    timing_ms: dict[str, float]


class ClassificationsAnswer(TypedDict):
    """An answer for each photo, in the order in which they were sent."""

    images: list[ClassificationAnswer | Problem]


class LabelledImage(ClassificationAnswer):
    """What was said last of a stored photo."""

    status: Literal["labelled"]
    classified_at: str


class UnreadableImage(TypedDict):
    """A stored photo that cannot be read, and why."""

    image_id: str
    status: Literal["unreadable"]
    reason: str
    classified_at: str


Availability = Literal["in_stock", "out_of_stock", "preorder", ""]


class OfferAnswer(TypedDict):
    """What a shop asks for a product, in minor units; its photo's address is good for an hour.

    observed_at: when the shop's page was last seen.
    """

    product_id: str
    shop: str
    title: str
    price_minor: int | None
    currency: str
    availability: Availability
    url: str
    photo_url: str | None
    observed_at: str


class SuggestionAnswer(TypedDict):
    """A product that a photo shows (same) or resembles, with every shop's offer.

    match: what the offers were matched by. similarity: cosine of the photos' embeddings.
    """

    title: str
    category: str
    similarity: float
    same: bool
    photo_url: str | None
    match: str
    confidence: str
    offers: list[OfferAnswer]


class SuggestionsAnswer(TypedDict):
    """A photo's classification, and the products that it brings to mind."""

    classification: ClassificationAnswer
    suggestions: list[SuggestionAnswer]


class LikeAnswer(TypedDict):
    """What looks like a product; apart from it the product, with the offers joined to its own.

    All empty where the product has no photo.
    """

    classification: ClassificationAnswer | None
    product: SuggestionAnswer | None
    suggestions: list[SuggestionAnswer]


class ProductAnswer(TypedDict):
    """A product as its shop's page said, and every shop's offer of it, cheapest first.

    photo_urls: of the photos we keep, good for an hour. match: what the offers were matched by.
    """

    product_id: str
    id: str
    title: str
    category: str
    description: str
    images: list[str]
    url: str
    shop: str
    observed_at: str
    run_id: str
    price_minor: NotRequired[int]
    currency: NotRequired[str]
    availability: NotRequired[Availability]
    brand: NotRequired[str]
    gtin: NotRequired[str]
    mpn: NotRequired[str]
    price_text: NotRequired[str]
    page: NotRequired[str]
    extractor: NotRequired[str]
    photo_urls: list[str]
    match: str
    confidence: str
    offers: list[OfferAnswer]


class ListedProduct(TypedDict):
    """A product of the list. category: the unified one; shop_category: as the shop calls it."""

    product_id: str
    shop: str
    title: str
    category: str
    shop_category: str
    brand: str
    price_minor: int | None
    currency: str
    availability: Availability
    url: str
    photo_url: str | None


class ProductsAnswer(TypedDict):
    """A page of products by title; cursor: of the next page, "" after the last.

    count: of all, told with the first page; null beyond 1,000, and with later pages.
    """

    products: list[ListedProduct]
    cursor: str
    count: int | None
    listed_at: str | None


class CategoryAnswer(TypedDict):
    """A category and the number of its products, in all and by shop."""

    category: str
    products: int
    shops: dict[str, int]


class CategoriesAnswer(TypedDict):
    """The categories, which of them each shop's own is, and the prices' currencies.

    currencies: the most used first.
    """

    categories: list[CategoryAnswer]
    currencies: list[str]
    mapped: list[MappedCategory]


class PricesAnswer(TypedDict):
    """A price history, oldest first; waiting: what a second crawl must confirm."""

    prices: list[PricePoint]
    waiting: list[PricePoint]


class UploadAnswer(TypedDict):
    """A form for S3: send fields, then the photo as `file`, to url. key: where it will lie."""

    url: str
    fields: dict[str, str]
    key: str


class ModelAnswer(TypedDict):
    """The model in use. accuracy: share of its test photos that it knew."""

    version: str
    labels: list[str]
    accuracy: float
    published_at: str


class ClassAnswer(TypedDict):
    """How good a model is on the test photos of a category; null where it had none."""

    count: int
    recall: float | None
    precision: float | None


class UsedBefore(TypedDict):
    """A model that was in use before."""

    version: str
    accuracy: float
    published_at: str


class EvaluationAnswer(TypedDict):
    """The model in use on its test photos; intervals are of 95 % confidence.

    answered: the share that it was sure of; answered_accuracy: on these. confusion: [index of the
    true label, of the answered one, photos]. trained_on: photos that the training found.
    """

    version: str
    published_at: str
    reason: str
    trained_on: int
    accuracy: float
    accuracy_interval: list[float] | None
    photos: int
    answered: float | None
    answered_accuracy: float | None
    labels: list[str]
    per_class: dict[str, ClassAnswer]
    confusion: list[list[int]]
    before: list[UsedBefore]


class WhyAnswer(TypedDict):
    """Sentences on whether and why an address was fetched.

    crawls: how many of the newest crawls the answer is of, at most 3.
    """

    url: str
    why: list[str]
    crawls: int


class DaysAnswer(TypedDict):
    """The stored photos by day, oldest first; a day on which the model changed stands twice."""

    days: list[Day]


class HealthAnswer(TypedDict):
    """The function runs."""

    status: Literal["ok"]


class CrawlsAnswer(TypedDict):
    """The newest crawls of those that have not expired, newest first."""

    crawls: list[RunStatus]


class DoubtfulPhoto(TypedDict):
    """A photo for a person to look at; its address is good for an hour.

    why: unsure, the model is; shelf, the shop's category and the photo disagree. labels: what the
    model says, the likeliest first. shop_label: the shop's own category.
    """

    image_id: str
    why: Literal["unsure", "shelf"]
    labels: list[LabelAnswer]
    shop_label: str
    product_id: str
    photo_url: str
    title: str
    shop: str
    url: str


class DoubtfulPhotosAnswer(TypedDict):
    """Photos that wait for a person, and how many do. labels: the categories to choose from."""

    photos: list[DoubtfulPhoto]
    waiting: int
    labels: list[str]
    model_version: str


class DoubtfulOffer(TypedDict):
    """One side of a doubtful match."""

    product_id: str
    shop: str
    title: str
    brand: str
    gtin: str
    mpn: str
    price_minor: int | None
    currency: str
    url: str
    photo_url: str | None


class DoubtfulMatch(TypedDict):
    """Two offers that may be one product. reason: what says so; why: what speaks against it."""

    match_id: str
    one: DoubtfulOffer
    other: DoubtfulOffer
    reason: Literal["gtin", "mpn", "name"]
    why: str
    score: Annotated[float, Field(ge=0, le=1)]


class DoubtfulMatchesAnswer(TypedDict):
    """Matches that wait for a person, the likeliest first, and how many do."""

    matches: list[DoubtfulMatch]
    waiting: int


class ReviewedCategory(TypedDict):
    """A shop's category and the unified one that it is, by its photos or, pinned, by a person.

    listed: the unified one in the list of products, which a pin enters when it is made anew.
    share: the unified one's part of all evidence. evidence: what photos show, weightiest first.
    """

    category_id: str
    shop: str
    category: str
    unified: str
    listed: str
    share: Annotated[float, Field(ge=0, le=1)]
    pinned: bool
    evidence: list[Evidence]


class ReviewedCategoriesAnswer(TypedDict):
    """Shops' categories, the least sure first and pinned ones last; count: of all.

    names: of unified categories that there are, to choose from; another one may be named.
    """

    categories: list[ReviewedCategory]
    count: int
    names: list[str]


Kind = Literal["photo", "match", "category"]


class DecisionAnswer(TypedDict):
    """What a person decided. about: the photo's, the match's or the category's id.

    said: a label; same, different; the unified category. seen: what it was decided on.
    """

    kind: Kind
    about: str
    said: str
    by: str
    at: str
    seen: dict[str, str]


class ListedDecision(DecisionAnswer):
    """A decision. used_by: of a photo, the model in use that learned from it, "" before that."""

    used_by: NotRequired[str]


Moved = TypedDict("Moved", {"from": str, "to": str, "photos": int})


class Learned(TypedDict):
    """What the model in use was told by people. until: when the last of it was given."""

    given: NotRequired[int]
    until: NotRequired[str]
    photos: NotRequired[int]
    changed: NotRequired[int]
    moves: NotRequired[list[Moved]]
    model_version: NotRequired[str]


class DecisionsAnswer(TypedDict):
    """Decisions, the latest first. learned: of the model in use; empty without corrections."""

    decisions: list[ListedDecision]
    learned: Learned


class UndoneAnswer(TypedDict):
    """A decision that was taken back; undone is false where there was none."""

    kind: Kind
    about: str
    undone: bool


ANSWERS: Final[Mapping[str, Any]] = {
    "POST /classify": ClassificationAnswer | ClassificationsAnswer,
    "POST /suggestions": SuggestionsAnswer,
    "GET /images/{image_id}/suggestions": SuggestionsAnswer,
    "GET /products/{product_id}/suggestions": LikeAnswer,
    "POST /uploads": UploadAnswer,
    "GET /images/{image_id}": LabelledImage | UnreadableImage,
    "GET /products": ProductsAnswer,
    "GET /categories": CategoriesAnswer,
    "GET /products/{product_id}": ProductAnswer,
    "GET /products/{product_id}/prices": PricesAnswer,
    "GET /model": ModelAnswer,
    "GET /model/evaluation": EvaluationAnswer,
    "GET /why": WhyAnswer,
    "GET /days": DaysAnswer,
    "GET /health": HealthAnswer,
    "GET /crawls": CrawlsAnswer,
    "POST /crawls": StartedRun,
    "GET /crawls/{run_id}": RunStatus,
    "POST /crawls/{run_id}/pause": RunStatus,
    "POST /crawls/{run_id}/resume": RunStatus,
    "POST /crawls/{run_id}/stop": RunStatus,
    "GET /reviews/photos": DoubtfulPhotosAnswer,
    "POST /reviews/photos/{image_id}": DecisionAnswer,
    "DELETE /reviews/photos/{image_id}": UndoneAnswer,
    "GET /reviews/matches": DoubtfulMatchesAnswer,
    "POST /reviews/matches": DecisionAnswer,
    "DELETE /reviews/matches/{match_id}": UndoneAnswer,
    "GET /reviews/categories": ReviewedCategoriesAnswer,
    "POST /reviews/categories": DecisionAnswer,
    "DELETE /reviews/categories/{category_id}": UndoneAnswer,
    "GET /reviews/decisions": DecisionsAnswer,
}
IDS: Final = {
    "image_id": "sha256 of the photo's bytes, hex",
    "product_id": "<shop>:<sku>, percent-encoded",
    "run_id": "of a crawl",
    "category_id": "of a shop's category, as GET /reviews/categories gives it",
    "match_id": "of a pair of products, as GET /reviews/matches gives it",
}
# Not http.HTTPStatus' phrases: they differ from one Python to the next.
STATUSES: Final = {
    200: "The answer",
    201: "Started",
    400: "What was received cannot be understood",
    404: "There is no such thing",
    409: "Not in the state that it stands in",
    413: "Too many bytes, or too many photos",
    415: "No photo has this content type",
    422: "No photo that can be read",
    429: "More is asked than can be answered now",
    503: "No model is published yet",
}
_TEXT: Final = {"type": "string"}
_BYTES: Final = {"type": "string", "format": "binary", "maxLength": MAX_BYTES}
_ONE: Final[list[dict[str, Any]]] = [
    {
        "type": "object",
        "required": ["image"],
        "properties": {"image": {"type": "string", "contentEncoding": "base64"}},
        "not": {"anyOf": [{"required": ["s3_key"]}, {"required": ["images"]}]},
    },
    {
        "type": "object",
        "required": ["s3_key"],
        "properties": {"s3_key": {"type": "string", "pattern": f"^{PREFIX}", "maxLength": 1024}},
        "not": {"anyOf": [{"required": ["image"]}, {"required": ["images"]}]},
    },
]
_SEVERAL: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["images"],
    "properties": {
        "images": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_PHOTOS,
            "items": {"oneOf": _ONE},
        }
    },
}


def _photo_body(*, most: int) -> dict[str, Any]:
    """A photo as its bytes, in a form or in JSON. most: how many there may be."""
    files = {"type": "array", "items": _BYTES, "minItems": 1, "maxItems": most}
    form = {"type": "object", "required": ["photo"], "properties": {"photo": files}}
    return {
        "image/*": {"schema": _BYTES},
        "application/octet-stream": {"schema": _BYTES},
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": {"anyOf": [*_ONE, *([_SEVERAL] if most > 1 else [])]}},
    }


_UPLOAD: Final = {
    "type": "object",
    "properties": {
        "filename": _TEXT,
        "content_type": _TEXT | {"pattern": r"^(image/[\w!#$&^.+-]+|application/octet-stream)$"},
    },
}
_CRAWL: Final = {
    "type": "object",
    "required": ["spider"],
    "properties": {
        **dict.fromkeys(("spider", "base_url", "shop"), _TEXT | {"maxLength": MAX_CHARS}),
        "limit": {"type": "integer", "minimum": 0},
        "settings": {"type": "object", "propertyNames": {"enum": list(SETTINGS)}},
    },
}
_LABEL: Final = {
    "type": "object",
    "required": ["label"],
    "properties": {"label": _TEXT | {"minLength": 1, "maxLength": MAX_LABEL_CHARS}},
}
_PAIR: Final = {
    "type": "object",
    "required": ["one", "other", "same"],
    "properties": {"one": _TEXT, "other": _TEXT, "same": {"type": "boolean"}},
}
_PIN: Final = {
    "type": "object",
    "required": ["shop", "category", "unified"],
    "properties": {
        "shop": _TEXT,
        "category": _TEXT,
        "unified": _TEXT | {"minLength": 1, "maxLength": MAX_LABEL_CHARS},
    },
}
BODIES: Final[Mapping[Body, tuple[dict[str, Any], bool]]] = {  # and whether it must be there
    Body.PHOTO: (_photo_body(most=1), True),
    Body.PHOTOS: (_photo_body(most=MAX_PHOTOS), True),
    Body.UPLOAD: ({"application/json": {"schema": _UPLOAD}}, False),
    Body.CRAWL: ({"application/json": {"schema": _CRAWL}}, True),
    Body.LABEL: ({"application/json": {"schema": _LABEL}}, True),
    Body.PIN: ({"application/json": {"schema": _PIN}}, True),
    Body.PAIR: ({"application/json": {"schema": _PAIR}}, True),
}


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of every route of every function."""
    app = APIGatewayHttpResolver()
    routes = {**PUBLIC, **NEEDS_IAM}
    for name, route in routes.items():
        method, path = name.split()
        app.route(
            re.sub(r"{(\w+)}", r"<\1>", path),
            method,
            summary=_docstring(route).partition("\n")[0],
            description=_docstring(route),
            responses=_responses(name, route),
        )(_signed(name, route))
    schema = app.get_openapi_schema(title="Products Advisor", version="1", description=ABOUT)
    made: dict[str, Any] = schema.model_dump(mode="json", by_alias=True, exclude_none=True)
    made["servers"] = [{"url": "/api", "description": "the stage: of the API and of the site"}]
    for name, route in routes.items():
        method, path = name.split()
        operation = made["paths"][path][method.lower()]
        operation["operationId"] = route.answers.__name__
        if route.takes:
            content, required = BODIES[route.takes]
            operation["requestBody"] = {"required": required, "content": content}
        if name in NEEDS_IAM:
            operation["security"] = [{"iam": []}]
    components = made["components"]
    components["securitySchemes"] = {
        "iam": {
            "type": "apiKey",
            "name": "Authorization",
            "in": "header",
            "description": "AWS Signature Version 4, of somebody who may execute-api:Invoke",
            "x-amazon-apigateway-authtype": "awsSigv4",
        }
    }
    for name in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        del components["schemas"][name]  # Powertools' own, which we never answer
    for one in components["schemas"].values():
        one["additionalProperties"] = False
    info = made.pop("info")
    return {"openapi": made.pop("openapi"), "info": info, **_without_titles(made)}


def _without_titles(value: Any) -> Any:
    """Without the titles that pydantic makes of names: they say nothing."""
    if isinstance(value, list):
        return [_without_titles(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_titles(one)
        for name, one in value.items()
        if name != "title" or not isinstance(one, str)
    }


def _signed(name: str, route: Route[Any]) -> Any:
    """A function of which Powertools can read the parameters of a route."""
    only = inspect.Parameter.KEYWORD_ONLY
    of_path = [
        inspect.Parameter(one, only, annotation=Annotated[str, InPath(description=IDS[one])])
        for one in re.findall(r"{(\w+)}", name)
    ]
    of_query = [
        inspect.Parameter(one.name, only, default=one.default, annotation=_annotation(one))
        for one in route.query
    ]

    def handler(**_: object) -> None:
        """Never called."""

    handler.__signature__ = inspect.Signature([*of_path, *of_query])  # type: ignore[attr-defined]  # which inspect reads
    return handler


def _annotation(parameter: Parameter) -> Any:
    about = parameter.about
    if isinstance(parameter, Whole):
        return Annotated[int, Query(description=about, ge=parameter.least, le=parameter.most)]
    if isinstance(parameter, Share):
        return Annotated[float, Query(description=about, ge=0, le=1)]
    if isinstance(parameter, Choice):
        return Annotated[Literal[parameter.words], Query(description=about)]
    return Annotated[str, Query(description=about)]


def _responses(name: str, route: Route[Any]) -> dict[int, Any]:
    good = {
        status: {
            "description": STATUSES[status],
            "content": {"application/json": {"model": ANSWERS[name]}},
        }
        for status in route.good
    }
    refused: dict[int, dict[str, Any]] = {
        status: {
            "description": STATUSES[status],
            "content": {PROBLEM_JSON: {"model": Problem}},
        }
        for status in route.refuses
    }
    for status in refused.keys() & RETRY_AFTER_S:
        refused[status]["headers"] = {
            "Retry-After": {"description": "seconds", "schema": {"type": "integer"}}
        }
    return good | refused


def _docstring(route: Route[Any]) -> str:
    return inspect.getdoc(route.answers) or ""


def main() -> None:
    """Write docs/openapi.json."""
    FILE.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
