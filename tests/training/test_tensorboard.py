from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import UsageError
from advisor.vision.classification import Label
from training.dataset import PhotoFile
from training.evaluate import Answer, Evaluation, measure
from training.tensorboard import write_summaries
from training.tensorflow_process import in_tensorflow


def evaluation() -> Evaluation:
    answers = [
        Answer(file=PhotoFile(folder=Path(), inside="", label="a"), labels=(Label(said, 0.5),))
        for said in ("a", "a", "a", "b")
    ]
    return measure(answers, ("a", "b"), skipped={})


def read_back(folder: str) -> list[tuple[str, int, float]]:
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    found = []
    for path in sorted(Path(folder).glob("events.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = event_pb2.Event.FromString(record.numpy())
            for one in event.summary.value:
                found.append((one.tag, event.step, one.simple_value))
    return found


@pytest.mark.usefixtures("one_tensorflow")
def test_tensorboard_finds_the_figures(tmp_path: Path) -> None:
    run = write_summaries(tmp_path, evaluation(), version="v1", epochs=(0.5, 0.75))
    assert run == tmp_path / "v1"
    found = in_tensorflow(read_back, str(run))
    assert ("test/accuracy", 0, 0.75) in found
    assert ("validation/accuracy", 2, 0.75) in found
    assert ("test/accuracy_by_coverage", 100, 0.75) in found
    assert ("recall/a", 0, 0.75) in found
    assert not [name for name, _, _ in found if name == "recall/b"]  # no photo of it


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="takes no summaries"):
        write_summaries(tmp_path / "file", evaluation(), version="v1")
