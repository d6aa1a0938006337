"""What the catalog needs of a classifier (advisor.vision.classifier, or a test's own)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from advisor.vision.classifier import Prediction


class PhotoClassifier(Protocol):
    """Names the category of a photo, and where it lies among other photos."""

    @property
    def version(self) -> str:
        """The model's version."""

    def predict(self, data: bytes, *, top_k: int = 5) -> Prediction:
        """Labels and embedding of one encoded photo.

        Raises: UnreadableImageError if the bytes are no photo that is accepted.
        """
