"""The training state machine: plan, train on SageMaker, publish if better.

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
from typing import Any

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as scheduler_targets
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.layers import ROOT
from infra.service_stack import ServiceStack
from infra.storage_stack import StorageStack
from infra.training_settings import TrainingSettings
from infra.watching import told_alarm

# AWS's own TensorFlow container for training; the account is AWS's, the same in most regions.
CONTAINER_ACCOUNT = "763104351884"
CONTAINER = "tensorflow-training:2.19.0-cpu-py312-ubuntu22.04-sagemaker"
LABELLING_MINUTES = 15
PULL_IMAGE = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
]
PROGRAM = "training/train.py"


class TrainingStack(Stack):
    """Start an execution with `{}`, or `{"least_new": 500}`: its name is the training job's."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        storage: StorageStack,
        service: ServiceStack,
        settings: TrainingSettings,
    ) -> None:
        super().__init__(scope, construct_id, description="Products Advisor: training")
        self._data = storage.data
        self._embeddings = storage.embeddings
        self._settings = settings
        self._alarms_topic = service.alarms
        source = s3_assets.Asset(self, "Source", path=str(source_archive()))
        role = self._job_role(source)
        plan = self._call(
            "Plan",
            service.plan_training,
            {
                "job": sfn.JsonPath.string_at("$$.Execution.Name"),
                "input": sfn.JsonPath.object_at("$$.Execution.Input"),
            },
            result_path="$.plan",
        )
        train = sfn.CustomState(self, "Train", state_json=self._train(source, role))
        # SageMaker's own states: no capacity now, too many requests, an error of its own.
        train.add_retry(
            errors=[
                "SageMaker.ResourceLimitExceededException",
                "SageMaker.AmazonSageMakerException",
            ],
            interval=Duration.minutes(5),
            max_attempts=3,
            backoff_rate=2,
        )
        publish = self._call(
            "Publish",
            service.publish_model,
            {"job": sfn.JsonPath.string_at("$$.Execution.Name")},
            result_path="$.publication",
        )
        stays = sfn.Succeed(self, "ModelInUseStays", comment="not shown to be better: reason tells")
        # The index function brings a new model's index into use when enough photos are seen by
        # it; where that takes longer than this, its own schedule goes on.
        index = self._call("Index", service.index, {}, result_path="$.index")
        wait = sfn.Wait(
            self, "WaitForLabels", time=sfn.WaitTime.duration(Duration.minutes(LABELLING_MINUTES))
        )
        published = wait.next(index).next(sfn.Succeed(self, "Published"))
        nothing = sfn.Succeed(self, "TooFewNewPhotos")
        ending = (
            sfn.Choice(self, "IsPublished")
            .when(sfn.Condition.boolean_equals("$.publication.published", True), published)
            .otherwise(stays)
        )
        start = plan.next(
            sfn.Choice(self, "IsWorthIt")
            .when(
                sfn.Condition.boolean_equals("$.plan.train", True), train.next(publish).next(ending)
            )
            .otherwise(nothing)
        )
        self._machine = sfn.StateMachine(
            self,
            "Training",
            definition_body=sfn.DefinitionBody.from_chainable(start),
            timeout=Duration.hours(2 * settings.time_limit_h + 1),  # with waiting for spot
            tracing_enabled=True,
            logs=sfn.LogOptions(
                destination=logs.LogGroup(
                    self,
                    "TrainingLogs",
                    retention=logs.RetentionDays.THREE_MONTHS,
                    removal_policy=RemovalPolicy.DESTROY,
                ),
                level=sfn.LogLevel.ALL,
            ),
        )
        self._let_the_machine_train(role)
        self._starts()
        self._watch()
        CfnOutput(self, "TrainingStateMachine", value=self._machine.state_machine_arn)

    def _call(
        self, name: str, function: lambda_.IFunction, payload: dict[str, Any], *, result_path: str
    ) -> tasks.LambdaInvoke:
        """A step that calls a function of the service stack; Lambda's own errors are retried."""
        return tasks.LambdaInvoke(
            self,
            name,
            lambda_function=lambda_.Function.from_function_arn(
                self, f"{name}Function", function.function_arn
            ),
            payload=sfn.TaskInput.from_object(payload),
            payload_response_only=True,
            result_path=result_path,
        )

    def _train(self, source: s3_assets.Asset, role: iam.Role) -> dict[str, Any]:
        """The state that runs the training job and waits for it.

        Written out, since the CDK's own task knows neither spot instances nor checkpoints.
        """
        settings, bucket = self._settings, self._data.bucket_name
        limit_s = settings.time_limit_h * 3600
        # The container reads every hyperparameter as JSON, and passes it on as a flag.
        hyperparameters = {
            "sagemaker_program": PROGRAM,
            "sagemaker_submit_directory": source.s3_object_url,
            "sagemaker_region": self.region,
            "images": f"s3://{bucket}/images",
            "out": f"s3://{bucket}/models/bundles",
            "embeddings": self._embeddings.table_name,
            **settings.hyperparameters,
        }
        spot: dict[str, Any] = {}
        if settings.spot:
            spot = {
                "EnableManagedSpotTraining": True,
                "CheckpointConfig": {
                    "S3Uri.$": "States.Format('s3://"
                    f"{bucket}/models/checkpoints/{{}}', $$.Execution.Name)"
                },
            }
        return {
            "Type": "Task",
            "Resource": f"arn:{self.partition}:states:::sagemaker:createTrainingJob.sync",
            "Parameters": {
                "TrainingJobName.$": "$$.Execution.Name",
                "RoleArn": role.role_arn,
                "AlgorithmSpecification": {
                    "TrainingImage": f"{CONTAINER_ACCOUNT}.dkr.ecr.{self.region}"
                    f".{self.url_suffix}/{CONTAINER}",
                    "TrainingInputMode": "File",
                },
                "HyperParameters": {
                    **{name: json.dumps(value) for name, value in hyperparameters.items()},
                    "job.$": "States.Format('\"{}\"', $$.Execution.Name)",
                    "manifest.$": "States.Format('\"{}\"', $.plan.manifest)",
                    "corrections.$": "States.Format('\"{}\"', $.plan.corrections)",
                },
                # Photos are read from S3 by the program itself: it knows each one's product.
                "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/models/jobs"},
                "ResourceConfig": {
                    "InstanceCount": 1,
                    "InstanceType": settings.instance,
                    "VolumeSizeInGB": settings.volume_gb,
                },
                "StoppingCondition": {
                    "MaxRuntimeInSeconds": limit_s,
                    **({"MaxWaitTimeInSeconds": 2 * limit_s} if settings.spot else {}),
                },
                **spot,
            },
            "ResultPath": "$.job",
        }

    def _job_role(self, source: s3_assets.Asset) -> iam.Role:
        """What the training job may do, and no more."""
        role = iam.Role(self, "JobRole", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        bucket = self._data.bucket_arn
        written = ["models/bundles/*", "models/jobs/*"]
        in_use = ["models/current.json", "models/bundles/*"]  # what saw the stored features
        kept = ["models/checkpoints/*"] if self._settings.spot else []
        for actions, resources in (
            (["s3:GetObject"], [f"{source.bucket.bucket_arn}/{source.s3_object_key}"]),
            (["s3:ListBucket"], [bucket]),
            (["s3:GetObject"],
             [f"{bucket}/{key}" for key in ("images/*", "models/jobs/*", *in_use, *kept)]),
            (["dynamodb:Query"], [self._embeddings.table_arn]),
            (["s3:PutObject"], [f"{bucket}/{key}" for key in (*written, *kept)]),
        ):  # fmt: skip
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))
        for other, prefix in self._settings.measuring():
            arn = f"arn:{self.partition}:s3:::{other}"
            listed = {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}}
            for action, resource, conditions in (
                ("s3:GetObject", f"{arn}/{prefix}/*", {}),
                ("s3:ListBucket", arn, listed),
            ):
                role.add_to_policy(
                    iam.PolicyStatement(
                        actions=[action], resources=[resource], conditions=conditions
                    )
                )
        self._let_the_container_run(role)
        return role

    def _let_the_machine_train(self, role: iam.Role) -> None:
        """What a state that waits for a training job needs (Step Functions' guide, `.sync`)."""
        jobs = f"arn:{self.partition}:sagemaker:{self.region}:{self.account}:training-job/*"
        rule = (
            f"arn:{self.partition}:events:{self.region}:{self.account}"
            ":rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule"
        )
        calls = ["CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "AddTags"]
        passed = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        for actions, resource, conditions in (
            ([f"sagemaker:{call}" for call in calls], jobs, {}),
            (["events:PutTargets", "events:PutRule", "events:DescribeRule"], rule, {}),
            (["iam:PassRole"], role.role_arn, passed),
        ):
            self._machine.add_to_role_policy(
                iam.PolicyStatement(actions=actions, resources=[resource], conditions=conditions)
            )

    def _starts(self) -> None:
        """By schedule, and when a check finds enough new photos; by hand there is always."""
        for name, when, told in (
            ("Retrain", self._settings.schedule, {}),
            ("Check", self._settings.check, {"least_new": self._settings.new_photos}),
        ):
            if when:
                scheduler.Schedule(
                    self,
                    f"{name}Schedule",
                    schedule=scheduler.ScheduleExpression.expression(when),
                    target=scheduler_targets.StepFunctionsStartExecution(
                        self._machine, input=scheduler.ScheduleTargetInput.from_object(told)
                    ),
                    description="Trains a model" if not told else "Trains if photos are new",
                )

    def _watch(self) -> None:
        for name, metric in (
            ("Failed", self._machine.metric_failed()),
            ("TimedOut", self._machine.metric_timed_out()),
        ):
            told_alarm(
                self,
                f"Training{name}",
                metric,
                1,
                f"Training{name}: the model in use is the one it was",
                topic=self._alarms_topic,
            )

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
