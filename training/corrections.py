"""Labels that a person gave, which override the shop's category.

A line of JSON each, as the review leaves them:
{"image": sha256 of the photo's bytes, "label": ..., "by": who, "at": ISO 8601}
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from advisor.errors import DataError
from training.dataset import PhotoFile, one_line
from training.parallel import map_photos
from training.places import json_lines

_IMAGE = re.compile(r"[0-9a-f]{64}")


class Correction(NamedTuple):
    """The label that a photo was given. at: when, ISO 8601."""

    label: str
    at: str


def read_corrections(source: str, *, cache: Path) -> dict[str, Correction]:
    """What was said of each corrected photo, by image id; of several the latest counts.

    source: a file or an S3 URI, "" for none.
    Raises: DataError if it cannot be read, naming the line.
    """
    if not source:
        return {}
    latest: dict[str, Correction] = {}
    for where, record in json_lines(source, cache, what="corrections", line="correction"):
        image, label, at = _read(record, where)
        if image not in latest or at >= latest[image].at:
            latest[image] = Correction(label, at)
    return latest


def correct(
    files: Sequence[PhotoFile], corrections: Mapping[str, Correction]
) -> tuple[list[PhotoFile], dict[str, Any]]:
    """The photos with corrected labels, and what that changed.

    corrections: by image id. Returns: the photos, in order, and for bundle.json: given, until (when
        the latest of them was given), photos (files that they are of), changed, and moves from
        label to label, the most frequent first.
    """
    if not corrections:
        return list(files), {}
    corrected, moves, found = [], Counter[tuple[str, str]](), 0
    for file, image_id in zip(files, map_photos(lambda: _hash, files), strict=True):
        given = corrections.get(image_id)
        found += given is not None
        if given is not None and given.label != file.label:
            moves[file.label, given.label] += 1
            corrected.append(replace(file, label=given.label, shop_label=file.label))
        else:
            corrected.append(file)
    return corrected, {
        "given": len(corrections),
        "until": max(one.at for one in corrections.values()),
        "photos": found,
        "changed": moves.total(),
        "moves": [
            {"from": old, "to": new, "photos": count}
            for (old, new), count in sorted(moves.items(), key=lambda move: (-move[1], move[0]))
        ],
    }


def _read(record: Any, where: str) -> tuple[str, str, str]:
    try:
        image, label, at = (record[name] for name in ("image", "label", "at"))
    except (KeyError, TypeError) as error:
        raise DataError(f"{where} is no correction: {error!r}") from error
    if not isinstance(image, str) or not _IMAGE.fullmatch(image):
        raise DataError(f"{where}: image is {image!r}; expected the sha256 of a photo's bytes")
    if not isinstance(label, str) or not label.strip() or not isinstance(at, str):
        raise DataError(f"{where}: label is {label!r}, at {at!r}; expected a label and a time")
    return image, one_line(label.strip()), at


def _hash(file: PhotoFile) -> str:
    try:
        return file.hash()
    except OSError:  # reading the photo itself will tell why
        return ""
