"""The ledger of a crawl on AWS: JSON lines in S3, written with each batch, read as a whole.

visits/RUN/TURN/00001.jsonl.gz   a batch: what became of its requests, and which it found
visits/RUN/TURN/all.jsonl.gz     the batches of a turn that came to its end, in one

A batch is there before it is settled, so a worker that dies loses no record. It begins with a
line that tells which run it is of; each further line is a visit, or a request and the page that
it was found on.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from threading import Lock
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError

from advisor.aws.clients import client
from advisor.aws.frontier_rows import key_digest
from advisor.aws.photos import catalog_key
from advisor.crawling.ledger import Visit
from advisor.crawling.messages import Request, body_hash
from advisor.crawling.recall import Known, Packed, unpack
from advisor.crawling.sink import Results
from advisor.errors import NotFoundError

VISITS: Final = "visits/"
_WHOLE = "all.jsonl.gz"
_READERS = 16
# Some 30,000 pages of 150 links each, or 25,000 with a photo each.
MAX_RECALLED_BYTES: Final = 64 * 1024 * 1024
_ENTRY_BYTES = 400  # of a recalled page besides what the spider read, and of a photo
# 403: a function that may not list the bucket is not told that there is no such key.
_ABSENT = frozenset({"NoSuchKey", "AccessDenied"})


@dataclass(frozen=True, kw_only=True)
class Heading:
    """Which run records are of. fingerprint: of the spider that read the pages."""

    run_id: str
    spider: str
    base_url: str
    shop: str
    started_at: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The records of one batch. found, too_deep: requests, each with the page that it is on."""

    heading: Heading
    visits: list[Visit] = field(default_factory=list)
    found: list[tuple[Request, str]] = field(default_factory=list)
    too_deep: list[tuple[Request, str]] = field(default_factory=list)


class RecordWriter:
    """Writes the records of one turn. turn: its name, which sorts by time."""

    def __init__(self, bucket: str, heading: Heading, *, turn: str) -> None:
        self._bucket = bucket
        self._heading = heading
        self._folder = f"{VISITS}{heading.run_id}/{turn}"
        self._batches: list[bytes] = []

    def write(self, results: Results) -> None:
        """Keep what is to be known of a batch."""
        lines = [
            {"run": asdict(self._heading)},
            *({"found": one.to_dict(), "on": page} for one, page in results.found),
            *({"too_deep": one.to_dict(), "on": page} for one, page in results.too_deep),
            *map(_visit_line, results.visits),
        ]
        if len(lines) == 1:
            return
        text = "".join(json.dumps(line) + "\n" for line in lines)
        self._batches.append(gzip.compress(text.encode(), mtime=0))
        self._put(f"{len(self._batches):05d}.jsonl.gz", self._batches[-1])

    def close(self) -> None:
        """The turn has come to its end: one object is quicker to read than many."""
        if len(self._batches) > 1:
            self._put(_WHOLE, b"".join(self._batches))  # as gzip has it: members in a row

    def _put(self, name: str, data: bytes) -> None:
        client("s3").put_object(
            Bucket=self._bucket,
            Key=f"{self._folder}/{name}",
            Body=data,
            ContentType="application/gzip",
        )


def read_batches(bucket: str, run_id: str) -> Iterator[Batch]:
    """All records of a run, in the order in which they were written; without what was parsed.

    Raises: NotFoundError if there are none.
    """
    batch: Batch | None = None
    for line in _lines(bucket, run_id):
        if "run" in line:
            if batch:
                yield batch
            batch = Batch(heading=Heading(**line["run"]))
        elif batch and "visit" in line:
            batch.visits.append(_visit(line))
        elif batch:
            for name, requests in (("found", batch.found), ("too_deep", batch.too_deep)):
                if name in line:
                    requests.append((Request.from_dict(line[name]), str(line["on"])))
    if batch:
        yield batch


class _Recorded(NamedTuple):
    """What a run's records say of an address. parsed: off a page; extension: of a photo's file."""

    body: str
    headers: Mapping[str, str]
    parsed: Packed
    extension: str


class Recall:
    """Pages and photos as an earlier run of the shop found them, for `loop.Crawl`, in any thread.

    The run's records are read when first asked; of more than MAX_RECALLED_BYTES the first ones are
    known. run_id: "" for no earlier run.
    """

    def __init__(self, bucket: str, run_id: str, *, shop: str, fingerprint: str) -> None:
        self._bucket = bucket
        self._run_id = run_id
        self._shop = shop
        self._fingerprint = fingerprint
        self._lock = Lock()
        self._recorded: dict[bytes, _Recorded] | None = None

    def __call__(self, request: Request) -> Known | None:
        """What is known of this request, or None.

        None, too, for a page that another spider read, and for a photo that is not stored, as it
        was, under the category that its item has now.
        """
        with self._lock:
            if self._recorded is None:
                self._recorded = self._read()
        found = self._recorded.get(key_digest(request.key))
        if found is None:
            return None
        if request.kind == "photo":
            return self._photo(request, found)
        return Known(parsed=unpack(found.parsed), body=found.body, headers=found.headers)

    def _photo(self, request: Request, found: _Recorded) -> Known | None:
        key = catalog_key(request, self._shop, image_id=found.body, extension=found.extension)
        try:
            data = _get(self._bucket, key)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _ABSENT:
                raise
            return None
        if body_hash(data) != found.body:
            return None
        return Known(body=found.body, headers=found.headers, data=data)

    def _read(self) -> dict[bytes, _Recorded]:
        recorded: dict[bytes, _Recorded] = {}
        size, ours = 0, False
        try:
            for line in _lines(self._bucket, self._run_id) if self._run_id else ():
                if "run" in line:
                    ours = line["run"]["fingerprint"] == self._fingerprint
                elif (ours and "parsed" in line) or _may_be_asked_again(line):
                    parsed = base64.b64decode(line.get("parsed", ""))
                    key = key_digest(Request.from_dict(line["visit"]).key)
                    recorded[key] = _Recorded(
                        line["body"], _validators(line), parsed, line.get("extension", "")
                    )
                    size += len(parsed) + _ENTRY_BYTES
                if size >= MAX_RECALLED_BYTES:
                    break
        except NotFoundError:  # that run fetched nothing
            return {}
        return recorded


def _lines(bucket: str, run_id: str) -> Iterator[dict[str, Any]]:
    """The lines of all objects of a run; several are fetched at a time."""
    keys = _keys(bucket, run_id)
    if not keys:
        raise NotFoundError(f"no records of crawl {run_id!r} in s3://{bucket}/{VISITS}")
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(keys), _READERS):
            for data in readers.map(partial(_get, bucket), keys[start : start + _READERS]):
                yield from map(json.loads, gzip.decompress(data).splitlines())


def _keys(bucket: str, run_id: str) -> list[str]:
    """The objects of a run; of a turn that came to its end, only the whole one."""
    turns: dict[str, list[str]] = {}
    for page in (
        client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=bucket, Prefix=f"{VISITS}{run_id}/")
    ):
        for one in page.get("Contents", ()):
            turn, _, name = one["Key"].rpartition("/")
            turns.setdefault(turn, []).append(name)
    return [
        f"{turn}/{name}"
        for turn in sorted(turns)
        for name in ([_WHOLE] if _WHOLE in turns[turn] else sorted(turns[turn]))
    ]


def _get(bucket: str, key: str) -> bytes:
    data: bytes = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


def _visit_line(visit: Visit) -> dict[str, Any]:
    line: dict[str, Any] = {
        "visit": visit.request.to_dict(),
        "state": visit.state,
        "status": visit.status,
        "at": visit.at,
        "detail": visit.detail,
        "headers": dict(visit.headers),
        "body": visit.body,
    }
    if visit.parsed and visit.body:
        line["parsed"] = base64.b64encode(visit.parsed).decode()
    if visit.extension:
        line["extension"] = visit.extension
    return line


def _visit(line: Mapping[str, Any]) -> Visit:
    plain = {name: line[name] for name in ("state", "status", "at", "detail", "headers", "body")}
    return Visit(request=Request.from_dict(line["visit"]), **plain)


def _may_be_asked_again(line: Mapping[str, Any]) -> bool:
    """Whether it is of a photo whose host can tell that it is as it was."""
    return bool(line.get("extension")) and bool({"etag", "last-modified"} & line["headers"].keys())


def _validators(line: Mapping[str, Any]) -> Mapping[str, str]:
    """What a question for changes needs, and what a 304 leaves out of the page's own headers."""
    headers: Mapping[str, str] = line["headers"]
    return {
        name: headers[name] for name in ("etag", "last-modified", "content-type") if name in headers
    }
