"""The deployed stacks: their outputs, and their functions called from a laptop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.clients import client
from advisor.errors import AdvisorError, UsageError

STORAGE_STACK: Final = "ProductsAdvisor-Storage"
SERVICE_STACK: Final = "ProductsAdvisor-Service"
TRAINING_STACK: Final = "ProductsAdvisor-Training"


def stack_outputs(stack: str) -> dict[str, str]:
    """What a stack tells of itself, on AWS or in the emulator of AWS_ENDPOINT_URL.

    Raises: UsageError if there is no such stack, or it cannot be asked.
    """
    try:
        found = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except (BotoCoreError, ClientError) as error:
        raise UsageError(
            f"stack {stack!r} cannot be read ({error}); set AWS_PROFILE and AWS_REGION to where "
            "it is deployed, or AWS_ENDPOINT_URL to the emulator"
        ) from error
    return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}


def storage_stack_of(service_stack: str) -> str:
    """The storage stack that was deployed with a service stack."""
    return service_stack.replace("-Service", "-Storage")


def invoke(function: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """What a function answers.

    Raises: UsageError with the function's own error, if it failed or cannot be called.
    """
    try:
        answer = client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"function {function!r} cannot be called: {error}") from error
    payload = json.loads(answer["Payload"].read() or b"null")
    if "FunctionError" in answer:
        told = payload.get("errorMessage", payload) if isinstance(payload, dict) else payload
        raise AdvisorError(f"function {function!r} failed: {told}")
    return dict(payload)
