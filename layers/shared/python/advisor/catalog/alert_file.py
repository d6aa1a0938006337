"""Alerts on the products of a crawled folder: DIR/alerts.json."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from advisor.catalog.alerts import Alert, Seen, check
from advisor.catalog.price_log import PriceLog, newest_sights
from advisor.errors import DataError, NotFoundError

ALERTS: Final = "alerts.json"


@dataclass(frozen=True)
class AlertFile:
    """The alerts of one folder."""

    folder: Path

    def all(self) -> list[Alert]:
        """Every alert, in the order in which they were added.

        Raises: DataError if the file holds no alerts.
        """
        path = self.folder / ALERTS
        if not path.exists():
            return []
        try:
            return [Alert.from_dict(one) for one in json.loads(path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} holds no alerts: {error!r}") from error

    def add(self, alert: Alert) -> None:
        """Keep one more alert."""
        self._write([*self.all(), alert])

    def remove(self, alert_id: str) -> None:
        """Forget an alert.

        Raises: NotFoundError if there is none of that id.
        """
        alerts = self.all()
        left = [one for one in alerts if one.alert_id != alert_id]
        if len(left) == len(alerts):
            raise NotFoundError(f"no alert {alert_id!r} in {self.folder}")
        self._write(left)

    def check(self) -> list[str]:
        """Compare the alerts with the folder's newest crawl; returns the sentences to tell."""
        alerts = self.all()
        if not alerts:
            return []
        log = PriceLog.read(self.folder)
        seen = {}
        for sight in newest_sights(self.folder):
            points = [one for one in log.points(sight.item.product_id) if one.counts]
            shows_price = sight.item.price_minor is not None
            price = points[-1] if points and shows_price else None
            seen[sight.item.product_id] = Seen.of(sight.item, price)
        checked = [
            check(one, seen[one.product_id]) if one.product_id in seen else (one, "")
            for one in alerts
        ]
        self._write(one for one, _ in checked)
        return [text for _, text in checked if text]

    def _write(self, alerts: Iterable[Alert]) -> None:
        path = self.folder / ALERTS
        text = json.dumps([one.to_dict() for one in alerts], ensure_ascii=False, indent=1)
        part = path.with_suffix(".part")
        try:
            part.write_text(text + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}") from error
