"""What cdk.json may say of the shops to crawl."""

from __future__ import annotations

from typing import Any

import pytest

from infra.shops import ShopsError, read_shops

SHOP = {"spider": "harveynorman", "schedule": "rate(1 day)"}


def test_a_shop_becomes_the_event_of_its_schedule() -> None:
    (plain,) = read_shops([SHOP])
    assert (plain.title, plain.event) == (
        "harveynorman",
        {"spider": "harveynorman", "trigger": "schedule"},
    )
    more = {"spider": "schema-org", "shop": "x", "base_url": "https://x.test", "limit": 5}
    more["settings"] = {"delay_s": 2}
    (shop,) = read_shops([more | {"schedule": "cron(0 4 ? * MON *)"}])
    assert (shop.title, shop.event) == ("x", {**more, "trigger": "schedule"})


@pytest.mark.parametrize(
    ("shops", "said"),
    [
        ({}, "shops is {}; expected a list"),
        (["x"], "shops[0] is 'x'; expected an object"),
        ([SHOP, {"spider": "a"}], "shops[1] has no schedule"),
        ([{"schedule": "rate(1 day)"}], "shops[0] has no spider"),
        ([SHOP | {"spider": 7}], "shops[0].spider is 7; expected text"),
        ([SHOP | {"url": "x"}], "shops[0] has 'url'; expected spider, schedule"),
        ([SHOP | {"limit": "5"}], "shops[0].limit is '5'; expected a whole number"),
        ([SHOP | {"schedule": "daily"}], "shops[0].schedule is 'daily'; expected one like rate"),
        ([SHOP | {"schedule": "rate(1 days)"}], "shops[0].schedule is 'rate(1 days)'"),
        ([SHOP | {"base_url": "x.test"}], "shops[0].base_url is 'x.test'; expected http"),
        ([SHOP | {"settings": []}], "shops[0].settings is []; expected an object"),
        ([SHOP | {"settings": {"x": 1}}], "shops[0].settings has 'x'; expected delay_s, jitter"),
        ([SHOP, SHOP], "shops has 'harveynorman' twice"),
    ],
)
def test_what_cannot_be_used_is_named(shops: Any, said: str) -> None:
    with pytest.raises(ShopsError) as error:
        read_shops(shops)
    assert str(error.value).startswith(said)
