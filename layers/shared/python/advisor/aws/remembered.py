"""What a warm function knows of what others change: read anew now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

Known = TypeVar("Known")
MAX_AGE_S = 60.0


class Remembered(Generic[Known]):
    """Something as it was at most max_age_s ago; as it was before, while it cannot be read."""

    def __init__(
        self, what: str, read: Callable[[], Known], *, max_age_s: float = MAX_AGE_S
    ) -> None:
        """what: it is, in the log. read: is called at most every max_age_s seconds."""
        self._what = what
        self._read = read
        self._max_age_s = max_age_s
        self._checked_at = 0.0
        self._known: list[Known] = []  # empty before the first time

    def get(self) -> Known:
        """Raises: what read raises, if it never was read."""
        now = time.monotonic()
        if not self._known or now - self._checked_at >= self._max_age_s:
            try:
                self._known = [self._read()]
            except (ClientError, BotoCoreError):
                if not self._known:
                    raise
                logging.getLogger(__name__).exception("the %s of before stay in use", self._what)
            self._checked_at = now
        return self._known[0]
