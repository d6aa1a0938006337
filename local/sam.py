"""The functions as AWS SAM runs them: in containers of Lambda's own image (docs/local-testing.md).

`make sam-local` builds the synthesized template with SAM, starts the emulator with the deployed
stacks and a model, calls the functions with the recorded events (tests/events), and asks the
classify API. It needs Docker, Finch or podman; what follows `ARGS=` goes to each `sam local`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests

from advisor.aws.clients import client
from advisor.aws.models import ModelStore
from advisor.aws.photos import read_announcement
from advisor.errors import UsageError
from advisor.vision.publishing import publish
from local import emulator as emulators
from local.cloud import Cloud, deploy
from local.emulator import Emulator
from local.lambda_runtime import SAM, free_ports
from local.processes import interrupt_on_signals, running_program

ROOT: Final = emulators.ROOT
FOLDER: Final = ROOT / "build" / "sam"
EVENTS: Final = ROOT / "tests" / "events"
TEMPLATE: Final = "ProductsAdvisor-Service.template.json"
API_TIMEOUT_S: Final = 120
API_CALLS: Final = 4  # the first starts a container, which answers the others
IP_FREEBIND: Final = 15  # of linux/in.h
# Without a shop to crawl and a training job that ended these have nothing to do.
LEFT_OUT: Final = ("schedule_start_crawl", "http_crawls_start", "states_publish_model")


def synthesize(folder: Path, *, log: Any = None) -> None:
    """The stacks' templates for AWS, with what SAM needs to find functions and layers in them."""
    context = {"aws:cdk:enable-asset-metadata": True}
    subprocess.run(
        [sys.executable, "-m", "infra.app"],
        cwd=ROOT,
        env=os.environ | {"CDK_OUTDIR": str(folder), "CDK_CONTEXT_JSON": json.dumps(context)},
        stdout=log,
        check=True,
    )


def sam(*arguments: str | Path) -> list[str]:
    """A command line of SAM's.

    Raises: UsageError if it is not installed.
    """
    program = SAM / "bin" / "sam"
    if not program.exists():
        raise UsageError("AWS SAM is not installed; run `make .sam/.installed` first")
    return [str(program), *map(str, arguments)]


def environment() -> dict[str, str]:
    """What SAM is started with: it tells nobody, and asks no account."""
    return os.environ | {
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


def build(folder: Path) -> Path:
    """Synthesize and `sam build` into a folder; the built template."""
    synthesize(folder / "cdk.out")
    template, built = folder / "cdk.out" / TEMPLATE, folder / "built"
    _name_endpoint(template)
    subprocess.run(
        sam("build", "--template", template, "--build-dir", built),
        env=environment(),
        check=True,
    )
    return built / "template.yaml"


def _name_endpoint(template: Path) -> None:
    """Give functions the variable AWS_ENDPOINT_URL: SAM sets none that the template has not."""
    content = json.loads(template.read_bytes())
    for logical_id in logical_ids(template).values():
        variables = content["Resources"][logical_id]["Properties"]["Environment"]["Variables"]
        variables["AWS_ENDPOINT_URL"] = "-"
    template.write_text(json.dumps(content), encoding="utf-8")


def logical_ids(template: Path) -> dict[str, str]:
    """The functions of a synthesized template: folder of functions/ -> logical id."""
    resources = json.loads(template.read_bytes())["Resources"]
    return {
        variables["POWERTOOLS_SERVICE_NAME"]: logical_id
        for logical_id, resource in resources.items()
        if resource["Type"] == "AWS::Lambda::Function"
        and "POWERTOOLS_SERVICE_NAME"
        in (variables := resource["Properties"].get("Environment", {}).get("Variables", {}))
    }


def main(arguments: Sequence[str]) -> int:
    """Run all of it; 1 if a function failed."""
    try:
        with ExitStack() as stack:
            containers = stack.enter_context(container_runtime(FOLDER))
            return _run(stack, containers, list(arguments))
    except UsageError as error:
        print(f"sam-local: {error}", file=sys.stderr)
        return 2


@dataclass(frozen=True)
class Containers:
    """A container runtime: what SAM must be told of it, and the machine's address in containers."""

    environment: Mapping[str, str]
    machine: str


@contextmanager
def container_runtime(folder: Path) -> Iterator[Containers]:
    """The first of Docker, Finch and podman that answers; podman's service is started.

    Raises: UsageError where there is none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("docker", "finch"):
        if shutil.which(name) and not _run_quietly(name, "info").returncode:
            yield Containers({}, _machine(name, "bridge", "{{(index .IPAM.Config 0).Gateway}}"))
            return
    if shutil.which("podman") is None:
        raise UsageError(
            "needs Docker, Finch or podman, and none of them answers; "
            "`pytest tests/infra/test_contract.py` runs the function without one"
        )
    socket_file = folder / "podman.sock"
    socket_file.unlink(missing_ok=True)
    address = f"unix://{socket_file}"
    with running_program(["podman", "system", "service", "--time=0", address]):
        deadline = time.monotonic() + 30
        while not socket_file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        machine = _machine("podman", "podman", "{{(index .Subnets 0).Gateway}}")
        yield Containers({"DOCKER_HOST": address}, machine)


def _machine(runtime: str, network: str, gateway: str) -> str:
    if sys.platform != "linux":
        return "host.docker.internal"
    return _run_quietly(runtime, "network", "inspect", network, "--format", gateway).stdout.strip()


def _run_quietly(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


class _Relay(socketserver.ThreadingTCPServer):
    """Takes containers to the same port of 127.0.0.1, where alone the emulator listens."""

    daemon_threads = True

    def server_bind(self) -> None:
        """podman's network has its address only while a container runs."""
        self.socket.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
        super().server_bind()


class _Relayed(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """One connection, both ways, until either side ends it."""
        port = self.request.getsockname()[1]
        with socket.create_connection((emulators.HOST, port)) as other:
            back = threading.Thread(target=_copy, args=(other, self.request), daemon=True)
            back.start()
            _copy(self.request, other)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def reachable(emulator: Emulator, containers: Containers) -> Iterator[str]:
    """Let containers reach the emulator; the URL at which they do."""
    port = int(emulator.url.rpartition(":")[2])
    if sys.platform != "linux":  # there containers reach 127.0.0.1 by that name
        yield f"http://{containers.machine}:{port}"
        return
    with _Relay((containers.machine, port), _Relayed) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        try:
            yield f"http://{containers.machine}:{port}"
        finally:
            relay.shutdown()


def _run(stack: ExitStack, containers: Containers, more: list[str]) -> int:
    from benchmarks import model

    template = build(FOLDER)
    emulator = stack.enter_context(emulators.running(FOLDER))
    emulators.use(emulator)
    print("sam-local: deploying the tables and buckets into the emulator", file=sys.stderr)
    cloud = deploy(emulator, shops=[], log=FOLDER / "deploy.log")
    store = ModelStore(cloud["DataBucket"])
    publish(store, store.upload(model.untrained().bundle), force="sam-local")
    _put_announced_photos()
    settings = FOLDER / "settings.json"
    ids = logical_ids(FOLDER / "cdk.out" / TEMPLATE)
    endpoint = stack.enter_context(reachable(emulator, containers))
    settings.write_text(json.dumps(_settings(cloud, ids, endpoint)), encoding="utf-8")
    common = ["--template", str(template), "--env-vars", str(settings)]
    common += more
    env = environment() | dict(containers.environment)
    failed = [name for name in _events() if not _invoke(name, ids, common, env)]
    answered = _ask_api(common, env)
    print(f"sam-local: {len(failed)} of {len(_events())} events failed: {', '.join(failed) or '-'}")
    return int(bool(failed) or not answered)


def _put_announced_photos() -> None:
    """A photo at each place that the recorded announcement names."""
    for bucket in ("data", "uploads"):
        client("s3").create_bucket(Bucket=bucket)
    for record in json.loads((EVENTS / "sqs_s3_photos.json").read_bytes())["Records"]:
        for place in read_announcement(record["body"]):
            client("s3").put_object(Bucket=place.bucket, Key=place.key, Body=_photo())


def _photo() -> bytes:
    """The one that the recorded request sends."""
    event = json.loads((EVENTS / "http_classify_raw.json").read_bytes())
    return base64.b64decode(event["body"])


def _events() -> dict[str, str]:
    functions: dict[str, str] = json.loads((EVENTS / "functions.json").read_bytes())
    return {name: functions[name] for name in functions if name not in LEFT_OUT}


def _settings(cloud: Cloud, ids: Mapping[str, str], endpoint: str) -> dict[str, dict[str, str]]:
    """Each function's environment as deployed into the emulator, and how to reach that."""
    found = {}
    for name, logical_id in ids.items():
        output = "".join(word.capitalize() for word in name.split("_"))
        deployed = client("lambda").get_function_configuration(
            FunctionName=cloud[f"{output}Function"]
        )
        found[logical_id] = deployed["Environment"]["Variables"] | {"AWS_ENDPOINT_URL": endpoint}
    return found


def _invoke(name: str, ids: Mapping[str, str], common: list[str], env: dict[str, str]) -> bool:
    event = EVENTS / f"{name}.json"
    start = time.monotonic()
    done = subprocess.run(
        sam("local", "invoke", ids[_events()[name]], "--event", event, *common),
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    (FOLDER / f"{name}.log").write_text(done.stderr, encoding="utf-8")
    answer = done.stdout.strip().splitlines()[-1:] or ["no answer"]
    failed = any(word in answer[0] for word in ("errorMessage", "itemIdentifier"))
    ok = done.returncode == 0 and not failed
    took = time.monotonic() - start
    print(f"{'✓' if ok else '✗'} {name:28} {took:5.1f} s  {answer[0][:100]}", flush=True)
    return ok


def _ask_api(common: list[str], env: dict[str, str]) -> bool:
    (port,) = free_ports(1)
    photo = base64.b64encode(_photo()).decode()
    command = ("start-api", "--warm-containers", "LAZY", "--port", str(port), *common)
    with (FOLDER / "api.log").open("wb") as log, running_program(
        sam("local", *command),
        env=env, stdout=log, stderr=log, grace_s=10,
    ):  # fmt: skip
        deadline = time.monotonic() + API_TIMEOUT_S
        while time.monotonic() < deadline:
            with suppress(requests.ConnectionError):
                # As JSON: SAM answers an HTTP API's raw bodies with 502.
                answers = [_post(port, photo) for _ in range(API_CALLS)]
                return all(answer.ok for answer in answers)
            time.sleep(0.5)
    return False


def _post(port: int, photo: str) -> requests.Response:
    start = time.monotonic()
    answer = requests.post(
        f"http://127.0.0.1:{port}/classify", json={"image": photo}, timeout=API_TIMEOUT_S
    )
    took = time.monotonic() - start
    print(f"POST /classify {took:6.2f} s  {answer.status_code} {answer.text[:100]}", flush=True)
    return answer


if __name__ == "__main__":
    interrupt_on_signals()
    sys.exit(main(sys.argv[1:]))
