"""Past crawls on AWS read from a laptop: their ledger, pages and items, straight from S3.

The AWS identity of the caller needs s3:ListBucket on the data bucket, and s3:GetObject on what it
reads: visits/* for the ledger, pages/* and items/* besides for a replay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.clients import client
from advisor.aws.crawl_records import VISITS, Heading, read_batches
from advisor.aws.crawl_store import PAGES, items_prefix
from advisor.crawling.folder import FRONTIER, ITEMS, ledger_path
from advisor.crawling.ledger import Entry, Ledger, PastCrawl
from advisor.crawling.messages import archive_name
from advisor.errors import DataError, NotFoundError, UsageError

_READERS = 16


def find_remote(
    bucket: str, runs: Sequence[Mapping[str, Any]], keys: Collection[str]
) -> tuple[list[Entry], list[PastCrawl]]:
    """What the newest run that knows these requests says of them, and the runs by number.

    runs: as `GET /crawls` gives them. keys: see `Request.key`.
    Raises: DataError if S3 cannot be read.
    """
    runs = sorted(runs, key=lambda run: str(run["started_at"]), reverse=True)
    with Ledger(Path(":memory:"), writing=True) as ledger, _reading(f"s3://{bucket}/{VISITS}"):
        numbers = {run["run_id"]: _begin(ledger, run) for run in reversed(runs)}
        for run in runs:
            try:
                for batch in read_batches(bucket, run["run_id"]):
                    ledger.record(
                        numbers[run["run_id"]],
                        [one for one in batch.visits if one.request.key in keys],
                        [(one, page) for one, page in batch.found if one.key in keys],
                        too_deep=[(one, page) for one, page in batch.too_deep if one.key in keys],
                    )
            except NotFoundError:  # it fetched nothing
                continue
            if entries := [entry for key in keys for entry in ledger.find(key)]:
                return entries, ledger.crawls()
        return [], ledger.crawls()


def runs_of(bucket: str, shop: str) -> list[str]:
    """The ids of a shop's runs that left records, the oldest first.

    Raises: NotFoundError, naming the shops that there are, if it has none; DataError if S3 cannot
        be read.
    """
    shops: dict[str, list[tuple[str, str]]] = {}  # when each run was started, and its id
    with _reading(f"s3://{bucket}/{VISITS}"):
        pages = client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=VISITS, Delimiter="/"):
            for one in page.get("CommonPrefixes", ()):
                run_id = one["Prefix"].removeprefix(VISITS).rstrip("/")
                heading = next(read_batches(bucket, run_id)).heading
                shops.setdefault(heading.shop, []).append((heading.started_at, run_id))
    if shop not in shops:
        there = ", ".join(sorted(shops)) or "none"
        raise NotFoundError(f"no crawl of shop {shop!r} left records; there are those of {there}")
    return [run_id for _, run_id in sorted(shops[shop])]


def download_run(bucket: str, run_id: str, folder: Path, *, finish_reason: str) -> int:
    """Bring a run's ledger, pages and items into a folder; returns its number there.

    The folder is then as a crawl of this machine leaves it for `why` and `replay`. Pages that it
    has already are not fetched again. finish_reason: why the run ended.
    Raises: NotFoundError if the run left no records; UsageError if a crawl of this machine is in
        the folder; DataError if S3 cannot be read or the folder not be written.
    """
    if (ledger_path(folder).parent / FRONTIER).exists():
        raise UsageError(f"{folder} holds a crawl of this machine; name another folder")
    with _reading(f"s3://{bucket}"):
        batches = read_batches(bucket, run_id)
        first = next(batches)
        try:
            ledger_path(folder).parent.mkdir(parents=True, exist_ok=True)
            with Ledger(ledger_path(folder), writing=True) as ledger:
                number = _begin(ledger, vars(first.heading))
                for batch in (first, *batches):
                    ledger.record(number, batch.visits, batch.found, too_deep=batch.too_deep)
                _download_pages(bucket, {one.body for one in ledger.pages(number)}, folder)
                _download_items(bucket, first.heading, folder)
                ledger.finish(number, finish_reason)
        except OSError as error:
            raise DataError(f"cannot write to {folder}: {error.strerror}") from error
    return number


def _begin(ledger: Ledger, run: Mapping[str, Any]) -> int:
    """Note a run, once; returns its number."""
    names = {name: str(run[name]) for name in ("spider", "base_url", "shop")}
    started = datetime.fromisoformat(run["started_at"]).timestamp()
    for known in ledger.crawls():
        if (known.started, known.shop) == (started, names["shop"]):
            return known.crawl
    number = ledger.begin(started=started, **names)
    ledger.finish(number, str(run.get("finish_reason", "")))
    return number


def _download_pages(bucket: str, digests: Collection[str], folder: Path) -> None:
    def fetch(name: str) -> None:
        path = folder / "pages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")  # each name is fetched by one thread
        part.write_bytes(_read(bucket, PAGES + name))
        part.replace(path)

    names = [archive_name(digest) for digest in sorted(digests)]
    missing = [name for name in names if not (folder / "pages" / name).exists()]
    with ThreadPoolExecutor(_READERS) as readers:
        for _ in readers.map(fetch, missing):
            pass  # raises what one raised


def _download_items(bucket: str, heading: Heading, folder: Path) -> None:
    part = folder / f"{ITEMS}.part"
    with part.open("wb") as file:
        for key in _keys(bucket, items_prefix(heading.shop, heading.run_id)):
            file.write(_read(bucket, key))
    part.replace(folder / ITEMS)


def _keys(bucket: str, prefix: str) -> Iterator[str]:
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        yield from (one["Key"] for one in page.get("Contents", ()))


def _read(bucket: str, key: str) -> bytes:
    data: bytes = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise DataError(
            f"{what} cannot be read ({error}); your AWS identity needs s3:ListBucket and "
            "s3:GetObject there"
        ) from error
