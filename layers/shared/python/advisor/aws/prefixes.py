"""S3 prefixes as folders: what training reads that lives in a bucket."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.clients import client
from advisor.errors import DataError, UsageError

_PRODUCTS = "photos.jsonl"


@dataclass(frozen=True)
class S3Uri:
    """s3://bucket/key; the key may be empty."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Read the URI.

        Raises: UsageError if it names no bucket.
        """
        bucket, _, key = text.removeprefix("s3://").partition("/")
        if not text.startswith("s3://") or not bucket:
            raise UsageError(f"{text!r} is no S3 URI; expected s3://BUCKET/PREFIX")
        return cls(bucket, key)


def download(uri: str, cache: Path, *, only: Collection[str] | None = None) -> Path:
    """The local copy of a prefix (a folder) or of one object (a file), brought up to date.

    only: names below the prefix; others are not fetched, and may be there from before.
    Objects of the same size and time are not fetched again; those deleted in S3 go here, too.
    Beside the folder, photos.jsonl tells which product each photo shows, "" where the object's
    metadata does not, in the form that a crawl on plain folders writes.
    Raises: DataError if nothing is there, or S3 cannot be asked.
    """
    where = S3Uri.parse(uri)
    try:
        return _download(where, only, cache / hashlib.sha256(uri.encode()).hexdigest()[:16])
    except (ClientError, BotoCoreError) as error:
        raise DataError(f"{uri} cannot be read: {error}") from error


def fetch(uri: str, path: Path, *, home: Path) -> None:
    """Copy one object to the path, as `download` would have; home: the folder around that copy.

    Raises: OSError if it cannot be had.
    """
    where = S3Uri.parse(uri)
    try:
        answer = client("s3").get_object(Bucket=where.bucket, Key=where.key)
        data = answer["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise OSError(f"{uri} cannot be fetched: {error}") from error
    _write(data, answer["LastModified"], path, home)


def _download(where: S3Uri, only: Collection[str] | None, home: Path) -> Path:
    prefix = where.key.rstrip("/")
    objects = list(_objects(where.bucket, prefix))
    if not objects:
        raise DataError(f"nothing is stored under s3://{where.bucket}/{where.key}")
    root = home / (prefix.rpartition("/")[2] or where.bucket)
    if only is not None:  # perhaps none
        root.mkdir(parents=True, exist_ok=True)
    known = _read_products(home / _PRODUCTS)
    products: dict[str, str] = {}
    kept = set()
    try:
        for item in objects:
            below = item["Key"].removeprefix(prefix).lstrip("/")
            path = root / below if below else root
            if not path.resolve().is_relative_to(home.resolve()):
                raise DataError(f"s3://{where.bucket}/{item['Key']} would lie outside the cache")
            kept.add(path)
            name = path.relative_to(home).as_posix()
            if name in known and _is_current(path, item):
                products[name] = known[name]
            elif only is None or below in only:
                products[name] = _fetch(where, item, path, home)
    except BaseException:  # Ctrl-C, too: what was fetched need not be fetched again
        _write_products(home / _PRODUCTS, known | products, home)
        raise
    _remove_others(root, kept)
    _write_products(home / _PRODUCTS, products, home)
    return root


def _objects(bucket: str, prefix: str) -> Any:
    """Objects at the prefix or below it; not those whose names merely begin alike."""
    for page in (
        client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    ):
        for item in page.get("Contents", ()):
            below = item["Key"].removeprefix(prefix)
            if not item["Key"].endswith("/") and (not prefix or below == "" or below[0] == "/"):
                yield item


def _is_current(path: Path, item: dict[str, Any]) -> bool:
    if not path.is_file():
        return False
    stat = path.stat()
    return bool(stat.st_size == item["Size"] and stat.st_mtime == item["LastModified"].timestamp())


def _fetch(where: S3Uri, item: dict[str, Any], path: Path, home: Path) -> str:
    """Store the object and return the product it shows, "" if its metadata names none."""
    answer = client("s3").get_object(Bucket=where.bucket, Key=item["Key"])
    _write(answer["Body"].read(), item["LastModified"], path, home)
    return unquote(answer["Metadata"].get("product-id", ""))


def _write(data: bytes, modified: datetime, path: Path, home: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(home)
    partial.write_bytes(data)
    os.utime(partial, (modified.timestamp(), modified.timestamp()))
    partial.replace(path)


def _remove_others(root: Path, kept: set[Path]) -> None:
    if root.is_dir():
        for path in root.rglob("*"):
            if path.is_file() and path not in kept:
                path.unlink()


def _read_products(file: Path) -> dict[str, str]:
    """What _write_products wrote, {} if it is damaged: then all is fetched again."""
    try:
        # Not splitlines(): a path may hold U+2028.
        lines = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        return {line["path"]: line["product_id"] for line in map(json.loads, lines)}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _write_products(file: Path, products: dict[str, str], home: Path) -> None:
    """Every path, also those of no known product: one that is not named was not fetched whole."""
    lines = [
        json.dumps({"path": path, "product_id": product_id}, ensure_ascii=False) + "\n"
        for path, product_id in sorted(products.items())
    ]
    home.mkdir(parents=True, exist_ok=True)
    partial = _partial(home)
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(file)


def _partial(home: Path) -> Path:
    """A name of this thread alone, outside the copy: another run may be at the same prefix."""
    return home / f".{os.getpid()}-{threading.get_ident()}.part"
