"""A model as a TensorFlow SavedModel; tests/training/test_fine_tune.py compares answers, too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from advisor.errors import BackboneError, NotFoundError, UsageError
from advisor.vision.bundle import load_bundle
from advisor.vision.images import decode
from advisor.vision.interpreter import Model
from advisor.vision.model_folder import ModelFolder
from cli import model
from tests.training import tiny
from training import saved_model
from training.saved_model import SIGNATURE, write_saved_model
from training.tensorflow_process import in_tensorflow


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    tiny.make_tiny_bundle(tmp_path / "bundle", bias=(0.5, -0.5, 0.25))
    return tmp_path / "bundle"


def export(*arguments: object) -> str:
    result = CliRunner().invoke(
        model.command, ["export", *map(str, arguments)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("one_tensorflow")
def test_a_stored_model_is_exported_and_answers_many_photos_at_once(
    bundle: Path, tmp_path: Path
) -> None:
    version = ModelFolder(tmp_path / "models").add(bundle)
    said = export(version, tmp_path / "out" / "saved", "--models", tmp_path / "models")
    assert said == f"{tmp_path}/out/saved holds {version} as a SavedModel.\n"
    assert (tmp_path / "out/saved/labels.txt").read_text() == "blue\ngreen, dark\nred\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["saved"]
    photos = np.stack([decode(tiny.photo((9 * n, 90, 200), seed=n)) for n in range(5)])
    answers, trainable = in_tensorflow(ask, str(tmp_path / "out" / "saved"), photos)
    outputs = [Model(load_bundle(bundle).model).run(photo) for photo in photos]
    for name in ("probabilities", "embedding"):
        want = np.stack([getattr(one, name) for one in outputs])
        assert answers[name].shape == want.shape
        assert np.allclose(answers[name], want, atol=1e-4)
    assert trainable == 4  # kernel and bias of a convolution and of the head


def ask(
    folder: str, photos: npt.NDArray[np.uint8]
) -> tuple[dict[str, npt.NDArray[np.float32]], int]:
    """In a process that has TensorFlow and nothing of ours."""
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures[SIGNATURE]
    answers = {name: value.numpy() for name, value in signature(image=tf.constant(photos)).items()}
    return answers, len(signature.trainable_variables)


def test_what_answers_otherwise_is_not_exported(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_: Any, content: bytes, folder: str, images: npt.NDArray[np.uint8]) -> Any:
        Path(folder).mkdir()
        outputs = [Model(content).run(image) for image in images]
        return {
            "embedding": np.stack([one.embedding for one in outputs]),
            "probabilities": np.stack([one.probabilities for one in outputs]) + 0.02,
        }

    monkeypatch.setattr(saved_model, "in_tensorflow", wrong)
    with pytest.raises(BackboneError, match=r"differs from the \.tflite: golden photo 0: probab"):
        export(bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # Eight bits a weight: the interpreter rounds what it computes, and so much may differ.
    loaded = load_bundle(bundle)
    training = {**loaded.info.training, "precision": "dynamic"}
    rounded = replace(loaded, info=replace(loaded.info, training=training))
    write_saved_model(rounded, tmp_path / "out")
    assert (tmp_path / "out" / "labels.txt").is_file()


def test_an_export_that_cannot_be_is_one_sentence(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"bundle exists; expected the name of a new folder"):
        export(bundle, bundle)
    with pytest.raises(NotFoundError, match=r"no model bundle 'nope'"):
        export("nope", tmp_path / "out", "--models", tmp_path / "models")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/out cannot be written: (Not a directory|File exi)"):
        export(bundle, tmp_path / "file" / "out")
    monkeypatch.setattr("training.saved_model.importlib.util.find_spec", lambda _: None)
    with pytest.raises(BackboneError, match=r"needs TensorFlow: pip install 'products-advisor\[tr"):
        export(bundle, tmp_path / "out")
    with pytest.raises(BackboneError, match="graph with the operation GELU"):
        saved_model._computed(None, "GELU", [], None)
