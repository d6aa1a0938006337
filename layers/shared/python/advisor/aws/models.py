"""Model bundles in S3, and the one in use.

models/bundles/<version>/<file>   a bundle; bundle.json is written last, so what has it is whole
models/jobs/<job>.json            {"version"}: what a training job in the cloud made
models/current.json               {"version", "accuracy", "published_at", "previous"}
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from advisor.aws.clients import client
from advisor.aws.prefixes import S3Uri
from advisor.errors import BundleError, NoModelError, NotFoundError, UsageError
from advisor.vision.bundle_info import INFO, BundleInfo, read_info

BUNDLES = "models/bundles/"
CURRENT = "models/current.json"
JOBS = "models/jobs/"


@dataclass(frozen=True, kw_only=True)
class CurrentModel:
    """models/current.json. accuracy: on its test photos. previous: the version before, or None."""

    version: str
    accuracy: float
    published_at: str
    previous: str | None = None


@dataclass(frozen=True)
class ModelStore:
    """The model bundles of one bucket."""

    bucket: str

    @classmethod
    def at(cls, uri: str) -> ModelStore:
        """The store that s3://BUCKET/models/bundles/ (or s3://BUCKET) names.

        Raises: UsageError if the URI names another place: readers look nowhere else.
        """
        where = S3Uri.parse(uri)
        if where.key.strip("/") not in {"", BUNDLES.strip("/")}:
            raise UsageError(f"bundles live in s3://{where.bucket}/{BUNDLES}, not in {uri!r}")
        return cls(where.bucket)

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
        raw = self._get(CURRENT)
        if raw is None:
            raise NoModelError(f"no model is published in s3://{self.bucket}/{CURRENT} yet")
        return CurrentModel(**json.loads(raw))

    def read_info(self, version: str) -> dict[str, Any]:
        """A bundle's bundle.json.

        Raises: NotFoundError if no bundle of that version is stored (whole).
        """
        raw = self._get(_key(version, INFO))
        if raw is None:
            raise NotFoundError(f"no model bundle {version!r} in s3://{self.bucket}/{BUNDLES}")
        info: dict[str, Any] = json.loads(raw)
        return info

    def missing_files(self, version: str) -> list[str]:
        """What bundle.json names and S3 does not hold; empty when the bundle is complete.

        Raises: NotFoundError as read_info.
        """
        wanted = self.read_info(version)["files"]
        pages = client("s3").get_paginator("list_objects_v2")
        stored = {
            item["Key"]
            for page in pages.paginate(Bucket=self.bucket, Prefix=_key(version, ""))
            for item in page.get("Contents", ())
        }
        return sorted(name for name in wanted if _key(version, name) not in stored)

    def upload(self, folder: Path) -> str:
        """Store a bundle's folder and return its version; it is not published by that.

        Raises: BundleError if the folder holds no sound bundle; UsageError if S3 does not take it.
        """
        # Only training stores bundles: the functions that read them need no numpy for it.
        from advisor.vision.bundle import load_bundle  # noqa: PLC0415

        info = load_bundle(folder).info
        try:
            for name in (*info.files, INFO):
                client("s3").upload_file(str(folder / name), self.bucket, _key(info.version, name))
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise UsageError(f"no bundle can be stored in s3://{self.bucket}: {error}") from error
        return info.version

    def download(self, version: str, folder: Path) -> Path:
        """Fetch a bundle into the folder (whole or not at all) and return the folder.

        A folder that holds that version already is left as it is.
        Raises: NotFoundError as read_info; BundleError if something else is in the place.
        """
        if _holds(folder, version):
            return folder
        if folder.exists():
            raise BundleError(f"{folder} exists and is not the bundle {version!r}")
        info = self.read_info(version)
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".fetch-", dir=folder.parent))
        try:
            for name in (*info["files"], INFO):
                client("s3").download_file(self.bucket, _key(version, name), str(staging / name))
            _move(staging, folder, version)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return folder

    def publish(self, version: str) -> CurrentModel:
        """Make a stored bundle the one in use, in one write that readers see whole or not.

        Raises: NotFoundError as read_info.
        """
        info = BundleInfo.from_json(json.dumps(self.read_info(version)))
        current = CurrentModel(
            version=version,
            accuracy=info.metrics["accuracy"],
            published_at=datetime.now(UTC).isoformat(timespec="seconds"),
            previous=self._previous(version),
        )
        client("s3").put_object(
            Bucket=self.bucket,
            Key=CURRENT,
            Body=json.dumps(asdict(current)).encode(),
            ContentType="application/json",
        )
        return current

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

    def _previous(self, version: str) -> str | None:
        try:
            current = self.current()
        except NoModelError:
            return None
        return current.previous if current.version == version else current.version

    def _get(self, key: str) -> bytes | None:
        try:
            body: bytes = client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
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
