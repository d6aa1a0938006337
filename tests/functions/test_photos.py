"""Where photos lie in S3, and the addresses that a browser is given for them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from advisor.aws import clients
from advisor.aws.photos import (
    PhotoPlace,
    address,
    announcement,
    read_announcement,
    read_photo,
    upload_form,
)
from advisor.errors import UnreadableImageError

pytestmark = pytest.mark.usefixtures("aws")


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_addresses_are_of_the_buckets_own_region(
    region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    monkeypatch.delenv("AWS_REGION", raising=False)
    clients.client.cache_clear()
    try:
        place = PhotoPlace("data", "images/a b.jpg")
        form = upload_form(place, content_type="image/png", max_bytes=1)
        # What the page's Content-Security-Policy allows: the bucket's regional domain name.
        assert address(place).startswith(f"https://data.s3.{region}.amazonaws.com/images/a%20b.jpg")
        assert form["url"] == f"https://data.s3.{region}.amazonaws.com/"
    finally:
        clients.client.cache_clear()


def test_what_is_too_large_to_be_hashed_is_not_read() -> None:
    clients.client("s3").put_object(Bucket="uploads", Key="film.mov", Body=b"12345")
    place = PhotoPlace("uploads", "film.mov")
    assert read_photo(place, max_bytes=4, max_hashed_bytes=5).data is None
    with pytest.raises(UnreadableImageError, match="5 bytes"):
        read_photo(place, max_bytes=4, max_hashed_bytes=4)


@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
@example(key="my photo + 100 %.jpg")
@example(key="naïve/名前/no extension")
@example(key="a%2Bb+c d/")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_photo_is_called_it_is_found_under_that_name(key: str) -> None:
    place = PhotoPlace("uploads", key)
    assert read_announcement(announcement([place])) == [place]
