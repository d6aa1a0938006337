"""The IAM routes for crawls, called from a laptop with the AWS credentials of the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from advisor.aws.stacks import SERVICE_STACK, stack_outputs, storage_stack_of
from advisor.errors import AdvisorError, NotFoundError, UsageError

_TIMEOUT_S = 30


def outputs_of(stack: str = SERVICE_STACK) -> dict[str, str]:
    """The outputs of the service stack, on AWS or in the emulator of AWS_ENDPOINT_URL.

    Raises: UsageError if there is no such stack, or it cannot be asked.
    """
    outputs = stack_outputs(stack)
    if "ApiId" not in outputs:
        raise UsageError(f"stack {stack!r} has no API; expected one like {SERVICE_STACK}")
    return outputs


def archive_bucket_of(stack: str = SERVICE_STACK) -> str:
    """The bucket of the storage stack that belongs to a service stack. Raises: as `outputs_of`."""
    return stack_outputs(storage_stack_of(stack))["DataBucket"]


def api_url_of(outputs: Mapping[str, str]) -> str:
    """The address of the API that a stack with these outputs has."""
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        return f"{endpoint.rstrip('/')}/_aws/execute-api/{outputs['ApiId']}/api"
    return outputs["ApiUrl"]


@dataclass(frozen=True)
class RemoteCrawls:
    """Crawls behind the API at this address. Runs are as `GET /crawls/{run_id}` gives them."""

    api_url: str

    def start(
        self, spider: str, *, base_url: str, shop: str, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Start a crawl; {"run_id", "started", "reason"}."""
        asked = {"spider": spider, "base_url": base_url, "shop": shop, "settings": settings}
        return self._call("POST", "crawls", asked, accepted=(200, 201, 409))

    def all(self) -> list[dict[str, Any]]:
        """The newest 100 of the runs that have not expired, newest first."""
        runs: list[dict[str, Any]] = self._call("GET", "crawls?limit=100")["crawls"]
        return runs

    def status(self, run_id: str) -> dict[str, Any]:
        """One run. Raises: NotFoundError."""
        return self._call("GET", f"crawls/{_checked(run_id)}")

    def change(self, run_id: str, what: str) -> dict[str, Any]:
        """`pause`, `resume` or `stop` a run; the run as it is then.

        Raises: NotFoundError; UsageError if it is in no state for that.
        """
        return self._call("POST", f"crawls/{_checked(run_id)}/{what}", {})

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        accepted: tuple[int, ...] = (200,),
    ) -> dict[str, Any]:
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None or not session.region_name:
            raise UsageError("no AWS credentials or no region; set AWS_PROFILE and AWS_REGION")
        url = f"{self.api_url}/{path}"
        data = "" if body is None else json.dumps(body)
        signed = AWSRequest(method, url, {"Content-Type": "application/json"}, data)
        SigV4Auth(credentials, "execute-api", session.region_name).add_auth(signed)
        try:
            answer = requests.request(
                method, url, data=data, headers=dict(signed.headers.items()), timeout=_TIMEOUT_S
            )
            told = answer.json()
        except requests.RequestException as error:  # a body that is no JSON, too
            raise AdvisorError(f"{url} cannot be asked: {error}") from error
        if answer.status_code in accepted:
            return dict(told)
        said = told.get("detail") or told.get("message") or answer.reason
        if answer.status_code == 404:
            raise NotFoundError(said)
        if answer.status_code == 403:
            raise UsageError(f"{said}: your AWS identity needs execute-api:Invoke on {url}")
        raise UsageError(f"{method} /{path} answered {answer.status_code}: {said}")


def _checked(run_id: str) -> str:
    if not run_id.replace("-", "").isalnum() or not run_id.isascii():
        raise UsageError(f"{run_id!r} is no crawl's id; `advisor crawl --remote status` lists them")
    return run_id
