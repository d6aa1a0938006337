"""What the functions tell CloudWatch: metrics, as lines of their log (EMF, by Powertools).

The stages of a photo are told to X-Ray, too, by the same names (advisor/aws/tracing.py).

Nothing is sent while a request waits: CloudWatch reads the numbers out of the log. The
dashboard and the alarms of infra/watching.py name the same metrics; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from time import perf_counter, time
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)

from advisor.aws.tracing import tracer, xray
from advisor.catalog.photo_classifier import PhotoClassifier
from advisor.errors import UnreadableImageError

if TYPE_CHECKING:
    from advisor.vision.classifier import Prediction

NAMESPACE: Final = "ProductsAdvisor"
COUNTS: Final = ("Classified", "Unknown", "Known", "Unreadable")
NOT_COUNTED: Final = "DayNotCounted"  # photos were labelled, and are missing in advisor.aws.days
TIMES: Final = ("ReadMs", "DecodeMs", "InferenceMs", "WriteMs")
PHOTO_METRICS: Final = (*COUNTS, *TIMES)


@cache
def count_cold_start(service: str) -> None:
    """Count that this process was started for a request: ColdStart, by service."""
    _count_one("ColdStart", service=service)


@dataclass
class PhotoWatch:
    """Counts and times the photos that one call of a function sees.

    service: the function's name, a dimension of all its metrics. Classified, Unknown, Known
    and the times of its stages (TIMES) are told with and without the model's version; Unreadable
    with and without its reason.
    """

    service: str
    _photos: AmazonCloudWatchEMFProvider

    @classmethod
    @contextmanager
    def of(cls, service: str) -> Iterator[PhotoWatch]:
        """Watch one call; its metrics are written when it ends, however it ends."""
        photos = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service=service)
        photos.add_dimension("service", service)
        try:
            yield cls(service, photos)
        finally:
            if photos.metric_set:
                photos.flush_metrics()

    def watched(self, classifier: PhotoClassifier) -> WatchedClassifier:
        """The same classifier; what it says is counted."""
        if not self._photos.dimension_sets:  # one call works with one model, all in one line
            self._photos.add_dimensions(service=self.service, model_version=classifier.version)
            tracer(self.service).put_annotation("model_version", classifier.version)
        return WatchedClassifier(classifier, self)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done within, unless it fails; X-Ray is told of it in any case."""
        start = perf_counter()
        with xray().in_subsegment(name):
            yield
        self.took(name, 1000 * (perf_counter() - start))

    def took(self, stage: str, milliseconds: float) -> None:
        """Tell how long a stage took: "Read" becomes the metric ReadMs."""
        self._photos.add_metric(f"{stage}Ms", MetricUnit.Milliseconds, milliseconds)

    def count(self, name: str) -> None:
        """Count one photo: Classified, Unknown, Known."""
        self._photos.add_metric(name, MetricUnit.Count, 1)

    def unreadable(self, reason: str) -> None:
        """Count a photo that cannot be read."""
        _count_one("Unreadable", service=self.service)
        _count_one("Unreadable", service=self.service, reason=reason)


@dataclass(frozen=True)
class WatchedClassifier:
    """A classifier whose photos are counted and timed (a PhotoClassifier)."""

    classifier: PhotoClassifier
    watch: PhotoWatch

    @property
    def version(self) -> str:
        """The model's version."""
        return self.classifier.version

    def predict(self, data: bytes, *, top_k: int = 5) -> Prediction:
        """What the classifier says.

        Raises: UnreadableImageError, counted by its reason.
        """
        start_s = time()
        try:
            prediction = self.classifier.predict(data, top_k=top_k)
        except UnreadableImageError as error:
            part = xray().part("Decode", start_s=start_s)
            part.add_exception(error, [])
            part.close()
            self.watch.unreadable(error.reason)
            raise
        said = prediction.classification
        self.watch.count("Classified")
        if said.unknown:
            self.watch.count("Unknown")
        for stage, milliseconds in said.timing_ms.items():  # in their order, without a gap
            self.watch.took(stage.capitalize(), milliseconds)
            end_s = start_s + milliseconds / 1000
            xray().part(stage.capitalize(), start_s=start_s).close(end_s)
            start_s = end_s
        return prediction


def _count_one(name: str, **dimensions: str) -> None:
    with single_metric(
        name, MetricUnit.Count, 1, namespace=NAMESPACE, default_dimensions=dimensions
    ):
        pass
