"""Model bundles in S3, and the one in use.

models/bundles/<version>/<file>   a bundle; bundle.json is written last, so what has it is whole
models/jobs/<job>.json            {"version"}: what a training job in the cloud made
models/jobs/<job>.plan.json       how many photos there were of each category when it began
models/jobs/<job>.manifest.jsonl  which these were (training/manifest.py)
models/jobs/<job>.corrections.jsonl   the labels that people had given by then
models/corrections.jsonl          labels that people gave elsewhere (training/corrections.py)
models/current.json               advisor.vision.publishing.CurrentModel
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.clients import client
from advisor.aws.prefixes import S3Uri
from advisor.aws.quick_get import quick_get
from advisor.errors import BundleError, NotFoundError, UsageError
from advisor.vision.bundle_info import INFO, SERVED, read_info
from advisor.vision.publishing import CurrentModel, current_model

BUNDLES = "models/bundles/"
CURRENT = "models/current.json"
JOBS = "models/jobs/"
CORRECTIONS = "models/corrections.jsonl"
_MISSING = frozenset({"NoSuchKey", "404"})
_CHANGED = frozenset(
    {"PreconditionFailed", "412", "ConditionalRequestConflict", "NoSuchKey", "404"}
)


@dataclass(frozen=True)
class ModelStore:
    """The model bundles of one bucket (an advisor.vision.publishing.Models)."""

    bucket: str

    @property
    def place(self) -> str:
        """Where they are, for a sentence."""
        return f"s3://{self.bucket}/models"

    @classmethod
    def at(cls, uri: str) -> ModelStore:
        """The store that s3://BUCKET/models/bundles/ (or s3://BUCKET) names.

        Raises: UsageError if the URI names another place: readers look nowhere else.
        """
        where = S3Uri.parse(uri)
        if where.key.strip("/") not in {"", BUNDLES.strip("/")}:
            raise UsageError(f"bundles live in s3://{where.bucket}/{BUNDLES}, not in {uri!r}")
        return cls(where.bucket)

    def uri(self, version: str) -> str:
        """Where a bundle lies: s3://BUCKET/models/bundles/VERSION."""
        return f"s3://{self.bucket}/{BUNDLES}{version}"

    def check(self) -> None:
        """Make sure that there is such a bucket, before hours go into making a bundle for it.

        Raises: UsageError if there is none, or S3 cannot be asked.
        """
        try:
            client("s3").head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] != "403":  # who may write may not always list
                raise UsageError(f"s3://{self.bucket} cannot be used: {error}") from error
        except BotoCoreError as error:
            raise UsageError(f"s3://{self.bucket} cannot be used: {error}") from error

    def current(self) -> CurrentModel:
        """The model in use.

        Raises: NoModelError if none is published yet.
        """
        return current_model(self)

    def versions(self) -> list[str]:
        """The stored bundles, newest first; one that is still being stored is not among them."""
        pages = client("s3").get_paginator("list_objects_v2")
        found = [
            item["Prefix"].removeprefix(BUNDLES).rstrip("/")
            for page in pages.paginate(Bucket=self.bucket, Prefix=BUNDLES, Delimiter="/")
            for item in page.get("CommonPrefixes", ())
        ]
        return sorted((one for one in found if self._has(_key(one, INFO))), reverse=True)

    def read_file(self, version: str, name: str) -> bytes:
        """A bundle's file.

        Raises: NotFoundError if no bundle of that version is stored (whole); BundleError if it
            has no such file.
        """
        raw = self._get(_key(version, name))
        if raw is not None:
            return raw
        if name == INFO:
            raise NotFoundError(f"no model bundle {version!r} in {self.place}/bundles/")
        raise BundleError(f"bundle {version!r} in {self.place} lacks {name}")

    def read_current(self) -> tuple[bytes | None, str]:
        """models/current.json (None if there is none), and its ETag."""
        if found := quick_get(self.bucket, CURRENT):
            return found.body, found.etag
        try:
            answer = client("s3").get_object(Bucket=self.bucket, Key=CURRENT)
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None, ""
            raise
        return answer["Body"].read(), str(answer["ETag"])

    def write_current(self, data: bytes, mark: str) -> None:
        """Replace models/current.json in one write, if it still has the ETag.

        Raises: UsageError if somebody else replaced it since.
        """
        condition = {"IfMatch": mark} if mark else {"IfNoneMatch": "*"}
        try:
            client("s3").put_object(
                Bucket=self.bucket,
                Key=CURRENT,
                Body=data,
                ContentType="application/json",
                **condition,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in _CHANGED:
                raise
            raise UsageError(
                f"another model was published in {self.place} meanwhile; look, and ask again"
            ) from error

    def read_info(self, version: str) -> dict[str, Any]:
        """A bundle's bundle.json.

        Raises: NotFoundError if no bundle of that version is stored (whole).
        """
        info: dict[str, Any] = json.loads(self.read_file(version, INFO))
        return info

    def upload(self, folder: Path) -> str:
        """Store a bundle's folder and return its version; it is not published by that.

        Raises: BundleError if the folder holds no sound bundle; UsageError if S3 does not take it.
        """
        # Only training stores bundles: the functions that read them need no numpy for it.
        from boto3.exceptions import Boto3Error  # noqa: PLC0415 (boto3, which readers may not need)

        from advisor.vision.bundle import load_bundle  # noqa: PLC0415 (numpy and the interpreter)

        info = load_bundle(folder).info
        for name in info.files:
            if not (folder / name).is_file():
                raise BundleError(f"{folder} has no readable {name}")
        try:
            for name in (*info.files, INFO):
                client("s3").upload_file(str(folder / name), self.bucket, _key(info.version, name))
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise UsageError(f"no bundle can be stored in s3://{self.bucket}: {error}") from error
        return info.version

    def download(self, version: str, folder: Path) -> Path:
        """Fetch what classifying needs of a bundle (whole or not at all) and return the folder.

        A folder that holds that version already is left as it is.
        Raises: NotFoundError as read_info; BundleError if something else is in the place, or the
            bundle lacks a file.
        """
        if _holds(folder, version):
            return folder
        if folder.exists():
            raise BundleError(f"{folder} exists and is not the bundle {version!r}")
        info = self.read_file(version, INFO)
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder.parent))
        try:
            # A cold start waits here: all at once, and not by download_file, which asks for each
            # file's size first.
            with ThreadPoolExecutor(len(SERVED)) as threads:
                files = threads.map(lambda name: self.read_file(version, name), SERVED)
                for name, data in zip(SERVED, files, strict=True):
                    (staging / name).write_bytes(data)
            (staging / INFO).write_bytes(info)
            _move(staging, folder, version)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return folder

    def note_job(self, job: str, version: str) -> None:
        """Write down which bundle a training job made, for who waits for the job by its name."""
        body = json.dumps({"version": version}).encode()
        client("s3").put_object(Bucket=self.bucket, Key=f"{JOBS}{job}.json", Body=body)

    def version_of_job(self, job: str) -> str:
        """The version of the bundle that a training job made.

        Raises: NotFoundError if the job has not noted one.
        """
        raw = self._get(f"{JOBS}{job}.json")
        if raw is None:
            raise NotFoundError(f"training job {job!r} has made no bundle")
        return str(json.loads(raw)["version"])

    def note_plan(self, job: str, plan: dict[str, Any]) -> None:
        """Write down what a training job was to be made of, in figures."""
        body = json.dumps(plan, ensure_ascii=False).encode()
        client("s3").put_object(Bucket=self.bucket, Key=f"{JOBS}{job}.plan.json", Body=body)

    def note_photos(self, job: str, manifest: BinaryIO) -> str:
        """Write down the photos of a training job (training/manifest.py); returns the S3 URI."""
        key = f"{JOBS}{job}.manifest.jsonl"
        manifest.seek(0)
        client("s3").upload_fileobj(manifest, self.bucket, key)
        return f"s3://{self.bucket}/{key}"

    def scanned_photos(self) -> int:
        """How many photos the newest bundle's run found, published or not; 0 without a bundle."""
        newest = next(iter(self.versions()), None)
        return int(self.read_info(newest)["data"].get("scanned", 0)) if newest else 0

    def note_corrections(self, job: str, reviewed: Iterable[Mapping[str, str]]) -> str:
        """Write down the labels that people gave: in models/corrections.jsonl, and in reviews.

        reviewed: see training/corrections.py. Returns: the S3 URI; "" if there are none.
        """
        lines = (self._get(CORRECTIONS) or b"").splitlines()
        lines += [json.dumps(one, ensure_ascii=False).encode() for one in reviewed]
        if not lines:
            return ""
        key = f"{JOBS}{job}.corrections.jsonl"
        client("s3").put_object(Bucket=self.bucket, Key=key, Body=b"\n".join(lines) + b"\n")
        return f"s3://{self.bucket}/{key}"

    def _has(self, key: str) -> bool:
        try:
            client("s3").head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return False
            raise
        return True

    def _get(self, key: str) -> bytes | None:
        if found := quick_get(self.bucket, key):
            return found.body
        try:
            body: bytes = client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise
        return body


def _key(version: str, name: str) -> str:
    return f"{BUNDLES}{version}/{name}"


def _holds(folder: Path, version: str) -> bool:
    return (folder / INFO).is_file() and read_info(folder).version == version


def _move(staging: Path, folder: Path, version: str) -> None:
    """Rename into place; another process that was faster with the same bundle is fine."""
    try:
        staging.rename(folder)
    except OSError:
        if not _holds(folder, version):
            raise
