"""The model bundle: one folder that holds a model and everything it says of itself.

model.tflite    two named outputs; the labels are packed inside, too
labels.txt      one label a line, in the order of the probabilities
bundle.json     BundleInfo: what it was made from, what it measured, sha256 of every file
golden.npz      a few decoded photos and the outputs expected of them
report.html     accuracy, confusion and misclassified photos, for people
answers.json    what it said of each test photo, to compare it with another model
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from advisor.errors import BundleError, UsageError
from advisor.vision.bundle_info import (
    FOR_PEOPLE,
    GOLDEN,
    INFO,
    LABELS,
    MODEL,
    SERVED,
    BundleInfo,
    read_info,
)
from advisor.vision.images import PREPROCESSING_ID
from advisor.vision.interpreter import Output

# The same file on another CPU differs in the last bits of float16 sums; a wrong graph by far more.
GOLDEN_TOLERANCE: Final = 0.01
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say: the same bytes every day


@dataclass(frozen=True)
class Golden:
    """Decoded photos and what the model answered when the bundle was made.

    images: uint8 (n, 224, 224, 3). probabilities: float32 (n, labels).
    embeddings: float32 (n, 1280), as the model gives them.
    """

    images: npt.NDArray[np.uint8]
    probabilities: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """golden.npz."""
        file = BytesIO()
        np.savez_compressed(file, **vars(self))
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Golden:
        """Read golden.npz, never unpickling."""
        try:
            with np.load(BytesIO(data), allow_pickle=False) as arrays:
                return cls(arrays["images"], arrays["probabilities"], arrays["embeddings"])
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise BundleError(f"{GOLDEN} cannot be read: {error}") from error

    def check(
        self,
        run: Callable[[npt.NDArray[np.uint8]], Output],
        tolerance: float = GOLDEN_TOLERANCE,
    ) -> None:
        """Compare the model's answers with the expected ones.

        tolerance: of a probability, and of the largest value of an embedding.
        Raises: BundleError, telling the largest difference.
        """
        for number, image in enumerate(self.images):
            output = run(image)
            for name, got, expected in (
                ("probabilities", output.probabilities, self.probabilities[number]),
                ("embedding", output.embedding, self.embeddings[number]),
            ):
                if got.shape != expected.shape:
                    raise BundleError(
                        f"golden photo {number}: {name} of shape {got.shape}; "
                        f"expected {expected.shape}"
                    )
                scale = max(1.0, float(np.abs(expected).max()))
                difference = float(np.abs(got - expected).max()) / scale
                if not difference <= tolerance:  # also true of NaN
                    raise BundleError(
                        f"golden photo {number}: {name} differ by {difference:.3g} from what "
                        f"the bundle expects; at most {tolerance} is allowed"
                    )


@dataclass(frozen=True)
class Bundle:
    """A bundle read and checked: every file is what bundle.json says it is."""

    info: BundleInfo
    model: bytes
    golden: Golden


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle's folder and check it; files that are for people may be left out of it.

    Raises: BundleError, saying what is missing or differs: a file's hash, the labels, or the
        preprocessing that the model was trained with.
    """
    info = read_info(folder)
    if info.preprocessing_id != PREPROCESSING_ID:
        raise BundleError(
            f"{folder}: trained with preprocessing {info.preprocessing_id!r}, "
            f"but here it is {PREPROCESSING_ID!r}; install the same Pillow or train again"
        )
    files = {
        name: _read_checked(folder, name, sha)
        for name, sha in info.files.items()
        if name not in FOR_PEOPLE or (folder / name).exists()
    }
    missing = set(SERVED) - files.keys()
    if missing:
        raise BundleError(f"{folder / INFO} lists no {', '.join(sorted(missing))}")
    labels = _lines(files[LABELS])
    if not labels == info.labels == unpack_labels(files[MODEL]):
        raise BundleError(f"{folder}: {LABELS}, {INFO} and {MODEL} name different labels")
    return Bundle(info, files[MODEL], Golden.from_bytes(files[GOLDEN]))


def check_target(folder: Path) -> None:
    """Make sure that a bundle may be written to the folder, before hours go into making it.

    Raises: UsageError if something other than a bundle or an empty folder is there, or what it
        would be in is no folder, or may not be written.
    """
    if folder.is_dir() and not folder.is_symlink():
        free = (folder / INFO).is_file() or not any(folder.iterdir())
    else:
        free = not folder.exists() and not folder.is_symlink()
    if not free:
        raise UsageError(f"{folder} exists and is no model bundle; it is left as it is")
    parent = next(parent for parent in folder.absolute().parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} cannot be written: {parent} takes no new folder")


def write_bundle(folder: Path, files: Mapping[str, bytes], info: BundleInfo) -> None:
    """Write a bundle whole or not at all; a bundle that was there is replaced.

    On Linux a kill at any moment leaves the one or the other in the place.

    files: every file but bundle.json, by name; info.files must name their hashes.
    Raises: UsageError if something other than a bundle is in the place.
    """
    check_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the renames stay on one file system.
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        fresh, old = staging / "new", staging / "old"
        fresh.mkdir()
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        (fresh / INFO).write_text(info.to_json(), encoding="utf-8")
        try:
            if folder.exists() and _exchange(folder, fresh):
                return
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
        except BaseException:  # Ctrl-C, too, must leave the bundle that was there
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False, with nothing done, where that fails."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux with glibc 2.28
        return False
    return bool(
        renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
    )


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """sha256 of each file, by name."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def pack_labels(model: bytes, labels: tuple[str, ...]) -> bytes:
    """Append the labels to a TFLite file as a zip, the way of TFLite metadata.

    Interpreters read from the front and zip readers from the back, so the file stays both.
    """
    file = BytesIO()
    file.write(model)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS, _ZIP_TIME), labels_text(labels))
    return file.getvalue()


def unpack_labels(model: bytes) -> tuple[str, ...]:
    """The labels packed into a TFLite file.

    Raises: BundleError if there are none.
    """
    try:
        with zipfile.ZipFile(BytesIO(model)) as archive:
            return _lines(archive.read(LABELS))
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise BundleError(f"no {LABELS} is packed into {MODEL}") from error


def labels_text(labels: tuple[str, ...]) -> str:
    """The text of labels.txt: one label a line."""
    return "".join(f"{label}\n" for label in labels)


def _lines(text: bytes) -> tuple[str, ...]:
    """The lines of labels_text; splitlines() would also split at characters inside a label."""
    return tuple(text.decode().removesuffix("\n").split("\n"))


def _read_checked(folder: Path, name: str, sha256: str) -> bytes:
    if Path(name).name != name:
        raise BundleError(f"{folder / INFO} names the file {name!r} outside the bundle")
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise BundleError(f"{folder} has no readable {name}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise BundleError(f"{folder / name} has sha256 {found}; {INFO} says {sha256}")
    return data
