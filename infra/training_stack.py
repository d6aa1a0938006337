"""The training job and its state machine: train on SageMaker, then publish if better.

Apart from the service, since the local emulator knows no SageMaker. Not yet run on AWS.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import tomllib
from pathlib import Path

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.layers import ROOT
from infra.service_stack import ServiceStack
from infra.storage_stack import StorageStack

# AWS's own TensorFlow container for training; the account is AWS's, the same in most regions.
CONTAINER_ACCOUNT = "763104351884"
CONTAINER = "tensorflow-training:2.19.0-cpu-py312-ubuntu22.04-sagemaker"
INSTANCE = ec2.InstanceType.of(ec2.InstanceClass.M5, ec2.InstanceSize.XLARGE)
TIME_LIMIT = Duration.hours(2)
PULL_IMAGE = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
]
PROGRAM = "training/train.py"


class TrainingStack(Stack):
    """Start an execution with `{}`: its name is the training job's."""

    def __init__(
        self, scope: Construct, construct_id: str, *, storage: StorageStack, service: ServiceStack
    ) -> None:
        super().__init__(scope, construct_id, description="Products Advisor: training")
        source = s3_assets.Asset(self, "Source", path=str(source_archive()))
        data = storage.data
        role = iam.Role(self, "JobRole", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        source.grant_read(role)
        data.grant_read(role, "images/*")
        data.grant_put(role, "models/bundles/*")
        data.grant_put(role, "models/jobs/*")
        self._let_the_container_run(role)
        job = tasks.SageMakerCreateTrainingJob(
            self,
            "Train",
            training_job_name=sfn.JsonPath.string_at("$$.Execution.Name"),
            integration_pattern=sfn.IntegrationPattern.RUN_JOB,
            role=role.without_policy_updates(),  # the task would add delete on the whole bucket
            algorithm_specification=tasks.AlgorithmSpecification(
                training_image=tasks.DockerImage.from_registry(
                    f"{CONTAINER_ACCOUNT}.dkr.ecr.{self.region}.{self.url_suffix}/{CONTAINER}"
                ),
                training_input_mode=tasks.InputMode.FILE,
            ),
            # The container reads every hyperparameter as JSON.
            hyperparameters={
                "sagemaker_program": json.dumps(PROGRAM),
                "sagemaker_submit_directory": json.dumps(source.s3_object_url),
                "sagemaker_region": json.dumps(self.region),
                "images": json.dumps(f"s3://{data.bucket_name}/images"),
                "out": json.dumps(f"s3://{data.bucket_name}/models/bundles"),
                "job": sfn.JsonPath.format('"{}"', sfn.JsonPath.string_at("$$.Execution.Name")),
            },
            # Photos are read from S3 by the program itself: it skips what its cache holds.
            input_data_config=[
                tasks.Channel(
                    channel_name="source",
                    data_source=tasks.DataSource(
                        s3_data_source=tasks.S3DataSource(
                            s3_location=tasks.S3Location.from_bucket(
                                source.bucket, source.s3_object_key
                            )
                        )
                    ),
                )
            ],
            output_data_config=tasks.OutputDataConfig(
                s3_output_location=tasks.S3Location.from_bucket(data, "models/jobs")
            ),
            resource_config=tasks.ResourceConfig(
                instance_count=1, instance_type=INSTANCE, volume_size=Size.gibibytes(50)
            ),
            stopping_condition=tasks.StoppingCondition(max_runtime=TIME_LIMIT),
            result_path="$.job",
        )
        publish = tasks.LambdaInvoke(
            self,
            "Publish",
            lambda_function=lambda_.Function.from_function_arn(
                self, "PublishModel", service.publish_model.function_arn
            ),
            payload=sfn.TaskInput.from_object({"job": sfn.JsonPath.string_at("$$.Execution.Name")}),
            payload_response_only=True,
        )
        machine = sfn.StateMachine(
            self,
            "Training",
            definition_body=sfn.DefinitionBody.from_chainable(job.next(publish)),
            timeout=Duration.hours(3),
            tracing_enabled=True,
            logs=sfn.LogOptions(
                destination=logs.LogGroup(
                    self,
                    "TrainingLogs",
                    retention=logs.RetentionDays.THREE_MONTHS,
                    removal_policy=RemovalPolicy.DESTROY,
                ),
                level=sfn.LogLevel.ERROR,
            ),
        )
        CfnOutput(self, "TrainingStateMachine", value=machine.state_machine_arn)

    def _let_the_container_run(self, role: iam.Role) -> None:
        """What every training job needs: its image, its log, its metrics."""
        repository = CONTAINER.partition(":")[0]
        for actions, resource, conditions in (
            (["ecr:GetAuthorizationToken"], "*", {}),
            (
                PULL_IMAGE,
                f"arn:{self.partition}:ecr:{self.region}:{CONTAINER_ACCOUNT}"
                f":repository/{repository}",
                {},
            ),
            (
                ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                f"arn:{self.partition}:logs:{self.region}:{self.account}"
                ":log-group:/aws/sagemaker/TrainingJobs*",
                {},
            ),
            (
                ["cloudwatch:PutMetricData"],
                "*",
                {"StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}},
            ),
        ):
            role.add_to_policy(
                iam.PolicyStatement(actions=actions, resources=[resource], conditions=conditions)
            )


def source_archive() -> Path:
    """Our code as the container takes it: a tar.gz, the same bytes for the same files."""
    files = {
        f"{folder.name}/{path.relative_to(folder)}": path.read_bytes()
        for folder in (ROOT / "training", ROOT / "layers" / "shared" / "python" / "advisor")
        for path in sorted(folder.rglob("*.py"))
    }
    files["requirements.txt"] = requirements().encode()
    target = ROOT / "build" / "training" / "source.tar.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    half = target.with_name(f"{target.name}.{os.getpid()}")  # another synthesis may be reading
    half.write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
    half.replace(target)
    return target


def requirements() -> str:
    """What the container installs: what `advisor train` runs with here, to the version.

    Its own TensorFlow is another one, made for an older numpy, and it has no TensorFlow Hub.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = project["optional-dependencies"]["train"]
    vision = (ROOT / "layers" / "vision" / "requirements.txt").read_text(encoding="utf-8")
    return vision.rstrip("\n") + "\n" + "".join(f"{package}\n" for package in packages)
