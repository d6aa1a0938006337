"""`advisor suggest`: the products in shops' folders that look like a photo, with their prices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.errors import DataError, UnreadableImageError
from cli.seeing import look_at_folders
from cli.terminal import echo_columns, price_text, printable

if TYPE_CHECKING:
    from advisor.catalog.suggestions import Suggestion
    from advisor.vision.classification import Classification
    from advisor.vision.classifier import Classifier, Prediction

_EXISTING = click.Path(exists=True, path_type=Path)
_MAX_TITLE = 40


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_EXISTING, metavar="[DIR]... PHOTO")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of a model bundle, as `advisor train` writes it.",
)
@click.option(
    "--items",
    "folders",
    type=_EXISTING,
    multiple=True,
    required=True,
    metavar="DIR...",
    help="Folders of shops, as `advisor crawl` writes them.",
)
@click.option(
    "--top-k",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="How many products to suggest.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    paths: tuple[Path, ...],
    bundle: Path,
    folders: tuple[Path, ...],
    top_k: int,
    as_json: bool,
) -> None:
    """Find the products that look like PHOTO, and what each shop asks for them.

    The shops' photos are looked at once; what the model saw is kept in the folder DIR/.embeddings.

    \b
    Example:
      advisor suggest --bundle model --items shop-one shop-two photo.jpg
    """
    *more, photo = paths
    if not photo.is_file():
        raise click.UsageError(f"the last argument is the photo, and {photo} is a folder")

    from advisor.catalog.suggestions import find_suggestions
    from advisor.vision.classifier import Classifier

    classifier = Classifier.load(bundle)
    prediction = _predict(photo, classifier)
    catalog = look_at_folders([*folders, *more], classifier)
    said = prediction.classification
    found = find_suggestions(said, prediction.embedding, catalog, top_k=top_k)
    if as_json:
        click.echo(json.dumps(_answer(photo, said, found), ensure_ascii=False))
    else:
        _show(photo, said, found)


def _predict(photo: Path, classifier: Classifier) -> Prediction:
    from advisor.vision.images import read_file

    try:
        return classifier.predict(read_file(photo))
    except OSError as error:
        raise DataError(f"{photo} cannot be read: {error.strerror}") from error
    except UnreadableImageError as error:
        raise UnreadableImageError(f"{photo}: {error}") from error


def _answer(photo: Path, said: Classification, found: Sequence[Suggestion]) -> dict[str, Any]:
    return {
        "path": str(photo),
        "classification": said.to_dict(),
        "suggestions": [one.to_dict(lambda path: path) for one in found],
    }


def _show(photo: Path, said: Classification, found: Sequence[Suggestion]) -> None:
    best = said.labels[0]
    unsure = "not sure, perhaps " if said.unknown else ""
    click.echo(f"{printable(str(photo))}: {unsure}{best.label} ({best.probability:.1%})")
    if not found:
        labels = " or ".join(label.label for label in said.labels[: 2 if said.unknown else 1])
        click.echo(f"Nothing to suggest: the folders hold no photo of {labels}.")
        return
    click.echo()
    rows = [("", "product", "alike", "shop", "price", "", "in the shop as", "page")]
    for number, one in enumerate(found, start=1):
        for offer in one.offers:
            first = offer is one.offers[0]
            rows.append(
                (
                    f"{number}" if first else "",
                    _short(one.title) if first else "",
                    f"{one.similarity:.0%}" if first else "",
                    printable(offer.shop),
                    price_text(offer.price_minor, offer.currency),
                    offer.availability.replace("_", " "),
                    _short(offer.title),
                    printable(offer.url),
                )
            )
    echo_columns(rows, right=(0, 2, 4))


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _MAX_TITLE else text[: _MAX_TITLE - 1] + "…"
