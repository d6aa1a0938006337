"""The metrics that functions write into their log, as CloudWatch reads them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.aws.watching import NAMESPACE, PhotoWatch, count_cold_start
from advisor.errors import UnreadableImageError
from advisor.vision.classification import Classification, Label
from advisor.vision.classifier import Prediction
from advisor.vision.images import decode

IMAGES = Path(__file__).parents[1] / "images"
Capture = pytest.CaptureFixture[str]


class FakeClassifier:
    """Is as sure as the photo's bytes say; what is no number is no photo."""

    version = "m1"

    def predict(self, data: bytes, *, top_k: int = 5) -> Prediction:
        try:
            probability = float(data)
        except ValueError as error:
            raise UnreadableImageError("no image", reason="HEIC") from error
        said = Classification(
            image_id=hashlib.sha256(data).hexdigest(),
            model_version=self.version,
            labels=(Label("chairs", probability),),
            unknown=probability < 0.6,
            timing_ms={"decode": 6.5, "inference": 2.0},
        )
        pixels = np.zeros((224, 224, 3), np.uint8)
        return Prediction(said, np.zeros(1280, dtype=np.float32), 0.0, pixels)


def metrics(capture: Capture) -> dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]:
    """What CloudWatch makes of the lines: values by the metric's name and dimensions."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]] = {}
    for line in capture.readouterr().out.splitlines():
        blob: dict[str, Any] = json.loads(line)
        (directive,) = blob["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == NAMESPACE
        for names in directive["Dimensions"]:
            dimensions = tuple((name, blob[name]) for name in names)
            for metric in directive["Metrics"]:
                values = found.setdefault((metric["Name"], dimensions), [])
                values += blob[metric["Name"]]
    return found


SERVICE = ("service", "classify")
MODEL = ("model_version", "m1")


def test_photos_are_counted_and_timed_with_and_without_the_model(capsys: Capture) -> None:
    with PhotoWatch.of("classify") as watch:
        classifier = watch.watched(FakeClassifier())
        watch.took("Read", 30.0)
        for photo in (b"0.9", b"0.8", b"0.5"):
            classifier.predict(photo)
        watch.watched(FakeClassifier())  # asked for again by the same call
        watch.count("Known")
    assert metrics(capsys) == {
        (name, dimensions): values
        for dimensions in ((SERVICE,), (SERVICE, MODEL))
        for name, values in {
            "Classified": [1.0, 1.0, 1.0],
            "Unknown": [1.0],
            "Known": [1.0],
            "ReadMs": [30.0],
            "DecodeMs": [6.5, 6.5, 6.5],
            "InferenceMs": [2.0, 2.0, 2.0],
        }.items()
    }


def test_an_unreadable_photo_is_counted_by_its_reason_and_still_refused(capsys: Capture) -> None:
    with PhotoWatch.of("classify") as watch, pytest.raises(UnreadableImageError):
        watch.watched(FakeClassifier()).predict(b"?")
    assert metrics(capsys) == {
        ("Unreadable", (SERVICE,)): [1.0],
        ("Unreadable", (SERVICE, ("reason", "HEIC"))): [1.0],
    }


def test_what_a_call_counted_before_it_failed_is_written(capsys: Capture) -> None:
    with pytest.raises(ZeroDivisionError), PhotoWatch.of("classify") as watch:
        watch.watched(FakeClassifier()).predict(b"0.9")
        raise ZeroDivisionError
    assert metrics(capsys)["Classified", (SERVICE, MODEL)] == [1.0]


def test_more_than_a_hundred_photos_of_one_call_lose_none(capsys: Capture) -> None:
    with PhotoWatch.of("classify") as watch:
        classifier = watch.watched(FakeClassifier())
        for _ in range(250):
            classifier.predict(b"0.9")
    assert len(metrics(capsys)["DecodeMs", (SERVICE, MODEL)]) == 250


def test_a_process_starts_once(capsys: Capture) -> None:
    count_cold_start.cache_clear()
    count_cold_start("classify")
    count_cold_start("classify")
    assert metrics(capsys) == {("ColdStart", (SERVICE,)): [1.0]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"%PDF-1.7", "other format"),
        (b"\0\0\0\x18ftypheic" + bytes(8), "HEIC"),
        ((IMAGES / "rgb.jpg").read_bytes()[:500], "damaged"),
        (bytes(50 * 1024 * 1024 + 1), "too many bytes"),
    ],
)
def test_each_kind_of_unreadable_photo_has_a_word_to_be_counted_by(
    data: bytes, reason: str
) -> None:
    with pytest.raises(UnreadableImageError) as refused:
        decode(data)
    assert refused.value.reason == reason
