"""Objects of S3 buckets: JSON that may be missing, and what is left of earlier builds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from advisor.aws.clients import client


def read_json(bucket: str, key: str) -> dict[str, Any] | None:
    """The object that a file holds; None if there is no such file."""
    try:
        answer = client("s3").get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
            return None
        raise
    value: dict[str, Any] = json.loads(answer["Body"].read())
    return value


def remove_old(bucket: str, prefix: str, *, keep_s: float, gone: Callable[[str], bool]) -> None:
    """Remove the files whose key is `gone`, but none that is younger than keep_s seconds."""
    pages = client("s3").get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, Prefix=prefix):
        old = [
            {"Key": one["Key"]}
            for one in page.get("Contents", ())
            if is_old(one["LastModified"], keep_s=keep_s) and gone(one["Key"])
        ]
        if old:
            client("s3").delete_objects(Bucket=bucket, Delete={"Objects": old})


def is_old(made_at: datetime, *, keep_s: float) -> bool:
    """Whether something was made so many seconds ago at least."""
    return time.time() - made_at.timestamp() >= keep_s
