"""Fine-tuning: the last blocks of a backbone learn along with the head.

Runs in the TensorFlow process (training/tensorflow_process.py). Statistics of batch
normalisation stay as they are; with them frozen it is a scaling of the convolution before it,
and is computed as such: the same gradients at two thirds of the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from advisor.errors import NotTunableError
from training.backbones import Weights
from training.graph import convert, embed, load_backbone, scaled
from training.head import FloatArray, Head
from training.pixels import Pixels
from training.tensorflow_process import tell_progress, tell_sentence

STAGE: Final = "Fine-tuning"
_ADAM = (0.9, 0.999, 1e-7)  # beta 1, beta 2, epsilon: the defaults of Keras
_EVALUATION_BATCH = 32
_WARM_UP = 0.1  # of all steps, in which the learning rate rises from 0
_REPORT_EVERY = 5
_PARITY_PHOTOS = 8  # of validation, and as many of training
# What mobile networks call their blocks, in Keras ("block_6_expand") and in TF Hub
# ("MobilenetV2/expanded_conv_6/expand").
_BLOCK = re.compile(r"(?:^|/)((?:block|expanded_conv)_\d+|expanded_conv)(?=[_/])")


@dataclass(frozen=True, kw_only=True)
class FineTuneRecipe:
    """How it is done; the reasons stand beside the defaults in TrainingConfig.

    blocks: how many are trained, counted from the end. steps: in each epoch; with fewer than
    all the photos take, it is of other photos each time. min_crop: of the photo's area.
    colour: how much brightness, contrast and saturation change at most. averaging: decay of
    the running average of the weights, which is what is kept.
    """

    blocks: int
    epochs: int
    steps: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    label_smoothing: float
    min_crop: float
    colour: float
    averaging: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class FineTuneJob:
    """What the TensorFlow process is given.

    train, validation: rows of `pixels` and the label's index of each, int64 (photos, 2).
    checkpoint: a file that an interrupted run of the same job may have left.
    """

    weights: Weights
    head: Head
    pixels: Pixels
    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    recipe: FineTuneRecipe
    checkpoint: Path


@dataclass(frozen=True, kw_only=True)
class FineTuned:
    """graph: a .tflite of the tuned backbone with the placeholder of head.py as its head.

    accuracies: on validation after each epoch; best_epoch: the one whose weights were kept,
    counted from 1 (the last one where there is no photo to validate on).
    """

    graph: bytes
    head: Head
    accuracies: tuple[float, ...]
    best_epoch: int


def fine_tune(job: FineTuneJob) -> FineTuned:
    """Train the last blocks and the head, and convert the best of the epochs.

    Raises: NotTunableError if the backbone has nothing to train, BackboneError if the result
        fails a gate of training/graph.py.
    """
    import tensorflow as tf  # noqa: PLC0415 (4 s; this module is imported without it)

    tf.config.experimental.enable_op_determinism()
    backbone = load_backbone(job.weights)
    last = last_blocks(backbone, job.recipe.blocks, job.weights)
    run = _Run(job, folded(backbone), last)
    run.train()
    run.keep_best()
    # Photos of the kind it has learnt: on noise, float16 moves a tuned embedding by .02.
    photos = job.pixels.read([*job.validation[:_PARITY_PHOTOS, 0], *job.train[:_PARITY_PHOTOS, 0]])
    graph = convert(backbone, job.weights, len(job.head.bias), photos=photos)
    return FineTuned(
        graph=graph,
        head=run.head(),
        accuracies=tuple(run.accuracies),
        best_epoch=run.best_epoch,
    )


def last_blocks(backbone: Any, count: int, weights: Weights) -> list[Any]:
    """The trainable tf.Variables of the last `count` blocks; of all where there are not so many.

    A block is what shares a number in its name; outside of these, a layer with a kernel.
    Raises: NotTunableError if the backbone has no trainable variable.
    """
    blocks: list[list[Any]] = []
    previous = ""
    for variable in (weight.value for weight in backbone.trainable_variables):
        found = _BLOCK.search(variable.name)
        name = found[1] if found else ""
        starts = name != previous or (not name and len(variable.shape) > 1)
        if starts or not blocks:
            blocks.append([])
        blocks[-1].append(variable)
        previous = name
    if not blocks:
        raise NotTunableError(
            f"{weights.path} cannot be fine-tuned: it has no trainable variable (a SavedModel "
            "needs the trainable signature that TF Hub's TF2 modules have)"
        )
    return [variable for block in blocks[-count:] for variable in block]


def folded(backbone: Any) -> Any:
    """The backbone with every batch normalisation computed inside the convolution before it.

    It shares the backbone's variables, so training one trains the other. What is no Keras
    model of single layers (a SavedModel) is returned as it is.
    """
    import keras  # noqa: PLC0415

    if not isinstance(backbone, keras.Model):
        return backbone
    norms = _foldable(backbone)

    def clone(layer: Any) -> Any:
        if layer.name in norms:
            return _folded_convolution(layer, norms[layer.name])
        return keras.layers.Identity() if layer in norms.values() else layer

    def call(layer: Any, *args: Any, **_: Any) -> Any:
        return layer(*args)

    return keras.models.clone_model(backbone, clone_function=clone, call_function=call)


def _foldable(model: Any) -> dict[str, Any]:
    """Batch normalisations by the name of the linear convolution whose only reader they are."""
    import keras  # noqa: PLC0415

    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    producers = {id(layer.output): layer for layer in model.layers if type(layer) in kinds}
    readers = [id(one) for layer in model.layers for one in _listed(layer.input)]
    norms = {}
    for layer in model.layers:
        if type(layer) is keras.layers.BatchNormalization and layer.scale and layer.center:
            convolution = producers.get(id(layer.input))
            if (
                convolution is not None
                and readers.count(id(layer.input)) == 1
                and convolution.activation is keras.activations.linear
                and convolution.data_format == "channels_last"
                and getattr(convolution, "groups", 1) == 1
                and tuple(convolution.dilation_rate) == (1, 1)
            ):
                norms[convolution.name] = layer
    return norms


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _folded_convolution(convolution: Any, norm: Any) -> Any:
    """A layer that computes the convolution and its normalisation in one."""
    import keras  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    strides = (1, *convolution.strides, 1)
    padding = convolution.padding.upper()

    class FoldedConvolution(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
        def call(self, inputs: Any) -> Any:
            scale = norm.gamma.value * tf.math.rsqrt(norm.moving_variance.value + norm.epsilon)
            shift = norm.beta.value - norm.moving_mean.value * scale
            if convolution.use_bias:
                shift += convolution.bias.value * scale
            kernel = convolution.kernel.value
            if depthwise:
                kernel = kernel * tf.reshape(scale, kernel.shape[2:])
                result = tf.nn.depthwise_conv2d(inputs, kernel, strides, padding)
            else:
                result = tf.nn.conv2d(inputs, kernel * scale, strides, padding)
            return tf.nn.bias_add(result, shift)

    return FoldedConvolution()


class _Run:
    """The training loop with its state; long, since it reads top to bottom."""

    def __init__(self, job: FineTuneJob, network: Any, variables: list[Any]) -> None:
        import tensorflow as tf  # noqa: PLC0415

        self.job, self.recipe = job, job.recipe
        self.kernel, self.bias = tf.Variable(job.head.kernel), tf.Variable(job.head.bias)
        self.variables = [*variables, self.kernel, self.bias]
        self.first = [tf.Variable(tf.zeros_like(one)) for one in self.variables]
        self.second = [tf.Variable(tf.zeros_like(one)) for one in self.variables]
        self.average = [tf.Variable(one) for one in self.variables]
        self.accuracies: list[float] = []
        self.best_epoch = 0
        self.best: list[FloatArray] = [one.numpy() for one in self.variables]
        self._step = self._compile(network)
        self._answer = self._compile_answer(network)

    def train(self) -> None:
        """Train the epochs that no earlier run has trained, and validate after each."""
        self._resume()
        steps, epochs, batch = self.recipe.steps, self.recipe.epochs, self.recipe.batch_size
        for epoch in range(len(self.accuracies) + 1, epochs + 1):
            rng = np.random.default_rng((self.recipe.seed, epoch))
            passes = -(-steps * batch // len(self.job.train))
            order = np.concatenate([rng.permutation(len(self.job.train)) for _ in range(passes)])
            for number in range(steps):
                rows = self.job.train[order[number * batch : (number + 1) * batch]]
                step = (epoch - 1) * steps + number + 1
                self._take_step(rows, step, steps * epochs)
                if step % _REPORT_EVERY == 0 or number + 1 == steps:
                    tell_progress(STAGE, step, steps * epochs)
            self._validate(epoch)
            self._save()

    def keep_best(self) -> None:
        """Put the weights of the best epoch into the network."""
        for variable, value in zip(self.variables, self.best, strict=True):
            variable.assign(value)

    def head(self) -> Head:
        """The head of the weights as they are."""
        return Head(self.kernel.numpy(), self.bias.numpy())

    def _take_step(self, rows: npt.NDArray[np.int64], step: int, total: int) -> None:
        import tensorflow as tf  # noqa: PLC0415

        # Adam's first steps are of full size whatever the gradient: unless they begin small, at a
        # rate of 1e-3 the third step left .12 of the head's .83 right, and it never recovered.
        warm = min(1.0, step / max(1.0, _WARM_UP * total))
        rate = self.recipe.learning_rate * warm * 0.5 * (1 + np.cos(np.pi * (step - 1) / total))
        photos = self.job.pixels.read(rows[:, 0].tolist())
        self._step(
            tf.constant(photos),
            tf.constant(rows[:, 1]),
            tf.constant([self.recipe.seed, step]),
            tf.constant(step, tf.float32),
            tf.constant(rate, tf.float32),
        )

    def _compile(self, network: Any) -> Callable[..., Any]:
        import tensorflow as tf  # noqa: PLC0415

        recipe, labels = self.recipe, len(self.job.head.bias)
        beta1, beta2, epsilon = _ADAM

        @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
        def step(photos: Any, targets: Any, seed: Any, number: Any, rate: Any) -> None:
            pixels = distorted(photos, seed, recipe)
            truth = tf.one_hot(targets, labels) * (1 - recipe.label_smoothing)
            truth += recipe.label_smoothing / labels
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(self.variables)
                logits = self._logits(network, pixels)
                losses = tf.nn.softmax_cross_entropy_with_logits(truth, logits)
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, self.variables)
            states = zip(
                self.variables, self.first, self.second, self.average, gradients, strict=True
            )
            # Keep the average near the weights while there are few of them.
            decay = tf.minimum(recipe.averaging, (1 + number) / (10 + number))
            for variable, first, second, average, gradient in states:
                if len(variable.shape) > 1:  # AdamW: kernels decay, scales and shifts do not
                    variable.assign_sub(rate * recipe.weight_decay * variable)
                tf.raw_ops.ResourceApplyAdam(
                    var=variable.handle, m=first.handle, v=second.handle,
                    beta1_power=beta1**number, beta2_power=beta2**number, lr=rate,
                    beta1=beta1, beta2=beta2, epsilon=epsilon, grad=gradient,
                )  # fmt: skip
                average.assign_sub((1 - decay) * (average - variable))

        return step  # type: ignore[no-any-return]  # TensorFlow has no types

    def _compile_answer(self, network: Any) -> Callable[..., Any]:
        import tensorflow as tf  # noqa: PLC0415

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]  # same
        def answer(photos: Any) -> Any:
            return tf.argmax(self._logits(network, tf.cast(photos, tf.float32)), axis=1)

        return answer  # type: ignore[no-any-return]  # TensorFlow has no types

    def _logits(self, network: Any, pixels: Any) -> Any:
        embedding = embed(network, scaled(pixels, self.job.weights), self.job.weights)
        return embedding @ self.kernel + self.bias

    def _validate(self, epoch: int) -> None:
        """Measure the averaged weights on validation, and keep them if none were better."""
        current = [one.numpy() for one in self.variables]
        averaged = [one.numpy() for one in self.average]
        for variable, value in zip(self.variables, averaged, strict=True):
            variable.assign(value)
        rows = self.job.validation
        right = 0
        for start in range(0, len(rows), _EVALUATION_BATCH):
            batch = rows[start : start + _EVALUATION_BATCH]
            answers = self._answer(self.job.pixels.read(batch[:, 0].tolist())).numpy()
            right += int((answers == batch[:, 1]).sum())
        for variable, value in zip(self.variables, current, strict=True):
            variable.assign(value)
        accuracy = right / len(rows) if len(rows) else 0.0
        # The later of two equal ones: its learning rate was the lower.
        if accuracy >= max(self.accuracies, default=0.0):
            self.best, self.best_epoch = averaged, epoch
        self.accuracies.append(accuracy)
        shown = f"{accuracy:.3f} of {len(rows)} validation photos right" if len(rows) else "done"
        tell_sentence(f"Epoch {epoch} of {self.recipe.epochs}: {shown}")

    def _state(self) -> list[Any]:
        return [*self.variables, *self.first, *self.second, *self.average]

    def _save(self) -> None:
        arrays = {f"state_{number}": one.numpy() for number, one in enumerate(self._state())}
        arrays |= {f"best_{number}": one for number, one in enumerate(self.best)}
        path = self.job.checkpoint
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.npz")
        np.savez(
            partial,
            accuracies=np.array(self.accuracies),
            best_epoch=np.array(self.best_epoch),
            **arrays,
        )
        partial.replace(path)

    def _resume(self) -> None:
        if not self.job.checkpoint.is_file():
            return
        with np.load(self.job.checkpoint, allow_pickle=False) as saved:
            self.accuracies = [float(value) for value in saved["accuracies"]]
            self.best_epoch = int(saved["best_epoch"])
            self.best = [saved[f"best_{number}"] for number in range(len(self.variables))]
            for number, variable in enumerate(self._state()):
                variable.assign(saved[f"state_{number}"])
        tell_sentence(f"Going on after epoch {len(self.accuracies)} of {self.recipe.epochs}")


def distorted(photos: Any, seed: Sequence[int], recipe: FineTuneRecipe) -> Any:
    """Each photo mirrored, cropped and coloured by chance: float32, 0..255, the same shape.

    photos: a uint8 tensor (photos, height, width, 3). seed: two numbers; equal ones give equal
    pixels.
    """
    import tensorflow as tf  # noqa: PLC0415

    count, size = photos.shape[0], photos.shape[1:3]
    draws = tf.random.stateless_uniform((7, count), seed)
    side = tf.sqrt(recipe.min_crop + (1 - recipe.min_crop) * draws[0])
    top, left = draws[1] * (1 - side), draws[2] * (1 - side)
    mirrored = draws[3] < 0.5
    right = left + side
    boxes = tf.stack(
        [top, tf.where(mirrored, right, left), top + side, tf.where(mirrored, left, right)], 1
    )
    pixels = tf.image.crop_and_resize(tf.cast(photos, tf.float32), boxes, tf.range(count), size)
    low, high = 1 - recipe.colour, 1 + recipe.colour
    brightness, contrast, saturation = tf.unstack(
        tf.reshape(low + (high - low) * draws[4:7], (3, count, 1, 1, 1))
    )
    pixels *= brightness
    grey = tf.reduce_mean(pixels, axis=(1, 2, 3), keepdims=True)
    pixels = grey + (pixels - grey) * contrast
    grey = tf.reduce_mean(pixels, axis=3, keepdims=True)
    pixels = grey + (pixels - grey) * saturation
    return tf.clip_by_value(pixels, 0.0, 255.0)
