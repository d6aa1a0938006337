"""AWS's own Lambda runtime on this machine, without Docker: what is deployed, and nothing else.

AWS's runtime interface emulator (it comes with AWS SAM) speaks the Lambda protocol on loopback,
AWS's runtime interface client runs the handler in an interpreter that can import the function's
folder, its layers and what Lambda's own Python brings. That is Lambda's Python with the layers
that go to AWS where such a Python is on the machine, else the one that runs this, with its layers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from advisor.errors import UsageError
from infra.layers import (
    BUILD,
    LAMBDA,
    ROOT,
    THIS_MACHINE,
    Target,
    build_layer,
    pip_install,
    python_of,
)
from local.processes import running_program

SAM = ROOT / ".sam" / "venv"
RUNTIME: Final = ("awslambdaric", "boto3")  # of what Lambda's Python brings, what we use
HOST: Final = "127.0.0.1"
START_TIMEOUT_S: Final = 30
CALL_TIMEOUT_S: Final = 120


@dataclass(frozen=True)
class Function:
    """A function that waits for events; its process starts with the first one.

    pid: of the emulator, whose child that process is. log: what both print.
    """

    port: int
    pid: int
    log: Path

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """The answer to one event.

        Raises: UsageError with the function's own words, if it failed.
        """
        connection = HTTPConnection(HOST, self.port, timeout=CALL_TIMEOUT_S)
        try:
            path = "/2015-03-31/functions/function/invocations"
            connection.request("POST", path, json.dumps(event).encode())
            answer = json.loads(connection.getresponse().read() or b"null")
        finally:
            connection.close()
        if isinstance(answer, dict) and "errorMessage" in answer:
            raise UsageError(f"{answer.get('errorType')}: {answer['errorMessage']} ({self.log})")
        return answer


def target() -> Target:
    """What functions are run as here: as on Lambda, if there is such a Python."""
    return LAMBDA if python_of(LAMBDA) else THIS_MACHINE


@contextmanager
def running_function(
    name: str,
    layers: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str],
    options: Sequence[str] = (),
) -> Iterator[Function]:
    """Run functions/<name> until the block ends; then nothing of it is left.

    layers: names of folders of layers/. folder: an empty one, for what Lambda has as /opt and /tmp,
    and for the log. options: of the interpreter (`-X importtime`).
    Raises: UsageError if AWS SAM is not installed.
    """
    emulator = _emulator()
    here = target()
    opt, tmp, log = folder / "opt", folder / "tmp", folder / "function.log"
    tmp.mkdir(parents=True)
    _link_layers(opt, [build_layer(layer, here) / "python" for layer in layers])
    task = ROOT / "functions" / name
    path = (task, opt, _runtime_packages(here))
    port, api_port = free_ports(2)
    command = [emulator, "--log-level", "error"]
    command += ["--runtime-interface-emulator-address", f"{HOST}:{port}"]
    command += ["--runtime-api-address", f"{HOST}:{api_port}"]
    # -S, -s: the interpreter's own site-packages are none of the function's.
    command += [str(python_of(here)), "-S", "-s", *options, "-m", "awslambdaric", "handler.handler"]
    with (
        log.open("wb") as output,
        running_program(
            command,
            cwd=task,
            env={
                **environment,
                "AWS_LAMBDA_FUNCTION_NAME": name,
                "LAMBDA_TASK_ROOT": str(task),
                "PYTHONPATH": os.pathsep.join(map(str, path)),
                "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's disk is read-only, too
                "TMPDIR": str(tmp),
                "PATH": os.defpath,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        _wait_until_listening(port, process, log)
        yield Function(port, process.pid, log)


def _emulator() -> str:
    machine = "arm64" if os.uname().machine == "aarch64" else "x86_64"
    pattern = f"lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"
    found = next(SAM.glob(pattern), None)
    if found is None:
        raise UsageError("AWS SAM is not installed; run `make .sam/.installed` first")
    return str(found)


@cache
def _runtime_packages(here: Target) -> Path:
    """A folder with what Lambda's own Python brings: boto3, and what calls the handler."""
    pins = [f"{name}=={version(name)}" for name in RUNTIME]
    digest = hashlib.sha256(" ".join(pins).encode()).hexdigest()[:16]
    folder = BUILD.parent / "runtime" / f"{here.name}-{digest}"
    if not folder.is_dir():
        half = folder.with_name(f"{folder.name}.{os.getpid()}")
        pip_install(pins, half, here)
        subprocess.run([str(python_of(here)), "-m", "compileall", "-q", half], check=True)
        try:
            half.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(half)
    return folder


def _link_layers(opt: Path, layers: Sequence[Path]) -> None:
    """Lambda unpacks all layers into one folder."""
    opt.mkdir()
    for layer in layers:
        for entry in layer.iterdir():
            link = opt / entry.name
            if not link.exists():
                link.symlink_to(entry)


def free_ports(count: int) -> list[int]:
    """So many ports of loopback that nothing listens on, all of them different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _wait_until_listening(port: int, process: subprocess.Popen[Any], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.02)
    raise UsageError(f"the runtime interface emulator does not listen; see {log}")
