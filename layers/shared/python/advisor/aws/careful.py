"""How a turn goes on where the one before broke off: it finds the request that breaks turns."""

from __future__ import annotations

from botocore.exceptions import ClientError

from advisor.aws.leases import Lease, note_request
from advisor.crawling.fetch import Fetch
from advisor.crawling.messages import Request, Response
from advisor.errors import FetchError


class Careful:
    """A `Fetch` that notes each request with the lease before it makes it.

    Used one request at a time, each settled before the next. So what a worker died of, or what
    cannot be stored, is known to the next turn, which counts it as a failed attempt: after
    `max_attempts` of them it is an error, and the crawl goes on.
    """

    def __init__(self, fetcher: Fetch, *, table_name: str, lease: Lease) -> None:
        self._fetcher = fetcher
        self._table = table_name
        self._lease = lease

    def fetch(self, request: Request) -> Response:
        """See `Fetch.fetch`. Raises: FetchError, too, for what the turn before broke off at."""
        if request.kind == "robots":
            return self._fetcher.fetch(request)
        attempt = f"{request.attempts} {request.key}"
        if attempt == self._lease.broken_off_at:
            raise FetchError(
                f"{request.url}: the turn before broke off at it", reason="crash", retryable=True
            )
        try:
            note_request(self._table, self._lease, attempt)
        except ClientError as error:
            raise FetchError(f"{request.url}: {error}", reason="aws", retryable=True) from error
        return self._fetcher.fetch(request)

    def close(self) -> None:
        """See `Fetch.close`."""
        self._fetcher.close()
