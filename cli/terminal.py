"""What commands share of the terminal: aligned columns on stdout, progress on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unicodedata import combining, east_asian_width

import click


def echo(text: str) -> None:
    """Print a line; bytes of a file's name that are no UTF-8 show as JSON escapes them."""
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def plain(text: object) -> str:
    """A shop's text on one line: data for a reader, no orders for a terminal."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text)
    )


def echo_columns(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print rows with their columns aligned; those named in `right` on their right edge."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            " " * (width - _width(cell)) + cell
            if number in right
            else cell + " " * (width - _width(cell))
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def printable(text: str) -> str:
    """A shop's text without what a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def price_text(minor: int | None, currency: str) -> str:
    """A price for people: "1,299.00 EUR", "500 JPY", "no price"."""
    from advisor.crawling.currencies import exponent_of

    if minor is None:
        return "no price"
    digits = exponent_of(currency)
    return f"{minor / 10**digits:,.{digits}f} {currency}".rstrip()


@contextmanager
def working() -> Iterator[tuple[Callable[[str], None], Callable[[str, int, int], None]]]:
    """Two functions: one that says a sentence, one that draws how far a stage is. On stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    hidden = not console.is_terminal  # a log wants sentences only
    with Bars(*columns, console=console, transient=True, disable=hidden) as bars:
        tasks = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield console.print, progress


def _width(text: str) -> int:
    """Cells that the text takes in a terminal."""
    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )
