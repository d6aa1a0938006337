"""`advisor reviews` against moto."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from advisor.aws.clients import client
from advisor.aws.reviews import CATEGORY, MATCH, PHOTO, SAME, Decision, ReviewTable
from advisor.errors import UsageError
from cli.reviews import command


@pytest.fixture
def stack(aws: None) -> Iterator[None]:
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"ReviewsTable": {"Value": "reviews"}},
    }
    name = "ProductsAdvisor-Storage"
    client("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(template))
    yield
    client("cloudformation").delete_stack(StackName=name)


def test_decisions_are_printed_as_trainings_and_folders_read_them(stack: None) -> None:
    reviews = ReviewTable("reviews")
    reviews.put(Decision(kind=PHOTO, about="a" * 64, said="hat", by="ann", at="2026"))
    seen = {"one": "one:1", "other": "two:1"}
    reviews.put(Decision(kind=MATCH, about="b", said=SAME, by="bob", at="2027", seen=seen))
    for shop, category, said in (("one", "c", "hats"), ("one", "d", "hüte"), ("two", "c", "x")):
        seen_of = {"shop": shop, "category": category, "unified": "c"}
        about = f"{shop}{category}"
        reviews.put(
            Decision(kind=CATEGORY, about=about, said=said, by="cy", at="2028", seen=seen_of)
        )
    photos, matches, categories = (
        CliRunner().invoke(command, [what]).stdout for what in ("photos", "matches", "categories")
    )
    assert json.loads(categories) == {"one": {"c": "hats", "d": "hüte"}, "two": {"c": "x"}}
    assert json.loads(photos) == {"image": "a" * 64, "label": "hat", "by": "ann", "at": "2026"}
    assert json.loads(matches) == seen | {"same": True, "by": "bob", "at": "2027"}


def test_a_stack_that_is_not_there_is_one_sentence(stack: None) -> None:
    with pytest.raises(UsageError, match="stack 'None-Storage' cannot be read"):
        CliRunner().invoke(command, ["photos", "--stack", "None-Service"], catch_exceptions=False)


def test_a_table_that_cannot_be_read_is_one_sentence(stack: None) -> None:
    client("dynamodb").delete_table(TableName="reviews")
    with pytest.raises(UsageError, match="the reviews in reviews cannot be read"):
        CliRunner().invoke(command, ["photos"], catch_exceptions=False)
