"""Shows what a person should look at, and takes their decisions; API Gateway asks IAM first."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from aws_lambda_powertools import Logger

from advisor.aws.catalog import CatalogTables
from advisor.aws.days import DayTable
from advisor.aws.doubts import DoubtStore
from advisor.aws.labels import LabelRow, LabelTable
from advisor.aws.models import ModelStore
from advisor.aws.photos import IMAGES, PhotoPlace, address, category_of
from advisor.aws.reviews import (
    CATEGORY,
    DIFFERENT,
    MATCH,
    PHOTO,
    SAME,
    Decision,
    ReviewTable,
    category_pins,
)
from advisor.aws.routes import Body, Route, serve
from advisor.aws.rows import batches
from advisor.catalog.categories import MappedCategory, Shelved
from advisor.catalog.pins import category_id, match_id
from advisor.catalog.products import Product
from advisor.errors import NoModelError, NotFoundError, RequestError
from advisor.http import Choice, Request, Whole, Words
from advisor.settings import Settings
from advisor.uploads import json_object

LIMIT: Final = Whole(name="limit", about="how many at most", default=20, least=1, most=100)
DAYS: Final = Whole(name="days", about="how many, today's last", default=30, least=1, most=366)
KIND: Final = Choice(
    name="kind", about="of photos, of matches, or of categories", words=(PHOTO, MATCH, CATEGORY)
)
SHOP: Final = Words(name="shop", about="only this shop's")
CATEGORIES: Final = Whole(name="limit", about="how many at most", default=200, least=1, most=1000)
MAX_LABEL_CHARS: Final = 200
DECIDED_AT_ONCE: Final = 100  # photos that are looked up in one BatchGetItem
_ID = re.compile(r"[0-9a-f]{32}")  # of catalog/pins.py


@dataclass(frozen=True, kw_only=True)
class Services:
    """What this function works with."""

    data_bucket: str
    labels: LabelTable
    reviews: ReviewTable
    catalog: CatalogTables
    models: ModelStore
    doubts: DoubtStore
    days: DayTable
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@cache
def default_services() -> Services:
    """The services that the settings name."""
    settings = Settings.from_env(os.environ)
    return Services(
        data_bucket=settings.data_bucket,
        labels=LabelTable(settings.labels_table),
        reviews=ReviewTable(settings.reviews_table),
        catalog=CatalogTables(settings.products_table),
        models=ModelStore(settings.data_bucket),
        doubts=DoubtStore(settings.data_bucket),
        days=DayTable(settings.days_table),
    )


def handler(
    event: Mapping[str, Any],
    _context: object,
    *,
    services: Callable[[], Services] = default_services,
) -> dict[str, Any]:
    """Answer one HTTP request."""
    return serve(event, ROUTES, services(), logger=_logger())


def photos(request: Request, use: Services) -> dict[str, Any]:
    """The photos that the model in use is not sure of, then those that may be mis-shelved."""
    limit = LIMIT.of(request)
    try:
        version = use.models.current().version
    except NoModelError:
        return {"photos": [], "waiting": 0, "labels": [], "model_version": ""}
    amiss = _undecided(use, PHOTO, "image_id", use.doubts.disagreements())
    chosen = _unsure(use, version, limit)
    unsure = {one["image_id"] for one in chosen}
    others = [one for one in amiss if one["image_id"] not in unsure]
    chosen += [_mis_shelved(one) for one in others[: limit - len(chosen)]]
    products = use.catalog.get_many(one["product_id"] for one in chosen)
    return {
        "photos": [_shown(one, products, use) for one in chosen],
        "waiting": max(use.labels.count_to_review(version) + len(others), len(chosen)),
        "labels": use.models.read_info(version)["labels"],
        "model_version": version,
    }


def _unsure(use: Services, version: str, limit: int) -> list[dict[str, Any]]:
    """The photos that a model is not sure of, the least sure first, without those decided."""
    found: list[dict[str, Any]] = []
    for batch in batches(use.labels.to_review(version), DECIDED_AT_ONCE):
        decided = use.reviews.decided(PHOTO, [row.image_id for row in batch])
        found += [_unsure_photo(row) for row in batch if row.image_id not in decided]
        if len(found) >= limit:
            break
    return found[:limit]


def _unsure_photo(row: LabelRow) -> dict[str, Any]:
    assert row.classification is not None  # noqa: S101 (the index holds no other)
    return {
        "image_id": row.image_id,
        "why": "unsure",
        "labels": [
            {"label": one.label, "probability": one.probability}
            for one in row.classification.labels
        ],
        "shop_label": _shop_label(row),
        "product_id": row.product_id,
        "photo": row.key,
    }


def _mis_shelved(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "image_id": one["image_id"],
        "why": "shelf",
        "labels": [{"label": one["label"], "probability": one["probability"]}],
        "shop_label": one["category"],
        "product_id": one["product_id"],
        "photo": one["photo"],
    }


def _shown(photo: dict[str, Any], products: Mapping[str, Product], use: Services) -> dict[str, Any]:
    product = products.get(photo["product_id"])
    place = PhotoPlace(use.data_bucket, photo.pop("photo"))
    return photo | {
        "photo_url": address(place),
        "title": product.item.title if product else "",
        "shop": product.item.shop if product else "",
        "url": product.item.url if product else "",
    }


def decide_photo(request: Request, use: Services) -> dict[str, Any]:
    """Keep what a person says that a photo shows; the next training learns it."""
    label = _category(json_object(request.body), "label")
    row = use.labels.latest(request.id("image_id"))
    said = row.classification
    known = [*use.models.read_info(use.models.current().version)["labels"], _shop_label(row)]
    if label not in known:  # a misspelt one would be a category of one photo
        there = ", ".join(filter(None, known))
        raise RequestError(400, f"no category {label[:50]!r}; there is {there}")
    decision = use.reviews.put(
        Decision(
            kind=PHOTO,
            about=row.image_id,
            said=label,
            by=request.caller,
            at=_now(use),
            seen={
                "shop_label": _shop_label(row),
                "label": said.labels[0].label if said else "",
                "model_version": said.model_version if said else "",
                "key": row.key,
            },
        )
    )
    use.labels.mark_reviewed(row)
    _logger().info("photo reviewed", extra={"image_id": row.image_id, "label": decision.said})
    return decision.to_dict()


def undo_photo(request: Request, use: Services) -> dict[str, Any]:
    """Take back what was said of a photo: it waits again, if the model is not sure of it."""
    row = use.labels.latest(request.id("image_id"))
    use.labels.mark_reviewed(row, reviewed=False)
    return _undo(PHOTO, row.image_id, use)


def matches(request: Request, use: Services) -> dict[str, Any]:
    """Pairs of offers that may be one product, and nothing is sure enough to show them as one."""
    limit = LIMIT.of(request)
    doubtful = _undecided(use, MATCH, "match_id", use.doubts.matches())
    sides = ("one", "other")
    known = use.catalog.known(one[side] for one in doubtful for side in sides)
    waiting = [one for one in doubtful if known.issuperset(one[side] for side in sides)]
    products = use.catalog.get_many(one[side] for one in waiting[:limit] for side in sides)
    shown = [
        one | {side: _side(one, side, products, use) for side in sides}
        for one in waiting[:limit]
        if all(one[side] in products for side in sides)  # it may have gone since
    ]
    photos = ("one_photo", "other_photo")
    return {
        "matches": [{name: one[name] for name in one if name not in photos} for one in shown],
        "waiting": len(waiting),
    }


def _side(
    pair: Mapping[str, Any], side: str, products: Mapping[str, Product], use: Services
) -> dict[str, Any]:
    item = products[pair[side]].item
    photo = pair[f"{side}_photo"]
    return {
        "product_id": pair[side],
        "shop": item.shop,
        "title": item.title,
        "brand": item.brand,
        "gtin": item.gtin,
        "mpn": item.mpn,
        "price_minor": item.price_minor,
        "currency": item.currency,
        "url": item.url,
        "photo_url": address(PhotoPlace(use.data_bucket, photo)) if photo else None,
    }


def decide_match(request: Request, use: Services) -> dict[str, Any]:
    """Keep whether a person says that two products are one."""
    asked = json_object(request.body)
    one, other, same = (asked.get(name) for name in ("one", "other", "same"))
    if not isinstance(one, str) or not isinstance(other, str) or not isinstance(same, bool):
        raise RequestError(
            400, "expected one and other, two products' ids, and same, true or false"
        )
    if one == other:
        raise RequestError(400, f"one and other are both {one[:50]!r}; expected two products")
    known = use.catalog.get_many([one, other])
    for product_id in (one, other):
        if product_id not in known:
            raise NotFoundError(f"no product {product_id[:100]!r}")
    first, second = sorted((one, other))
    decision = use.reviews.put(
        Decision(
            kind=MATCH,
            about=match_id(one, other),
            said=SAME if same else DIFFERENT,
            by=request.caller,
            at=_now(use),
            seen={
                "one": first,
                "other": second,
                "one_title": known[first].item.title,
                "other_title": known[second].item.title,
            },
        )
    )
    _logger().info("match reviewed", extra={"match_id": decision.about, "said": decision.said})
    return decision.to_dict()


def undo_match(request: Request, use: Services) -> dict[str, Any]:
    """Take back what was said of two products."""
    return _undo(MATCH, _known(request, "match_id"), use)


def shop_categories(request: Request, use: Services) -> dict[str, Any]:
    """What each shop's category is, by its photos or by a person; the least sure first.

    A pin counts in the list of products when that is made anew: `listed` is what it says now.
    """
    limit, shop = CATEGORIES.of(request), SHOP.of(request)
    pins = category_pins(use.reviews.all(CATEGORY))
    mapped = use.doubts.mapped()
    asked = [(one.unified, _pinned(one, pins)) for one in mapped if shop in ("", one.shop)]
    asked.sort(key=lambda pair: (pair[1].pinned, pair[1].share))
    names = {one.unified for one in mapped} | set(pins.values())
    with suppress(NoModelError):
        names |= set(use.models.read_info(use.models.current().version)["labels"])
    return {
        "categories": [
            {"category_id": category_id(one.shop, one.category), "listed": listed} | one.to_dict()
            for listed, one in asked[:limit]
        ],
        "count": len(asked),
        "names": sorted(names),
    }


def pin_category(request: Request, use: Services) -> dict[str, Any]:
    """Keep what a person says that a shop's category is."""
    asked = json_object(request.body)
    shop, category = asked.get("shop"), asked.get("category")
    if not isinstance(shop, str) or not isinstance(category, str):
        raise RequestError(400, "expected shop and category, as GET /reviews/categories gives them")
    unified = _category(asked, "unified")
    found = [one for one in use.doubts.mapped() if (one.shop, one.category) == (shop, category)]
    if not found:
        raise NotFoundError(f"no category {category[:50]!r} is listed of shop {shop[:50]!r}")
    decision = use.reviews.put(
        Decision(
            kind=CATEGORY,
            about=category_id(shop, category),
            said=unified,
            by=request.caller,
            at=_now(use),
            seen={"shop": shop, "category": category, "unified": found[0].pinned_to(None).unified},
        )
    )
    _logger().info("category pinned", extra={"shop": shop, "category": category, "as": unified})
    return decision.to_dict()


def unpin_category(request: Request, use: Services) -> dict[str, Any]:
    """Take back what was said of a category: it is what its photos show."""
    return _undo(CATEGORY, _known(request, "category_id"), use)


def _pinned(mapped: MappedCategory, pins: Mapping[Shelved, str]) -> MappedCategory:
    return mapped.pinned_to(pins.get((mapped.shop, mapped.category)))


def _category(asked: Mapping[str, Any], name: str) -> str:
    """A category that a person names, its spaces as one each.

    Raises: RequestError 400 if it is none.
    """
    value = asked.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_LABEL_CHARS:
        raise RequestError(
            400,
            f"{name} is {str(value)[:50]!r}; expected a category of 1 to {MAX_LABEL_CHARS} signs",
        )
    return " ".join(value.split())


def _known(request: Request, name: str) -> str:
    known = request.id(name)
    if not _ID.fullmatch(known):
        raise NotFoundError(f"no {name} {known[:50]!r}")
    return known


def _undo(kind: str, about: str, use: Services) -> dict[str, Any]:
    undone = use.reviews.remove(kind, about)
    _logger().info("review undone", extra={"kind": kind, "about": about, "undone": undone})
    return {"kind": kind, "about": about, "undone": undone}


def decisions(request: Request, use: Services) -> dict[str, Any]:
    """What was decided last; of photos, which model has learned from it."""
    limit = LIMIT.of(request)
    kind = KIND.of(request)
    learned: dict[str, Any] = {}
    if kind == PHOTO:
        with suppress(NoModelError):
            version = use.models.current().version
            counted = use.models.read_info(version)["data"].get("corrections") or {}
            learned = {**counted, "model_version": version}
    return {
        "decisions": [
            one.to_dict() | ({"used_by": _used_by(one, learned)} if kind == PHOTO else {})
            for one in use.reviews.latest(kind, limit)
        ],
        "learned": learned,
    }


def days(request: Request, use: Services) -> dict[str, Any]:
    """How many stored photos were classified each day, and how many the model was not sure of."""
    first = use.now().date() - timedelta(days=DAYS.of(request) - 1)
    return {"days": [asdict(one) for one in use.days.since(first)]}


def _used_by(decision: Decision, learned: Mapping[str, Any]) -> str:
    return str(learned["model_version"]) if decision.at <= learned.get("until", "") else ""


def _undecided(
    use: Services, kind: str, name: str, found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    decided = use.reviews.decided(kind, [one[name] for one in found])
    return [one for one in found if one[name] not in decided]


def _shop_label(row: LabelRow) -> str:
    """The category of the folder that the photo lies in; "" for an upload."""
    return category_of(row.key) if row.key.startswith(IMAGES) else ""


def _now(use: Services) -> str:
    return use.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@cache
def _logger() -> Logger:
    return Logger(service="reviews")


ROUTES: Final = {
    "GET /reviews/photos": Route(answers=photos, query=(LIMIT,), refuses=(400, 429)),
    "POST /reviews/photos/{image_id}": Route(
        answers=decide_photo, takes=Body.LABEL, refuses=(400, 404, 429, 503)
    ),
    "DELETE /reviews/photos/{image_id}": Route(answers=undo_photo, refuses=(404, 429)),
    "GET /reviews/matches": Route(answers=matches, query=(LIMIT,), refuses=(400, 429)),
    "POST /reviews/matches": Route(answers=decide_match, takes=Body.PAIR, refuses=(400, 404, 429)),
    "DELETE /reviews/matches/{match_id}": Route(answers=undo_match, refuses=(404, 429)),
    "GET /reviews/categories": Route(
        answers=shop_categories, query=(SHOP, CATEGORIES), refuses=(400, 429)
    ),
    "POST /reviews/categories": Route(
        answers=pin_category, takes=Body.PIN, refuses=(400, 404, 429)
    ),
    "DELETE /reviews/categories/{category_id}": Route(answers=unpin_category, refuses=(404, 429)),
    "GET /days": Route(answers=days, query=(DAYS,), refuses=(400, 429)),
    "GET /reviews/decisions": Route(answers=decisions, query=(KIND, LIMIT), refuses=(400, 429)),
}
