from __future__ import annotations

from urllib.parse import urljoin

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from advisor.crawling.messages import Page
from advisor.crawling.urls import canonical_url, host_of, is_web_url, site_of


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.test/a", "https://shop.test/a"),
        ("HTTPS://Shop.Test:443/a#top", "https://shop.test/a"),
        ("http://shop.test", "http://shop.test/"),
        ("http://shop.test:8080/?b=2&a=1", "http://shop.test:8080/?a=1&b=2"),
        ("http://shop.test/?utm_source=x&p=2&gclid=y", "http://shop.test/?p=2"),
        ("http://shop.test/h\u00fcte?q=a b", "http://shop.test/h%C3%BCte?q=a+b"),
        ("http://shop.test/?empty=", "http://shop.test/?empty="),
        ("http://[broken", "http://[broken"),
    ],
)
def test_canonical_form(url: str, expected: str) -> None:
    assert canonical_url(url) == expected


@given(st.text(max_size=60))
def test_canonicalisation_is_idempotent(text: str) -> None:
    once = canonical_url(f"http://shop.test/{text}")
    assert canonical_url(once) == once


@given(st.text(max_size=60))
def test_no_text_is_an_error(text: str) -> None:
    canonical_url(text)
    host_of(text)
    is_web_url(text)


def test_hosts_and_sites() -> None:
    assert host_of("https://shop.test:443/a") == "shop.test"
    assert host_of("http://shop.test:8001/a") == "shop.test:8001"
    assert host_of("http://[::1]:80/") == "[::1]"
    assert site_of("https://www.shop.test/") == site_of("http://shop.test/") == "shop.test"
    assert not is_web_url("javascript:alert(1)")
    assert not is_web_url("http:///path")


@given(
    st.text("/ab.?#%&=-:~ ", max_size=14)
    | st.text("/ab.?#%&=-:~ ", max_size=9).map("http://b.test".__add__),
    st.sampled_from(["http://a.test/x/y?z#f", "https://a.test:8443", "http://a.test/x/"]),
)
@example("http://b.test/c?d=/../e", "http://a.test/x/")
@example("http://b.test/c/../d", "http://a.test/x/")
@example("https://b.test:8080", "http://a.test/x/")
def test_a_link_is_joined_as_the_standard_says(link: str, page: str) -> None:
    assert Page(page, "").absolute(link) == urljoin(page, link.strip())
