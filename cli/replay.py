"""`advisor replay`: a past crawl parsed again, without the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.errors import DataError, NotFoundError

if TYPE_CHECKING:
    from advisor.crawling.ledger import PastCrawl


@click.command("replay")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--spider", default="", help="A spider or a .yaml file. Default: the crawl's own.")
@click.option("--crawl", "number", type=int, help="Which crawl of the folder. Default: the last.")
@click.option("--remote", is_flag=True, help="FOLDER is the id of a crawl on AWS, to download.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --remote: the folder to download it into.",
)
@click.option("--stack", default="ProductsAdvisor-Service", help="With --remote: the stack.")
@click.option("--json", "as_json", is_flag=True, help="Print what changed as a JSON object.")
def command(
    folder: Path,
    *,
    spider: str,
    number: int | None,
    remote: bool,
    out: Path | None,
    stack: str,
    as_json: bool,
) -> None:
    """Parse the archived pages of a crawl in FOLDER again, with the spider as it is today.

    The new items go to FOLDER/replay.jsonl, which is replaced only when they are complete;
    items.jsonl stays as the crawl wrote it. Nothing is fetched from the shop.

    A crawl on AWS is downloaded first: the pages that --out does not have yet, its ledger, its
    items. Then --out is a folder like any other.

    \b
    Examples:
      advisor replay shop
      advisor replay shop --spider path/to/shop.yaml --json
      advisor replay 20261122T150000-1a2b3c --remote --out shop
    """
    from advisor.crawling.folder import ITEMS, ledger_path
    from advisor.crawling.ledger import Ledger
    from advisor.crawling.replay import Replay, compare
    from advisor.crawling.spiders.registry import open_spider

    if remote != (out is not None):
        raise click.UsageError("--remote and --out belong together.")
    if out is not None:
        folder, number = out, _download(str(folder), out, stack)
    with Ledger(ledger_path(folder)) as ledger:
        crawl = _chosen(ledger.crawls(), number, folder)
        found = Replay(
            ledger.pages(crawl.crawl),
            archive=folder / "pages",
            spider=open_spider(spider or crawl.spider, crawl.base_url),
            shop=crawl.shop,
        )
        lines = _write(folder / "replay.jsonl", found)
    before = _lines(folder / ITEMS) if (folder / ITEMS).exists() else []
    figures = {
        "crawl": crawl.crawl,
        "pages": found.counts["pages"],
        "errors": sum(n for name, n in found.counts.items() if name.startswith("errors:")),
        "items": compare(before, lines),
    }
    if as_json:
        click.echo(json.dumps(figures, ensure_ascii=False))
        return
    click.echo(_told(figures))


def _download(run_id: str, out: Path, stack: str) -> int:
    """Bring a crawl on AWS into a folder; returns its number there."""
    from advisor.aws.remote_api import api_url_of, archive_bucket_of, outputs_of
    from advisor.aws.remote_archive import download_run
    from advisor.aws.remote_crawls import RemoteCrawls

    outputs = outputs_of(stack)
    try:
        run = RemoteCrawls(api_url_of(outputs)).status(run_id)
    except NotFoundError:  # its record has expired; what it fetched has not
        run = {"finish_reason": "long ago"}
    return download_run(archive_bucket_of(stack), run_id, out, finish_reason=run["finish_reason"])


def _chosen(crawls: list[PastCrawl], number: int | None, folder: Path) -> PastCrawl:
    for crawl in crawls:
        if number in (None, crawl.crawl):
            return crawl
    known = ", ".join(str(crawl.crawl) for crawl in crawls) or "none"
    raise DataError(f"{folder} holds no crawl {number or ''}; it has {known}")


def _write(path: Path, items: Any) -> list[dict[str, Any]]:
    """Write the lines of items, whole or not at all; returns them."""
    part = path.with_suffix(".part")
    lines = []
    try:
        with part.open("w", encoding="utf-8", errors="replace") as file:
            for item in items:
                lines.append(item.to_dict())
                file.write(json.dumps(lines[-1], ensure_ascii=False) + "\n")
        part.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return lines


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, text in enumerate(file, 1):
            try:
                lines.append({"id": "", **json.loads(text)})
            except (ValueError, TypeError) as error:
                raise DataError(f"{path}:{number} is no line of an item: {text[:60]!r}") from error
    return lines


def _told(figures: dict[str, Any]) -> str:
    items = figures["items"]
    told = [
        f"{figures['pages']} pages of crawl {figures['crawl']} parsed again, "
        f"{figures['errors']} errors",
        f"{items['now']} items ({items['before']} before): {len(items['more'])} more, "
        f"{len(items['fewer'])} fewer",
    ]
    for what in ("gained", "lost", "changed"):
        for name, count in items[f"fields_{what}"].items():
            told.append(f"{name}: {what} by {count} items")
    return "\n".join(told)
