"""One folder of functions/ becomes one Lambda function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Duration, RemovalPolicy, Size
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.layers import ONE_CORE, ONE_CORE_MB, PROCESS, ROOT


class PythonFunction(lambda_.Function):
    """A function from `functions/<folder>/handler.py`, its layers and its settings.

    settings: fields of advisor.settings.Settings by name; they become `ADVISOR_*` keys.
    traced: X-Ray samples its calls; each line of the log names its trace.
    """

    def __init__(
        self,
        scope: Construct,
        folder: str,
        *,
        layers: Sequence[lambda_.ILayerVersion],
        settings: Mapping[str, str],
        timeout_s: int,
        memory_mb: int,
        description: str,
        disk_mb: int = 512,
        concurrency: int | None = None,
        traced: bool = False,
    ) -> None:
        construct_id = "".join(word.capitalize() for word in folder.split("_"))
        super().__init__(
            scope,
            construct_id,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.X86_64,
            code=lambda_.Code.from_asset(
                str(ROOT / "functions" / folder), exclude=["__pycache__", "*.pyc"]
            ),
            handler="handler.handler",
            layers=list(layers),
            timeout=Duration.seconds(timeout_s),
            memory_size=memory_mb,
            ephemeral_storage_size=Size.mebibytes(disk_mb),
            description=description,
            reserved_concurrent_executions=concurrency,
            tracing=lambda_.Tracing.ACTIVE if traced else None,
            log_group=logs.LogGroup(
                scope,
                f"{construct_id}Logs",
                retention=logs.RetentionDays.ONE_MONTH,
                removal_policy=RemovalPolicy.DESTROY,
            ),
            environment={
                **PROCESS,
                **(ONE_CORE if memory_mb <= ONE_CORE_MB else {}),
                "POWERTOOLS_SERVICE_NAME": folder,
                **{f"ADVISOR_{name.upper()}": value for name, value in settings.items()},
            },
        )
