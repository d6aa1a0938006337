"""A bundle's model as a TensorFlow SavedModel, for what serves or reads those.

Made from the .tflite itself, operation by operation: so any bundle can be, frozen or tuned, and
what is exported is what serves.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from advisor.errors import BackboneError, BundleError, UsageError
from advisor.vision.bundle import Bundle
from advisor.vision.bundle_info import LABELS
from advisor.vision.images import SIZE
from advisor.vision.interpreter import EMBEDDING, INPUT, PROBABILITIES, Output
from training.config import FLOAT16
from training.gates import PARITY_TOLERANCE
from training.tensorflow_process import in_tensorflow

SIGNATURE: Final = "serving_default"
_OPERATOR = schema.BuiltinOperator
_NAMES: Final = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)
}
_KINDS: Final = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT8: np.int8,
}


def write_saved_model(bundle: Bundle, folder: Path) -> None:
    """Write a bundle's model to a new folder as a SavedModel, with its labels.txt.

    Its signature `serving_default` takes `image`, uint8 (photos, 224, 224, 3) as
    advisor.vision.images.decode gives them, and gives `probabilities` and `embedding`, float32.
    Weights of 8 bits are made wide: an interpreter of the .tflite rounds what it computes, too.
    Gate: loaded again, it answers the bundle's golden photos as the bundle does.
    Raises: UsageError if the folder is there, or cannot be made; BackboneError if TensorFlow is
        not installed, the graph has an operation that is not known here, or the gate is not passed.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists; expected the name of a new folder")
    if importlib.util.find_spec("tensorflow") is None:
        raise BackboneError("a SavedModel needs TensorFlow: pip install 'products-advisor[train]'")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as temporary:
            made = Path(temporary) / "saved_model"
            answers = in_tensorflow(_write, bundle.model, str(made), bundle.golden.images)
            _check(bundle, answers)
            (made / LABELS).write_text("".join(f"{one}\n" for one in bundle.info.labels), "utf-8")
            shutil.move(made, folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from error


def _check(bundle: Bundle, answers: dict[str, npt.NDArray[np.float32]]) -> None:
    precision = str(bundle.info.training.get("precision", FLOAT16))
    outputs = iter(zip(answers[PROBABILITIES], answers[EMBEDDING], strict=True))
    try:
        bundle.golden.check(lambda _: Output(*next(outputs)), PARITY_TOLERANCE[precision])
    except BundleError as error:
        raise BackboneError(f"the SavedModel differs from the .tflite: {error}") from error


def _write(
    content: bytes, folder: str, images: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.float32]]:
    """In the TensorFlow process: write it, load it again, and ask it."""
    import tensorflow as tf  # noqa: PLC0415 (in the TensorFlow process)

    module = tf.Module()
    compute = _Graph(content, tf).into(module)
    photos = tf.TensorSpec((None, SIZE, SIZE, 3), tf.uint8, name=INPUT)
    served = tf.function(compute, input_signature=[photos])
    tf.saved_model.save(module, folder, signatures={SIGNATURE: served})
    loaded = tf.saved_model.load(folder)
    answers = loaded.signatures[SIGNATURE](**{INPUT: tf.constant(images)})
    return {name: value.numpy() for name, value in answers.items()}


class _Graph:
    """A .tflite file, read."""

    def __init__(self, content: bytes, tf: Any) -> None:
        self._tf = tf
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
        (self._graph,) = self._model.subgraphs
        (signature,) = self._model.signatureDefs
        self._input = signature.inputs[0].tensorIndex
        self._outputs = {one.name.decode(): one.tensorIndex for one in signature.outputs}

    def into(self, module: Any) -> Callable[[Any], dict[str, Any]]:
        """The function that the graph computes; its weights become variables of the module."""
        constants = {
            index: self._constant(tensor)
            for index, tensor in enumerate(self._graph.tensors)
            if self._model.buffers[tensor.buffer].data is not None
        }
        steps: list[tuple[str, Any, list[Any]]] = []
        weights: list[Any] = []
        for operator in self._graph.operators:
            code = self._model.operatorCodes[operator.opcodeIndex]
            name = _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
            if name == "DEQUANTIZE" and operator.inputs[0] in constants:
                constants[operator.outputs[0]] = constants[operator.inputs[0]]
                continue
            given: list[Any] = [constants.get(index) for index in operator.inputs]
            if name in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}:
                given[1] = _as_tensorflow_has_it(name, given[1], operator.builtinOptions)
                for number in (1, 2):
                    if given[number] is not None:
                        weight = self._tf.Variable(given[number], name=f"weight_{len(weights)}")
                        weights.append(weight)
                        given[number] = weight
            steps.append((name, operator, given))
        module.weights = weights

        def compute(image: Any) -> dict[str, Any]:
            known = {self._input: image}
            for name, operator, given in steps:
                inputs = [
                    known[index] if value is None and index >= 0 else value
                    for index, value in zip(operator.inputs, given, strict=True)
                ]
                known[operator.outputs[0]] = _computed(
                    self._tf, name, inputs, operator.builtinOptions
                )
            return {name: known[index] for name, index in self._outputs.items()}

        return compute

    def _constant(self, tensor: Any) -> npt.NDArray[Any]:
        """The values, wide: float16 and eight bits as float32."""
        data = bytes(self._model.buffers[tensor.buffer].data)
        shape = () if tensor.shape is None else tuple(tensor.shape)
        value = np.frombuffer(data, _KINDS[tensor.type]).reshape(shape)
        if value.dtype == np.int8:
            told = tensor.quantization
            along = [1] * value.ndim
            along[told.quantizedDimension] = -1
            zero = np.asarray(told.zeroPoint).reshape(along)
            value = (value - zero) * told.scale.reshape(along)
        return value if value.dtype == np.int32 else np.asarray(value, np.float32)


def _computed(tf: Any, name: str, inputs: list[Any], options: Any) -> Any:
    """What an operation makes of its inputs."""
    if name not in _COMPUTED:
        raise BackboneError(f"no SavedModel is made of a graph with the operation {name}")
    value = _COMPUTED[name](tf, inputs, options)
    kind = getattr(options, "fusedActivationFunction", schema.ActivationFunctionType.NONE)
    if kind not in _ACTIVATIONS:
        raise BackboneError(f"no SavedModel is made of a graph with activation {kind}")
    return _ACTIVATIONS[kind](tf, value)


def _convolved(convolve: Any, inputs: list[Any], options: Any) -> Any:
    photos, kernel, bias = inputs
    strides = [1, options.strideH, options.strideW, 1]
    dilations = [options.dilationHFactor, options.dilationWFactor]
    found = convolve(photos, kernel, strides, _padding(options), dilations=dilations)
    return found + bias


def _connected(_tf: Any, inputs: list[Any], _options: Any) -> Any:
    features, kernel, bias = inputs
    return features @ kernel if bias is None else features @ kernel + bias


def _pooled(tf: Any, inputs: list[Any], options: Any) -> Any:
    size = (options.filterHeight, options.filterWidth)
    return tf.nn.avg_pool2d(inputs[0], size, (options.strideH, options.strideW), _padding(options))


def _as_tensorflow_has_it(name: str, kernel: npt.NDArray[Any], options: Any) -> npt.NDArray[Any]:
    """A kernel of the .tflite in the order of axes that TensorFlow's operation takes."""
    if name == "FULLY_CONNECTED":
        return kernel.T
    if name == "CONV_2D":
        return kernel.transpose(1, 2, 3, 0)
    return kernel.reshape(*kernel.shape[1:3], -1, options.depthMultiplier)


def _padding(options: Any) -> str:
    return "SAME" if options.padding == schema.Padding.SAME else "VALID"


# tf, inputs, options -> the output. What MobileNets of every kind are made of.
_COMPUTED: Final[dict[str, Callable[[Any, list[Any], Any], Any]]] = {
    "CONV_2D": lambda tf, inputs, options: _convolved(tf.nn.conv2d, inputs, options),
    "DEPTHWISE_CONV_2D": lambda tf, inputs, options: _convolved(
        tf.nn.depthwise_conv2d, inputs, options
    ),
    "FULLY_CONNECTED": _connected,
    "AVERAGE_POOL_2D": _pooled,
    "MEAN": lambda tf, inputs, options: tf.reduce_mean(
        inputs[0], inputs[1].tolist(), options.keepDims
    ),
    # The .tflite says one photo; here there may be any number.
    "RESHAPE": lambda tf, inputs, _: tf.reshape(inputs[0], [-1, *inputs[1].tolist()[1:]]),
    "ADD": lambda tf, inputs, _: tf.add(*inputs),
    "SUB": lambda tf, inputs, _: tf.subtract(*inputs),
    "MUL": lambda tf, inputs, _: tf.multiply(*inputs),
    "PAD": lambda tf, inputs, _: tf.pad(*inputs),
    "CAST": lambda tf, inputs, _: tf.cast(inputs[0], tf.float32),
    "SOFTMAX": lambda tf, inputs, options: tf.nn.softmax(inputs[0] * options.beta),
    "RELU": lambda tf, inputs, _: tf.nn.relu(inputs[0]),
    "RELU6": lambda tf, inputs, _: tf.nn.relu6(inputs[0]),
    "LOGISTIC": lambda tf, inputs, _: tf.nn.sigmoid(inputs[0]),
    "HARD_SWISH": lambda tf, inputs, _: inputs[0] * tf.nn.relu6(inputs[0] + 3.0) / 6.0,
}
_ACTIVATIONS: Final[dict[int, Callable[[Any, Any], Any]]] = {
    schema.ActivationFunctionType.NONE: lambda _, value: value,
    schema.ActivationFunctionType.RELU: lambda tf, value: tf.nn.relu(value),
    schema.ActivationFunctionType.RELU6: lambda tf, value: tf.nn.relu6(value),
}
