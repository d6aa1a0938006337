"""How fast and how dear classifying a photo is.

`python -m benchmarks.classify` prints, of a photo of 2 megapixels and a model of the default
backbone's shape (benchmarks/model.py):

- bytes to ranked labels by our classifier and by the plain way (Pillow decodes and resizes the
  whole photo, TensorFlow calls the SavedModel), one thread each, in turns in one process;
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
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from statistics import median
from typing import Any, Final

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from advisor.aws import clients
from advisor.aws.photos import PhotoPlace, announcement
from advisor.vision.classifier import Classifier, Prediction
from benchmarks import cold_start, model
from benchmarks.prices import AS_OF, usd
from benchmarks.services import stand_ins
from functions.classify.handler import Services, handler
from infra.layers import ONE_CORE_MB

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
    with threadpool_limits(1):  # as the deployed functions have it
        warm(given.rounds)
    if not given.warm:
        cold_start.report(given.cold_starts)


def warm(rounds: int) -> None:
    """Measure and print what a warm function takes and costs."""
    photo = model.photos(1)[0]
    classifier = Classifier.load(model.untrained().bundle)
    print(f"a JPEG of {model.PHOTO[0]}x{model.PHOTO[1]}, {len(photo)} bytes")
    ours, plain = in_turns(rounds, lambda: classifier.predict(photo), plain_way(photo, classifier))
    faster = plain.cpu / ours.cpu
    print(f"bytes to ranked labels      {ours}; goal: {WARM_MS:.0f} ms")
    print(f"the plain way               {plain}: {faster:.1f} times as long; goal: {TIMES_FASTER}")
    with socket(AF_INET, SOCK_DGRAM) as daemon:  # what is sent there is dropped when it is full
        daemon.bind(("127.0.0.1", 0))
        os.environ["AWS_XRAY_DAEMON_ADDRESS"] = f"127.0.0.1:{daemon.getsockname()[1]}"
        services, event = fakes(classifier.predict(photo)), cold_start.http_event(photo)
        text, batch = json.dumps(event), json.dumps(sqs_event())

        def answering(text: str, *, sampled: bool) -> Callable[[], str]:
            trace_id = f"Root=1-{'0' * 8}-{'0' * 24};Parent={'0' * 16};Sampled={sampled:d}"

            def answer() -> str:
                os.environ["_X_AMZN_TRACE_ID"] = trace_id
                return json.dumps(handler(json.loads(text), None, services=lambda: services))

            return answer

        request, message, *traced = in_turns(
            rounds,
            *(
                answering(one, sampled=sampled)
                for sampled in (False, True)
                for one in (text, batch)
            ),
        )
    print(f"the handler, HTTP           {request}; goal: {OVERHEAD_MS:.0f} ms")
    print(f"  in a sampled trace        {traced[0]}")
    print(f"the handler, S3 by SQS      {message}; with boto3's part of reading the photo")
    print(f"  in a sampled trace        {traced[1]}")
    costs(request=ours.cpu + request.cpu, upload=ours.cpu + message.cpu)


def in_turns(rounds: int, *ways: Callable[[], object]) -> tuple[Took, ...]:
    """How long each takes, warm; their output to stdout goes nowhere."""
    took: list[list[tuple[float, float]]] = [[] for _ in ways]
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        for number in range(rounds + 5):
            for times, way in zip(took, ways, strict=True):
                start, used = time.perf_counter(), time.process_time()
                way()
                if number >= 5:
                    times.append((time.perf_counter() - start, time.process_time() - used))
    return tuple(
        Took(*(1000 * median(column) for column in zip(*times, strict=True))) for times in took
    )


def plain_way(photo: bytes, classifier: Classifier) -> Callable[[], list[tuple[str, float]]]:
    """What a first version does: the whole photo, and TensorFlow."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    serve = tf.saved_model.load(str(model.untrained().saved_model)).signatures["serving_default"]

    def classify() -> list[tuple[str, float]]:
        image = Image.open(BytesIO(photo)).convert("RGB").resize((224, 224))
        pixels = np.asarray(image, np.float32)[np.newaxis]
        (answer,) = serve(tf.constant(pixels)).values()
        probabilities = answer.numpy()[0]
        order = np.argsort(-probabilities)[:5]
        return [(classifier.labels[one], float(probabilities[one])) for one in order]

    return classify


@dataclass(frozen=True)
class Answering:
    """A classifier that has its answer ready (an advisor.catalog.PhotoClassifier)."""

    prediction: Prediction

    @property
    def version(self) -> str:
        """The model's version."""
        return self.prediction.classification.model_version

    def predict(self, data: bytes, *, top_k: int = 5) -> Prediction:  # noqa: ARG002 (PhotoClassifier's)
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
