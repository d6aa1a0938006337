"""Items as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from advisor.crawling.items import Item
from advisor.errors import DataError

COLUMNS = (
    "id", "title", "category", "description", "price_minor", "currency", "availability", "brand",
    "gtin", "mpn", "shop", "url", "images", "price_text", "page", "extractor",
)  # fmt: skip
# How a cell begins that Excel, LibreOffice or Sheets would run (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write_csv(lines: Path, table: Path) -> int:
    """Write items.jsonl as a table; returns its number of rows. One item in memory at a time.

    UTF-8 with a byte order mark, without which Excel reads it as something else. Images are
    separated by spaces. A cell that a spreadsheet would take for a formula begins with a "'".

    Raises: DataError, with its number, for a line that is no item's.
    """
    rows = 0
    with (
        lines.open(encoding="utf-8") as source,
        table.open("w", encoding="utf-8-sig", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for line in source:
            try:
                item = Item.from_dict(json.loads(line))
            except (ValueError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{lines}:{rows + 1} is no line of an item: {line[:60]!r}"
                ) from error
            writer.writerow([_cell(getattr(item, name)) for name in COLUMNS])
            rows += 1
    return rows


def _cell(value: object) -> str:
    if isinstance(value, tuple):
        value = " ".join(str(url).replace(" ", "%20") for url in value)
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
