"""`advisor classify`: which category photos belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.errors import UnreadableImageError

if TYPE_CHECKING:
    from advisor.vision.classifier import Classifier


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of a model bundle, as `advisor train` writes it.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How many labels a photo gets.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0,
    help="Leave out labels that are less probable than this (0 to 1).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a photo, a line each.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    photos: tuple[str, ...],
    bundle: Path,
    top_k: int,
    threshold: float,
    as_json: bool,
) -> None:
    """Tell the category of each PHOTO, with probabilities.

    A photo that cannot be read is reported in its place; the others are answered, and the exit
    status is 1.

    \b
    Examples:
      advisor classify --bundle model photo.jpg
      advisor classify --bundle model --top-k 1 --json *.jpg
      advisor classify --bundle model --threshold 0.2 *.jpg
    """
    from advisor.vision.classifier import Classifier
    from cli.terminal import echo

    classifier = Classifier.load(bundle)
    width = max(map(len, photos))
    failed = False
    for path in photos:
        answer = {"path": path, **_classify(classifier, path, top_k=top_k, threshold=threshold)}
        failed |= "error" in answer
        echo(json.dumps(answer, ensure_ascii=False) if as_json else _line(answer, width))
    if failed:
        ctx.exit(1)


def _classify(classifier: Classifier, path: str, *, top_k: int, threshold: float) -> dict[str, Any]:
    from advisor.vision.images import read_file

    try:
        said = classifier.predict(read_file(Path(path)), top_k=top_k).classification
    except OSError as error:
        return {"error": f"cannot be read: {error.strerror or error}"}
    except UnreadableImageError as error:
        return {"error": str(error)}
    return said.at_least(threshold).to_dict()


def _line(answer: dict[str, Any], width: int) -> str:
    """path  best 93 %  second 5 %  ..., or what is wrong with the photo."""
    path = answer["path"].ljust(width)
    if "error" in answer:
        return f"{path}  error: {answer['error']}"
    labels = "  ".join(f"{one['label']} {one['probability']:.1%}" for one in answer["labels"])
    unsure = ("unknown, perhaps " if labels else "unknown") if answer["unknown"] else ""
    return f"{path}  {unsure}{labels}"
