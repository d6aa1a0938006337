"""`advisor reviews`: what people decided on the review page, for a training or a folder here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from cli.terminal import echo

if TYPE_CHECKING:
    from advisor.catalog.categories import Shelved


@click.command("reviews")
@click.argument("what", type=click.Choice(["photos", "matches", "categories"]))
@click.option("--stack", default="ProductsAdvisor-Service", help="The stack of the functions.")
def command(what: str, *, stack: str) -> None:
    """Print what people decided: labels of PHOTOS or MATCHES of products, a JSON line each; or
    pinned CATEGORIES, one JSON object.

    Of AWS, or of the emulator of AWS_ENDPOINT_URL. Your AWS identity needs dynamodb:Query on the
    table of reviews.

    \b
    Examples:
      advisor reviews photos > corrections.jsonl
      advisor train shop/images --out model --corrections corrections.jsonl
      advisor reviews matches > shop/matches.jsonl
      advisor reviews categories > shop/pins.json
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from advisor.aws.reviews import (
        CATEGORY,
        MATCH,
        PHOTO,
        ReviewTable,
        category_pins,
        corrections,
        pairs,
    )
    from advisor.aws.stacks import stack_outputs, storage_stack_of
    from advisor.errors import UsageError

    outputs = stack_outputs(storage_stack_of(stack))
    reviews = ReviewTable(outputs["ReviewsTable"])
    try:
        if what == "photos":
            lines: list[Any] = list(corrections(reviews.all(PHOTO)))
        elif what == "matches":
            lines = list(pairs(reviews.all(MATCH)))
        else:
            lines = [_by_shop(category_pins(reviews.all(CATEGORY)))]
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"the reviews in {reviews.name} cannot be read: {error}") from error
    for line in lines:
        echo(json.dumps(line, ensure_ascii=False))


def _by_shop(pins: Mapping[Shelved, str]) -> dict[str, dict[str, str]]:
    """{shop: {category: unified}}, as a folder's pins.json has it."""
    shops: dict[str, dict[str, str]] = {}
    for (shop, category), unified in pins.items():
        shops.setdefault(shop, {})[category] = unified
    return shops
