"""Writes TFLite files by their schema, without TensorFlow's converter (decision 46).

A graph is converted or written with a placeholder for a head; a trained head is put in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from advisor.errors import BackboneError
from advisor.vision.images import SIZE
from advisor.vision.interpreter import EMBEDDING, INPUT, PROBABILITIES
from training.config import DYNAMIC, FLOAT16, FLOAT32
from training.head import Head, placeholder
from training.keras_file import Layer
from training.rows import FloatArray

VERSION: Final = 1  # of the files written here: what another one wrote is not found in the cache
_OPERATOR = schema.BuiltinOperator
_OPTIONS = schema.BuiltinOptions
_TYPES: Final = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
}
_VERSIONS: Final = {_OPERATOR.DEQUANTIZE: 3}  # the first that takes float16; else 1
_LEAST_QUANTIZED: Final = 1024  # weights; as TensorFlow has it: fewer save nothing, and cost most
_ACTIVATIONS: Final = {
    "linear": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}


def write_graph(layers: Sequence[Layer], scale: tuple[float, float], precision: str) -> bytes:
    """A TFLite file of a backbone, with the placeholder of head.py as its head.

    layers: as read_layers gives them. scale: what pixels of 0..255 are multiplied by, and what
    is then added. precision: of the convolutions' weights.
    Raises: BackboneError if an activation or a normalisation cannot be computed with the
        convolution before it.
    """
    graph = _Graph(precision)
    photo = graph.tensor(INPUT, (1, SIZE, SIZE, 3), np.dtype(np.uint8))
    pixels = graph.apply(_OPERATOR.CAST, [photo], (SIZE, SIZE, 3), "CastOptions", {})
    for operator, options, value in (
        (_OPERATOR.MUL, "MulOptions", scale[0]),
        (_OPERATOR.ADD, "AddOptions", scale[1]),
    ):
        constant = graph.constant(np.array(value, np.float32))
        pixels = graph.apply(operator, [pixels, constant], (SIZE, SIZE, 3), options, {})
    made: dict[str, int] = {}
    for step in _fused(layers):
        output = graph.add(step, [made[name] for name in step.inputs] or [pixels])
        made |= dict.fromkeys(step.names, output)
    embedding = made[layers[-1].name]
    graph.name(embedding, EMBEDDING)
    head = placeholder(graph.shape(embedding)[-1])
    kind = np.float32 if precision == FLOAT32 else np.float16
    kernel = graph.constant(head.kernel.T.astype(kind))
    bias = graph.constant(head.bias.astype(kind))
    logits = graph.apply(
        _OPERATOR.FULLY_CONNECTED, [embedding, kernel, bias], (len(head.bias),),
        "FullyConnectedOptions", {},
    )  # fmt: skip
    answer = graph.apply(_OPERATOR.SOFTMAX, [logits], (len(head.bias),), "SoftmaxOptions",
                         {"beta": 1.0})  # fmt: skip
    graph.name(answer, PROBABILITIES)
    return graph.finish(photo, {EMBEDDING: embedding, PROBABILITIES: answer})


def can_write(layers: Sequence[Layer]) -> bool:
    """Whether every normalisation and activation can be computed with the convolution before it."""
    try:
        _fused(layers)
    except BackboneError:
        return False
    return True


def put_head(content: bytes, head: Head | None) -> bytes:
    """The graph with the head in the place of its own, of any number of labels.

    head: None for the placeholder of head.py, so that graphs of one backbone become equal.
    Raises: BackboneError if the graph does not end in a head for such features.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    (graph,) = model.subgraphs
    codes = [model.operatorCodes[one.opcodeIndex].builtinCode for one in graph.operators]
    embedding = {one.name: one.tensorIndex for one in model.signatureDefs[0].outputs}.get(
        EMBEDDING.encode()
    )
    ends = codes[-2:] == [_OPERATOR.FULLY_CONNECTED, _OPERATOR.SOFTMAX]
    if not ends or graph.operators[-2].inputs[0] != embedding:
        raise BackboneError("the graph does not end in a head behind its embedding")
    layer, softmax = graph.operators[-2:]
    width = int(graph.tensors[embedding].shape[-1])
    head = head or placeholder(width)
    if width != len(head.kernel):
        raise BackboneError(f"a head for {len(head.kernel)} features; the graph has {width}")
    made_by = {int(one.outputs[0]): one for one in graph.operators}
    # A TFLite fully connected layer keeps its kernel as (labels, features).
    for index, value in zip(layer.inputs[1:], (head.kernel.T, head.bias), strict=True):
        tensor = graph.tensors[index]
        if index in made_by:  # dequantized from float16 whenever a model is loaded
            tensor.shape = np.array(value.shape, np.int32)
            tensor = graph.tensors[made_by[index].inputs[0]]
        kind = np.float16 if tensor.type == schema.TensorType.FLOAT16 else np.float32
        tensor.type, tensor.quantization = _TYPES[np.dtype(kind)], None
        tensor.shape = np.array(value.shape, np.int32)
        model.buffers[tensor.buffer].data = _bytes(value.astype(kind))
    for operator in (layer, softmax):
        tensor = graph.tensors[operator.outputs[0]]
        tensor.shape = np.array((1, len(head.bias)), np.int32)
        tensor.shapeSignature = None
    return _packed(model)


@dataclass
class _Step:
    """Layers that are computed as one. kernel, bias: of a convolution, normalised already."""

    layer: Layer
    inputs: tuple[str, ...]
    names: list[str]
    kernel: FloatArray | None = None
    bias: FloatArray | None = None
    activation: str = "linear"


def _fused(layers: Sequence[Layer]) -> list[_Step]:
    """Convolutions with the normalisation and the activation that follow, and the other layers."""
    steps: dict[str, _Step] = {}
    readers = Counter(name for layer in layers for name in layer.inputs)
    for layer in layers:
        if layer.kind in {"BatchNormalization", "ReLU"}:
            step = steps[layer.inputs[0]]
            if step.kernel is None or readers[layer.inputs[0]] > 1 or step.activation != "linear":
                raise BackboneError(f"{layer.name} does not follow a convolution")
            if layer.kind == "ReLU":
                step.activation = "relu6" if layer.config["max_value"] else "relu"
            else:
                _normalise(step, layer)
            step.names.append(layer.name)
        else:
            step = _Step(layer, layer.inputs, [layer.name])
            if "kernel" in layer.weights:
                step.kernel = layer.weights["kernel"]
                step.bias = layer.weights.get("bias")
                step.activation = layer.config["activation"]
        steps[layer.name] = step
    return list({id(step): step for step in steps.values()}.values())


def _normalise(step: _Step, norm: Layer) -> None:
    weights = {name: value.astype(np.float64) for name, value in norm.weights.items()}
    factor = weights["gamma"] / np.sqrt(weights["moving_variance"] + norm.config["epsilon"])
    kernel = np.asarray(step.kernel, np.float64)
    depthwise = step.layer.kind == "DepthwiseConv2D"
    per_channel = factor.reshape(kernel.shape[2:]) if depthwise else factor
    bias = 0.0 if step.bias is None else step.bias
    step.kernel = (kernel * per_channel).astype(np.float32)
    step.bias = ((bias - weights["moving_mean"]) * factor + weights["beta"]).astype(np.float32)


@dataclass
class _Graph:
    """A TFLite file in the making; tensors are known by their index."""

    precision: str
    tensors: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])  # the first is empty
    codes: dict[int, int] = field(default_factory=dict)

    def tensor(self, name: str, shape: Sequence[int], kind: np.dtype[Any], buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.name = name or f"t{len(self.tensors)}"
        tensor.shape, tensor.type = np.array(shape, np.int32), _TYPES[kind]
        tensor.buffer, tensor.hasRank = buffer, True
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def shape(self, index: int) -> tuple[int, ...]:
        return tuple(int(length) for length in self.tensors[index].shape)

    def name(self, index: int, name: str) -> None:
        self.tensors[index].name = name

    def constant(self, value: npt.NDArray[Any]) -> int:
        """A tensor of fixed values; float16 ones are made float32 when the model is loaded."""
        buffer = schema.BufferT()
        buffer.data = _bytes(value)
        self.buffers.append(buffer)
        index = self.tensor("", value.shape, value.dtype, len(self.buffers) - 1)
        if value.dtype != np.float16:
            return index
        wide = self.tensor("", value.shape, np.dtype(np.float32))
        self._operator(_OPERATOR.DEQUANTIZE, [index], wide)
        return wide

    def kernel(self, value: FloatArray, *, axis: int) -> int:
        """Weights in the graph's precision; axis: of the output channels."""
        if self.precision == FLOAT16:
            return self.constant(value.astype(np.float16))
        if self.precision != DYNAMIC or value.size < _LEAST_QUANTIZED:
            return self.constant(value)
        others = tuple(one for one in range(value.ndim) if one != axis)
        scale = np.maximum(np.abs(value).max(axis=others, keepdims=True) / 127, 1e-12)
        index = self.constant(np.rint(value / scale).astype(np.int8))
        told = schema.QuantizationParametersT()
        told.scale = scale.ravel().astype(np.float32)
        told.zeroPoint = np.zeros(told.scale.size, np.int64)
        told.quantizedDimension = axis
        self.tensors[index].quantization = told
        return index

    def apply(
        self, code: int, inputs: Sequence[int], shape: Sequence[int], options: str,
        values: Mapping[str, Any],
    ) -> int:  # fmt: skip
        """What the operator computes; shape: of one photo's result."""
        output = self.tensor("", (1, *shape), np.dtype(np.float32))
        self._operator(code, inputs, output, options, values)
        return output

    def add(self, step: _Step, inputs: Sequence[int]) -> int:
        """What the step computes of its inputs."""
        config, shape = step.layer.config, self.shape(inputs[0])[1:]
        match step.layer.kind:
            case "InputLayer":
                return inputs[0]
            case "Conv2D" | "DepthwiseConv2D":
                return self._convolution(step, inputs[0])
            case "ZeroPadding2D":
                around = ((0, 0), *config["padding"], (0, 0))
                wider = [length + sum(two) for length, two in zip(shape, around[1:], strict=True)]
                amounts = self.constant(np.array(around, np.int32))
                return self.apply(_OPERATOR.PAD, [inputs[0], amounts], wider, "PadOptions", {})
            case "Add":
                return self.apply(_OPERATOR.ADD, inputs, shape, "AddOptions", {})
            case "AveragePooling2D":
                (high, wide), (down, across) = config["pool_size"], config["strides"]
                smaller = (1 + (shape[0] - high) // down, 1 + (shape[1] - wide) // across, shape[2])
                values = {"padding": schema.Padding.VALID, "filterHeight": high,
                          "filterWidth": wide, "strideH": down, "strideW": across}  # fmt: skip
                return self.apply(_OPERATOR.AVERAGE_POOL_2D, inputs, smaller, "Pool2DOptions",
                                  values)  # fmt: skip
            case _:  # GlobalAveragePooling2D
                axes = self.constant(np.array([1, 2], np.int32))
                return self.apply(_OPERATOR.MEAN, [inputs[0], axes], shape[2:], "ReducerOptions",
                                  {"keepDims": False})  # fmt: skip

    def _convolution(self, step: _Step, source: int) -> int:
        config, kernel = step.layer.config, np.asarray(step.kernel)
        rows, columns, _ = self.shape(source)[1:]
        (high, wide), (down, across) = kernel.shape[:2], config["strides"]
        same = config["padding"] == "same"
        values = {
            "padding": schema.Padding.SAME if same else schema.Padding.VALID,
            "strideH": down,
            "strideW": across,
            "fusedActivationFunction": _ACTIVATIONS[step.activation],
        }
        if step.layer.kind == "Conv2D":
            code, options = _OPERATOR.CONV_2D, "Conv2DOptions"
            weights = self.kernel(kernel.transpose(3, 0, 1, 2), axis=0)
        else:
            code, options = _OPERATOR.DEPTHWISE_CONV_2D, "DepthwiseConv2DOptions"
            values["depthMultiplier"] = kernel.shape[3]
            weights = self.kernel(kernel.reshape(1, high, wide, -1), axis=3)
        count = kernel.shape[3] if step.layer.kind == "Conv2D" else kernel[0, 0].size
        bias = np.zeros(count, np.float32) if step.bias is None else step.bias
        if self.precision == FLOAT16:
            bias = bias.astype(np.float16)
        missing = (0, 0) if same else (high - 1, wide - 1)
        shape = (-(-(rows - missing[0]) // down), -(-(columns - missing[1]) // across), count)
        return self.apply(code, [source, weights, self.constant(bias)], shape, options, values)

    def _operator(
        self, code: int, inputs: Sequence[int], output: int, options: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        operator = schema.OperatorT()
        operator.opcodeIndex = self.codes.setdefault(code, len(self.codes))
        operator.inputs = np.array(inputs, np.int32)
        operator.outputs = np.array([output], np.int32)
        if options:
            operator.builtinOptionsType = getattr(_OPTIONS, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            vars(operator.builtinOptions).update(values or {})
        self.operators.append(operator)

    def finish(self, photo: int, outputs: Mapping[str, int]) -> bytes:
        """The file."""
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators = "main", self.tensors, self.operators
        graph.inputs = np.array([photo], np.int32)
        graph.outputs = np.array(list(outputs.values()), np.int32)
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs = [_named(INPUT, photo)]
        signature.outputs = [_named(name, index) for name, index in outputs.items()]
        model = schema.ModelT()
        model.version, model.description = 3, f"Products Advisor {VERSION}"
        model.subgraphs, model.buffers, model.signatureDefs = [graph], self.buffers, [signature]
        model.operatorCodes = [_code(code) for code in self.codes]
        return _packed(model)


def _named(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry


def _code(code: int) -> Any:
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.version = code, _VERSIONS.get(code, 1)
    entry.deprecatedBuiltinCode = min(code, 127)  # where interpreters of before 2020 look
    return entry


def _bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
