"""A list of the photos to train on, where a folder holds others, too, or does not tell labels.

A line of JSON each: {"path": in the folder, "label": ..., "product_id": ..., "side": ...}. Without
a label it is the category folder's; without a product_id what photos.jsonl, or the object's
metadata in S3, says; without a side (train, validation or test) what the split draws.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from advisor.errors import DataError
from advisor.naming import label_of
from training.dataset import PhotoFile, one_line, read_product_ids
from training.places import json_lines
from training.split import Side

_SIDES = {side.value: side for side in (Side.TRAIN, Side.VALIDATION, Side.TEST)}


def read_manifest(place: str, *, cache: Path) -> dict[str, PhotoFile]:
    """The photos that a manifest names, by their path in a folder that `listed` says.

    place: a file or an S3 URI.
    Raises: DataError if it cannot be read, names no photo or one twice, or a line is none.
    """
    photos: dict[str, PhotoFile] = {}
    for where, record in json_lines(place, cache, what="manifest", line="photo"):
        photo = _photo(record, where)
        if photo.inside in photos:
            raise DataError(f"{where}: {photo.inside!r} was named before")
        photos[photo.inside] = photo
    if not photos:
        raise DataError(f"manifest {place} names no photo")
    return photos


def listed(folder: Path, photos: dict[str, PhotoFile]) -> list[PhotoFile]:
    """The photos of a manifest as they lie in a folder, sorted by name; not all need be there.

    Raises: DataError if there is no such folder, or its photos.jsonl cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected the one that the manifest's paths are in")
    products = read_product_ids(folder)
    return [
        replace(photo, folder=folder, product_id=photo.product_id or products.get(name, ""))
        for name, photo in sorted(photos.items())
    ]


def _photo(record: Any, where: str) -> PhotoFile:
    if not isinstance(record, dict):
        raise DataError(f'{where} is {record!r}; expected {{"path": ..., "label": ...}}')
    path, label = record.get("path"), record.get("label")
    product_id = record.get("product_id") or ""
    if not isinstance(path, str) or not PurePosixPath(path).name or not _is_file_name(path):
        raise DataError(f"{where}: path is {path!r}; expected a photo's path in the folder")
    # Else a list from elsewhere could have any file of this machine read.
    if path[0] == "/" or ".." in path.split("/"):
        raise DataError(f"{where}: path is {path!r}; expected one that stays in the folder")
    inside = PurePosixPath(path).as_posix()  # ./hat/a.png, as find prints it, is hat/a.png
    if label is None and "/" in inside:
        label = label_of(inside.partition("/")[0])
    if not isinstance(label, str) or not label.strip() or not isinstance(product_id, str):
        raise DataError(
            f"{where}: label is {label!r}, product_id {product_id!r}; expected words, or a path "
            "in a category folder"
        )
    side = record.get("side")
    if side is not None and (not isinstance(side, str) or side not in _SIDES):
        raise DataError(f"{where}: side is {side!r}; expected one of {', '.join(_SIDES)}")
    return PhotoFile(
        folder=Path(),
        inside=inside,
        label=one_line(label.strip()),
        product_id=one_line(product_id),
        side=None if side is None else _SIDES[side],
    )


def _is_file_name(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # JSON can write half a character
        return False
