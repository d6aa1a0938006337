"""Fine-tuning: the last blocks learn, the rest stays, and an interrupted run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from advisor.errors import NotTunableError, UsageError
from advisor.vision.bundle import load_bundle
from advisor.vision.interpreter import Model
from cli import train as train_command
from tests.training import tiny
from training import fine_tune as module
from training import gates, graph, saved_model
from training.backbones import local
from training.config import ALL, AUTO, DYNAMIC, FLOAT16, FLOAT32, FROZEN, PRECISIONS, TrainingConfig
from training.dataset import scan
from training.features import Read
from training.fine_tune import Checkpoint, FineTuneJob, FineTuneRecipe, fine_tune
from training.gates import sample_photos
from training.graph import build_graph, load_backbone, written_graph
from training.head import Head
from training.pixels import Pixels, write_pixels
from training.tensorflow_process import follow_in_tensorflow
from training.tflite import put_head
from training.train import train

RECIPE = FineTuneRecipe(
    blocks=1, epochs=3, steps=30, learning_rate=0.03, weight_decay=0.02, batch_size=8,
    label_smoothing=0.1, min_area=0.4, max_area=1.3, max_aspect=4 / 3, colour=0.3, dropout=0.2,
    small_share=0.5, seed=1,
)  # fmt: skip
FEATURES = 12


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process with TensorFlow found: importing it takes longer than all it does here."""
    folder = tmp_path_factory.mktemp("tensorflow")
    photos = tiny.make_photos(folder / "photos", each=12)
    said: list[str] = []
    found = follow_in_tensorflow(_examine, photos, say=said.append, progress=tiny.ignore)
    return found | {"said": said, "photos": photos, "folder": folder}


def _examine(photos: Path) -> dict[str, Any]:
    """Runs in the TensorFlow process."""
    import keras
    import tensorflow as tf

    folder = photos.parent
    _backbone().save(folder / "small.keras")
    _backbone().export(str(folder / "small"), format="tf_saved_model", verbose=False)
    keras.Sequential(
        [keras.Input((224, 224, 3)), keras.layers.AveragePooling2D(112), keras.layers.Flatten()]
    ).export(str(folder / "constant"), format="tf_saved_model", verbose=False)
    found = {"folding": _compare_folded(load_backbone(local(folder / "small.keras")))}
    job = _job(photos, folder / "small.keras", folder / "whole.npz")
    before = _values(load_backbone(job.weights))
    found["blocks"] = [_names(job, count) for count in (1, 2, 3, 9)]
    found["frozen"], found["before"] = build_graph(job.weights), before
    run = module._Run(
        job, module.folded(backbone := load_backbone(job.weights)), _last(backbone), 0.01
    )
    run.train()
    run.keep_best()
    found["after"] = _values(backbone)
    found["tuned"] = fine_tune(replace(job, checkpoint=folder / "other.npz"))
    _interrupt(replace(job, checkpoint=folder / "cut.npz"), epoch=2)
    found["resumed"] = fine_tune(replace(job, checkpoint=folder / "cut.npz"))
    found["frozen saved model"] = build_graph(local(folder / "small"))
    found["float32"] = build_graph(job.weights, FLOAT32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(gates.EMBEDDING_TOLERANCE, FLOAT16, 1e-5)
        found["fallen back"] = build_graph(job.weights)
    found["by TensorFlow"] = {}
    for precision in PRECISIONS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(graph, "_layers_of", lambda *_: None)
            found["by TensorFlow"][precision] = build_graph(job.weights, precision)
    graphs = found["by TensorFlow"] | {"tuned": found["tuned"].graph}
    found["exported"] = {
        name: saved_model._write(content, str(folder / f"export {name}"), sample_photos())
        for name, content in graphs.items()
    }
    found["answers of Keras"] = graph._with_head(load_backbone(job.weights), job.weights).predict(
        sample_photos(), verbose=0
    )
    found["saved model"] = fine_tune(
        replace(job, weights=local(folder / "small"), checkpoint=folder / "saved.npz")
    )
    pixels = tf.constant(job.pixels.read(range(8)))
    plain = replace(RECIPE, min_area=1.0, max_area=1.0, max_aspect=1.0, colour=0.0)
    found["plain"] = module.distorted(pixels, [1, 2], plain).numpy()
    found["small"] = [
        module.takes_small_photos(module.folded(load_backbone(weights)))
        for weights in (job.weights, local(folder / "small"))
    ]
    found["distorted"] = [
        module.distorted(pixels, [1, number], RECIPE).numpy() for number in (2, 2, 3)
    ]
    found["pixels"] = pixels.numpy()
    return found


def _backbone() -> Any:
    """Two numbered blocks after a first convolution, with statistics that matter."""
    import keras

    keras.utils.set_random_seed(5)
    layers = keras.layers
    photo = keras.Input((224, 224, 3))
    x = layers.AveragePooling2D(14)(photo)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="Conv1")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(name="bn_Conv1")(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="block_1_depthwise")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(name="block_1_depthwise_BN")(x))
    y = layers.Conv2D(8, 1, name="block_1_project")(x)
    x = layers.Add()([x, layers.BatchNormalization(name="block_1_project_BN")(y)])
    x = layers.Conv2D(FEATURES, 1, use_bias=False, name="block_2_expand")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(name="block_2_expand_BN")(x))
    model = keras.Model(photo, layers.GlobalAveragePooling2D()(x))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, one.shape) for one in layer.get_weights()])
    return model


def _job(photos: Path, backbone: Path, checkpoint: Path) -> FineTuneJob:
    files = scan(photos)
    reads = [Read(file, module_sha(file.path)) for file in files]
    pixels = write_pixels(reads, photos.parent / "pixels.u8", tiny.ignore)
    index = {label: number for number, label in enumerate(tiny.LABELS)}
    rows = np.array([(row, index[file.label]) for row, file in enumerate(files)])
    rng = np.random.default_rng(2)
    kernel = rng.normal(0, 0.1, (FEATURES, len(tiny.LABELS))).astype(np.float32)
    return FineTuneJob(
        weights=local(backbone),
        head=Head(kernel, np.zeros(len(tiny.LABELS), np.float32)),
        pixels=pixels,
        train=rows[::2],
        validation=rows[1::2],
        recipe=RECIPE,
        checkpoint=checkpoint,
    )


def module_sha(path: Path) -> str:
    from advisor.vision.images import image_id

    return image_id(path.read_bytes())


def _compare_folded(backbone: Any) -> dict[str, Any]:
    """How far outputs and gradients of the folded network are from those of Keras itself."""
    import tensorflow as tf

    photos = tf.random.stateless_uniform((4, 224, 224, 3), [1, 2], -1, 1)
    variables = [weight.value for weight in backbone.trainable_variables]
    results = []
    for network in (backbone, module.folded(backbone)):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            output = network(photos, training=False)
            loss = tf.reduce_mean(output**2)
        results.append([output, *tape.gradient(loss, variables)])
    differences = [
        float(tf.norm(one - other) / tf.norm(one)) for one, other in zip(*results, strict=True)
    ]
    layers = {type(layer).__name__ for layer in module.folded(backbone).layers}
    return {"difference": max(differences), "layers": sorted(layers)}


def _last(backbone: Any) -> list[Any]:
    return module.last_blocks(backbone, RECIPE.blocks, local(tiny.BACKBONE))


def _names(job: FineTuneJob, count: int) -> list[str]:
    variables = module.last_blocks(load_backbone(job.weights), count, job.weights)
    return [variable.name for variable in variables]


def _values(backbone: Any) -> dict[str, np.ndarray]:
    return {weight.path: weight.numpy() for weight in backbone.weights}


def _interrupt(job: FineTuneJob, *, epoch: int) -> None:
    """Train as Ctrl-C in the middle of an epoch leaves it."""
    backbone = load_backbone(job.weights)
    run = module._Run(job, module.folded(backbone), _last(backbone), RECIPE.learning_rate)
    take = run._take_step

    def stop(rows: Any, step: int, total: int) -> None:
        if step == (epoch - 1) * RECIPE.steps + 2:
            raise KeyboardInterrupt
        take(rows, step, total)

    run._take_step = stop  # type: ignore[method-assign]  # the moment of the interruption
    with pytest.raises(KeyboardInterrupt):
        run.train()


def test_folded_batch_normalisation_computes_what_keras_does(seen: dict[str, Any]) -> None:
    assert 0 < seen["folding"]["difference"] < 1e-4
    assert "BatchNormalization" not in seen["folding"]["layers"]


def test_blocks_are_counted_from_the_end(seen: dict[str, Any]) -> None:
    one, two, three, all_of_them = seen["blocks"]
    assert {name.split("/")[0] for name in one} == {"block_2_expand", "block_2_expand_BN"}
    assert "block_1_depthwise/kernel" in "".join(two)
    assert "Conv1" not in "".join(two)
    assert "bn_Conv1/gamma" in "".join(three)
    assert all_of_them == three


def test_only_the_last_blocks_learn_and_no_statistics_move(seen: dict[str, Any]) -> None:
    changed = {
        path
        for path, value in seen["before"].items()
        if not np.array_equal(value, seen["after"][path])
    }
    assert changed == {
        "block_2_expand/kernel", "block_2_expand_BN/gamma", "block_2_expand_BN/beta",
    }  # fmt: skip


def test_an_interrupted_run_goes_on_and_ends_the_same(seen: dict[str, Any]) -> None:
    assert seen["resumed"].graph == seen["tuned"].graph
    assert np.array_equal(seen["resumed"].head.kernel, seen["tuned"].head.kernel)
    assert seen["resumed"].accuracies == seen["tuned"].accuracies
    assert "Going on after epoch 1 of 3" in seen["said"]


def test_the_tuned_graph_is_another_than_the_frozen_one(seen: dict[str, Any]) -> None:
    photo = Pixels(seen["folder"] / "pixels.u8").read([0])[0]
    frozen, tuned = (Model(graph).run(photo) for graph in (seen["frozen"], seen["tuned"].graph))
    assert frozen.embedding.shape == tuned.embedding.shape == (FEATURES,)
    assert np.abs(frozen.embedding - tuned.embedding).max() > 1e-3


def test_the_best_epoch_on_validation_is_kept(seen: dict[str, Any]) -> None:
    accuracies = seen["tuned"].accuracies
    assert len(accuracies) == RECIPE.epochs + 1
    assert max(accuracies) > 0.5
    assert accuracies[seen["tuned"].best_epoch] == max(accuracies)


def test_a_saved_model_is_fine_tuned_too(seen: dict[str, Any]) -> None:
    photo = Pixels(seen["folder"] / "pixels.u8").read([0])[0]
    frozen, tuned = (
        Model(graph).run(photo).embedding
        for graph in (seen["frozen saved model"], seen["saved model"].graph)
    )
    assert np.abs(frozen - tuned).max() > 1e-3
    assert max(seen["saved model"].accuracies) > 0.5


def test_float32_takes_a_head_as_float16_does(seen: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    head = Head(rng.normal(0, 0.1, (FEATURES, 3)).astype(np.float32), np.ones(3, np.float32))
    photo = Pixels(seen["folder"] / "pixels.u8").read([0])[0]
    output = Model(put_head(seen["float32"], head)).run(photo)
    assert np.allclose(output.probabilities, head.probabilities(output.embedding), atol=1e-5)
    assert seen["float32"] != seen["frozen"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_graph_written_here_answers_as_keras_and_as_one_that_tensorflow_converted(
    seen: dict[str, Any], precision: str
) -> None:
    """float16 and dynamic: to the error of rounding, which both make alike."""
    written = written_graph(local(seen["folder"] / "small.keras"), precision)
    assert written is not None
    allowed = 1e-4 if precision == FLOAT32 else 0.02
    for number, photo in enumerate(sample_photos()):
        ours, theirs = (
            Model(one).run(photo) for one in (written, seen["by TensorFlow"][precision])
        )
        assert np.allclose(ours.embedding, theirs.embedding, rtol=1e-3, atol=allowed)
        for name in ("embedding", "probabilities"):
            keras = seen["answers of Keras"][name][number]
            assert np.allclose(getattr(ours, name), keras, rtol=allowed, atol=allowed)


@pytest.mark.parametrize("name", [*PRECISIONS, "tuned"])
def test_a_saved_model_answers_as_the_graph_that_it_is_made_of(
    seen: dict[str, Any], name: str
) -> None:
    content = seen["tuned"].graph if name == "tuned" else seen["by TensorFlow"][name]
    answers = seen["exported"][name]
    allowed = 0.02 if name == DYNAMIC else 1e-4  # its interpreter rounds what it computes, too
    for number, photo in enumerate(sample_photos()):
        output = Model(content).run(photo)
        for kind in ("embedding", "probabilities"):
            want = getattr(output, kind)
            assert np.allclose(answers[kind][number], want, rtol=allowed, atol=allowed)
    assert np.ptp(answers["embedding"], axis=0).max() > 0.01  # two photos, two answers


def test_what_float16_would_change_too_much_stays_float32(seen: dict[str, Any]) -> None:
    assert seen["fallen back"] == seen["float32"]


def test_distortions_depend_on_the_seed_alone(seen: dict[str, Any]) -> None:
    one, same, other = seen["distorted"]
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.shape == seen["pixels"].shape
    assert one.min() >= 0
    assert one.max() <= 255


def test_small_photos_are_used_where_the_backbone_takes_them(seen: dict[str, Any]) -> None:
    assert seen["small"] == [True, False]


def test_the_rate_falls_with_the_size_of_the_backbone() -> None:
    assert module.suitable_rate(410_208) == pytest.approx(1e-3, rel=0.01)
    assert module.suitable_rate(2_257_984) == pytest.approx(3e-4, rel=0.02)
    assert module.suitable_rate(5) == 1e-3


def test_without_crop_and_colour_a_photo_is_itself_or_its_mirror_image(
    seen: dict[str, Any],
) -> None:
    kinds = set()
    for plain, photo in zip(seen["plain"], seen["pixels"].astype(np.float32), strict=True):
        same, mirrored = (np.abs(plain - one).max() < 0.5 for one in (photo, photo[:, ::-1]))
        assert same != mirrored
        kinds.add(same)
    assert kinds == {True, False}


@pytest.mark.usefixtures("one_tensorflow")
def test_a_backbone_that_cannot_be_tuned_stays_frozen_unless_it_was_asked_for(
    seen: dict[str, Any], tmp_path: Path
) -> None:
    config = TrainingConfig(backbone=str(seen["folder"] / "constant"), min_images=5, steps=50)
    said: list[str] = []
    train(seen["photos"], tmp_path / "m", config, cache=tmp_path / "cache", say=said.append,
          progress=tiny.ignore)  # fmt: skip
    assert any("has no trainable variable" in sentence for sentence in said)
    assert "best_epoch" not in load_bundle(tmp_path / "m").info.training
    with pytest.raises(NotTunableError, match="constant cannot be fine-tuned: it has no trainable"):
        train(seen["photos"], tmp_path / "m", replace(config, fine_tune="3"),
              cache=tmp_path / "cache", say=tiny.ignore, progress=tiny.ignore)  # fmt: skip


def test_training_fine_tunes_by_default_and_says_so(
    seen: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.train.cache_folder", lambda: tmp_path / "cache")
    arguments = [str(seen["photos"]), "--out", str(tmp_path / "m"), "--min-images", "5"]
    arguments += ["--backbone", str(seen["folder"] / "small.keras"), "--epochs", "2"]
    result = CliRunner().invoke(train_command.command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "Epoch 2 of 2: " in result.stderr
    training = load_bundle(tmp_path / "m").info.training
    assert training["fine_tune"] == AUTO
    assert len(training["validation_accuracies"]) == 3


def test_frozen_and_fine_tune_exclude_each_other(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "--out", str(tmp_path / "m"), "--frozen", "--fine-tune", "3"]
    result = CliRunner().invoke(train_command.command, arguments)
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


@pytest.mark.parametrize("value", ["-1", "some", "1.5", ""])
def test_a_number_of_blocks_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="expected a number of blocks, 'auto' or 'all'"):
        TrainingConfig(fine_tune=value)


def test_words_and_numbers_of_blocks() -> None:
    assert TrainingConfig(fine_tune=FROZEN).blocks == 0
    assert TrainingConfig(fine_tune="3").blocks == 3
    assert TrainingConfig(fine_tune=ALL).blocks > TrainingConfig().blocks > 3


def test_decoded_photos_are_read_back_by_row(tmp_path: Path) -> None:
    from advisor.vision.images import decode

    files = scan(tiny.make_photos(tmp_path / "photos", each=3))
    reads = [Read(file, module_sha(file.path)) for file in files]
    pixels = write_pixels(reads, tmp_path / "a.u8", tiny.ignore)
    photos = pixels.read([7, 0])
    assert np.array_equal(photos[0], decode(files[7].path.read_bytes()))
    assert np.array_equal(photos[1], decode(files[0].path.read_bytes()))


def test_a_checkpoint_is_read_as_it_was_written_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "job.npz"
    assert Checkpoint.read(path) is None
    rows = [np.arange(3, dtype=np.float32), np.ones((2, 2), np.float32)]
    Checkpoint(accuracies=[0.5, 0.75], best_epoch=1, best=rows, state=rows * 3).write(path)
    saved = Checkpoint.read(path)
    assert saved is not None
    assert (saved.accuracies, saved.best_epoch) == ([0.5, 0.75], 1)
    for one, other in zip([*saved.best, *saved.state], rows * 4, strict=True):
        assert np.array_equal(one, other)
    whole = path.read_bytes()
    middle, listing = len(whole) // 2, whole.index(b"PK\1\2")
    other_method = whole[: listing + 10] + b"\1" + whole[listing + 11 :]
    for damaged in (b"", b"no archive", whole[:9], whole[:-9], whole[:200] + b"?" + whole[201:],
                    whole[:middle] + whole[middle + 1 :], other_method):  # fmt: skip
        path.write_bytes(damaged)
        assert Checkpoint.read(path) is None


def test_two_runs_of_one_job_do_not_spoil_each_others_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "job.npz"
    saved = Checkpoint(accuracies=[0.5], best_epoch=0, best=[], state=[])
    savez, pids = np.savez, iter([1, 2])
    monkeypatch.setattr("training.cache.os.getpid", lambda: next(pids))

    def slow(partial: Any, **arrays: Any) -> None:
        monkeypatch.setattr(module.np, "savez", savez)
        saved.write(path)  # by another process, begun and ended while this one writes
        savez(partial, **arrays)

    monkeypatch.setattr(module.np, "savez", slow)
    written = []
    replace_file = Path.replace

    def watched(self: Path, target: Path) -> Path:
        written.append(self.name)
        return replace_file(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    saved.write(path)
    assert len(set(written)) == len(written) == 2
    assert Checkpoint.read(path) == saved
    assert [one.name for one in tmp_path.iterdir()] == ["job.npz"]
