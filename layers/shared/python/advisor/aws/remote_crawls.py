"""The IAM routes for crawls, called from a laptop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advisor.aws.remote_api import call_api
from advisor.errors import UsageError


@dataclass(frozen=True)
class RemoteCrawls:
    """Crawls behind the API at this address. Runs are as `GET /crawls/{run_id}` gives them."""

    api_url: str

    def start(
        self, spider: str, *, base_url: str, shop: str, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Start a crawl; {"run_id", "started", "reason"}."""
        asked = {"spider": spider, "base_url": base_url, "shop": shop, "settings": settings}
        return call_api(self.api_url, "POST", "crawls", asked, accepted=(200, 201, 409))

    def all(self) -> list[dict[str, Any]]:
        """The newest 100 of the runs that have not expired, newest first."""
        runs: list[dict[str, Any]] = call_api(self.api_url, "GET", "crawls?limit=100")["crawls"]
        return runs

    def status(self, run_id: str) -> dict[str, Any]:
        """One run. Raises: NotFoundError."""
        return call_api(self.api_url, "GET", f"crawls/{_checked(run_id)}")

    def change(self, run_id: str, what: str) -> dict[str, Any]:
        """`pause`, `resume` or `stop` a run; the run as it is then.

        Raises: NotFoundError; UsageError if it is in no state for that.
        """
        return call_api(self.api_url, "POST", f"crawls/{_checked(run_id)}/{what}", {})


def _checked(run_id: str) -> str:
    if not run_id.replace("-", "").isalnum() or not run_id.isascii():
        raise UsageError(f"{run_id!r} is no crawl's id; `advisor crawl --remote status` lists them")
    return run_id
