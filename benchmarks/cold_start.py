"""How long the classify function takes from nothing to its first answer, and where it goes.

`python -m benchmarks.cold_start` runs the deployed layers under AWS's runtime interface emulator
(local/lambda_runtime.py) with a Python started anew for each cold start, and a model from an S3 on
loopback: interpreter, imports, boto3's client, fetching, checking and loading the model, and the
first photo. The time is that of the whole first call, as a caller sees it; the CPU time beside it
is what it takes on a machine that is not busy. On AWS the way to S3 comes on top.
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, ClassVar, Final

from advisor.settings import PREFIX, Settings
from advisor.vision.bundle_info import read_info
from advisor.vision.model_folder import ModelFolder
from advisor.vision.publishing import publish
from benchmarks import model
from benchmarks.hostile_images import Bucket
from benchmarks.processes import children, cpu_s, peak_mb
from infra.layers import ONE_CORE, PROCESS
from local.lambda_runtime import Function, running_function, target

GOAL_MS: Final = 350
LAYERS: Final = ("shared", "base", "vision", "catalog")
SHOWN: Final = 12


class Models(Bucket):
    """S3's GetObject and HeadObject for models."""

    asked: ClassVar[list[str]] = []  # of all requests of the program

    def end_headers(self) -> None:
        """Objects have an ETag."""
        self.send_header("ETag", '"0"')
        super().end_headers()

    def log_request(self, *_: object) -> None:
        """Count it."""
        self.asked.append(self.command)


@dataclass(frozen=True)
class Process:
    """What the function's process has used: CPU milliseconds, and megabytes at most."""

    cpu_ms: float
    mb: float

    @classmethod
    def of(cls, function: Function) -> Process:
        """By the kernel's word."""
        (child,) = children(function.pid)
        return cls(1000 * cpu_s(child), peak_mb(child))


@dataclass(frozen=True)
class ColdStart:
    """One first call."""

    ms: float
    process: Process
    requests: int  # to S3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    given = parser.parse_args()
    report(given.runs)


def report(runs: int) -> None:
    """Print how long cold starts take."""
    with serving_models() as environment:
        starts = [cold_start(environment) for _ in range(runs)]
        imports = by_package(environment)
    middle = median(start.ms for start in starts)
    cpu = [start.process.cpu_ms for start in starts]
    print(f"cold start, first call whole (median of {runs}): {middle:.0f} ms; goal: {GOAL_MS} ms")
    print(
        f"  CPU time of the process: {median(cpu):.0f} ms (least: {min(cpu):.0f}); "
        f"{starts[0].requests} requests to S3, {starts[0].process.mb:.0f} MB at most, "
        f"Python {target().python_version}"
    )
    print("  imports by package, in a run of their own (-X importtime), ms:")
    print("  " + ", ".join(f"{name} {ms:.0f}" for name, ms in imports))


def cold_start(environment: dict[str, str]) -> ColdStart:
    """One."""
    Models.asked.clear()
    with function(environment) as started:
        start = perf_counter()
        answer = started.invoke(http_event(model.photos(1)[0]))
        took = 1000 * (perf_counter() - start)
        if answer["statusCode"] != 200:
            raise RuntimeError(answer["body"])
        return ColdStart(took, Process.of(started), len(Models.asked))


def by_package(environment: dict[str, str]) -> list[tuple[str, float]]:
    """The packages whose modules take longest to import, in milliseconds of their own."""
    with function(environment, "-X", "importtime") as started:
        started.invoke(http_event(model.photos(1)[0]))
        text = started.log.read_text()
    own: Counter[str] = Counter()
    for line in text.splitlines():
        if line.startswith("import time:") and "imported package" not in line:
            microseconds, _, name = line.removeprefix("import time:").split("|")
            own[name.strip().partition(".")[0]] += int(microseconds)
    rows = [(name, took / 1000) for name, took in own.most_common(SHOWN)]
    return [*rows, ("all", own.total() / 1000)]


def http_event(photo: bytes) -> dict[str, Any]:
    """What API Gateway makes of a photo that is sent as it is."""
    event: dict[str, Any] = json.loads(
        (model.ROOT / "tests" / "events" / "http_classify_raw.json").read_bytes()
    )
    return event | {"body": base64.b64encode(photo).decode(), "isBase64Encoded": True}


@contextmanager
def function(environment: dict[str, str], *options: str) -> Iterator[Function]:
    """The function, not started yet."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_function(
            "classify", LAYERS, Path(folder), environment=environment, options=options
        ) as started,
    ):
        yield started


@contextmanager
def serving_models() -> Iterator[dict[str, str]]:
    """A published model in an S3 on loopback; gives the function's environment."""
    with tempfile.TemporaryDirectory() as name:
        bundle = model.untrained().bundle
        version = read_info(bundle).version
        models = Path(name) / "models"
        (models / "bundles").mkdir(parents=True)
        (models / "bundles" / version).symlink_to(bundle)
        publish(ModelFolder(models), version, force="a benchmark")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Models, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield (
                PROCESS
                | ONE_CORE
                | {
                    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                    "AWS_ACCESS_KEY_ID": "x",
                    "AWS_SECRET_ACCESS_KEY": "x",
                    "AWS_REGION": "eu-central-1",
                    "AWS_DEFAULT_REGION": "eu-central-1",
                    "POWERTOOLS_SERVICE_NAME": "classify",
                    **{f"{PREFIX}{one.name.upper()}": one.name for one in fields(Settings)},
                }
            )
        finally:
            server.shutdown()
            server.server_close()


if __name__ == "__main__":
    main()
