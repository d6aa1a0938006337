"""One object of S3 by one signed request: what a cold start waits for, without boto3.

Importing boto3 and making its client takes more than half of a cold start. On Lambda credentials
and region are in the environment, so that an object is one GET away, signed by Signature Version 4
(https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
"""

from __future__ import annotations

import hmac
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, reduce
from hashlib import sha256
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import quote, urlsplit

TIMEOUT_S: Final = 3.0
# What every Lambda function has. Where one is missing, credentials come from elsewhere.
_NEEDED: Final = frozenset(
    {"AWS_LAMBDA_FUNCTION_NAME", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
)
_NO_BODY: Final = sha256(b"").hexdigest()


@dataclass(frozen=True)
class Stored:
    """An object as S3 has it."""

    body: bytes
    etag: str


def quick_get(bucket: str, key: str, environ: Mapping[str, str] = os.environ) -> Stored | None:
    """The object; None where it was not to be had so, for whatever reason: then ask boto3.

    boto3 knows other credentials, tries again, and has the words for what went wrong. Elsewhere
    than in a Lambda function it is left to boto3 at once.
    """
    if not environ.keys() >= _NEEDED:
        return None
    where, path = f"https://{bucket}.s3.{environ['AWS_REGION']}.amazonaws.com", f"/{quote(key)}"
    # The local emulator, or a gateway of one's own.
    if endpoint := environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL"):
        where, path = endpoint, f"/{bucket}{path}"
    from advisor.aws.tracing import xray  # noqa: PLC0415 (Powertools: no laptop needs it)

    asked = xray().aws_request("s3", "GetObject", environ["AWS_REGION"], bucket_name=bucket)
    host = urlsplit(where).netloc
    if where.startswith("https:"):
        connection: HTTPConnection = HTTPSConnection(host, timeout=TIMEOUT_S, context=_tls())
    else:
        connection = HTTPConnection(host, timeout=TIMEOUT_S)
    try:
        headers = signed_headers(host, path, environ, now=datetime.now(UTC))
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, HTTPException) as error:
        asked.failed(error)
        return None
    finally:
        connection.close()
    asked.answered(answer.status, request_id=answer.headers["x-amz-request-id"])
    if answer.status != HTTPStatus.OK:
        return None
    return Stored(body, answer.headers["ETag"])


def signed_headers(
    host: str, path: str, environ: Mapping[str, str], *, now: datetime
) -> dict[str, str]:
    """The headers with which S3 answers GET of that path.

    path: quoted. environ: has region and credentials as Lambda names them. now: UTC.
    """
    time = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-content-sha256": _NO_BODY, "x-amz-date": time}
    if token := environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = f"GET\n{path}\n\n{lines}\n{names}\n{_NO_BODY}"
    scope = (time[:8], environ["AWS_REGION"], "s3", "aws4_request")
    text = f"AWS4-HMAC-SHA256\n{time}\n{'/'.join(scope)}\n{sha256(request.encode()).hexdigest()}"
    secret = f"AWS4{environ['AWS_SECRET_ACCESS_KEY']}".encode()
    key = reduce(lambda key, part: hmac.digest(key, part.encode(), "sha256"), scope, secret)
    credential = f"{environ['AWS_ACCESS_KEY_ID']}/{'/'.join(scope)}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return headers | {
        "authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, "
        f"Signature={signature}"
    }


@cache
def _tls() -> ssl.SSLContext:
    """Trusts whom the system trusts; reading whom takes some milliseconds."""
    return ssl.create_default_context()
