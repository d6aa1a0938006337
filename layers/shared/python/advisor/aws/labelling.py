"""What happens to a photo that arrives in S3: it is labelled once, and shelved if a shop's.

Both steps can be repeated: a photo is known by its bytes, a label by photo and model.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from advisor.aws.embeddings import EmbeddingRow, EmbeddingTable
from advisor.aws.labels import LabelRow, LabelTable
from advisor.aws.photos import PhotoPlace, StoredPhoto
from advisor.catalog.photo_classifier import PhotoClassifier
from advisor.catalog.suggestions import labels_to_search
from advisor.errors import UnreadableImageError
from advisor.vision.fingerprints import fingerprint

if TYPE_CHECKING:
    from advisor.vision.classification import Classification
    from advisor.vision.classifier import Prediction


class Outcome(StrEnum):
    """What became of a photo."""

    LABELLED = "labelled"
    UNSURE = "unsure"  # labelled, and the model is not sure of it
    KNOWN = "known"  # labelled before; a further product of a shop's photo is shelved, too
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Labeller:
    """Labels stored photos with one model. writing: is entered while a photo's rows are put."""

    classifier: PhotoClassifier
    labels: LabelTable
    embeddings: EmbeddingTable
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    writing: Callable[[], AbstractContextManager[object]] = nullcontext

    def label(self, photo: StoredPhoto) -> Outcome:
        """Write what the model says of a photo, or why it cannot be read.

        The label is written last: where it is, the shelves are filled already.
        """
        known = self.labels.get(photo.image_id, self.classifier.version)
        if known and self._shelve_known(photo, known):
            place = photo.place
            if not known.product_id and place != PhotoPlace(known.bucket, known.key):
                # Uploads go after a month: the photo lies where it was sent last.
                self.labels.put(replace(known, bucket=place.bucket, key=place.key))
            return Outcome.KNOWN
        try:
            prediction = self.classifier.predict(_bytes_of(photo))
        except UnreadableImageError as error:
            with self.writing():
                self.labels.put(self._row(photo, reason=str(error)))
            return Outcome.UNREADABLE
        said = prediction.classification
        with self.writing():
            if photo.product_id:
                for row in _shelf_rows(photo, prediction):
                    self.embeddings.put(row)
            self.labels.put(self._row(photo, classification=said))
        return Outcome.UNSURE if said.unknown else Outcome.LABELLED

    def refuse(self, place: PhotoPlace, reason: str) -> Outcome:
        """Write why an object was not even read: it has no hash, so its address is its id."""
        row = LabelRow(
            image_id=f"s3://{place.bucket}/{place.key}",
            bucket=place.bucket,
            key=place.key,
            classified_at=self._time(),
            reason=reason,
        )
        with self.writing():
            self.labels.put(row)
        return Outcome.UNREADABLE

    def _shelve_known(self, photo: StoredPhoto, known: LabelRow) -> bool:
        """Put a photo that is labelled already on the shelves for its product, too.

        False if its embedding is stored nowhere, because it was an upload until now.
        """
        said = known.classification
        if not photo.product_id or said is None:
            return said is not None
        rows = [
            self.embeddings.get(
                said.model_version, label, product_id=known.product_id, image_id=photo.image_id
            )
            for label in labels_to_search(said)
        ]
        if None in rows:
            return False
        for row in filter(None, rows):
            self.embeddings.put(row.of_product(photo.product_id, photo.place.key))
        return True

    def _time(self) -> str:
        return self.now().isoformat(timespec="milliseconds")

    def _row(
        self,
        photo: StoredPhoto,
        *,
        classification: Classification | None = None,
        reason: str = "",
    ) -> LabelRow:
        return LabelRow(
            image_id=photo.image_id,
            bucket=photo.place.bucket,
            key=photo.place.key,
            classified_at=self._time(),
            classification=classification,
            reason=reason,
            product_id=photo.product_id,
        )


def _shelf_rows(photo: StoredPhoto, prediction: Prediction) -> list[EmbeddingRow]:
    """Where the photo is put: on each shelf that it would itself be searched on.

    So a photo that the model is not sure of is found from either of its two best categories.
    What training needs is on the first shelf only: one item of 4 KB in place of 3 (decision 17).
    """
    said = prediction.classification
    probability = {one.label: one.probability for one in said.labels}
    rows = [
        EmbeddingRow(
            model_version=said.model_version,
            label=label,
            product_id=photo.product_id,
            image_id=photo.image_id,
            photo_key=photo.place.key,
            probability=probability[label],
            embedding=prediction.embedding,
        )
        for label in labels_to_search(said)
    ]
    mark = fingerprint(prediction.pixels).to_bytes()
    return [replace(rows[0], length=prediction.length, fingerprint=mark), *rows[1:]]


def _bytes_of(photo: StoredPhoto) -> bytes:
    if photo.data is None:
        raise UnreadableImageError(
            f"{photo.size} bytes are too many to be read", reason="too many bytes"
        )
    return photo.data
