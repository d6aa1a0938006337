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
    return boto3.client(service, config=_config(service))


@cache
def table(name: str) -> Any:
    """A DynamoDB table by name."""
    return boto3.resource("dynamodb", config=_config("dynamodb")).Table(name)


def _config(service: str) -> Config:
    local = "AWS_ENDPOINT_URL" in os.environ  # the emulator serves buckets by path, not by name
    if service == "s3":
        # Not as it comes: then presigned addresses are of bucket.s3.amazonaws.com, which sends
        # a young bucket's visitors elsewhere, and which the page's Content-Security-Policy bars.
        regional = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
        style = {"addressing_style": "path"} if local else regional
        return Config(signature_version="s3v4", s3=style, max_pool_connections=32)
    return Config(retries={"mode": "standard", "max_attempts": 5})
