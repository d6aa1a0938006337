"""`advisor train --remote` on AWS: it starts the state machine. (The emulator: tests/e2e.)"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import click
import pytest
from click.testing import CliRunner
from moto import mock_aws

from advisor.aws import clients
from advisor.aws.stacks import TRAINING_STACK
from advisor.errors import UsageError
from cli import train


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A deployed training stack, as far as its outputs go."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    clients.client.cache_clear()
    with mock_aws():
        role = "arn:aws:iam::123456789012:role/any"
        arn: str = boto3.client("stepfunctions").create_state_machine(
            name="training", definition="{}", roleArn=role
        )["stateMachineArn"]
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {"TrainingStateMachine": {"Value": arn}},
        }
        boto3.client("cloudformation").create_stack(
            StackName=TRAINING_STACK, TemplateBody=json.dumps(template)
        )
        yield arn
    clients.client.cache_clear()


def advisor(*arguments: str) -> Any:
    return CliRunner().invoke(train.command, arguments, catch_exceptions=False)


def test_starts_an_execution_with_a_name_that_sagemaker_takes(machine: str) -> None:
    told = json.loads(advisor("--remote", "--json").stdout)
    (execution,) = boto3.client("stepfunctions").list_executions(stateMachineArn=machine)[
        "executions"
    ]
    assert told["execution"] == execution["executionArn"]
    assert execution["name"].replace("-", "").isalnum()
    assert len(execution["name"]) <= 63


def test_what_the_stack_decides_cannot_be_said_here(machine: str) -> None:
    with pytest.raises(UsageError, match=r"on AWS steps, min-images is said in cdk\.json"):
        advisor("--remote", "--steps", "5", "--min-images", "50")
    for more in (("photos",), ("--out", "x")):
        assert "--remote knows its photos and its place" in advisor("--remote", *more).stderr
    assert boto3.client("stepfunctions").list_executions(stateMachineArn=machine)[
        "executions"
    ] == []  # fmt: skip


def test_without_the_stack_there_is_one_sentence(machine: str) -> None:
    boto3.client("cloudformation").delete_stack(StackName=TRAINING_STACK)
    with pytest.raises(UsageError, match="stack 'ProductsAdvisor-Training' cannot be read"):
        advisor("--remote")


def test_photos_or_remote_must_be_said() -> None:
    result = advisor("photos")
    assert result.exit_code == click.UsageError.exit_code
    assert "expected IMAGE_DIR and --out, or --remote" in result.stderr
