"""What a crawl on AWS costs: requests to DynamoDB, SQS and S3, and Lambda seconds.

`python -m benchmarks.crawl_cost` crawls a shop of products, a photo each, with the deployed
code's own service over tables and a queue in the emulator, counts every request, and prices it.
Each answer of the shop takes 50 ms. The Lambda seconds are those of the turns on this machine,
with the emulator's latency in the place of AWS's.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client, table
from advisor.aws.crawl_turns import CrawlService
from advisor.aws.frontier import RunStatus, read_run
from advisor.aws.tokens import Token, TokenQueue
from benchmarks import prices

TABLES = {"frontier": ("pk", "sk"), "products": ("product_id",)}
TABLES["prices"] = ("product_id", "observed_at")
LAMBDA_GB = 1.0  # of the crawl function in infra/service_stack.py
LATENCY_S = 0.05
_WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}


@contextmanager
def counting(tables: Sequence[str]) -> Iterator[Counter[str]]:
    """Count the requests of this process: `dynamodb writes`, `dynamodb reads`, `sqs`, `s3`.

    Also `write units` and `read units`, as DynamoDB bills them: by KB, transactions twice.
    """
    found: Counter[str] = Counter()
    lock = threading.Lock()  # a crawl writes from threads

    def note(params: dict[str, Any], model: Any, **_: object) -> None:
        service = model.service_model.service_name
        with lock:
            if service != "dynamodb":
                found[service] += 1
            elif model.name in _WRITES:
                found["dynamodb writes"] += 1
                found["write units"] += _write_units(params)
            else:
                found["dynamodb reads"] += 1
                found["read units"] += _read_units(params)

    watched = [table(name).meta.client for name in tables] + [client("sqs"), client("s3")]
    for one in watched:
        one.meta.events.register("before-parameter-build", note, unique_id="counting")
    try:
        yield found
    finally:
        for one in watched:
            one.meta.events.unregister("before-parameter-build", note, unique_id="counting")


def _write_units(params: dict[str, Any]) -> int:
    if "TransactItems" in params:
        actions = [next(iter(one.values())) for one in params["TransactItems"]]
        return sum(2 * _kilobytes(one.get("Item", {})) for one in actions)
    if "RequestItems" in params:
        writes = [one for some in params["RequestItems"].values() for one in some]
        return sum(_kilobytes(one.get("PutRequest", {}).get("Item", {})) for one in writes)
    return _kilobytes(params.get("Item", {}))


def _read_units(params: dict[str, Any]) -> int:
    if "RequestItems" in params:
        return sum(len(one["Keys"]) for one in params["RequestItems"].values())
    return 1


def _kilobytes(item: Any) -> int:
    return max(1, math.ceil(_size(item) / 1024))


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return sum(len(name) + _size(one) for name, one in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return len(value) if isinstance(value, bytes) else len(str(value).encode())


def crawl(url: str, service: CrawlService) -> tuple[RunStatus, float]:
    """Crawl a shop to its end, turn by turn; the run, and the seconds its turns took."""
    run_id = service.start("schema-org", base_url=url).run_id
    queue = service.queue.queue_url
    seconds = 0.0
    while (run := read_run(service.frontier_table, run_id)).status == "running":
        answer = client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            start = time.monotonic()
            service.take_turn(Token.from_record({"body": message["Body"]}), budget_s=200)
            seconds += time.monotonic() - start
            client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return run, seconds


def make_service() -> CrawlService:
    """A crawl service over new tables, a bucket and a queue."""
    for name, keys in TABLES.items():
        client("dynamodb").create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
        )
    client("s3").create_bucket(Bucket="data")
    url = client("sqs").create_queue(QueueName="tokens")["QueueUrl"]
    return CrawlService(
        frontier_table="frontier",
        queue=TokenQueue(url, "frontier"),
        bucket="data",
        tables=CatalogTables("products", "prices"),
    )


def main() -> None:
    """Crawl in the emulator and print the table."""
    from local import emulator as emulators
    from tests.unit.crawling.loopback import Answer, serving, shop_of

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=500, help="products of the shop (500)")
    products: int = parser.parse_args().products

    class Slow(dict[str, Answer]):
        def get(self, path: str, default: Any = None) -> Any:
            time.sleep(LATENCY_S)
            return super().get(path, default)

    with tempfile.TemporaryDirectory() as folder, emulators.running(Path(folder)) as emulator:
        emulators.use(emulator)
        service = make_service()
        with serving() as shop:
            shop.pages = Slow(shop_of(products))
            for name in ("first crawl", "crawled again, nothing changed"):
                with counting(tuple(TABLES)) as counts:
                    run, seconds = crawl(shop.url, service)
                _print(name, run, counts, seconds)


def _print(name: str, run: RunStatus, counts: Counter[str], seconds: float) -> None:
    pages = run.pages
    print(f"\n{name}: {pages} pages, {run.items} items, {run.photos} photos")
    print(f"{'per 1,000 pages':<22}{'number':>10}{'USD':>10}   ({prices.AS_OF})")
    rows = (
        ("DynamoDB writes", "dynamodb writes", 0.0),
        ("  write units", "write units", prices.DYNAMODB_WRITE_UNIT),
        ("DynamoDB reads", "dynamodb reads", 0.0),
        ("  read units", "read units", prices.DYNAMODB_READ_UNIT),
        ("SQS requests", "sqs", prices.SQS_REQUEST),
        ("S3 puts", "s3", prices.S3_PUT),
    )
    total = 0.0
    for text, key, price in rows:
        number = 1000 * counts[key] / pages
        total += number * price
        print(f"{text:<22}{number:>10.0f}{f'{number * price:.5f}' if price else '':>10}")
    cost = 1000 * seconds / pages * LAMBDA_GB * prices.LAMBDA_GB_SECOND
    print(f"{'Lambda GB-seconds':<22}{1000 * seconds * LAMBDA_GB / pages:>10.1f}{cost:>10.5f}")
    print(f"{'in all':<22}{'':>10}{total + cost:>10.5f}")
    print(f"writes a page: {counts['dynamodb writes'] / pages:.2f}")


if __name__ == "__main__":
    main()
