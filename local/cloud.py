"""The stacks in the emulator: the same CDK app that deploys to AWS, with `local=true`."""

from __future__ import annotations

import json
import mimetypes
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.aws.clients import client
from advisor.errors import UsageError
from local.emulator import ROOT, Emulator
from local.processes import running_program

CDK = ROOT / "node_modules" / ".bin" / "cdk"
SITE = ROOT / "web" / "dist"
STACKS = ("ProductsAdvisor-Storage", "ProductsAdvisor-Service", "ProductsAdvisor-Web")
ACCOUNT = "000000000000"
REGION = "us-east-1"

Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class Cloud:
    """What was deployed: the outputs of the stacks by name (`DataBucket`, `ApiId`, ...)."""

    emulator: Emulator
    outputs: Mapping[str, str]

    def __getitem__(self, output: str) -> str:
        return self.outputs[output]

    @property
    def api_url(self) -> str:
        return f"{self.emulator.url}/_aws/execute-api/{self['ApiId']}/api"

    @property
    def page_url(self) -> str:
        return f"{self.emulator.url}/{self['SiteBucket']}/index.html"

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """Call a deployed function and return its answer.

        Raises: UsageError with the function's own error, if it failed.
        """
        answer = client("lambda").invoke(
            FunctionName=self[f"{function}Function"], Payload=json.dumps(event).encode()
        )
        payload = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer:
            raise UsageError(f"{function} failed: {payload.get('errorMessage', payload)}")
        return payload


def deploy(
    emulator: Emulator,
    *,
    shops: Sequence[Mapping[str, Any]],
    log: Path,
    progress: Progress = lambda _done, _total: None,
) -> Cloud:
    """Bootstrap, deploy every stack, upload the site. The emulator must be in use (`use`).

    Raises: UsageError with the end of the CDK's output, if a stack could not be deployed.
    """
    with log.open("w", encoding="utf-8") as written:
        # Outside the project there is no app to synthesize: the bootstrap stack needs none.
        _cdk(["bootstrap", f"aws://{ACCOUNT}/{REGION}"], cwd=log.parent, log=written)
        context = ["-c", "local=true", "-c", f"shops={json.dumps(list(shops))}"]
        context += ["--output", str(log.parent / "cdk.out")]
        _cdk(
            ["deploy", "--all", "--require-approval", "never", "--progress", "events", *context],
            cwd=ROOT,
            log=written,
            progress=progress,
        )
    cloud = Cloud(emulator, _outputs())
    _upload_site(cloud)
    return cloud


def _cdk(
    arguments: Sequence[str],
    *,
    cwd: Path,
    log: Any,
    progress: Progress = lambda _done, _total: None,
) -> None:
    if not CDK.exists():
        raise UsageError("the CDK command line is not installed; run `make setup` first")
    environment = os.environ | {
        # Node.js is beside the Python that runs this.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CI": "true",  # plain lines instead of a redrawn screen
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "true",
    }
    command = [str(CDK), *arguments, "--no-notices", "--no-version-reporting"]
    tail: list[str] = []
    with running_program(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101 (it is a pipe)
        with process.stdout:
            for line in process.stdout:
                log.write(line)
                tail = [*tail[-11:], line.rstrip()]
                if step := re.search(r"\| +(\d+)/(\d+) \|", line):
                    progress(int(step[1]), int(step[2]))
        process.wait()
    if process.returncode:
        raise UsageError(f"`cdk {arguments[0]}` failed:\n" + "\n".join(tail))


def _outputs() -> dict[str, str]:
    answers = [client("cloudformation").describe_stacks(StackName=name) for name in STACKS]
    return {
        output["OutputKey"]: output["OutputValue"]
        for answer in answers
        for output in answer["Stacks"][0].get("Outputs", [])
    }


def _upload_site(cloud: Cloud) -> None:
    """The page, as BucketDeployment does on AWS; the address of the API is the emulator's."""
    if not (SITE / "index.html").exists():
        raise UsageError("the web page is not built; run `make setup` first")
    s3 = client("s3")
    for path in sorted(SITE.rglob("*")):
        if path.is_file():
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            s3.put_object(
                Bucket=cloud["SiteBucket"],
                Key=path.relative_to(SITE).as_posix(),
                Body=path.read_bytes(),
                ContentType=kind,
            )
    s3.put_object(
        Bucket=cloud["SiteBucket"],
        Key="config.json",
        Body=json.dumps({"apiUrl": cloud.api_url, "region": REGION}).encode(),
        ContentType="application/json",
    )


def advisor_command() -> str:
    """The `advisor` program of this virtual environment."""
    return str(Path(sys.executable).with_name("advisor"))
