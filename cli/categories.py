"""`advisor categories`: what the categories of shops are, by what a model sees in their photos."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cli.seeing import look_at_folders
from cli.terminal import echo, echo_columns, printable


@click.command("categories")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--bundle", type=click.Path(path_type=Path), required=True, help="A model bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a category.")
def command(folders: tuple[Path, ...], *, bundle: Path, as_json: bool) -> None:
    """Print the unified category of each category in the FOLDERS of shops, with the evidence.

    A person's word wins: {"SHOP": {"CATEGORY": "UNIFIED"}} in FOLDER/pins.json.

    \b
    Example:
      advisor categories --bundle model shop-one shop-two
    """
    from advisor.catalog.categories import map_categories
    from advisor.catalog.folders import read_pins
    from advisor.vision.classifier import Classifier

    catalog = look_at_folders(folders, Classifier.load(bundle))
    mapped = map_categories(catalog.votes(), read_pins(catalog.shops))
    if as_json:
        for one in mapped:
            echo(json.dumps(one.to_dict(), ensure_ascii=False))
        return
    rows = [("shop", "category", "is", "share", "")]
    for one in mapped:
        told = ", ".join(f"{label.label} ({label.products})" for label in one.evidence[:3])
        share = "pinned" if one.pinned else f"{one.share:.0%}"
        rows.append(
            (
                printable(one.shop),
                printable(one.category),
                printable(one.unified),
                share,
                printable(told),
            )
        )
    echo_columns(rows, right=(3,))
