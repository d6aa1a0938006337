"""The one classifier: of the functions, the command line and the evaluation of training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from advisor.vision.bundle import Bundle, load_bundle
from advisor.vision.bundle_info import BundleInfo
from advisor.vision.classification import Classification, Label
from advisor.vision.images import decode, image_id
from advisor.vision.interpreter import Model


@dataclass(frozen=True)
class Prediction:
    """What a model says of one photo, and where it sees it among others.

    embedding: float32 (1280,), unit length, so that a dot product is the cosine. length: of the
    feature vector that it is the direction of. pixels: what the model saw, uint8 (224, 224, 3).
    """

    classification: Classification
    embedding: npt.NDArray[np.float32]
    length: float
    pixels: npt.NDArray[np.uint8]


class Classifier:
    """Ranks a bundle's labels for a photo. Not thread-safe: one for each thread."""

    def __init__(self, bundle: Bundle, *, num_threads: int = 1) -> None:
        self._model = Model(bundle.model, num_threads=num_threads)
        bundle.golden.check(self._model.run)
        self.info: BundleInfo = bundle.info

    @classmethod
    def load(cls, folder: Path, *, num_threads: int = 1) -> Classifier:
        """Load a bundle's folder.

        Raises: BundleError if a file's hash, the preprocessing or the model's answers to the
            golden photos differ from what the bundle says.
        """
        return cls(load_bundle(folder), num_threads=num_threads)

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.info.version

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, in the order of the model's probabilities."""
        return self.info.labels

    def predict(self, data: bytes, *, top_k: int = 5) -> Prediction:
        """Classify one encoded photo.

        Returns: the top_k most probable labels (all, where there are fewer), and the embedding.
        Raises: UnreadableImageError if the bytes are no photo that is accepted.
        """
        start = perf_counter()
        image = decode(data)
        decoded = perf_counter()
        output = self._model.run(image)
        inferred = perf_counter()
        labels = rank(output.probabilities, self.labels, top_k=top_k)
        classification = Classification(
            image_id=image_id(data),
            model_version=self.version,
            labels=labels,
            unknown=labels[0].probability < self.info.unknown_threshold,
            timing_ms={
                "decode": round(1000 * (decoded - start), 3),
                "inference": round(1000 * (inferred - decoded), 3),
            },
        )
        length = float(np.linalg.norm(output.embedding))
        return Prediction(classification, unit(output.embedding), length, image)


def rank(
    probabilities: npt.NDArray[np.float32], labels: tuple[str, ...], *, top_k: int
) -> tuple[Label, ...]:
    """The top_k labels, most probable first, equal ones in the labels' order."""
    order = np.argsort(-probabilities, kind="stable")[: max(1, top_k)]
    return tuple(Label(labels[index], float(probabilities[index])) for index in order)


def unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The vector scaled to length 1; zeros stay zeros."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector
