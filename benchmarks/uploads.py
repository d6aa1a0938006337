"""How long many photos take that are put into the uploads bucket at once.

`python -m benchmarks.uploads` deploys the stacks into the emulator (a minute), publishes a model of
the default backbone's shape, puts 200 photos of 2 megapixels and waits until all have labels: S3 to
SQS to the classify function in batches, at most two at a time (`--workers`; on AWS four). Goal: 20
seconds, at most 2 processes, nothing among the dead letters.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from boto3.dynamodb.conditions import Attr

from advisor.aws.clients import client, table
from advisor.aws.models import ModelStore
from advisor.vision.publishing import publish
from benchmarks import model
from benchmarks.processes import PROC, cpu_s
from local import emulator as emulators
from local.cloud import Cloud, deploy

GOAL_S: Final = 20
TIMEOUT_S: Final = 150


def main() -> int:
    """Measure and print; 1 if not all were labelled, or there are dead letters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    bundle = model.untrained().bundle
    kinds = model.photos(20)
    # Each a photo of its own by its bytes.
    photos = [kinds[one % len(kinds)] + one.to_bytes(4, "big") for one in range(given.photos)]
    with tempfile.TemporaryDirectory() as name, emulators.running(Path(name)) as emulator:
        emulators.use(emulator)
        cloud = deploy(emulator, shops=[], log=Path(name) / "deploy.log")
        store = ModelStore(cloud["DataBucket"])
        publish(store, store.upload(bundle), force="a benchmark")
        _limit_workers(cloud, given.workers)
        start, used = time.monotonic(), sum(map(cpu_s, workers(Path(name))))
        with ThreadPoolExecutor(8) as threads:
            list(
                threads.map(lambda number: _put(cloud, number, photos[number]), range(len(photos)))
            )
        put = time.monotonic() - start
        labelled, most = 0, 0
        while labelled < len(photos) and time.monotonic() - start < TIMEOUT_S:
            most = max(most, len(workers(Path(name))))
            labelled = _labelled(cloud)
            time.sleep(0.2)
        took = time.monotonic() - start
        used = sum(map(cpu_s, workers(Path(name)))) - used
        dead = _waiting(cloud["DeadPhotosQueueUrl"])
    print(f"{labelled} of {len(photos)} uploads labelled in {took:.1f} s; goal: {GOAL_S} s")
    print(f"  put within {put:.1f} s; {most} processes, {used:.1f} s of their CPU time")
    print(f"  {dead} dead letters")
    return int(labelled < len(photos) or dead > 0)


def workers(folder: Path) -> list[str]:
    """The ids of the classify function's processes in the emulator of a folder."""
    found = []
    for process in PROC.glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(folder) in command and "Classify" in command:
            found.append(process.name)
    return found


def _limit_workers(cloud: Cloud, most: int) -> None:
    listed: Any = client("lambda").list_event_source_mappings(
        FunctionName=cloud["ClassifyFunction"]
    )
    for mapping in listed["EventSourceMappings"]:
        client("lambda").update_event_source_mapping(
            UUID=mapping["UUID"], ScalingConfig={"MaximumConcurrency": most}
        )


def _put(cloud: Cloud, number: int, photo: bytes) -> None:
    key = f"uploads/photo {number}.jpg"
    client("s3").put_object(Bucket=cloud["UploadsBucket"], Key=key, Body=photo)


def _labelled(cloud: Cloud) -> int:
    rows = table(cloud["LabelsTable"]).scan(FilterExpression=Attr("status").eq("labelled"))
    return int(rows["Count"])


def _waiting(queue: str) -> int:
    name = "ApproximateNumberOfMessages"
    answer = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
    return int(answer["Attributes"][name])


if __name__ == "__main__":
    raise SystemExit(main())
