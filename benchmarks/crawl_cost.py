"""What a crawl on AWS costs: requests to DynamoDB, SQS (also to receive), S3, Lambda seconds.

`python -m benchmarks.crawl_cost` crawls a shop of products, a photo each, with the deployed
code's own service over tables and a queue in the emulator, counts every request, and prices it;
then again, when the shop has an ETag for each page and photo, and none has changed.
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
_S3_GETS = {"GetObject", "HeadObject"}
_MONTH_S = 30 * 24 * 3600
# Lambda asks a queue by five connections, each waiting up to 20 s; the sweep runs each minute.
IDLE_MONTH = {
    "SQS requests": 5 * _MONTH_S / 20,
    "Lambda requests": _MONTH_S / 60,
    "Scheduler invocations": _MONTH_S / 60,
}


@contextmanager
def counting(tables: Sequence[str]) -> Iterator[Counter[str]]:
    """Count this process's requests by the names of `prices.PRICES`, as AWS bills them.

    `DynamoDB writes` and `DynamoDB reads` are the requests, of which one may be of many units.
    """
    found: Counter[str] = Counter()
    units = _WriteUnits()
    lock = threading.Lock()  # a crawl writes from threads

    def note(params: dict[str, Any], model: Any, **_: object) -> None:
        service = model.service_model.service_name
        with lock:
            if service == "sqs":
                found["SQS requests"] += 1
            elif service == "s3":
                found["S3 gets" if model.name in _S3_GETS else "S3 puts"] += 1
            elif model.name in _WRITES:
                found["DynamoDB writes"] += 1
                found["DynamoDB write units"] += units.of(params)
            else:
                found["DynamoDB reads"] += 1
                found["DynamoDB read units"] += _read_units(params)

    watched = [table(name).meta.client for name in tables] + [client("sqs"), client("s3")]
    for one in watched:
        one.meta.events.register("before-parameter-build", note, unique_id="counting")
    try:
        yield found
    finally:
        for one in watched:
            one.meta.events.unregister("before-parameter-build", note, unique_id="counting")


class _WriteUnits:
    """What writes are billed: by KB of the row, also of one that is updated or deleted.

    So the rows that were put are remembered by size; what an update adds to one is not.
    """

    def __init__(self) -> None:
        self._of_row: dict[str, int] = {}

    def of(self, params: dict[str, Any]) -> int:
        """The units of one request, before it is sent."""
        if "TransactItems" in params:
            return sum(2 * self._one(next(iter(one.values()))) for one in params["TransactItems"])
        if "RequestItems" in params:
            return sum(
                self._one({"TableName": name, **write})
                for name, writes in params["RequestItems"].items()
                for one in writes
                for write in one.values()
            )
        return self._one(params)

    def _one(self, write: dict[str, Any]) -> int:
        name = write["TableName"]
        row = write.get("Item") or write["Key"]
        key = f"{name} {[row[one] for one in TABLES[name]]}"
        before = self._of_row.get(key, 1)
        if "Item" not in write:
            return before
        # And again for the index by GTIN, which holds whole products.
        self._of_row[key] = math.ceil(_size(row) / 1024) * (2 if row.get("gtin") else 1)
        return max(before, self._of_row[key])


def _read_units(params: dict[str, Any]) -> int:
    if "RequestItems" in params:
        return sum(len(one["Keys"]) for one in params["RequestItems"].values())
    return 1


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return sum(len(name) + _size(one) for name, one in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return len(value) if isinstance(value, bytes) else len(str(value).encode())


def crawl(url: str, service: CrawlService) -> tuple[RunStatus, list[float]]:
    """Crawl a shop to its end, turn by turn; the run, and the seconds that each turn took."""
    run_id = service.start("schema-org", base_url=url).run_id
    queue = service.queue.queue_url
    turns = []
    while (run := read_run(service.frontier_table, run_id)).status == "running":
        answer = client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            start = time.monotonic()
            service.take_turn(Token.from_record({"body": message["Body"]}), budget_s=200)
            turns.append(time.monotonic() - start)
            client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return run, turns


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
    from tests.unit.crawling.loopback import Answer, serving, shop_of, tagged

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
            shop.pages = Slow(tagged(shop_of(products)))
            for name in ("first crawl", "crawled again, nothing changed (304)"):
                with counting(tuple(TABLES)) as counts:
                    run, turns = crawl(shop.url, service)
                _print(name, run, counts, turns)
        print("\nper month, also when nothing is crawled, without what a sweep reads")
        print("\n".join(prices.lines(IDLE_MONTH)))


def _print(name: str, run: RunStatus, counts: Counter[str], turns: list[float]) -> None:
    thousand = run.pages / 1000
    billed = {one: counts[one] / thousand for one in prices.PRICES if counts[one]}
    billed["Lambda GB-seconds"] = sum(turns) * LAMBDA_GB / thousand
    billed["Lambda requests"] = len(turns) / thousand
    print(f"\n{name}: {run.pages} pages, {run.items} items, {run.photos} photos; per 1,000 pages")
    print("\n".join(prices.lines(billed)))
    print(
        f"a page: {counts['DynamoDB writes'] / run.pages:.2f} writes to DynamoDB of "
        f"{counts['DynamoDB write units'] / run.pages:.2f} units"
    )


if __name__ == "__main__":
    main()
