"""A run's figures for TensorBoard, written in the TensorFlow process; TensorBoard is not needed."""

from __future__ import annotations

import time
from pathlib import Path

from advisor.errors import UsageError
from training.evaluate import Evaluation
from training.tensorflow_process import in_tensorflow

Scalar = tuple[str, int, float]  # name, step, value


def write_summaries(
    folder: Path, evaluation: Evaluation, *, version: str, epochs: tuple[float, ...] = ()
) -> Path:
    """Write a run's figures below the folder, and return the run's own folder.

    epochs: validation accuracy after each epoch of fine-tuning.
    Raises: UsageError if the folder cannot be written.
    """
    run = folder / version
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # before the seconds that TensorFlow takes to say so
        raise UsageError(f"{run} takes no summaries: {error.strerror or error}") from error
    in_tensorflow(_write, str(run), scalars_of(evaluation, epochs))
    return run


def scalars_of(evaluation: Evaluation, epochs: tuple[float, ...]) -> list[Scalar]:
    """Accuracies by epoch; figures of the test; accuracy by how many of 100 photos are answered."""
    figures = {
        "test/accuracy": evaluation.accuracy,
        "test/top3_accuracy": evaluation.top3_accuracy,
        "test/answered": evaluation.answered,
        "test/accuracy_at_90_coverage": evaluation.accuracy_at_90,
        "test/calibration_error": evaluation.calibration_error,
    }
    recalls = {
        f"recall/{label}": one.recall
        for label, one in evaluation.per_class.items()
        if one.recall is not None
    }
    return [
        *(("validation/accuracy", step, value) for step, value in enumerate(epochs, start=1)),
        *((name, 0, value) for name, value in (figures | recalls).items()),
        *(
            ("test/accuracy_by_coverage", round(100 * point.coverage), point.accuracy)
            for point in evaluation.coverage
        ),
    ]


def _write(folder: str, scalars: list[Scalar]) -> None:
    import tensorflow as tf  # noqa: PLC0415 (in the TensorFlow process)
    from tensorflow.core.framework import summary_pb2  # noqa: PLC0415 (same)
    from tensorflow.core.util import event_pb2  # noqa: PLC0415 (same)

    version = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
    events = [version]
    for name, step, value in scalars:
        summary = summary_pb2.Summary()
        summary.value.add(tag=name, simple_value=value)
        events.append(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))
    try:
        file = f"{folder}/events.out.tfevents.{time.time_ns()}.advisor"
        with tf.io.TFRecordWriter(file) as writer:
            for event in events:
                writer.write(event.SerializeToString())
    except tf.errors.OpError as error:
        raise UsageError(f"{folder} takes no summaries: {error.message}") from error
