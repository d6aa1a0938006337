"""What items go through, and the table they end in."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advisor.crawling.items import Item
from advisor.crawling.stages import (
    _INVISIBLE,
    DEFAULT_STAGES,
    Dropped,
    check_price,
    clean,
    require,
    run_stages,
)
from advisor.crawling.tables import COLUMNS, write_csv

HAT = Item(id="1", title="Hat", category="hats", description="A hat.", url="https://shop.test/p/1")
texts = (
    st.text(max_size=30)
    | st.text(st.sampled_from("ab  \u00a0\u200b\x85\ud800"))
    | st.sampled_from(["&amp;lt;b&gt;", "<b>x</b> y", "a\u200b b", "&#0;"])
)


def test_cleans_text_and_makes_addresses_whole() -> None:
    item = replace(
        HAT,
        id=" 1\x00\n",
        title="Hat &amp; scarf\u00a0 <b>new</b>\ufeff",
        category="hi-fi, audio &amp; speakers",
        description="<p>Warm.</p><p>Soft &lt;3</p>",
        images=("/i/1.jpg", "../2.jpg", "/i/1.jpg", "data:image/png;base64,x", "", "http://["),
        price_minor=100,
        currency=" eur ",
    )
    assert clean(item) == replace(
        HAT,
        title="Hat & scarf new",
        category="hi-fi, audio & speakers",
        description="Warm. Soft <3",
        images=("https://shop.test/i/1.jpg", "https://shop.test/2.jpg"),
        price_minor=100,
        currency="EUR",
    )


@given(title=texts, image=texts)
@example(title="two  spaces", image="")
def test_cleaning_what_has_no_markup_left_changes_nothing(title: str, image: str) -> None:
    once = clean(replace(HAT, title=title, images=(image,)))
    if "<" not in once.title and "&" not in once.title:
        assert clean(once) == once
    assert not any(ord(char) < 32 for char in once.title)
    assert once.title == " ".join(_INVISIBLE.sub("", once.title).split())


@pytest.mark.parametrize(
    ("minor", "currency", "expected"),
    [
        (1250, "EUR", (1250, "EUR")),
        (None, "", (None, "")),
        (None, "EUR", (None, "")),
        (0, "EUR", (None, "")),
        (-5, "EUR", "price"),
        (5_901_234_123_457, "EUR", "price"),
        (1250, "", "currency"),
        (1250, "ABC", "currency"),
    ],
)
def test_a_price_is_one_or_none_or_costs_the_item(
    minor: int | None, currency: str, expected: object
) -> None:
    found = check_price(replace(HAT, price_minor=minor, currency=currency))
    if isinstance(found, Dropped):
        assert found.reason == expected
    else:
        assert (found.price_minor, found.currency) == expected


def test_the_stages_run_in_order_until_one_drops_the_item() -> None:
    ran: list[str] = []

    def first(item: Item) -> Item:
        ran.append("first")
        return replace(item, brand="Acme")

    def second(item: Item) -> Dropped:
        ran.append(item.brand)
        return Dropped("sold out")

    assert run_stages(HAT, (first, second, first)) == Dropped("sold out")
    assert ran == ["first", "Acme"]
    assert run_stages(HAT, ()) == HAT
    assert run_stages(replace(HAT, title=" <i></i> "), DEFAULT_STAGES) == Dropped("no title")
    assert run_stages(replace(HAT, title="<"), (require,)) == replace(HAT, title="<")


def test_a_stage_that_crashes_or_returns_no_item_drops_it_by_name() -> None:
    def breaks(item: Item) -> Item:
        raise KeyError(item.id)

    def forgets(item: Item) -> Any:
        return None

    assert run_stages(HAT, (breaks,)) == Dropped("stage breaks KeyError")
    assert run_stages(HAT, (forgets,)) == Dropped("stage forgets NoneType")


@settings(max_examples=30)
@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4))
def test_no_cell_begins_like_a_formula(tmp_path_factory: Any, words: list[str]) -> None:
    folder = tmp_path_factory.mktemp("csv")
    titles = [mark + word for word in words for mark in ("", "=", "+", "-", "@", "\t", "\r")]
    lines = [json.dumps(replace(HAT, title=title).to_dict()) for title in titles]
    (folder / "items.jsonl").write_text("\n".join(lines), "utf-8")
    assert write_csv(folder / "items.jsonl", folder / "items.csv") == len(titles)
    with (folder / "items.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["title"].removeprefix("'") for row in rows] == [
        title.removeprefix("'") for title in titles
    ]
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n"))]


def test_a_table_has_a_column_for_each_field(tmp_path: Path) -> None:
    item = replace(HAT, price_minor=1250, currency="EUR", images=("https://a/1 2", "https://a/3"))
    (tmp_path / "items.jsonl").write_text(json.dumps(item.to_dict()) + "\n", "utf-8")
    write_csv(tmp_path / "items.jsonl", tmp_path / "items.csv")
    data = (tmp_path / "items.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfid,title,category,")
    assert {*COLUMNS} == {*Item.__dataclass_fields__}
    assert b",1250,EUR," in data
    assert b"https://a/1%202 https://a/3" in data
