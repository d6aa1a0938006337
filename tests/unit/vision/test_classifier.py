"""The classifier ranks labels; the interpreter runs quietly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import BundleError, UnreadableImageError
from advisor.vision.classifier import Classifier, rank, unit
from advisor.vision.images import image_id
from advisor.vision.interpreter import Model
from tests.training import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.make_tiny_bundle(tmp_path / "model", bias=(0, 1, 2))
    return tmp_path / "model"


def test_ranks_the_labels_of_a_photo(folder: Path) -> None:
    data = tiny.photo((200, 30, 40))
    prediction = Classifier.load(folder).predict(data, top_k=2)
    found = prediction.classification
    assert [label.label for label in found.labels] == ["red", "green, dark"]
    assert found.labels[0].probability == pytest.approx(0.6652, abs=2e-3)
    assert found.image_id == image_id(data)
    assert found.model_version == Classifier.load(folder).version
    assert not found.unknown
    assert set(found.timing_ms) == {"decode", "inference"}


def test_the_embedding_has_unit_length(folder: Path) -> None:
    embedding = Classifier.load(folder).predict(tiny.photo((200, 30, 40))).embedding
    assert embedding.dtype == np.float32
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-5)


def test_is_unknown_below_the_threshold(tmp_path: Path) -> None:
    tiny.make_tiny_bundle(tmp_path / "model")  # all thirds, where the threshold is 0.4
    found = Classifier.load(tmp_path / "model").predict(tiny.photo((9, 9, 9))).classification
    assert found.unknown
    assert len(found.labels) == 3


def test_an_unreadable_photo_is_an_error(folder: Path) -> None:
    with pytest.raises(UnreadableImageError, match="no image in"):
        Classifier.load(folder).predict(b"hello")


def test_equal_probabilities_stay_in_the_labels_order() -> None:
    ranked = rank(np.array([0.2, 0.4, 0.4], np.float32), ("a", "b", "c"), top_k=2)
    assert [label.label for label in ranked] == ["b", "c"]


def test_zeros_have_no_direction() -> None:
    assert (unit(np.zeros(4, np.float32)) == 0).all()


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(BundleError, match="12 bytes are no TFLite model"):
        Model(b"not a model!")


def test_a_model_of_others_is_refused_by_its_outputs() -> None:
    foreign = tiny.GRAPH.read_bytes().replace(b"probabilities", b"probabilitiez")
    with pytest.raises(BundleError, match=r"outputs are \['embedding', 'probabilitiez'\]"):
        Model(foreign)


def test_nothing_native_is_printed(folder: Path) -> None:
    """In a process of its own: the library greets once."""
    code = f"""if True:
        from pathlib import Path
        from advisor.vision.classifier import Classifier
        Classifier.load(Path({str(folder)!r}))
        print("ours")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("ours\n", "")
    closed = f"import os; os.close(1){code.removeprefix('if True:')}".replace("\n        ", "\n")
    done = subprocess.run(
        [sys.executable, "-c", closed.replace('print("ours")', "os._exit(0)")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
