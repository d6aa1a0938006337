"""Models in a folder: bundles/<version>/ and current.json, as in a bucket's models/."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
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

        Raises: BundleError if the folder is no bundle.
        """
        version = read_info(bundle).version
        target = self._bundles / version
        if not target.exists():
            self._bundles.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=".add-", dir=self._bundles))
            try:
                shutil.copytree(bundle, staging / version)
                (staging / version).rename(target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return version

    def read_current(self) -> tuple[bytes | None, str]:
        """current.json (None if there is none), and its hash."""
        try:
            data = self._current.read_bytes()
        except FileNotFoundError:
            return None, ""
        return data, hashlib.sha256(data).hexdigest()

    def write_current(self, data: bytes, mark: str) -> None:
        """Replace current.json in one step, if it still has the hash.

        Raises: UsageError if somebody else replaced it since.
        """
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

    @property
    def _bundles(self) -> Path:
        return self.folder / "bundles"

    @property
    def _current(self) -> Path:
        return self.folder / "current.json"
