"""The newest answers, on disk until their pages are settled, so that a kill costs few requests."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from threading import Lock

from isal import isal_zlib

from advisor.crawling.fetch import Fetch
from advisor.crawling.messages import Request, Response

# Of each of two files, some 800 pages of 40 KB in all: several times what can be unsettled.
_FILE_BYTES = 16 * 1024 * 1024
_BODY_BYTES = 1024 * 1024  # an answer with more is asked for again
_HEAD_BYTES = 1024 * 1024
_NAMES = ("answers.0", "answers.1")
_PART = "answers.part"


class KeptAnswers:
    """A `Fetch` that keeps what it is answered, and after a kill gives it to who asks the same.

    A crawl has more answers in hand than requests under way: pages that wait to be parsed, and
    outcomes that are settled many at a time. Where nothing can be kept (a full disk) it only
    fetches. Safe to use from threads.
    """

    def __init__(
        self,
        fetcher: Fetch,
        folder: Path,
        *,
        waiting: Callable[[Collection[Request]], Collection[Request]],
    ) -> None:
        """waiting: those of these requests that the crawl has not settled."""
        self._fetcher = fetcher
        self._paths = [folder / name for name in _NAMES]
        self._lock = Lock()
        kept = dict(one for path in self._paths for one in _read(path))
        self._found = {request: kept[request] for request in waiting(kept)}
        self._at = 0
        self._file: FileIO | None = None
        with suppress(OSError):
            self._start_file(folder / _PART)
            (folder / _PART).replace(self._paths[0])
            self._paths[1].unlink(missing_ok=True)

    def fetch(self, request: Request) -> Response:
        """See `Fetch.fetch`."""
        with self._lock:
            found = self._found.get(request)
        answer = found or self._fetcher.fetch(request)
        if len(answer.body) <= _BODY_BYTES:
            with self._lock:
                self._found.pop(request, None)
                self._keep(request, answer)
        return answer

    def close(self) -> None:
        """Let go of the fetcher and the file."""
        self._fetcher.close()
        with self._lock:
            self._close_file()

    def _keep(self, request: Request, answer: Response) -> None:
        if self._file is None:
            return
        with suppress(OSError):
            self._write(request, answer)
            if self._file.tell() > _FILE_BYTES:
                self._at = 1 - self._at
                self._start_file(self._paths[self._at])

    def _start_file(self, path: Path) -> None:
        """Go on in this file, from its beginning, with what was found and not yet asked for.

        It is written over: to make it anew would take four times as long.
        """
        self._close_file()
        path.touch()
        self._file = FileIO(path, "r+")
        self._mark = secrets.token_hex(8).encode()  # tells what is new in it from what is old
        for one in self._found.items():
            self._write(*one)

    def _write(self, request: Request, answer: Response) -> None:
        assert self._file is not None  # noqa: S101 (asked before)
        head = {
            "request": request.to_dict(),
            "conditions": request.conditions,
            "url": answer.url,
            "status": answer.status,
            "headers": dict(answer.headers),
            "bytes": len(answer.body),
            "crc32": isal_zlib.crc32(answer.body),
        }
        data = b"%s%s\n%s" % (self._mark, json.dumps(head).encode(), answer.body)
        try:
            if self._file.write(data) < len(data):
                raise OSError("the disk is full")
        except OSError:  # of which the archive tells, which needs more room
            self._close_file()
            raise

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file:
            file.close()


def forget_answers(folder: Path) -> None:
    """Remove what a crawl was answered: it has come to its end, or another one starts."""
    for name in (*_NAMES, _PART):
        (folder / name).unlink(missing_ok=True)


def _read(path: Path) -> Iterator[tuple[Request, Response]]:
    """The new answers of a file, up to where a kill cut it off or older ones begin."""
    with suppress(OSError, ValueError, LookupError, TypeError), path.open("rb") as file:
        mark = file.read(16)
        file.seek(0)
        while file.read(16) == mark != b"":
            head = json.loads(file.readline(_HEAD_BYTES))
            body = file.read(head["bytes"])
            if isal_zlib.crc32(body) != head["crc32"]:
                return
            conditions = tuple(map(tuple, head["conditions"]))
            request = Request.from_dict({**head["request"], "conditions": conditions})
            answer = {name: head[name] for name in ("url", "status", "headers")}
            yield request, Response(**answer, body=body)
