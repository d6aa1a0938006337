"""bundle.json: what a model bundle says of itself. Needs no numpy and no interpreter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from advisor.errors import BundleError

MODEL: Final = "model.tflite"
LABELS: Final = "labels.txt"
INFO: Final = "bundle.json"
GOLDEN: Final = "golden.npz"
REPORT: Final = "report.html"
ANSWERS: Final = "answers.json"
SERVED: Final = (MODEL, LABELS, GOLDEN)  # what classifying needs besides INFO
FOR_PEOPLE: Final = frozenset({REPORT, ANSWERS})
FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """Where the features come from. sha256: of the weights as they were read."""

    name: str
    source: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class BundleInfo:
    """bundle.json.

    version: sorts by time of creation, ends in a hash of the content.
    unknown_threshold: a best probability below it is answered with `unknown`.
    temperature: what calibrated the probabilities; already inside the graph.
    data: counts, and `manifest_sha256`, a hash of every photo's content, label and side.
    metrics: measured on model.tflite: `accuracy`, `count`, `per_class`, ...
    files: sha256 of every other file of the bundle by name.
    """

    version: str
    created_at: str
    backbone: Backbone
    preprocessing_id: str
    labels: tuple[str, ...]
    unknown_threshold: float
    temperature: float
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]
    files: Mapping[str, str]
    format: int = FORMAT

    def to_json(self) -> str:
        """The text of bundle.json."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> BundleInfo:
        """Read bundle.json.

        Raises: BundleError if it is no JSON, of another format, or lacks a key.
        """
        try:
            raw = json.loads(text)
            if raw["format"] != FORMAT:
                raise BundleError(f"{INFO} has format {raw['format']!r}; expected {FORMAT}")
            known = {field.name: raw[field.name] for field in fields(cls)}
            known["backbone"] = Backbone(**raw["backbone"])
            known["labels"] = tuple(raw["labels"])
            known["unknown_threshold"] = float(raw["unknown_threshold"])
            known["files"] = dict(raw["files"])
            return cls(**known)
        except KeyError as error:
            raise BundleError(f"{INFO} lacks {error}") from error
        except (ValueError, TypeError) as error:
            raise BundleError(f"{INFO} cannot be read: {error}") from error


def read_info(folder: Path) -> BundleInfo:
    """Read bundle.json of a folder.

    Raises: BundleError if the folder is no bundle.
    """
    try:
        return BundleInfo.from_json((folder / INFO).read_bytes())
    except OSError as error:
        raise BundleError(f"{folder} is no model bundle: it has no readable {INFO}") from error
