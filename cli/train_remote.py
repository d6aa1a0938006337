"""`advisor train --remote`: the training of the deployed stacks, on AWS or on the emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from advisor.errors import AdvisorError, UsageError


def train_remote(options: Mapping[str, Any], *, as_json: bool) -> None:
    """Start the state machine on AWS, or do what it does with a local process on the emulator.

    options: of the training, by name; on AWS they are settings of the stack (cdk.json).
    Raises: UsageError for options on AWS, or where no stack is deployed; AdvisorError if the
        training or a function fails.
    """
    told = _on_emulator(options) if "AWS_ENDPOINT_URL" in os.environ else _on_aws(options)
    click.echo(json.dumps(told, ensure_ascii=False) if as_json else told["said"])


def _on_aws(options: Mapping[str, Any]) -> dict[str, Any]:
    from advisor.aws.clients import client
    from advisor.aws.stacks import TRAINING_STACK, stack_outputs

    if options:
        names = ", ".join(options).replace("_", "-")  # as hyperparameters have them
        raise UsageError(f"on AWS {names} is said in cdk.json (training.hyperparameters)")
    machine = stack_outputs(TRAINING_STACK)["TrainingStateMachine"]
    started = client("stepfunctions").start_execution(
        stateMachineArn=machine, name=_job_name(), input="{}"
    )
    execution = started["executionArn"]
    return {"execution": execution, "said": f"Started {execution}"}


def _on_emulator(options: Mapping[str, Any]) -> dict[str, Any]:
    from advisor.aws.stacks import SERVICE_STACK, STORAGE_STACK, invoke, stack_outputs

    storage = stack_outputs(STORAGE_STACK)
    bucket = storage["DataBucket"]
    functions = stack_outputs(SERVICE_STACK)
    job = _job_name()
    plan = invoke(functions["PlanTrainingFunction"], {"job": job, "input": {}})
    click.echo(f"{plan['photos']} photos, {plan['new']} of them new", err=True)
    given = {
        "images": f"s3://{bucket}/images",
        "out": f"s3://{bucket}/models/bundles",
        "job": job,
        "embeddings": storage["EmbeddingsTable"],
        "manifest": plan["manifest"],
        "corrections": plan["corrections"],
        **options,
    }
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    # A process of its own, as in the container, and with the same entry point.
    done = subprocess.run(  # noqa: S603 (our own program, no shell)
        [sys.executable, "-m", "training.train", *flags],
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise AdvisorError(f"training job {job} failed with status {done.returncode}")
    answer = invoke(functions["PublishModelFunction"], {"job": job})
    verb = "is in use" if answer["published"] else "is stored and not in use"
    return {"job": job, **answer, "said": f"{answer['version']} {verb}: {answer['reason']}"}


def _job_name() -> str:
    """As SageMaker takes it, sorted by time."""
    return f"advisor-{datetime.now(UTC):%Y%m%dT%H%M%S}"
