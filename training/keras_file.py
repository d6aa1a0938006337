"""The layers of a Keras file, read without Keras, which takes TensorFlow and seconds to import.

Only files of the layers that MobileNet V2 and its like are made of; TensorFlow reads the others.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from training.backbones import Kind, Weights
from training.rows import FloatArray

_NESTED: Final = "mobilenetv2_1.00_160"  # the backbone inside the package index's file
_PLAIN: Final = {"data_format": "channels_last", "dilation_rate": [1, 1], "groups": 1}
# What a layer may say of itself; with another setting TensorFlow is asked what it means.
_ALLOWED: Final[Mapping[str, Mapping[str, Sequence[Any]]]] = {
    "InputLayer": {"batch_shape": [[None, 224, 224, 3], [None, 160, 160, 3]]},
    "Conv2D": {"padding": ["same", "valid"], "activation": ["linear", "relu", "relu6"]},
    "DepthwiseConv2D": {"padding": ["same", "valid"], "activation": ["linear", "relu", "relu6"]},
    "BatchNormalization": {"axis": [-1, 3, [-1], [3]], "center": [True], "scale": [True]},
    "ReLU": {"max_value": [6, None], "negative_slope": [0, None], "threshold": [0, None]},
    "ZeroPadding2D": {},
    "Add": {},
    "AveragePooling2D": {"padding": ["valid"]},
    "GlobalAveragePooling2D": {"keepdims": [False]},
}
_WEIGHTS: Final = {  # in the order in which Keras keeps them
    "Conv2D": ("kernel", "bias"),
    "DepthwiseConv2D": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer. kind: Keras' class. inputs: names of layers. weights: by Keras' names."""

    name: str
    kind: str
    config: Mapping[str, Any]
    inputs: tuple[str, ...]
    weights: Mapping[str, FloatArray]


class _OtherLayersError(Exception):
    """The file holds something that is not read here."""


def read_layers(weights: Weights) -> list[Layer] | None:
    """The layers of a backbone, each after those it reads; the last gives the feature vector.

    Returns: None for a SavedModel, a file of other layers, or one that is damaged.
    """
    try:
        match weights.kind:
            case Kind.KERAS:
                layers = _read_keras(weights.path)
            case Kind.PACKAGE_INDEX:
                layers = _read_nested(weights.path)
            case _:
                return None
        _check_order(layers)
    except (_OtherLayersError, OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
        return None
    return layers


def _read_keras(path: Path) -> list[Layer]:
    import h5py  # noqa: PLC0415 (a warm run needs none)

    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        file = BytesIO(archive.read("model.weights.h5"))
    numbers: Counter[str] = Counter()
    with h5py.File(file) as stored:

        def values(layer: Mapping[str, Any], names: Sequence[str]) -> dict[str, FloatArray]:
            # Keras names them by class, and counts: conv2d, conv2d_1, ...
            kind = _snake_case(layer["class_name"])
            folder = f"{kind}_{numbers[kind]}" if numbers[kind] else kind
            numbers[kind] += 1
            return {
                name: np.asarray(stored[f"layers/{folder}/vars/{number}"], np.float32)
                for number, name in enumerate(names)
            }

        layers = _layers(config, values)
    if list(layers[0].config["batch_shape"]) != [None, 224, 224, 3]:
        raise _OtherLayersError
    return layers


def _read_nested(path: Path) -> list[Layer]:
    import h5py  # noqa: PLC0415 (a warm run needs none)

    with h5py.File(path) as file:
        outer = json.loads(file.attrs["model_config"])
        (config,) = (one for one in outer["config"]["layers"] if one["name"] == _NESTED)
        stored = file[f"model_weights/{_NESTED}"]

        def values(layer: Mapping[str, Any], names: Sequence[str]) -> dict[str, FloatArray]:
            return {name: np.asarray(stored[layer["name"]][name], np.float32) for name in names}

        layers = _layers(config, values)
    pooled = Layer(
        name="pooled",
        kind="GlobalAveragePooling2D",
        config={},
        inputs=(layers[-1].name,),
        weights={},
    )
    return [*layers, pooled]


def _layers(
    config: Mapping[str, Any],
    values: Callable[[Mapping[str, Any], Sequence[str]], dict[str, FloatArray]],
) -> list[Layer]:
    if config["class_name"] != "Functional":
        raise _OtherLayersError
    layers = []
    for raw in config["config"]["layers"]:
        kind, settings = raw["class_name"], raw["config"]
        if kind not in _ALLOWED or raw.get("module", "keras.layers") != "keras.layers":
            raise _OtherLayersError
        for name, allowed in _ALLOWED[kind].items():
            if settings.get(name) not in allowed:
                raise _OtherLayersError
        for name, plain in _PLAIN.items():
            if settings.get(name, plain) != plain:
                raise _OtherLayersError
        names = _WEIGHTS.get(kind, ())
        if not settings.get("use_bias", True):
            names = names[:1]
        layers.append(
            Layer(
                name=raw["name"],
                kind=kind,
                config=settings,
                inputs=_inputs(raw["inbound_nodes"]),
                weights=values(raw, names),
            )
        )
    return layers


def _inputs(nodes: Sequence[Any]) -> tuple[str, ...]:
    if not nodes:
        return ()
    (node,) = nodes  # a layer used twice has two
    names = []
    for argument in node["args"]:
        for tensor in argument if isinstance(argument, list) else [argument]:
            name, place, output = tensor["config"]["keras_history"]
            if (place, output) != (0, 0):
                raise _OtherLayersError
            names.append(name)
    return tuple(names)


def _check_order(layers: Sequence[Layer]) -> None:
    """One input, one output, and every layer after those that it reads."""
    seen: set[str] = set()
    for layer in layers:
        due = {"InputLayer": 0, "Add": 2}.get(layer.kind, 1)
        if len(layer.inputs) != due or not seen.issuperset(layer.inputs):
            raise _OtherLayersError
        seen.add(layer.name)
    read = {name for layer in layers for name in layer.inputs}
    inputs = sum(layer.kind == "InputLayer" for layer in layers)
    if inputs != 1 or seen - read != {layers[-1].name}:
        raise _OtherLayersError
    if layers[-1].kind != "GlobalAveragePooling2D":
        raise _OtherLayersError


def _snake_case(name: str) -> str:
    """As Keras' naming.to_snake_case has it: DepthwiseConv2D becomes depthwise_conv2d."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
