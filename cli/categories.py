"""`advisor categories`: what the categories of shops are, by what a model sees in their photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from advisor.errors import NotFoundError
from cli.terminal import echo, echo_columns, printable

_MOST = 1000  # that GET /reviews/categories gives


@click.command("categories")
@click.argument("folders", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--bundle", type=click.Path(path_type=Path), help="A model bundle, for FOLDERS.")
@click.option("--remote", is_flag=True, help="Those of the shops on AWS.")
@click.option(
    "--pin", nargs=3, metavar="SHOP CATEGORY UNIFIED", help="With --remote: say what it is."
)
@click.option("--unpin", nargs=2, metavar="SHOP CATEGORY", help="With --remote: take that back.")
@click.option("--stack", default="ProductsAdvisor-Service", help="With --remote: the stack.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a category.")
def command(
    folders: tuple[Path, ...],
    *,
    bundle: Path | None,
    remote: bool,
    pin: tuple[str, str, str] | None,
    unpin: tuple[str, str] | None,
    stack: str,
    as_json: bool,
) -> None:
    """Print the unified category of each category of shops, with the evidence.

    Of shops in FOLDERS a person's word wins: {"SHOP": {"CATEGORY": "UNIFIED"}} in
    FOLDER/pins.json. On AWS --pin keeps it; products are listed by it within the hour.

    \b
    Examples:
      advisor categories --bundle model shop-one shop-two
      advisor categories --remote --pin harveynorman "hi-fi, audio & speakers" speakers
      advisor categories --remote --unpin harveynorman "hi-fi, audio & speakers"
    """
    if remote == bool(folders) or remote == (bundle is not None):
        raise click.UsageError("Name FOLDERS and --bundle, or --remote.")
    if (pin or unpin) and not remote:
        raise click.UsageError("--pin and --unpin belong to --remote; in a folder see pins.json.")
    found = _in_folders(folders, bundle) if bundle else _on_aws(pin, unpin, stack)
    if as_json:
        for one in found:
            echo(json.dumps(one, ensure_ascii=False))
        return
    rows = [("shop", "category", "is", "share", "")]
    rows += [
        (
            printable(one["shop"]),
            printable(one["category"]),
            printable(one["unified"]),
            "pinned" if one["pinned"] else f"{one['share']:.0%}",
            printable(", ".join(f"{a['label']} ({a['products']})" for a in one["evidence"][:3])),
        )
        for one in found
    ]
    echo_columns(rows, right=(3,))


def _in_folders(folders: tuple[Path, ...], bundle: Path) -> list[dict[str, Any]]:
    from advisor.catalog.categories import map_categories
    from advisor.catalog.folders import read_pins
    from advisor.vision.classifier import Classifier
    from cli.seeing import look_at_folders

    catalog = look_at_folders(folders, Classifier.load(bundle))
    mapped = map_categories(catalog.votes(), read_pins(catalog.shops), shelves=catalog.shelves())
    return [one.to_dict() for one in mapped]


def _on_aws(
    pin: tuple[str, str, str] | None, unpin: tuple[str, str] | None, stack: str
) -> list[dict[str, Any]]:
    from advisor.aws.remote_api import api_url_of, call_api, outputs_of
    from advisor.catalog.pins import category_id

    api_url, path = api_url_of(outputs_of(stack)), "reviews/categories"
    if pin:
        call_api(
            api_url, "POST", path, dict(zip(("shop", "category", "unified"), pin, strict=True))
        )
    if unpin and not call_api(api_url, "DELETE", f"{path}/{category_id(*unpin)}")["undone"]:
        raise NotFoundError(f"no category {unpin[1]!r} of shop {unpin[0]!r} is pinned")
    told = call_api(api_url, "GET", f"{path}?limit={_MOST}")
    if told["count"] > _MOST:
        click.echo(f"the least sure {_MOST} of {told['count']}", err=True)
    return list(told["categories"])
