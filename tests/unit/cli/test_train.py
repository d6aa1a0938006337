"""What `advisor train` says. (What it makes: tests/training.)"""

from __future__ import annotations

import pytest

from cli.train import how_to_publish


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("models/new", "advisor model publish models/new"),
        ("models/of the shop", "advisor model publish 'models/of the shop'"),
        ("s3://goods", "advisor model publish V --models s3://goods"),
        (
            "s3://models-of-goods/models/bundles/",
            "advisor model publish V --models s3://models-of-goods",
        ),
    ],
)
def test_names_the_command_that_puts_the_model_into_use(out: str, said: str) -> None:
    assert how_to_publish("V", out) == said
