"""`advisor reviews`: what people decided on the review page, for a training or a folder here."""

from __future__ import annotations

import json

import click

from cli.terminal import echo


@click.command("reviews")
@click.argument("what", type=click.Choice(["photos", "matches"]))
@click.option("--stack", default="ProductsAdvisor-Service", help="The stack of the functions.")
def command(what: str, *, stack: str) -> None:
    """Print what people decided, a JSON line each: labels of PHOTOS, or MATCHES of products.

    Of AWS, or of the emulator of AWS_ENDPOINT_URL. Your AWS identity needs dynamodb:Query on the
    table of reviews.

    \b
    Examples:
      advisor reviews photos > corrections.jsonl
      advisor train shop/images --out model --corrections corrections.jsonl
      advisor reviews matches > shop/matches.jsonl
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from advisor.aws.reviews import MATCH, PHOTO, ReviewTable, corrections, pairs
    from advisor.aws.stacks import stack_outputs, storage_stack_of
    from advisor.errors import UsageError

    outputs = stack_outputs(storage_stack_of(stack))
    reviews = ReviewTable(outputs["ReviewsTable"])
    try:
        lines = (
            list(corrections(reviews.all(PHOTO)))
            if what == "photos"
            else list(pairs(reviews.all(MATCH)))
        )
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"the reviews in {reviews.name} cannot be read: {error}") from error
    for line in lines:
        echo(json.dumps(line, ensure_ascii=False))
