"""Labels photos: those that arrive in S3 (told by SQS), and those that HTTP requests send."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.catalog import CatalogTables
from advisor.aws.days import DayTable
from advisor.aws.embeddings import EmbeddingTable
from advisor.aws.indexes import IndexedPhotos
from advisor.aws.labelling import Labeller, Outcome
from advisor.aws.labels import LabelTable
from advisor.aws.models import ModelStore
from advisor.aws.photos import PhotoPlace, address, photos_of, read_announcement, read_photo
from advisor.aws.reviews import MatchPins, ReviewTable
from advisor.aws.routes import Body, Route, serve
from advisor.aws.serving import classifier_of, current_classifier
from advisor.aws.tracing import traced
from advisor.aws.vectors import index_store
from advisor.aws.watching import NOT_COUNTED, PhotoWatch, count_cold_start
from advisor.catalog.photo_classifier import PhotoClassifier
from advisor.catalog.pins import Pins
from advisor.catalog.products import Product
from advisor.catalog.similarity import SimilarPhoto, join, rank_similar
from advisor.catalog.suggestions import Suggestion, find_suggestions
from advisor.errors import NoModelError, NotFoundError, RequestError, UnreadableImageError
from advisor.http import Request, Share, Whole, Words, problem_of
from advisor.settings import Settings
from advisor.uploads import MAX_BYTES, SentPhoto, UploadedPhoto, read_photos
from advisor.uploads import read_photo as read_sent_photo
from advisor.vision.classification import Classification
from advisor.vision.classifier import Prediction

LABELS: Final = Whole(name="top_k", about="how many labels", default=5, least=1, most=20)
SUGGESTIONS: Final = Whole(name="top_k", about="how many products", default=8, least=1, most=20)
THRESHOLD: Final = Share(name="threshold", about="labels less probable than this are left out")
MODEL: Final = Words(
    name="model", about="version of the model: the one in use, which is the default, or before it"
)
MODEL_MAX_AGE_S: Final = 60.0


class ClassifierSource(Protocol):
    """Gives the classifier of the model in use, as it was known at most max_age_s ago.

    version: of another model that is still kept; "" for the one in use.
    """

    def __call__(self, *, max_age_s: float, version: str = "") -> PhotoClassifier:
        """Raises: NoModelError if no model is published; NotFoundError for an unknown version."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """What this function works with."""

    data_bucket: str
    uploads_bucket: str
    classifier: ClassifierSource
    catalog: CatalogTables
    labels: LabelTable
    embeddings: EmbeddingTable
    pins: MatchPins
    days: DayTable
    indexes: IndexedPhotos | None = None
    classifier_of: Callable[[str], PhotoClassifier] | None = None  # of a version
    stage: Callable[[str], AbstractContextManager[object]] = nullcontext  # entered while it lasts


@cache
def default_services() -> Services:
    """The services that the settings name."""
    settings = Settings.from_env(os.environ)
    models = ModelStore(settings.data_bucket)
    on_disk = Path(tempfile.gettempdir())
    cache_dir = on_disk / "advisor-models"
    return Services(
        data_bucket=settings.data_bucket,
        uploads_bucket=settings.uploads_bucket,
        classifier=partial(current_classifier, models, cache_dir=cache_dir),
        classifier_of=partial(classifier_of, models, cache_dir=cache_dir),
        indexes=IndexedPhotos(
            index_store(settings.indexes, settings.data_bucket, on_disk / "advisor-indexes")
        ),
        catalog=CatalogTables(settings.products_table),
        labels=LabelTable(settings.labels_table),
        embeddings=EmbeddingTable(settings.embeddings_table),
        pins=MatchPins(ReviewTable(settings.reviews_table)),
        days=DayTable(settings.days_table),
    )


@traced("classify")
def handler(
    event: dict[str, Any],
    context: object,  # noqa: ARG001 (Lambda passes it)
    *,
    services: Callable[[], Services] = default_services,
) -> dict[str, Any]:
    """Answer an HTTP request, or label the photos that a batch of SQS messages announces."""
    count_cold_start("classify")
    with PhotoWatch.of("classify") as watch:
        use = _watched(services(), watch)
        if "Records" in event:
            return label_photos(event["Records"], use, watch)
        return serve(event, ROUTES, use, logger=_logger())


def _watched(services: Services, watch: PhotoWatch) -> Services:
    def classifier(*, max_age_s: float, version: str = "") -> PhotoClassifier:
        return watch.watched(services.classifier(max_age_s=max_age_s, version=version))

    of = services.classifier_of
    return replace(
        services,
        classifier=classifier,
        stage=watch.stage,
        classifier_of=None if of is None else lambda version: watch.watched(of(version)),
    )


def label_photos(
    messages: list[dict[str, Any]], services: Services, watch: PhotoWatch
) -> dict[str, Any]:
    """Label every photo that the messages announce; tell SQS which messages to send again.

    The model in use is asked for anew: photos are queued again when a model is published, and
    one that is labelled by the model before would never be seen by the new one.
    """
    try:
        classifier: PhotoClassifier | None = services.classifier(max_age_s=0)
    except NoModelError:
        classifier = None
    failed = []
    outcomes = Counter[Outcome | None]()
    for message in messages:
        try:
            for place in read_announcement(message["body"]):
                outcomes[_label(place, classifier, services, watch)] += 1
        except Exception:  # the other messages of the batch must not be sent again for this one
            _logger().exception("message failed", extra={"message_id": message["messageId"]})
            failed.append({"itemIdentifier": message["messageId"]})
    if classifier:
        _count_day(outcomes, classifier.version, services, watch)
    return {"batchItemFailures": failed}


def _count_day(
    outcomes: Mapping[Outcome | None, int], version: str, services: Services, watch: PhotoWatch
) -> None:
    """Add to the day's numbers; when that fails, the photos are labelled nonetheless."""
    numbers = {
        "classified": outcomes[Outcome.LABELLED] + outcomes[Outcome.UNSURE],
        "unknown": outcomes[Outcome.UNSURE],
        "unreadable": outcomes[Outcome.UNREADABLE],
    }
    try:
        services.days.add(datetime.now(UTC).date(), version, **numbers)
    except (BotoCoreError, ClientError):
        _logger().exception("day not counted", extra=numbers)
        watch.count(NOT_COUNTED)


def _label(
    place: PhotoPlace, classifier: PhotoClassifier | None, services: Services, watch: PhotoWatch
) -> Outcome | None:
    """None: no model saw it."""
    start = perf_counter()
    fields = {"bucket": place.bucket, "key": place.key}
    if classifier is None:
        _logger().info("no model yet", extra=fields)  # publishing one queues the photo again
        return None
    writing = partial(services.stage, "Write")
    labeller = Labeller(classifier, services.labels, services.embeddings, writing=writing)
    try:
        with services.stage("Read"):
            photo = read_photo(place, max_bytes=MAX_BYTES)
    except NotFoundError:
        _logger().info("photo is gone", extra=fields)
        return None
    except UnreadableImageError as error:
        _logger().warning("photo refused", extra=fields | {"reason": str(error)})
        watch.unreadable(error.reason)
        return labeller.refuse(place, str(error))
    outcome = labeller.label(photo)
    if outcome is Outcome.KNOWN:
        watch.count("Known")
    elif photo.data is None:  # no classifier saw it
        watch.unreadable("too many bytes")
    fields |= {"image_id": photo.image_id, "model_version": classifier.version}
    ms = round(1000 * (perf_counter() - start), 1)
    _logger().info("photo seen", extra=fields | {"outcome": outcome, "ms": ms})
    return outcome


def classify(request: Request, services: Services) -> dict[str, Any]:
    """Tell which categories a photo belongs to.

    Of several photos each gets an answer in its place: a classification, or a problem document.
    """
    sent = read_photos(request)
    top_k, threshold = LABELS.of(request), THRESHOLD.of(request)
    version = MODEL.of(request)
    classifier = services.classifier(max_age_s=MODEL_MAX_AGE_S, version=version)

    def said(data: bytes) -> dict[str, Any]:
        found = _see(data, classifier, top_k=top_k).classification
        return found.at_least(threshold).to_dict()

    if not sent.several:
        return said(_bytes_sent(sent.photos[0], services, max_bytes=MAX_BYTES))
    answers, left = [], MAX_BYTES
    for photo in sent.photos:
        try:
            data = _bytes_sent(photo, services, max_bytes=left)
            left -= len(data)  # one that is no image was read, too
            answers.append(said(data))
        except (RequestError, UnreadableImageError, NotFoundError) as error:
            answers.append(problem_of(error))
    return {"images": answers}


def suggest(request: Request, services: Services) -> dict[str, Any]:
    """Tell which products a photo shows or resembles, with every shop's offers."""
    photo = _bytes_sent(read_sent_photo(request), services, max_bytes=MAX_BYTES)
    return _suggestions(photo, request, services)


def suggest_stored(request: Request, services: Services) -> dict[str, Any]:
    """The same of a photo that was labelled before."""
    row = services.labels.latest(request.id("image_id"))
    if row.classification is None:
        raise UnreadableImageError(f"image {row.image_id!r}: {row.reason}")
    photo = _stored_bytes(PhotoPlace(row.bucket, row.key), services, max_bytes=MAX_BYTES)
    return _suggestions(photo, request, services)


def suggest_like(request: Request, services: Services) -> dict[str, Any]:
    """What looks like a product by its photo, and apart from it the product with all its offers."""
    product = services.catalog.get(request.id("product_id"))
    photos = photos_of(services.data_bucket, product.item)
    top_k = SUGGESTIONS.of(request)
    if not photos:
        return {"classification": None, "product": None, "suggestions": []}
    photo = _stored_bytes(photos[0], services, max_bytes=MAX_BYTES)
    said, found = _find(photo, services, top_k=top_k + 1)
    own = [one for one in found if product.product_id in one.product_ids]
    others = [_shown(one, services) for one in found if one not in own]
    return {
        "classification": said.to_dict(),
        "product": _shown(own[0], services) if own else None,
        "suggestions": others[:top_k],
    }


def _suggestions(photo: bytes, request: Request, services: Services) -> dict[str, Any]:
    said, found = _find(photo, services, top_k=SUGGESTIONS.of(request))
    return {
        "classification": said.to_dict(),
        "suggestions": [_shown(one, services) for one in found],
    }


def _find(
    photo: bytes, services: Services, *, top_k: int
) -> tuple[Classification, list[Suggestion]]:
    """Suggestions by the model whose photos are indexed: a new one's index comes a little later."""
    indexed = services.indexes.model_version if services.indexes else ""
    if indexed and services.classifier_of:
        classifier = services.classifier_of(indexed)
    else:
        classifier = services.classifier(max_age_s=MODEL_MAX_AGE_S)
    prediction = _see(photo, classifier, top_k=LABELS.default)
    said = prediction.classification
    catalog = TableCatalog(services, said.model_version)
    return said, find_suggestions(said, prediction.embedding, catalog, top_k=top_k)


def _shown(suggestion: Suggestion, services: Services) -> dict[str, Any]:
    return suggestion.to_dict(lambda key: address(PhotoPlace(services.data_bucket, key)))


def _see(photo: bytes, classifier: PhotoClassifier, *, top_k: int) -> Prediction:
    prediction = classifier.predict(photo, top_k=top_k)
    said = prediction.classification
    _logger().info(
        "classified",
        extra={
            "image_id": said.image_id,
            "model_version": said.model_version,
            "label": said.labels[0].label,
            "probability": said.labels[0].probability,
            "unknown": said.unknown,
            "timing_ms": said.timing_ms,
        },
    )
    return prediction


def _bytes_sent(photo: SentPhoto, services: Services, *, max_bytes: int) -> bytes:
    """The photo that a request brings, or names in the uploads bucket."""
    if isinstance(photo, RequestError):
        raise photo
    if isinstance(photo, UploadedPhoto):
        place = PhotoPlace(services.uploads_bucket, photo.key)
        return _stored_bytes(place, services, max_bytes=max_bytes)
    return photo


def _stored_bytes(place: PhotoPlace, services: Services, *, max_bytes: int) -> bytes:
    try:
        with services.stage("Read"):
            photo = read_photo(place, max_bytes=max_bytes, max_hashed_bytes=max_bytes)
    except UnreadableImageError as error:  # too many bytes, of which none was read
        raise RequestError(413, f"{error}; at most {max_bytes} are read") from error
    assert photo.data is not None  # noqa: S101 (of more bytes it raises)
    return photo.data


@dataclass(frozen=True)
class TableCatalog:
    """The catalog in DynamoDB, as one model sees it (an advisor.catalog.suggestions.Catalog)."""

    services: Services
    model_version: str

    def similar(
        self, labels: Sequence[str], query: npt.NDArray[np.float32], *, limit: int
    ) -> list[SimilarPhoto]:
        """By the index of this model; before there is one, by the table's rows."""
        indexes = self.services.indexes
        if indexes and indexes.model_version == self.model_version:
            return indexes.similar(labels, query, limit=limit)
        shelves = [self.services.embeddings.load(self.model_version, one) for one in labels]
        return rank_similar(query, join(shelves), limit=limit)

    def products(self, product_ids: Iterable[str]) -> dict[str, Product]:
        """The products of these ids."""
        return self.services.catalog.get_many(product_ids)

    def by_gtin(self, gtin: str) -> list[Product]:
        """Every shop's product of a GTIN."""
        return self.services.catalog.by_gtin(gtin)

    def pins(self) -> Pins:
        """What people said of pairs of products."""
        return self.services.pins.get()


@cache
def _logger() -> Logger:
    return Logger(service="classify")


_REFUSES: Final = (400, 404, 413, 415, 422, 429, 503)
ROUTES: Final = {
    "POST /classify": Route(
        answers=classify,
        query=(LABELS, THRESHOLD, MODEL),
        takes=Body.PHOTOS,
        refuses=_REFUSES,
    ),
    "POST /suggestions": Route(
        answers=suggest, query=(SUGGESTIONS,), takes=Body.PHOTO, refuses=_REFUSES
    ),
    "GET /images/{image_id}/suggestions": Route(
        answers=suggest_stored, query=(SUGGESTIONS,), refuses=(400, 404, 413, 422, 429, 503)
    ),
    "GET /products/{product_id}/suggestions": Route(
        answers=suggest_like, query=(SUGGESTIONS,), refuses=(400, 404, 413, 422, 429, 503)
    ),
}
