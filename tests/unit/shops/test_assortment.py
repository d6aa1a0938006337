from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import DataError
from examples.shops.assortment import (
    gtin13,
    offers_of_shop_one,
    offers_of_shop_two,
    read_goods,
    slug,
)
from tests.unit.shops.tiny_goods import COUNT, write_goods


def test_reads_the_padded_catalogue_with_the_first_variant_of_each(goods_dir: Path) -> None:
    goods = read_goods(goods_dir)

    assert len(goods) == COUNT
    good = goods[3]
    assert (good.name, good.slug, good.sku, good.price_minor) == ("Good 3", "good-3", "S/3", 120350)
    assert (good.department, good.category, good.brand) == ("Home & Garden", "plants", "Acme")
    assert good.description == 'Good "number" 3, <b>fine</b> & cheap'
    assert good.photo == goods_dir / "images" / "3.jpg"


def test_each_shop_lacks_some_goods_and_they_share_the_others(goods_dir: Path) -> None:
    goods = read_goods(goods_dir)
    one = {offer.good.slug: offer for offer in offers_of_shop_one(goods)}
    two = {offer.good.slug: offer for offer in offers_of_shop_two(goods)}

    assert one.keys() - two.keys() == {"good-4", "good-13"}
    assert two.keys() - one.keys() == {"good-7"}
    for name in one.keys() & two.keys():
        assert one[name].price_minor != two[name].price_minor
        assert one[name].sku != two[name].sku
        assert (one[name].gtin, one[name].mpn) == (two[name].gtin, two[name].mpn)
    assert one["good-0"].gtin and not one["good-1"].gtin
    assert two["good-0"].title == "Acme Good 0"
    assert two["good-1"].title == "1, good"


@given(st.text(max_size=30))
def test_a_gtin_has_a_right_check_digit(sku: str) -> None:
    digits = [int(digit) for digit in gtin13(sku)]

    assert len(digits) == 13
    assert digits[:3] == [9, 5, 2]
    assert (sum(digits[0::2]) + 3 * sum(digits[1::2])) % 10 == 0


def test_a_slug_has_only_letters_digits_and_hyphens() -> None:
    assert slug("Computers & Tablets!") == "computers-tablets"


def test_a_folder_without_goods_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"examples\.shops\.goods"):
        read_goods(tmp_path)


def test_a_catalogue_without_a_price_is_refused(tmp_path: Path) -> None:
    folder = write_goods(tmp_path / "goods", 2)
    text = (folder / "products.csv").read_text(encoding="utf-8")
    (folder / "products.csv").write_text(text.replace("price", "cost"), encoding="utf-8")

    with pytest.raises(DataError, match="price"):
        read_goods(folder)


def test_a_catalogue_that_names_a_missing_photo_is_refused(tmp_path: Path) -> None:
    folder = write_goods(tmp_path / "goods", 2)
    (folder / "images" / "1.jpg").unlink()

    with pytest.raises(DataError, match=r"1\.jpg"):
        read_goods(folder)
