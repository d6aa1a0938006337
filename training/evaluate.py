"""Measures a bundle on photos, through the classifier that serves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from advisor.errors import DataError, UnreadableImageError
from advisor.vision.bundle import Bundle
from advisor.vision.classification import Label
from advisor.vision.classifier import Classifier
from training.dataset import PhotoFile
from training.figures import (
    Bin,
    Coverage,
    Interval,
    accuracy_at,
    calibration_curve,
    calibration_error,
    calibration_noise,
    coverage_curve,
    wilson,
)
from training.parallel import Progress, map_photos

MAX_MISTAKES: Final = 200  # listed, the surest first
_STAGE = "Classifying photos"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the classifier said of one photo; labels is empty where error tells why.

    image_id: sha256 of the photo's bytes, "" with an error. labels: the best three.
    """

    file: PhotoFile
    image_id: str = ""
    labels: tuple[Label, ...] = ()
    unknown: bool = False
    error: str = ""

    @property
    def correct(self) -> bool:
        """The most probable label is the photo's."""
        return bool(self.labels) and self.labels[0].label == self.file.label


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """Of one label. count: photos of it; answered: photos it was answered for; correct: both.

    precision and its interval are None where the label was never answered, recall without photos.
    """

    count: int
    answered: int
    correct: int
    precision: float | None
    precision_interval: Interval | None
    recall: float | None
    recall_interval: Interval | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a model does on photos. Intervals are of 95 % confidence.

    accuracy: share of `count` readable photos whose most probable label is theirs, whether
    or not it was sure enough to say so. answered: share that was not `unknown`;
    answered_accuracy: accuracy on these. calibration_error: expected, over the bins of
    `calibration`; calibration_noise: what chance makes it where every probability is just right.
    accuracy_at_90: where only the surest 90 % are answered. confusion: [index of
    the true label, of the answered one, photos], where there are any. misclassified: the
    surest MAX_MISTAKES. unreadable: why, by photo. skipped: photos of labels that the model does
    not know.
    """

    accuracy: float
    accuracy_interval: Interval | None
    count: int
    top3_accuracy: float
    top3_interval: Interval | None
    answered: float
    answered_accuracy: float | None
    answered_interval: Interval | None
    calibration_error: float
    calibration_noise: float
    calibration: tuple[Bin, ...]
    accuracy_at_90: float
    coverage: tuple[Coverage, ...]
    per_class: dict[str, ClassMetrics]
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, int, int], ...]
    misclassified: list[dict[str, Any]]
    unreadable: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def evaluate(bundle: Bundle, files: Sequence[PhotoFile], progress: Progress) -> Evaluation:
    """Classify the photos with all cores and compare with their labels.

    Photos of labels that the bundle does not know are skipped and counted.
    Raises: DataError if it knows none of them, or no photo can be read.
    """
    known = set(bundle.info.labels)
    measured = [file for file in files if file.label in known]
    if not measured:
        raise DataError(
            f"the photos' categories ({_listed(sorted({file.label for file in files}))}) are none "
            f"of those the model knows ({_listed(bundle.info.labels)})"
        )
    skipped = Counter(file.label for file in files if file.label not in known)
    answers = answer_photos(bundle, measured, progress)
    return measure(answers, bundle.info.labels, skipped=dict(sorted(skipped.items())))


def answer_photos(bundle: Bundle, files: Sequence[PhotoFile], progress: Progress) -> list[Answer]:
    """What the bundle says of each photo, in order, computed with all cores."""
    answers = []
    for done, answer in enumerate(map_photos(_answerer(bundle), files), start=1):
        answers.append(answer)
        progress(_STAGE, done, len(files))
    return answers


def measure(
    answers: Sequence[Answer], labels: tuple[str, ...], *, skipped: dict[str, int]
) -> Evaluation:
    """The figures that follow from the answers.

    Raises: DataError if no photo could be read.
    """
    read = [answer for answer in answers if answer.labels]
    unreadable = {answer.file.name: answer.error for answer in answers if not answer.labels}
    if not read:
        name, reason = next(iter(unreadable.items()))
        raise DataError(f"none of {len(answers)} photos can be read, {name} first: {reason}")
    index = {label: number for number, label in enumerate(labels)}
    pairs = Counter((index[one.file.label], index[one.labels[0].label]) for one in read)
    best = np.array([answer.labels[0].probability for answer in read])
    right = np.array([answer.correct for answer in read])
    bins, coverage = calibration_curve(best, right), coverage_curve(best, right)
    in_top3 = sum(map(_in_top3, read))
    sure = [answer for answer in read if not answer.unknown]
    sure_right = sum(answer.correct for answer in sure)
    mistakes = sorted(
        (answer for answer in read if not answer.correct),
        key=lambda one: -one.labels[0].probability,
    )
    return Evaluation(
        accuracy=float(right.mean()),
        accuracy_interval=wilson(int(right.sum()), len(read)),
        count=len(read),
        top3_accuracy=in_top3 / len(read),
        top3_interval=wilson(in_top3, len(read)),
        answered=len(sure) / len(read),
        answered_accuracy=sure_right / len(sure) if sure else None,
        answered_interval=wilson(sure_right, len(sure)),
        calibration_error=calibration_error(bins),
        calibration_noise=calibration_noise(best),
        calibration=bins,
        accuracy_at_90=accuracy_at(coverage, 0.9),
        coverage=coverage,
        per_class=_per_class(pairs, labels),
        labels=labels,
        confusion=tuple((true, said, pairs[true, said]) for true, said in sorted(pairs)),
        misclassified=[_mistake(answer) for answer in mistakes[:MAX_MISTAKES]],
        unreadable=unreadable,
        skipped=skipped,
    )


def _answerer(bundle: Bundle) -> Callable[[], Callable[[PhotoFile], Answer]]:
    def make() -> Callable[[PhotoFile], Answer]:
        classifier = Classifier(bundle)

        def answer(file: PhotoFile) -> Answer:
            try:
                found = classifier.predict(file.read(), top_k=3).classification
            except UnreadableImageError as error:
                return Answer(file=file, error=str(error))
            except OSError as error:
                return Answer(file=file, error=f"cannot be read: {error.strerror or error}")
            return Answer(
                file=file, image_id=found.image_id, labels=found.labels, unknown=found.unknown
            )

        return answer

    return make


def _per_class(pairs: Counter[tuple[int, int]], labels: tuple[str, ...]) -> dict[str, ClassMetrics]:
    counts: Counter[int] = Counter()
    answered: Counter[int] = Counter()
    for (true, said), photos in pairs.items():
        counts[true] += photos
        answered[said] += photos
    return {
        label: ClassMetrics(
            count=counts[number],
            answered=answered[number],
            correct=correct,
            precision=correct / answered[number] if answered[number] else None,
            precision_interval=wilson(correct, answered[number]),
            recall=correct / counts[number] if counts[number] else None,
            recall_interval=wilson(correct, counts[number]),
        )
        for number, label in enumerate(labels)
        for correct in [pairs[number, number]]
    }


def _in_top3(answer: Answer) -> bool:
    return answer.file.label in {label.label for label in answer.labels}


def _mistake(answer: Answer) -> dict[str, Any]:
    return {
        "photo": answer.file.name,
        "image_id": answer.image_id,
        "label": answer.file.label,
        "answers": [
            {"label": one.label, "probability": round(one.probability, 6)} for one in answer.labels
        ],
        "unknown": answer.unknown,
    }


def _listed(labels: Sequence[str], most: int = 12) -> str:
    return ", ".join(labels[:most]) + (", ..." if len(labels) > most else "")
