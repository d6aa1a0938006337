"""`advisor disagreements`: products that their shop may have put on the wrong shelf."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cli.seeing import look_at_folders
from cli.terminal import echo, echo_columns, printable


@click.command("disagreements")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--bundle", type=click.Path(path_type=Path), required=True, help="A model bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a product.")
def command(folders: tuple[Path, ...], *, bundle: Path, as_json: bool) -> None:
    """Print the products whose photos show another category than their shop's.

    The most confident come first.

    \b
    Example:
      advisor disagreements --bundle model shop-one shop-two
    """
    from advisor.catalog.categories import disagreements, map_categories
    from advisor.catalog.folders import read_pins
    from advisor.vision.classifier import Classifier

    catalog = look_at_folders(folders, Classifier.load(bundle))
    votes = catalog.votes()
    found = disagreements(votes, map_categories(votes, read_pins(catalog.shops)))
    if as_json:
        for one in found:
            echo(json.dumps(one.to_dict(), ensure_ascii=False))
        return
    if not found:
        click.echo("Nothing: all photos show what their shops say.", err=True)
        return
    rows = [("product", "the shop says", "the photos show", "by", "photo")]
    rows += [
        (
            printable(one.product_id),
            printable(one.category),
            printable(one.label),
            f"{one.confidence:.0%}",
            printable(one.photo),
        )
        for one in found
    ]
    echo_columns(rows, right=(3,))
