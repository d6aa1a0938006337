"""Reading S3 without boto3: signed as boto3 signs, and left to boto3 whenever something is odd."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from advisor.aws.quick_get import Stored, quick_get, signed_headers

KEYS = {
    "AWS_LAMBDA_FUNCTION_NAME": "classify",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "AKIA0",
    "AWS_SECRET_ACCESS_KEY": "secret/+0",
}
HOST = "shop-data.s3.eu-central-1.amazonaws.com"


@given(key=st.text(st.characters(codec="utf-8"), min_size=1), token=st.sampled_from(["", "to/k+="]))
def test_signs_as_boto3_does(key: str, token: str) -> None:
    path = f"/{quote(key)}"
    theirs = AWSRequest("GET", f"https://{HOST}{path}")
    credentials = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], token)
    S3SigV4Auth(credentials, "s3", KEYS["AWS_REGION"]).add_auth(theirs)
    now = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = signed_headers(HOST, path, KEYS | {"AWS_SESSION_TOKEN": token}, now=now)
    assert ours.pop("host") == HOST  # which boto3's HTTP library adds
    assert ours == {name.lower(): value for name, value in theirs.headers.items()}


class Bucket(BaseHTTPRequestHandler):
    """Answers as its path asks; anything else is an object."""

    def do_GET(self) -> None:
        key = self.path.removeprefix("/shop-data/")
        self.send_response(int(key) if key.isdigit() else 200)
        self.send_header("ETag", '"e"')
        self.send_header("Content-Length", "4" if key == "broken-off" else "3")
        self.end_headers()
        self.wfile.write(b"abc")

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
        server.shutdown()


def test_reads_an_object(environ: dict[str, str]) -> None:
    assert quick_get("shop-data", "models/a b.json", environ) == Stored(b"abc", '"e"')


def test_asks_where_boto3_would(environ: dict[str, str]) -> None:
    """An endpoint of S3's own goes before that of all services."""
    address, nobody = environ["AWS_ENDPOINT_URL"], "http://127.0.0.1:9"
    own = environ | {"AWS_ENDPOINT_URL": nobody, "AWS_ENDPOINT_URL_S3": address}
    assert quick_get("shop-data", "one", own) == Stored(b"abc", '"e"')
    other = environ | {"AWS_ENDPOINT_URL_S3": nobody}
    assert quick_get("shop-data", "one", other) is None


@pytest.mark.parametrize("key", ["403", "404", "503", "301", "broken-off"])
def test_leaves_to_boto3_what_is_not_answered_with_the_object(
    environ: dict[str, str], key: str
) -> None:
    assert quick_get("shop-data", key, environ) is None


def test_leaves_to_boto3_what_cannot_be_reached(environ: dict[str, str]) -> None:
    nobody = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    assert quick_get("shop-data", "one", environ | nobody) is None


@pytest.mark.parametrize("missing", KEYS)
def test_leaves_to_boto3_where_a_function_has_no_credentials_of_its_own(
    environ: dict[str, str], missing: str
) -> None:
    rest = {name: value for name, value in environ.items() if name != missing}
    assert quick_get("shop-data", "one", rest) is None
