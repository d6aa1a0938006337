from __future__ import annotations

import os
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from advisor.aws import boto, clients


def test_a_client_is_of_the_region_that_aws_region_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert clients.client.__wrapped__("sqs").meta.region_name == "eu-west-1"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_buckets_of_an_endpoint_are_asked_for_by_path(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "x")
    where = {"Params": {"Bucket": "shop", "Key": "a"}, "ClientMethod": "get_object"}
    by_name = clients.client.__wrapped__("s3").generate_presigned_url(**where)
    assert by_name.startswith("https://shop.s3.eu-west-1.amazonaws.com/a?")
    monkeypatch.setenv(name, "http://s3.shop.example:9")
    by_path = clients.client.__wrapped__("s3").generate_presigned_url(**where)
    assert by_path.startswith("http://s3.shop.example:9/shop/a?")


def test_making_a_client_looks_through_no_other_services_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": looked.append(str(path)) or listdir(path))
    assert clients.client.__wrapped__("s3").meta.service_model.service_name == "s3"
    services = {Path(path).name for path in looked if Path(path).parent.name == "data"}
    assert services == {"s3"}


@pytest.mark.parametrize(
    "source", ["source_profile = base", "web_identity_token_file = {folder}/token"]
)
def test_a_profile_of_a_role_asks_sts_for_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    (tmp_path / "token").write_text("token")
    role = f"role_arn = arn:aws:iam::123456789012:role/r\n{source.format(folder=tmp_path)}"
    keys = "aws_access_key_id = a\naws_secret_access_key = b"
    (tmp_path / "config").write_text(f"[profile base]\n{keys}\n[profile p]\n{role}\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "CONFIG_FILE": f"{tmp_path}/config",
        "PROFILE": "p",
        "REGION": "eu-west-1",
        "ENDPOINT_URL_STS": "http://127.0.0.1:1/sts",
        "MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    made = clients.client.__wrapped__("s3")
    with pytest.raises(EndpointConnectionError, match=r"127\.0\.0\.1:1/sts"):
        made.list_buckets()


@pytest.mark.parametrize("service", ["sts", "sso", "sso-oidc", "signin"])
def test_credentials_may_come_from_another_service(service: str) -> None:
    model = boto._OneService("s3").load_service_model(service, "service-2")
    assert model["metadata"]["endpointPrefix"]
