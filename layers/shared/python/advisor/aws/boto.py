"""How boto3's clients are made. Importing this imports boto3, half of a cold start's time."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import get_session


def make_client(service: str) -> Any:
    """The boto3 client of one service, endpoint and region from the environment."""
    session = get_session()
    session.register_component("data_loader", _OneService(service))
    made = boto3.Session(botocore_session=session, region_name=_region())
    return _followed(made.client(service, config=_config(service)))


def make_table(name: str) -> Any:
    """A DynamoDB table by name."""
    dynamodb = boto3.resource("dynamodb", region_name=_region(), config=_config("dynamodb"))
    _followed(dynamodb.meta.client)
    return dynamodb.Table(name)


def _followed(client: Any) -> Any:
    """The same client; X-Ray is told of its requests where there is somebody to be told."""
    if "AWS_XRAY_DAEMON_ADDRESS" in os.environ:
        from advisor.aws.tracing import follow  # noqa: PLC0415 (Powertools: no laptop needs it)

        follow(client)
    return client


# What botocore's credential providers make clients of: a role or web identity, SSO, a login.
_CREDENTIALS = ("sts", "sso", "sso-oidc", "signin")


class _OneService(Loader):  # type: ignore[misc]  # botocore ships no types
    """botocore's service descriptions, of which one is needed, and those to get credentials by.

    botocore else looks into each of its 400 folders, twice, only to say whether there is such a
    service: a third of the time that making a client takes.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002 (botocore's)
        """The one, and those that a profile's credentials may come from."""
        return [self._service, *_CREDENTIALS]


def _region() -> str | None:
    """AWS_REGION, as the CDK and the AWS command line have it; boto3 alone does not read it."""
    return os.environ.get("AWS_REGION")


def _config(service: str) -> Config:
    # The emulator serves buckets by path, not by name.
    local = os.environ.keys() & {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"}
    if service == "s3":
        # Not as it comes: then presigned addresses are of bucket.s3.amazonaws.com, which sends
        # a young bucket's visitors elsewhere, and which the page's Content-Security-Policy bars.
        regional = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
        style = {"addressing_style": "path"} if local else regional
        return Config(signature_version="s3v4", s3=style, max_pool_connections=32)
    return Config(retries={"mode": "standard", "max_attempts": 5})
