"""Fine-tuning: the last blocks of a backbone learn along with the head.

Runs in the TensorFlow process (training/tensorflow_process.py). Statistics of batch
normalisation stay as they are; with them frozen it is a scaling of the convolution before it,
and is computed as such: the same gradients at two thirds of the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from advisor.errors import NotTunableError
from advisor.vision.images import SIZE
from training.backbones import Weights
from training.cache import whole_file
from training.config import FLOAT16
from training.graph import convert, embed, load_backbone, scaled
from training.head import Head
from training.pixels import Pixels
from training.rows import FloatArray
from training.tensorflow_process import tell_progress, tell_sentence

STAGE: Final = "Fine-tuning"
SMALL_SIZE: Final = 160  # half the pixels, so half the time of a step
_ADAM = (0.9, 0.99, 1e-7)  # beta 1, beta 2, epsilon
_LONGEST_GRADIENT = 1.0
_EVALUATION_BATCH = 32
_WARM_UP = 0.15  # of all steps, in which the learning rate rises from 0
_REPORT_EVERY = 5
_PARITY_PHOTOS = 8  # of validation, and as many of training
# What mobile networks call their blocks, in Keras ("block_6_expand") and in TF Hub
# ("MobilenetV2/expanded_conv_6/expand").
_BLOCK = re.compile(r"(?:^|/)((?:block|expanded_conv)_\d+|expanded_conv)(?=[_/])")


@dataclass(frozen=True, kw_only=True)
class FineTuneRecipe:
    """How it is done; the reasons stand beside the defaults in TrainingConfig.

    blocks: how many are trained, counted from the end. steps: in each epoch; with fewer than
    all the photos take, it is of other photos each time. learning_rate: 0 for one that suits
    the size of the backbone. min_area, max_area: of the window that is shown of a photo, in
    areas of the photo; over 1 its border is mirrored around it. max_aspect: of the window,
    and one over it. colour: how much brightness,
    contrast and saturation change at most. dropout: of the features. small_share: of the
    steps, the first ones, that see photos of SMALL_SIZE.
    """

    blocks: int
    epochs: int
    steps: int
    learning_rate: float
    weight_decay: float
    batch_size: int
    label_smoothing: float
    min_area: float
    max_area: float
    max_aspect: float
    colour: float
    dropout: float
    small_share: float
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
    precision: str = FLOAT16


@dataclass(frozen=True, kw_only=True)
class FineTuned:
    """graph: a .tflite of the tuned backbone with the placeholder of head.py as its head.

    accuracies: on validation after each epoch, the first before any; best_epoch: the one whose
    weights were kept, 0 where none did better than the backbone as it came.
    """

    graph: bytes
    head: Head
    accuracies: tuple[float, ...]
    best_epoch: int


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a run is after an epoch.

    accuracies, best_epoch: as of FineTuned, so far. best: the variables of that epoch. state: the
    variables as they are, and the optimizer's two moments of each.
    """

    accuracies: list[float]
    best_epoch: int
    best: list[FloatArray]
    state: list[FloatArray]

    def write(self, path: Path) -> None:
        """Keep it for a run that goes on; the file is replaced in one step."""
        arrays: dict[str, Any] = {f"state_{number}": one for number, one in enumerate(self.state)}
        arrays |= {f"best_{number}": one for number, one in enumerate(self.best)}
        with whole_file(path) as file:
            np.savez(
                file,
                accuracies=np.array(self.accuracies),
                best_epoch=np.array(self.best_epoch),
                **arrays,
            )

    @classmethod
    def read(cls, path: Path) -> Checkpoint | None:
        """What an earlier run left there; None if there is nothing, or the file is damaged."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                best_epoch = int(saved["best_epoch"])
                best, state = (
                    [saved[f"{kind}_{number}"] for number in range(_count(saved.files, kind))]
                    for kind in ("best", "state")
                )
                accuracies = [float(value) for value in saved["accuracies"]]
        except (FileNotFoundError, EOFError, KeyError, ValueError, RuntimeError, BadZipFile):
            return None  # RuntimeError: zipfile's, of a method or a password that is none of ours
        return cls(accuracies=accuracies, best_epoch=best_epoch, best=best, state=state)


def _count(names: list[str], kind: str) -> int:
    """How many of the names are the kind's, with a number."""
    return sum(re.fullmatch(rf"{kind}_\d+", name) is not None for name in names)


def fine_tune(job: FineTuneJob) -> FineTuned:
    """Train the last blocks and the head, and convert the best of the epochs.

    Raises: NotTunableError if the backbone has nothing to train, BackboneError if the result
        fails a gate of training/graph.py.
    """
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    backbone = load_backbone(job.weights)
    last = last_blocks(backbone, job.recipe.blocks, job.weights)
    rate = job.recipe.learning_rate or suitable_rate(_size(backbone))
    run = _Run(job, folded(backbone), last, rate)
    run.train()
    run.keep_best()
    # Photos of the kind it has learnt: on noise, float16 moves a tuned embedding by .02.
    photos = job.pixels.read([*job.validation[:_PARITY_PHOTOS, 0], *job.train[:_PARITY_PHOTOS, 0]])
    graph = convert(backbone, job.weights, photos=photos, precision=job.precision)
    return FineTuned(
        graph=graph,
        head=run.head(),
        accuracies=tuple(run.accuracies),
        best_epoch=run.best_epoch,
    )


def suitable_rate(weight_count: int) -> float:
    """The learning rate for a backbone of so many weights.

    On four folds of photos of clothes 1e-3 was best for MobileNet V2 of 0.41 million weights
    (alpha 0.35) and 3e-4 for 2.26 million (alpha 1.0); the line through both, on logarithms.
    """
    return float(np.clip(1e-3 * (0.41e6 / weight_count) ** 0.7, 1e-4, 1e-3))


def _size(backbone: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in backbone.weights)


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

    It shares the backbone's variables, so training one trains the other, and takes photos of
    any size where the backbone's layers do. What is no Keras model of single layers (a
    SavedModel) is returned as it is.
    """
    import keras

    if not isinstance(backbone, keras.Model):
        return backbone
    norms = _foldable(backbone)

    def clone(layer: Any) -> Any:
        if layer.name in norms:
            return _folded_convolution(layer, norms[layer.name])
        return keras.layers.Identity() if layer in norms.values() else layer

    def call(layer: Any, *args: Any, **_: Any) -> Any:
        return layer(*args)

    def copy(size: int | None) -> Any:
        return keras.models.clone_model(
            backbone,
            input_tensors=keras.Input((size, size, 3)),
            clone_function=clone,
            call_function=call,
        )

    try:
        return copy(None)
    except (ValueError, TypeError):  # a layer that counts pixels, as Flatten before Dense does
        return copy(SIZE)


def takes_small_photos(network: Any) -> bool:
    """Whether photos of SMALL_SIZE give the same number of features."""
    import tensorflow as tf

    try:
        widths = {network(tf.zeros((1, size, size, 3)), training=False).shape[-1]
                  for size in (SIZE, SMALL_SIZE)}  # fmt: skip
    except Exception:  # a shape that does not fit shows as one of many types
        return False
    return len(widths) == 1


def _foldable(model: Any) -> dict[str, Any]:
    """Batch normalisations by the name of the linear convolution whose only reader they are."""
    import keras

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
    import keras
    import tensorflow as tf

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

    def __init__(self, job: FineTuneJob, network: Any, variables: list[Any], rate: float) -> None:
        import tensorflow as tf

        self.job, self.recipe, self.rate = job, job.recipe, rate
        self.small = takes_small_photos(network)
        self.kernel, self.bias = tf.Variable(job.head.kernel), tf.Variable(job.head.bias)
        self.variables = [*variables, self.kernel, self.bias]
        self.first = [tf.Variable(tf.zeros_like(one)) for one in self.variables]
        self.second = [tf.Variable(tf.zeros_like(one)) for one in self.variables]
        self.accuracies: list[float] = []
        self.best_epoch = 0
        self.best: list[FloatArray] = [one.numpy() for one in self.variables]
        self._step = self._compile(network)
        self._answer = self._compile_answer(network)

    def train(self) -> None:
        """Train the epochs that no earlier run has trained, and validate after each."""
        self._resume()
        if not self.accuracies:
            self._validate(0)
        steps, epochs, batch = self.recipe.steps, self.recipe.epochs, self.recipe.batch_size
        for epoch in range(len(self.accuracies), epochs + 1):
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
        import tensorflow as tf

        # Adam's first steps are of full size whatever the gradient: unless they begin small, at a
        # rate of 1e-3 the third step left .12 of the head's .83 right, and it never recovered.
        warm = min(1.0, step / max(1.0, _WARM_UP * total))
        rate = self.rate * warm * 0.5 * (1 + np.cos(np.pi * (step - 1) / total))
        small = self.small and step <= self.recipe.small_share * total
        photos = self.job.pixels.read(rows[:, 0].tolist())
        self._step(
            tf.constant(photos),
            tf.constant(rows[:, 1]),
            tf.constant([self.recipe.seed, step]),
            number=tf.constant(step, tf.float32),
            rate=tf.constant(rate, tf.float32),
            size=SMALL_SIZE if small else SIZE,
        )

    def _compile(self, network: Any) -> Callable[..., Any]:
        import tensorflow as tf

        recipe, labels = self.recipe, len(self.job.head.bias)
        beta1, beta2, epsilon = _ADAM

        @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
        def step(
            photos: Any, targets: Any, seed: Any, *, number: Any, rate: Any, size: int
        ) -> None:
            pixels = distorted(photos, seed, recipe, size=size)
            truth = tf.one_hot(targets, labels) * (1 - recipe.label_smoothing)
            truth += recipe.label_smoothing / labels
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(self.variables)
                features = self._features(network, pixels)
                features = tf.nn.experimental.stateless_dropout(features, recipe.dropout, -seed)
                logits = features @ self.kernel + self.bias
                losses = tf.nn.softmax_cross_entropy_with_logits(truth, logits)
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, self.variables)
            gradients, _ = tf.clip_by_global_norm(gradients, _LONGEST_GRADIENT)
            states = zip(self.variables, self.first, self.second, gradients, strict=True)
            for variable, first, second, gradient in states:
                if len(variable.shape) > 1:  # AdamW: kernels decay, scales and shifts do not
                    variable.assign_sub(rate * recipe.weight_decay * variable)
                tf.raw_ops.ResourceApplyAdam(
                    var=variable.handle, m=first.handle, v=second.handle,
                    beta1_power=beta1**number, beta2_power=beta2**number, lr=rate,
                    beta1=beta1, beta2=beta2, epsilon=epsilon, grad=gradient,
                )  # fmt: skip

        return step  # type: ignore[no-any-return]  # TensorFlow has no types

    def _compile_answer(self, network: Any) -> Callable[..., Any]:
        import tensorflow as tf

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]  # same
        def answer(photos: Any) -> Any:
            features = self._features(network, tf.cast(photos, tf.float32))
            return tf.argmax(features @ self.kernel + self.bias, axis=1)

        return answer  # type: ignore[no-any-return]  # TensorFlow has no types

    def _features(self, network: Any, pixels: Any) -> Any:
        return embed(network, scaled(pixels, self.job.weights), self.job.weights)

    def _validate(self, epoch: int) -> None:
        """Measure the weights on validation, and keep them if none were better."""
        rows = self.job.validation
        right = 0
        for start in range(0, len(rows), _EVALUATION_BATCH):
            batch = rows[start : start + _EVALUATION_BATCH]
            answers = self._answer(self.job.pixels.read(batch[:, 0].tolist())).numpy()
            right += int((answers == batch[:, 1]).sum())
        accuracy = right / len(rows) if len(rows) else 0.0
        # The later of two equal ones: its learning rate was the lower.
        if accuracy >= max(self.accuracies, default=0.0):
            self.best, self.best_epoch = [one.numpy() for one in self.variables], epoch
        self.accuracies.append(accuracy)
        shown = f"{accuracy:.3f} of {len(rows)} validation photos right" if len(rows) else "done"
        when = f"Epoch {epoch} of {self.recipe.epochs}" if epoch else "Before it"
        tell_sentence(f"{when}: {shown}")

    def _state(self) -> list[Any]:
        return [*self.variables, *self.first, *self.second]

    def _save(self) -> None:
        saved = Checkpoint(
            accuracies=self.accuracies,
            best_epoch=self.best_epoch,
            best=self.best,
            state=[one.numpy() for one in self._state()],
        )
        saved.write(self.job.checkpoint)
        self.job.pixels.touch()

    def _resume(self) -> None:
        saved = Checkpoint.read(self.job.checkpoint)
        if saved is None:
            return
        self.accuracies, self.best_epoch = saved.accuracies, saved.best_epoch
        self.best = saved.best
        for variable, value in zip(self._state(), saved.state, strict=True):
            variable.assign(value)
        tell_sentence(f"Going on after epoch {len(self.accuracies) - 1} of {self.recipe.epochs}")


def distorted(photos: Any, seed: Any, recipe: FineTuneRecipe, *, size: int = SIZE) -> Any:
    """Each photo seen through a window, mirrored and coloured by chance: float32, 0..255.

    photos: a uint8 tensor (photos, height, width, 3). seed: two integers; equal ones give equal
    pixels. size: of the result, in pixels on each side.
    """
    import tensorflow as tf

    count, height, width = photos.shape[0], photos.shape[1], photos.shape[2]
    draws = tf.random.stateless_uniform((8, count), seed)
    area = recipe.min_area + (recipe.max_area - recipe.min_area) * draws[0]
    stretch = tf.pow(recipe.max_aspect, (2 * draws[1] - 1) / 2)
    across, down = tf.sqrt(area) * stretch, tf.sqrt(area) / stretch
    # The window's centre: as far from the middle as the window stays within the photo, or, where
    # it is the larger, the photo within it.
    left = 0.5 - across / 2 + (draws[2] - 0.5) * tf.abs(1 - across)
    top = 0.5 - down / 2 + (draws[3] - 0.5) * tf.abs(1 - down)
    mirrored = draws[4] < 0.5
    step_x, step_y = across * width / size, down * height / size
    from_x = tf.where(mirrored, (left + across) * width, left * width)
    step_x = tf.where(mirrored, -step_x, step_x)
    none = tf.zeros_like(area)
    transforms = tf.stack(
        [step_x, none, from_x + step_x / 2 - 0.5, none, step_y, top * height + step_y / 2 - 0.5,
         none, none], axis=1,
    )  # fmt: skip
    pixels = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(photos, tf.float32), transforms=transforms, output_shape=[size, size],
        fill_value=0.0, interpolation="BILINEAR", fill_mode="REFLECT",
    )  # fmt: skip
    low, high = 1 - recipe.colour, 1 + recipe.colour
    brightness, contrast, saturation = tf.unstack(
        tf.reshape(low + (high - low) * draws[5:8], (3, count, 1, 1, 1))
    )
    pixels *= brightness
    grey = tf.reduce_mean(pixels, axis=(1, 2, 3), keepdims=True)
    pixels = grey + (pixels - grey) * contrast
    grey = tf.reduce_mean(pixels, axis=3, keepdims=True)
    pixels = grey + (pixels - grey) * saturation
    return tf.clip_by_value(pixels, 0.0, 255.0)
