"""The API's IAM routes, called from a laptop with the AWS credentials of the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
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


def call_api(
    api_url: str,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    accepted: tuple[int, ...] = (200,),
) -> dict[str, Any]:
    """The JSON object that the API at this address answers to a signed request.

    path: with the query string. accepted: the statuses of an answer.
    Raises: NotFoundError for a 404; UsageError for another status, or without AWS credentials;
        AdvisorError if the API cannot be asked.
    """
    session = boto3.Session()
    credentials = session.get_credentials()
    if credentials is None or not session.region_name:
        raise UsageError("no AWS credentials or no region; set AWS_PROFILE and AWS_REGION")
    url = f"{api_url}/{path}"
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
