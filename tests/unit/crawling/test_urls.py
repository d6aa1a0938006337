from __future__ import annotations

from html import escape
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from advisor.crawling.messages import Page
from advisor.crawling.urls import canonical_url, host_of, is_web_url, site_of, without_tracking


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
        ("http://shop.test/?GCLID=1&srsltid=2&mtm_campaign=3&gad_source=1", "http://shop.test/"),
        ("http://shop.test/?utm=1&pk=2&source=3", "http://shop.test/?pk=2&source=3&utm=1"),
        ("http://shop.test/a;jsessionid=0A.b?p=1", "http://shop.test/a?p=1"),
        ("http://shop.test/?q=%FC&r=%c3%bc", "http://shop.test/?q=%FC&r=%C3%BC"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_canonical_form(url: str, expected: str) -> None:
    assert canonical_url(url) == expected


@given(st.text(max_size=60))
def test_canonicalisation_is_idempotent(text: str) -> None:
    once = canonical_url(f"http://shop.test/{text}")
    assert canonical_url(once) == once


_PARTS = (
    "a A %41 %2f %FC %zz \u00fc a\tb + / // . .. ; = & ? # utm_source=x &gclid=1 ?fbclid= "
    ";jsessionid=1 b=2 a=1&a=2 [ :80"
)
_hosts = ["shop.test", "Shop.TEST", "b\u00fccher.test", "[::1]", "1.2.3.4", "shop.test."]
addresses = st.builds(
    lambda scheme, host, port, parts: f"{scheme}://{host}{port}/{''.join(parts)}",
    st.sampled_from(["http", "HTTPS", "hTTp"]),
    st.sampled_from(
        ["shop.test", "Shop.TEST", "b\u00fccher.test", "[::1]", "1.2.3.4", "shop.test."]
    ),
    st.sampled_from(["", ":80", ":443", ":8080"]),
    st.lists(st.sampled_from(_PARTS.split(" ")), max_size=8),
)


@settings(max_examples=500)
@given(addresses)
def test_canonicalisation_of_odd_addresses_is_idempotent(url: str) -> None:
    once = canonical_url(url)
    assert canonical_url(once) == once
    assert "utm_source" not in parse_qs(urlsplit(once).query)
    assert not urlsplit(once).fragment


def test_only_tracking_is_left_out_of_what_is_fetched() -> None:
    assert without_tracking("http://a.test/?b=2&%75tm_id=x&a=%7e#t") == "http://a.test/?b=2&a=%7e"
    assert without_tracking("http://a.test/?gclid=x") == "http://a.test/"
    assert without_tracking("http://a.test/p?q") == "http://a.test/p?q"


@settings(max_examples=500)
@given(addresses)
def test_what_is_fetched_is_the_address_that_was_seen(url: str) -> None:
    fetched = without_tracking(url)
    assert canonical_url(fetched) == canonical_url(url)
    assert without_tracking(fetched) == fetched


@given(addresses, st.sampled_from(["utm_medium=mail", "gclid=A-1", "FBCLID=", "_gl=1*x"]))
def test_tracking_never_makes_another_address(url: str, tracking: str) -> None:
    path, mark, query = url.partition("#")[0].partition("?")
    tracked = f"{path}?{query}&{tracking}" if mark else f"{path}?{tracking}"
    assert canonical_url(tracked) == canonical_url(url)


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
    nodes = LexborHTMLParser(f'<a href="{escape(link)}"><a href="{escape(link)}">').css("a")
    assert Page(page, "").links(nodes) == (urljoin(page, link.strip()),)
