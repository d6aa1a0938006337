"""What training reads, wherever it lies: a path on this machine, or an S3 URI."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from advisor.errors import DataError


def local_path(place: str, cache: Path, *, only: Collection[str] | None = None) -> Path:
    """The file or folder; of an S3 URI its copy in the cache, brought up to date.

    only: the names below an S3 prefix to fetch, where not all of them are wanted.
    Raises: DataError if an S3 URI cannot be read.
    """
    if not place.startswith("s3://"):
        return Path(place)
    from advisor.aws.prefixes import download  # noqa: PLC0415 (boto3, only where S3 is named)

    return download(place, cache / "s3", only=only)


def json_lines(place: str, cache: Path, *, what: str, line: str) -> Iterator[tuple[str, Any]]:
    """Each line of a file that is not blank: where it stands, and the value it holds.

    what, line: what the file is called in a sentence, and what one line of it is.
    Raises: DataError if it cannot be read, or a line is no JSON, naming it.
    """
    try:
        data = local_path(place, cache).read_bytes()
    except OSError as error:
        raise DataError(f"{what} {place} cannot be read: {error.strerror}") from error
    # Not splitlines(), nor text: a line may hold U+2028, and be no UTF-8.
    for number, text in enumerate(data.split(b"\n"), start=1):
        where = f"{place}, line {number}"
        if text.strip():
            try:
                yield where, json.loads(text)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where} is no {line}: {error!r}") from error
