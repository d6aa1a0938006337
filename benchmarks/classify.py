"""How fast and how dear classifying a photo is.

`python -m benchmarks.classify` prints, of a photo of 2 megapixels and a model of the default
backbone's shape (benchmarks/model.py):

- bytes to ranked labels by our classifier, in a process that starts as the deployed function's does
  (infra/layers.py), and by the plain way (Pillow decodes and resizes the whole photo, TensorFlow
  calls the SavedModel) in a plain process beside it; one thread each, in turns;
- what the handler takes besides: parsing the event, JSON, logging, metrics, and a trace where
  X-Ray samples the call; with a classifier that answers at once, S3 answered inside boto3, tables
  that are dictionaries;
- cold starts (benchmarks/cold_start.py; `--warm` leaves them out);
- what 1,000 requests and 1,000 uploads cost on AWS by these times, by memory size.

Times are medians; CPU time is what it takes on a machine that is not busy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from statistics import median
from typing import Any, Final

import numpy as np
from PIL import Image

from advisor.aws import clients
from advisor.aws.photos import PhotoPlace, announcement
from advisor.vision.classifier import Classifier, Prediction
from benchmarks import cold_start, model
from benchmarks.prices import AS_OF, usd
from benchmarks.services import stand_ins
from functions.classify.handler import Services, handler
from infra.layers import ONE_CORE, ONE_CORE_MB, PROCESS

WARM_MS: Final = 10.0
TIMES_FASTER: Final = 8.0
OVERHEAD_MS: Final = 3.0
MEMORY_MB: Final = (512, 1024, 1769, 2048, 3008)
KEY: Final = "uploads/photo.jpg"


@dataclass(frozen=True)
class Took:
    """Milliseconds, medians: by the clock, and of CPU time."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:6.2f} ms ({self.cpu:.2f} of CPU time)"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--cold-starts", type=int, default=9)
    parser.add_argument("--warm", action="store_true", help="without cold starts")
    given = parser.parse_args()
    deployed = PROCESS | ONE_CORE
    if not deployed.items() <= os.environ.items():  # they count where a process starts
        command = [sys.executable, "-m", __spec__.name, *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | deployed)  # noqa: S606 (this program)
    warm(given.rounds)
    if not given.warm:
        cold_start.report(given.cold_starts)


def warm(rounds: int) -> None:
    """Measure and print what a warm function takes and costs."""
    photo = model.photos(1)[0]
    classifier = Classifier.load(model.untrained().bundle)
    print(f"a JPEG of {model.PHOTO[0]}x{model.PHOTO[1]}, {len(photo)} bytes")
    for name in PROCESS:  # what starts from here on is plain; this process has started
        os.environ.pop(name, None)
    with ProcessPoolExecutor(1, get_context("spawn")) as beside:
        ours, plain = in_turns(
            rounds,
            partial(timed, lambda: classifier.predict(photo)),
            lambda: beside.submit(timed, partial(plain_way, photo, classifier.labels)).result(),
        )
    faster = plain.cpu / ours.cpu
    print(f"bytes to ranked labels      {ours}; goal: {WARM_MS:.0f} ms")
    print(f"the plain way               {plain}: {faster:.1f} times as long; goal: {TIMES_FASTER}")
    with socket(AF_INET, SOCK_DGRAM) as daemon:  # what is sent there is dropped when it is full
        daemon.bind(("127.0.0.1", 0))
        os.environ["AWS_XRAY_DAEMON_ADDRESS"] = f"127.0.0.1:{daemon.getsockname()[1]}"
        services, event = fakes(classifier.predict(photo)), cold_start.http_event(photo)
        text, batch = json.dumps(event), json.dumps(sqs_event())
        request, message, *traced = in_turns(
            rounds,
            *(
                partial(timed, partial(answer, one, services, sampled=sampled))
                for sampled in (False, True)
                for one in (text, batch)
            ),
        )
    print(f"the handler, HTTP           {request}; goal: {OVERHEAD_MS:.0f} ms")
    print(f"  in a sampled trace        {traced[0]}")
    print(f"the handler, S3 by SQS      {message}; with boto3's part of reading the photo")
    print(f"  in a sampled trace        {traced[1]}")
    costs(request=ours.cpu + request.cpu, upload=ours.cpu + message.cpu)


def timed(way: Callable[[], object]) -> tuple[float, float]:
    """Seconds that it takes by the clock, and of this process's CPU time."""
    start, used = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - start, time.process_time() - used


def in_turns(rounds: int, *ways: Callable[[], tuple[float, float]]) -> tuple[Took, ...]:
    """How long each takes by its own word, warm; their output to stdout goes nowhere."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        took = [[way() for way in ways] for _ in range(rounds + 5)][5:]
    return tuple(
        Took(*(1000 * median(column) for column in zip(*times, strict=True)))
        for times in zip(*took, strict=True)
    )


def plain_way(photo: bytes, labels: Sequence[str]) -> list[tuple[str, float]]:
    """What a first version does: the whole photo, and TensorFlow."""
    tf, serve = saved_model()
    image = Image.open(BytesIO(photo)).convert("RGB").resize((224, 224))
    pixels = np.asarray(image, np.float32)[np.newaxis]
    (answer,) = serve(tf.constant(pixels)).values()
    probabilities = answer.numpy()[0]
    order = np.argsort(-probabilities)[:5]
    return [(labels[one], float(probabilities[one])) for one in order]


@cache
def saved_model() -> tuple[Any, Any]:
    """TensorFlow on one thread, and the model's function."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(str(model.untrained().saved_model))
    return tf, loaded.signatures["serving_default"]


def answer(event: str, services: Services, *, sampled: bool) -> str:
    """What the handler says to an event, JSON to JSON."""
    trace_id = f"Root=1-{'0' * 8}-{'0' * 24};Parent={'0' * 16};Sampled={sampled:d}"
    os.environ["_X_AMZN_TRACE_ID"] = trace_id
    return json.dumps(handler(json.loads(event), None, services=lambda: services))


@dataclass(frozen=True)
class Answering:
    """A classifier that has its answer ready (an advisor.catalog.PhotoClassifier)."""

    prediction: Prediction

    @property
    def version(self) -> str:
        """The model's version."""
        return self.prediction.classification.model_version

    def predict(self, data: bytes, *, top_k: int = 5) -> Prediction:  # noqa: ARG002 (a PhotoClassifier's)
        """The answer."""
        return self.prediction


def fakes(prediction: Prediction) -> Services:
    """What the handler works with, each part as fast as can be; S3 answers inside boto3."""
    from botocore.awsrequest import AWSResponse

    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    os.environ |= {"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    photo = model.photos(1)[0]

    class Raw(BytesIO):
        """A body that is there already."""

        def stream(self, **_: Any) -> Any:
            """All of it."""
            yield self.read()

    def answer(**_: Any) -> AWSResponse:
        headers = {"content-length": str(len(photo)), "x-amz-meta-nothing": ""}
        return AWSResponse("http://127.0.0.1:9", 200, headers, Raw(photo))

    clients.client("s3").meta.events.register("before-send.s3.GetObject", answer)
    return stand_ins(Answering(prediction))[0]


def sqs_event() -> dict[str, Any]:
    """One uploaded photo, announced by S3 through SQS."""
    body = announcement([PhotoPlace("uploads", KEY)])
    return {"Records": [{"messageId": "m", "body": body}]}


def costs(*, request: float, upload: float) -> None:
    """Print what 1,000 of each cost, of warm calls, each in milliseconds of one vCPU."""
    print(f"\nUSD for 1,000 ({AS_OF}):\n{'':>10}{'ms':>8}{'requests':>12}{'ms':>8}{'uploads':>12}")
    for memory in MEMORY_MB:
        # One thread: more than one vCPU makes nothing faster. Billed by the millisecond.
        slower = max(1.0, ONE_CORE_MB / memory)
        asked, uploaded = (int(one * slower) + 1 for one in (request, upload))
        one = usd({**lambda_counts(asked, memory), "API Gateway requests": 1})
        # S3 tells SQS; a batch of ten is received and deleted by two requests.
        counts = lambda_counts(uploaded, memory, calls=0.1) | {
            "S3 puts": 1,
            "S3 gets": 1,
            "SQS requests": 1.2,
            "DynamoDB read units": 0.5,
            "DynamoDB write units": 1.1,  # the label, and a tenth of the day's count
        }
        other = usd(counts)
        print(f"{memory:>7} MB{asked:>8}{1000 * one:>12.5f}{uploaded:>8}{1000 * other:>12.5f}")
    print("not in it: the way to S3 and DynamoDB, cold starts, transfer, storage\n")


def lambda_counts(ms: float, memory_mb: int, *, calls: float = 1) -> dict[str, float]:
    """What Lambda bills for one photo."""
    return {"Lambda GB-seconds": ms / 1000 * memory_mb / 1024, "Lambda requests": calls}


if __name__ == "__main__":
    main()
