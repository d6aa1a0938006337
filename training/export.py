"""From a trained head to a bundle: the graph, its gates, and what the bundle says of itself."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final

import numpy as np

from advisor.errors import BackboneError
from advisor.vision.bundle import Bundle, Golden, hashes, labels_text, pack_labels
from advisor.vision.bundle_info import GOLDEN, LABELS, MODEL, Backbone, BundleInfo
from advisor.vision.images import PREPROCESSING_ID, decode
from advisor.vision.interpreter import Model
from training.backbones import Kind, Weights
from training.cache import whole_file
from training.config import FLOAT16
from training.graph import build_graph, written_graph
from training.head import Head
from training.tensorflow_process import in_tensorflow
from training.tflite import VERSION, put_head

_DIGEST_SIZE: Final = hashlib.sha256().digest_size
HEAD_TOLERANCE: Final = 0.005  # of a probability, between numpy and the interpreter


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a model was made from; the fields go into bundle.json as they are."""

    weights: Weights
    labels: tuple[str, ...]
    head: Head
    temperature: float
    unknown_threshold: float
    data: Mapping[str, Any]
    training: Mapping[str, Any]


def cached_graph(
    weights: Weights, cache: Path, say: Callable[[str], None], *, precision: str = FLOAT16
) -> bytes:
    """The backbone's graph with a placeholder head, made once for all runs.

    precision: of its weights; those of a bundle stay as they are.
    Raises: BackboneError if the weights are no backbone, a gate is not passed, or TensorFlow
        is needed and not installed.
    """
    if weights.kind is Kind.BUNDLE:
        return put_head((weights.path / MODEL).read_bytes(), None)
    converter = _converter()
    written, converted = (
        _graph_path(cache, f"{weights.sha256} {weights.kind.value} {by} {precision} 3")
        for by in (f"written {VERSION}", converter)
    )
    for path in (written, converted):
        if (kept := _kept_graph(path)) is not None:
            return kept
    graph, path = written_graph(weights, precision), written
    if graph is None:
        if not converter:
            raise BackboneError(
                f"{weights.name} needs TensorFlow: pip install 'products-advisor[train]'"
            )
        say(f"Converting {weights.name} with TensorFlow, once")
        graph, path = in_tensorflow(build_graph, weights, precision), converted
    with whole_file(path) as file:
        file.write(graph + hashlib.sha256(graph).digest())
    return graph


def _kept_graph(path: Path) -> bytes | None:
    """The graph that an earlier run left there; None if there is none, or a damaged one."""
    if not path.is_file():
        return None
    os.utime(path)  # the least recently used go first when the cache is pruned
    content = path.read_bytes()
    graph, digest = content[:-_DIGEST_SIZE], content[-_DIGEST_SIZE:]
    return graph if hashlib.sha256(graph).digest() == digest else None


def _graph_path(cache: Path, recipe: str) -> Path:
    return cache / "graphs" / f"{hashlib.sha256(recipe.encode()).hexdigest()[:24]}.tflite"


def make_bundle(
    graph: bytes, made: Made, *, photos: Sequence[bytes], now: datetime
) -> tuple[Bundle, dict[str, bytes]]:
    """The bundle of a trained head, not measured yet, and its files but for bundle.json.

    photos: encoded; they become the golden ones.
    Raises: BackboneError if the graph does not compute what the head does.
    """
    model = put_head(graph, made.head)
    golden = _golden(model, made.head, photos)
    files = {
        MODEL: pack_labels(model, made.labels),
        LABELS: labels_text(made.labels).encode(),
        GOLDEN: golden.to_bytes(),
    }
    info = BundleInfo(
        version=bundle_version(files, now),
        created_at=now.isoformat(timespec="seconds"),
        backbone=Backbone(
            name=made.weights.name, source=made.weights.source, sha256=made.weights.sha256
        ),
        preprocessing_id=PREPROCESSING_ID,
        labels=made.labels,
        unknown_threshold=made.unknown_threshold,
        temperature=made.temperature,
        data=made.data,
        training=made.training,
        metrics={},
        files=hashes(files),
    )
    return Bundle(info, files[MODEL], golden), files


def bundle_version(files: Mapping[str, bytes], now: datetime) -> str:
    """A name that sorts by time and ends in a hash of the content."""
    content = "".join(f"{name} {sha256}\n" for name, sha256 in hashes(files).items())
    return f"{now:%Y%m%dT%H%M%S}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _golden(model: bytes, head: Head, photos: Sequence[bytes]) -> Golden:
    """The model's own answers, after comparing them with the head's."""
    run = Model(model).run
    images = np.stack([decode(photo) for photo in photos])
    outputs = [run(image) for image in images]
    embeddings = np.stack([output.embedding for output in outputs])
    probabilities = np.stack([output.probabilities for output in outputs])
    difference = float(np.abs(probabilities - head.probabilities(embeddings)).max())
    if not difference <= HEAD_TOLERANCE:  # also true of NaN
        raise BackboneError(
            f"the graph's probabilities differ from the head's by {difference:.3g}; "
            f"at most {HEAD_TOLERANCE} is allowed"
        )
    return Golden(images, probabilities, embeddings)


def _converter() -> str:
    """The TensorFlow that is installed, "" if none is."""
    try:
        return f"tensorflow-{installed('tensorflow')}"
    except ModuleNotFoundError:
        return ""
