"""What a graph must pass before anything is trained on it: it computes what its layers say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from advisor.errors import BackboneError
from advisor.vision.images import SIZE
from advisor.vision.interpreter import Model
from training.config import DYNAMIC, FLOAT16, FLOAT32
from training.head import placeholder
from training.keras_file import Layer
from training.rows import FloatArray

# Of an embedding's length: float16 weights moved it by .018 at most (fine-tuned; .005 frozen),
# dynamic range by .19 (TensorFlow's by .13 where ours did), a wrong graph moves it by about 1.
EMBEDDING_TOLERANCE: Final = {FLOAT32: 0.04, FLOAT16: 0.04, DYNAMIC: 0.3}
PARITY_TOLERANCE: Final = {FLOAT32: 0.01, FLOAT16: 0.01, DYNAMIC: 0.1}  # of a probability


def first_that_agrees(
    make: Callable[[str], bytes], precision: str, photos: npt.NDArray[np.uint8], want: FloatArray
) -> bytes:
    """The graph in the precision; in FLOAT32 where FLOAT16 does not give the embeddings wanted.

    make: of a precision. photos: decoded, uint8 (photos, 224, 224, 3). want: float32 (photos,
    features), as the weights have them by another way of computing.
    Raises: BackboneError, telling how far the embeddings are from those wanted.
    """
    content = make(precision)
    told = difference(content, photos, want, precision)
    if told and precision == FLOAT16:
        content = make(FLOAT32)
        told = difference(content, photos, want, FLOAT32)
    if told:
        raise BackboneError(told)
    return content


def difference(
    content: bytes, photos: npt.NDArray[np.uint8], want: FloatArray, precision: str
) -> str:
    """How the graph's answers differ from those wanted by more than is allowed, "" if not."""
    converted = Model(content)
    outputs = [converted.run(photo) for photo in photos]
    got = np.stack([output.embedding for output in outputs])
    lengths = np.maximum(np.linalg.norm(want, axis=1), 1e-6)
    distance = float((np.linalg.norm(got - want, axis=1) / lengths).max())
    if not distance <= EMBEDDING_TOLERANCE[precision]:  # also true of NaN
        return (
            f"the graph's embeddings differ from those of its layers by {distance:.3g} of their "
            f"length; at most {EMBEDDING_TOLERANCE[precision]} is allowed"
        )
    got = np.stack([output.probabilities for output in outputs])
    away = float(np.abs(got - placeholder(want.shape[1]).probabilities(want)).max())
    if not away <= PARITY_TOLERANCE[precision]:
        return (
            f"the graph's probabilities differ from those of its layers by {away:.3g}; "
            f"at most {PARITY_TOLERANCE[precision]} is allowed"
        )
    return ""


def sample_photos() -> npt.NDArray[np.uint8]:
    """Two decoded photos' worth of pixels, smooth at two sizes of detail; always the same."""
    rng = np.random.default_rng(7)
    photos = []
    for cells in (7, 56):
        small = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        photos.append(np.kron(small, np.ones((SIZE // cells, SIZE // cells, 1), np.uint8)))
    return np.stack(photos)


def computed(layers: Sequence[Layer], pixels: FloatArray) -> FloatArray:
    """The feature vector that the layers give of a scaled photo, layer by layer in numpy.

    Nothing of the writer's is used: no normalisation is folded, no graph, no interpreter.
    pixels: float32 (height, width, 3).
    """
    known: dict[str, FloatArray] = {}
    for layer in layers:
        first = known[layer.inputs[0]] if layer.inputs else pixels
        weights, config = layer.weights, layer.config
        match layer.kind:
            case "InputLayer":
                value = first
            case "Conv2D":
                windows = _windows(first, weights["kernel"].shape[:2], config)
                value = np.tensordot(windows, weights["kernel"], axes=([3, 4, 2], [0, 1, 2]))
                value = _activated(value + weights.get("bias", 0), config["activation"])
            case "DepthwiseConv2D":
                windows = _windows(first, weights["kernel"].shape[:2], config)
                value = np.einsum("hwcij,ijcm->hwcm", windows, weights["kernel"])
                value = value.reshape(*value.shape[:2], -1)
                value = _activated(value + weights.get("bias", 0), config["activation"])
            case "BatchNormalization":
                value = (first - weights["moving_mean"]) * weights["gamma"]
                value = value / np.sqrt(weights["moving_variance"] + config["epsilon"])
                value = value + weights["beta"]
            case "ReLU":
                value = _activated(first, "relu6" if config["max_value"] else "relu")
            case "ZeroPadding2D":
                value = np.pad(first, (*config["padding"], (0, 0)))
            case "Add":
                value = first + known[layer.inputs[1]]
            case "AveragePooling2D":
                value = _windows(first, config["pool_size"], config).mean(axis=(3, 4))
            case _:  # GlobalAveragePooling2D
                value = first.mean(axis=(0, 1))
        known[layer.name] = np.asarray(value, np.float32)
    return known[layers[-1].name]


def _windows(photo: FloatArray, size: Sequence[int], config: Mapping[str, Any]) -> FloatArray:
    """What a kernel sees at each place: (rows, columns, channels, kernel rows, columns)."""
    strides, padding = config["strides"], config["padding"]
    if padding == "same":
        around = []
        for length, kernel, stride in zip(photo.shape, size, strides, strict=False):
            missing = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            around.append((missing // 2, missing - missing // 2))
        photo = np.pad(photo, (*around, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(photo, tuple(size), axis=(0, 1))
    return windows[:: strides[0], :: strides[1]]


def _activated(value: FloatArray, name: str) -> FloatArray:
    if name == "linear":
        return value
    return np.clip(value, 0, 6 if name == "relu6" else None)
