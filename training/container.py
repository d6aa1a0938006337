"""SageMaker's conventions: where a training container finds its input, and tells why it failed.

SM_CHANNEL_IMAGES    the folder of the channel `images`, if the job has one
SM_MODEL_DIR         the folder that SageMaker packs and stores as the job's model
SM_OUTPUT_DIR        its file `failure` (1,024 characters) becomes the job's FailureReason
/opt/ml/checkpoints  a folder that outlives an interrupted spot instance
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

CHECKPOINTS: Final = Path("/opt/ml/checkpoints")
_KEPT = ("checkpoints", "features")  # of the cache: what takes long to compute again
_MAX_FAILURE = 1024


def images_of(environ: Mapping[str, str]) -> str:
    """The folder of photos that the container was given, "" if none."""
    return environ.get("SM_CHANNEL_IMAGES", "")


def bundle_folder(environ: Mapping[str, str]) -> str:
    """Where in the job's model the bundle belongs, "" outside a container.

    A folder of its own: SageMaker's is a mount, which no rename can replace.
    """
    folder = environ.get("SM_MODEL_DIR")
    return str(Path(folder) / "bundle") if folder else ""


def note_failure(environ: Mapping[str, str], reason: str) -> None:
    """Tell SageMaker why the job failed; outside a container this does nothing."""
    if folder := environ.get("SM_OUTPUT_DIR"):
        (Path(folder) / "failure").write_text(reason[:_MAX_FAILURE], encoding="utf-8")


def keep_over_interruptions(cache: Path, checkpoints: Path = CHECKPOINTS) -> None:
    """Put what takes long to compute where an interrupted spot instance leaves it.

    Only where that folder is. Photos are not: they are fetched from S3 again.
    """
    if not checkpoints.is_dir():
        return
    cache.mkdir(parents=True, exist_ok=True)
    for name in _KEPT:
        (checkpoints / name).mkdir(exist_ok=True)
        if not (cache / name).exists():
            (cache / name).symlink_to(checkpoints / name)
