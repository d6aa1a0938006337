"""Cached boto3 clients: made on first use, never at import."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import boto3
from botocore.config import Config


@cache
def client(service: str) -> Any:
    """The boto3 client of one service, endpoint and region from the environment."""
    return boto3.client(service, region_name=_region(), config=_config(service))


@cache
def table(name: str) -> Any:
    """A DynamoDB table by name."""
    dynamodb = boto3.resource("dynamodb", region_name=_region(), config=_config("dynamodb"))
    return dynamodb.Table(name)


def _region() -> str | None:
    """AWS_REGION, as the CDK and the AWS command line have it; boto3 alone does not read it."""
    return os.environ.get("AWS_REGION")


def _config(service: str) -> Config:
    local = "AWS_ENDPOINT_URL" in os.environ  # the emulator serves buckets by path, not by name
    if service == "s3":
        # Not as it comes: then presigned addresses are of bucket.s3.amazonaws.com, which sends
        # a young bucket's visitors elsewhere, and which the page's Content-Security-Policy bars.
        regional = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
        style = {"addressing_style": "path"} if local else regional
        return Config(signature_version="s3v4", s3=style, max_pool_connections=32)
    return Config(retries={"mode": "standard", "max_attempts": 5})
