"""`advisor evaluate`: how well a bundle does on photos whose categories are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from training.evaluate import Evaluation


@click.command()
@click.argument("image_dir", type=click.Path(path_type=Path))
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of a model bundle, as `advisor train` writes it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as a JSON object.")
def command(*, image_dir: Path, bundle: Path, as_json: bool) -> None:
    """Measure a model on IMAGE_DIR, a folder with a folder of photos per category.

    Prints accuracy, figures per category and the confusion matrix. Photos of categories that
    the model does not know are left out, and counted.

    \b
    Example:
      advisor evaluate --bundle model validation
    """
    from advisor.vision.bundle import load_bundle
    from cli.terminal import working
    from training.dataset import scan
    from training.evaluate import evaluate

    loaded = load_bundle(bundle)
    with working() as (_, progress):
        evaluation = evaluate(loaded, scan(image_dir), progress)
    for photo, reason in evaluation.unreadable.items():
        click.echo(f"skipped {photo}: {reason}", err=True)
    if evaluation.skipped:
        counts = ", ".join(f"{label} ({count})" for label, count in evaluation.skipped.items())
        click.echo(f"left out, as the model does not know them: {counts}", err=True)
    if as_json:
        figures = {"model_version": loaded.info.version, **evaluation.to_dict()}
        click.echo(json.dumps(figures, ensure_ascii=False))
    else:
        _print(evaluation)


def _print(evaluation: Evaluation) -> None:
    from cli.terminal import echo_columns

    interval = _interval(evaluation.accuracy_interval)
    rows = [
        ("accuracy", f"{evaluation.accuracy:.3f}{interval} on {evaluation.count} photos"),
        ("among the first three", f"{evaluation.top3_accuracy:.3f}"),
        ("sure enough to answer", f"{evaluation.answered:.3f}"),
        ("accuracy where sure", _share(evaluation.answered_accuracy)),
        ("accuracy of surest 90 %", f"{evaluation.accuracy_at_90:.3f}"),
        (
            "calibration error",
            f"{evaluation.calibration_error:.3f} ({evaluation.calibration_noise:.3f} is chance)",
        ),
    ]
    echo_columns(rows)
    click.echo()
    classes = [
        (label, str(one.count), str(one.correct), _share(one.recall), _share(one.precision))
        for label, one in evaluation.per_class.items()
    ]
    echo_columns([("category", "photos", "correct", "recall", "precision"), *classes],
                 right=range(1, 5))  # fmt: skip
    click.echo("\nconfusion (rows: the photo's category; columns: the answer)")
    counts_of = {(true, said): count for true, said, count in evaluation.confusion}
    numbers = [f"{number}" for number in range(1, len(evaluation.labels) + 1)]
    matrix = [
        (number, label, *(str(counts_of.get((true, said), ".")) for said in range(len(numbers))))
        for true, (number, label) in enumerate(zip(numbers, evaluation.labels, strict=True))
    ]
    echo_columns([("", "", *numbers), *matrix], right=[0, *range(2, len(numbers) + 2)])


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
