"""Measures a bundle on photos, through the classifier that serves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from advisor.errors import DataError, UnreadableImageError
from advisor.vision.bundle import Bundle
from advisor.vision.classification import Label
from advisor.vision.classifier import Classifier
from training.dataset import PhotoFile
from training.parallel import Progress, map_photos

_STAGE = "Classifying photos"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the classifier said of one photo; labels is empty where error tells why."""

    file: PhotoFile
    labels: tuple[Label, ...] = ()
    unknown: bool = False
    error: str = ""

    @property
    def correct(self) -> bool:
        """The most probable label is the photo's."""
        return bool(self.labels) and self.labels[0].label == self.file.label


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """Of one label. precision is None where the label was never answered, recall without photos."""

    count: int
    correct: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a model does on photos.

    accuracy: share of `count` readable photos whose most probable label is theirs, whether
    or not it was sure enough to say so. answered: share that was not `unknown`;
    answered_accuracy: accuracy on these. confusion: rows are true, columns answered labels.
    unreadable: why, by photo. skipped: photos of labels that the model does not know.
    """

    accuracy: float
    count: int
    top3_accuracy: float
    answered: float
    answered_accuracy: float | None
    per_class: dict[str, ClassMetrics]
    labels: tuple[str, ...]
    confusion: list[list[int]]
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
    answers = []
    for done, answer in enumerate(map_photos(_answerer(bundle), measured), start=1):
        answers.append(answer)
        progress(_STAGE, done, len(measured))
    skipped = Counter(file.label for file in files if file.label not in known)
    return measure(answers, bundle.info.labels, skipped=dict(sorted(skipped.items())))


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
    confusion = [[0] * len(labels) for _ in labels]
    for answer in read:
        confusion[index[answer.file.label]][index[answer.labels[0].label]] += 1
    sure = [answer for answer in read if not answer.unknown]
    return Evaluation(
        accuracy=_share(read, lambda answer: answer.correct) or 0.0,
        count=len(read),
        top3_accuracy=_share(read, _in_top3) or 0.0,
        answered=len(sure) / len(read),
        answered_accuracy=_share(sure, lambda answer: answer.correct),
        per_class={label: _of_class(confusion, number) for label, number in index.items()},
        labels=labels,
        confusion=confusion,
        misclassified=[_mistake(answer) for answer in read if not answer.correct],
        unreadable=unreadable,
        skipped=skipped,
    )


def _answerer(bundle: Bundle) -> Callable[[], Callable[[PhotoFile], Answer]]:
    def make() -> Callable[[PhotoFile], Answer]:
        classifier = Classifier(bundle)

        def answer(file: PhotoFile) -> Answer:
            try:
                found = classifier.predict(file.path.read_bytes(), top_k=3).classification
            except UnreadableImageError as error:
                return Answer(file=file, error=str(error))
            except OSError as error:
                return Answer(file=file, error=f"cannot be read: {error.strerror or error}")
            return Answer(file=file, labels=found.labels, unknown=found.unknown)

        return answer

    return make


def _of_class(confusion: list[list[int]], number: int) -> ClassMetrics:
    correct, count = confusion[number][number], sum(confusion[number])
    answered = sum(row[number] for row in confusion)
    return ClassMetrics(
        count=count,
        correct=correct,
        precision=correct / answered if answered else None,
        recall=correct / count if count else None,
    )


def _share(answers: Sequence[Answer], holds: Callable[[Answer], bool]) -> float | None:
    return sum(map(holds, answers)) / len(answers) if answers else None


def _in_top3(answer: Answer) -> bool:
    return answer.file.label in {label.label for label in answer.labels}


def _mistake(answer: Answer) -> dict[str, Any]:
    best = answer.labels[0]
    return {
        "photo": answer.file.name,
        "label": answer.file.label,
        "answer": best.label,
        "probability": round(best.probability, 6),
        "unknown": answer.unknown,
    }


def _listed(labels: Sequence[str], most: int = 12) -> str:
    return ", ".join(labels[:most]) + (", ..." if len(labels) > most else "")
