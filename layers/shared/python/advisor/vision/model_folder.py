"""Models in a folder: bundles/<version>/ and current.json, as in a bucket's models/."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from advisor.errors import BundleError, NotFoundError, UsageError
from advisor.vision.bundle_info import INFO, read_info


@dataclass(frozen=True)
class ModelFolder:
    """The models of one folder (an advisor.vision.publishing.Models); it need not exist yet."""

    folder: Path

    @property
    def place(self) -> str:
        """Where they are, for a sentence."""
        return str(self.folder)

    def versions(self) -> list[str]:
        """The stored bundles, newest first."""
        found = self._bundles.glob(f"[!.]*/{INFO}")
        return sorted((path.parent.name for path in found), reverse=True)

    def read_file(self, version: str, name: str) -> bytes:
        """A bundle's file.

        Raises: NotFoundError if no bundle of that version is stored; BundleError if it has no
            such file.
        """
        folder = self._bundles / version
        if Path(version).name != version or not (folder / INFO).is_file():
            raise NotFoundError(f"no model bundle {version!r} in {self._bundles}")
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise BundleError(f"bundle {version!r} in {self.folder} lacks {name}") from error

    def add(self, bundle: Path) -> str:
        """Copy a bundle's folder here, whole or not at all, and return its version.

        Raises: BundleError if the folder is no bundle, or lacks a file of it; UsageError if it
            cannot be written here.
        """
        info = read_info(bundle)
        target = self._bundles / info.version
        if target.exists():
            return info.version
        for name in info.files:
            if not (bundle / name).is_file():
                raise BundleError(f"{bundle} has no readable {name}")
        with self._writing():
            self._bundles.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=".add-", dir=self._bundles))
            try:
                fresh = staging / info.version  # its rights are those of any new folder
                fresh.mkdir()
                for name in (*info.files, INFO):
                    shutil.copyfile(bundle / name, fresh / name)
                fresh.rename(target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return info.version

    def read_current(self) -> tuple[bytes | None, str]:
        """current.json (None if there is none), and its hash."""
        try:
            data = self._current.read_bytes()
        except FileNotFoundError:
            return None, ""
        return data, hashlib.sha256(data).hexdigest()

    def write_current(self, data: bytes, mark: str) -> None:
        """Replace current.json in one step, if it still has the hash.

        Raises: UsageError if somebody else replaced it since, or it cannot be written.
        """
        with self._writing():
            self._replace_current(data, mark)

    def _replace_current(self, data: bytes, mark: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.read_current()[1] != mark:
                raise UsageError(
                    f"another model was published in {self.place} meanwhile; look, and ask again"
                )
            half = self.folder / ".current.json"
            with half.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # a machine that loses power must not keep an empty file
            half.replace(self._current)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # no space, no permission
            reason = error.strerror or error
            raise UsageError(f"models in {self.place} cannot be written: {reason}") from error

    @property
    def _bundles(self) -> Path:
        return self.folder / "bundles"

    @property
    def _current(self) -> Path:
        return self.folder / "current.json"
