"""Graphs written without TensorFlow: of which files, and that they compute what the layers say.

That they answer as Keras and as TensorFlow's own conversion do is tested in test_fine_tune.py.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from advisor.errors import BackboneError
from advisor.vision.interpreter import EMBEDDING, PROBABILITIES, Model
from tests.training import tiny
from training import graph
from training.backbones import local
from training.config import DYNAMIC, FLOAT16, FLOAT32
from training.gates import computed, difference, first_that_agrees, sample_photos
from training.graph import written_graph
from training.head import Head, placeholder
from training.keras_file import Layer, read_layers
from training.tflite import can_write, put_head, write_graph

CHANNELS = 40


def layer(name: str, kind: str, *inputs: str, **config: Any) -> Layer:
    """A layer of random weights, for CHANNELS channels."""
    rng = np.random.default_rng(len(name))
    shapes = {
        "Conv2D": {"kernel": (3, 3, 3 if inputs == ("photo",) else CHANNELS, CHANNELS)},
        "DepthwiseConv2D": {"kernel": (3, 3, CHANNELS, 1)},
        "BatchNormalization": dict.fromkeys(
            ("gamma", "beta", "moving_mean", "moving_variance"), (CHANNELS,)
        ),
    }.get(kind, {})
    weights = {
        part: rng.uniform(0.5 if kind == "BatchNormalization" else -0.3, 1, shape)
        for part, shape in shapes.items()
    }
    weights = {part: value.astype(np.float32) for part, value in weights.items()}
    if kind == "Conv2D":
        weights["bias"] = rng.normal(0, 1, CHANNELS).astype(np.float32)
    config = {"padding": "same", "strides": [2, 2], "activation": "linear", "epsilon": 1e-3,
              "max_value": 6.0} | config  # fmt: skip
    return Layer(name=name, kind=kind, config=config, inputs=inputs, weights=weights)


NETWORK = [
    layer("photo", "InputLayer"),
    layer("small", "AveragePooling2D", "photo", pool_size=[8, 8], strides=[8, 8], padding="valid"),
    layer("pad", "ZeroPadding2D", "small", padding=[[0, 1], [2, 1]]),
    layer("conv", "Conv2D", "photo", strides=[16, 8]),
    layer("norm", "BatchNormalization", "conv"),
    layer("relu6", "ReLU", "norm"),
    layer("depthwise", "DepthwiseConv2D", "relu6", padding="valid", strides=[1, 1]),
    layer("depthwise norm", "BatchNormalization", "depthwise"),
    layer("even", "DepthwiseConv2D", "relu6", strides=[2, 2]),
    layer("other", "Conv2D", "even", strides=[1, 1], activation="relu"),
    layer("another", "Conv2D", "even", strides=[1, 1], activation="relu6"),
    layer("sum", "Add", "other", "another"),
    layer("pooled", "GlobalAveragePooling2D", "sum"),
]


def test_every_kind_of_layer_computes_what_numpy_does() -> None:
    for end in ("pad", "relu6", "depthwise norm", "sum"):
        layers = [one for one in NETWORK if one.kind != "GlobalAveragePooling2D"]
        layers = layers[: [one.name for one in layers].index(end) + 1]
        layers.append(layer("pooled", "GlobalAveragePooling2D", end))
        model = Model(write_graph(layers, (2 / 255, -1.0), FLOAT32))
        for photo in sample_photos():
            want = computed(layers, photo.astype(np.float32) * np.float32(2 / 255) - 1)
            assert np.allclose(model.run(photo).embedding, want, rtol=1e-4, atol=1e-4), end
            assert np.ptp(want) > 1e-3


def test_the_file_says_the_shapes_that_the_interpreter_finds() -> None:
    layers = [*NETWORK[:2], layer("pooled", "GlobalAveragePooling2D", "small")]
    head = Head(np.zeros((3, 5), np.float32), np.zeros(5, np.float32))
    content = put_head(write_graph(layers, (1.0, 0.0), FLOAT16), head)
    (told,) = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content)).subgraphs
    found = Model(content)._interpreter.get_tensor_details()
    shapes = {one["name"]: list(one["shape"]) for one in found}
    for tensor in told.tensors:
        assert shapes[tensor.name.decode()] == list(tensor.shape), tensor.name
    assert shapes[EMBEDDING] == [1, 3]
    assert shapes[PROBABILITIES] == [1, 5]


@pytest.mark.parametrize(("precision", "bytes_each"), [(FLOAT32, 4), (FLOAT16, 2), (DYNAMIC, 1)])
def test_a_graph_takes_the_bytes_of_its_precision(precision: str, bytes_each: int) -> None:
    layers = [layer("photo", "InputLayer"), layer("conv", "Conv2D", "photo"),
              layer("wide", "Conv2D", "conv"),
              layer("mean", "GlobalAveragePooling2D", "wide")]  # fmt: skip
    weights = 9 * CHANNELS * (CHANNELS + 3)
    size = len(write_graph(layers, (1.0, 0.0), precision))
    assert bytes_each * weights <= size < bytes_each * weights + 6000


def test_the_layers_of_a_keras_file_are_read_without_keras() -> None:
    layers = read_layers(local(tiny.BACKBONE))
    assert layers is not None
    assert [one.kind for one in layers] == [
        "InputLayer", "AveragePooling2D", "Conv2D", "GlobalAveragePooling2D",
    ]  # fmt: skip
    assert layers[2].weights["kernel"].shape == (3, 3, 3, 8)


def drop_the_pooling(config: Any) -> None:
    config["config"]["layers"].pop()


def set_in(number: int, **settings: Any) -> Callable[[Any], None]:
    return lambda config: config["config"]["layers"][number]["config"].update(settings)


@pytest.mark.parametrize(
    "change",
    [set_in(2, activation="gelu"), set_in(2, dilation_rate=[2, 2]), set_in(2, groups=2),
     set_in(2, data_format="channels_first"), set_in(2, padding="causal"),
     set_in(0, batch_shape=[None, 96, 96, 3]), set_in(1, padding="same"),
     set_in(3, keepdims=True), drop_the_pooling,
     lambda config: config.update(class_name="Sequential"),
     lambda config: config["config"]["layers"][1].update(class_name="MaxPooling2D"),
     lambda config: config["config"]["layers"][1].update(module="somebody.layers")],
)  # fmt: skip
def test_a_file_of_anything_else_is_left_to_tensorflow(
    tmp_path: Path, change: Callable[[Any], None]
) -> None:
    path = tmp_path / "other.keras"
    with zipfile.ZipFile(tiny.BACKBONE) as old, zipfile.ZipFile(path, "w") as new:
        config = json.loads(old.read("config.json"))
        change(config)
        new.writestr("config.json", json.dumps(config))
        new.writestr("model.weights.h5", old.read("model.weights.h5"))
    assert read_layers(local(path)) is None
    assert written_graph(local(path)) is None


@pytest.mark.parametrize(
    "between",
    [[layer("norm", "BatchNormalization", "small")],
     [layer("conv", "Conv2D", "photo"), layer("relu", "ReLU", "conv"),
      layer("norm", "BatchNormalization", "relu")],
     [layer("conv", "Conv2D", "photo"), layer("relu", "ReLU", "conv"),
      layer("norm", "Add", "conv", "relu")]],
)  # fmt: skip
def test_a_normalisation_that_follows_no_convolution_is_left_to_tensorflow(
    between: list[Layer],
) -> None:
    end = layer("mean", "GlobalAveragePooling2D", "norm")
    assert can_write(NETWORK)
    assert not can_write([*NETWORK[:2], *between, end])


def test_a_graph_that_answers_otherwise_than_its_layers_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = graph._writer
    monkeypatch.setattr(
        graph, "_writer", lambda layers, weights: right([*layers[:2], tilted(layers[2]), layers[3]],
                                                        weights)
    )  # fmt: skip
    with pytest.raises(BackboneError, match=r"embeddings differ from those of its layers by 0\.1 "):
        written_graph(local(tiny.BACKBONE))


def tilted(one: Layer) -> Layer:
    weights = {**one.weights, "kernel": one.weights["kernel"] * np.float32(1.1)}
    return Layer(**{**vars(one), "weights": weights})


def test_probabilities_that_are_not_those_of_the_embedding_are_refused() -> None:
    layers = read_layers(local(tiny.BACKBONE))
    assert layers is not None
    photos = sample_photos()
    want = np.stack([computed(layers, photo / np.float32(127.5) - 1) for photo in photos])
    content = write_graph(layers, (1 / 127.5, -1.0), FLOAT32)
    assert difference(content, photos, want, FLOAT32) == ""
    other = Head(placeholder(8).kernel * np.float32(100), placeholder(8).bias)
    said = difference(put_head(content, other), photos, want, FLOAT32)
    assert said.startswith("the graph's probabilities differ from those of its layers by ")


def test_float32_is_tried_where_float16_differs() -> None:
    made: list[str] = []

    def make(precision: str) -> bytes:
        made.append(precision)
        return tiny.GRAPH.read_bytes()

    with pytest.raises(BackboneError, match="embeddings differ"):
        first_that_agrees(make, FLOAT16, sample_photos(), np.ones((2, 8), np.float32))
    assert made == [FLOAT16, FLOAT32]
