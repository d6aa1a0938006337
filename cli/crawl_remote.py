"""`advisor crawl --remote`: crawls on AWS (or in the emulator), started, watched and stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from advisor.errors import UsageError
from cli.terminal import echo_columns

if TYPE_CHECKING:
    from advisor.aws.remote_crawls import RemoteCrawls

ACTIONS = ("start", "status", "watch", "pause", "resume", "stop")
_LOOK_S = 1.0
_FAILED_STATUS = 3


def control(
    ctx: click.Context,
    action: str,
    name: str,
    *,
    base_url: str,
    shop: str,
    settings: Mapping[str, Any],
    stack: str,
    as_json: bool,
) -> None:
    """Do one action. name: a spider to start, else the id of a run. settings: of a new run."""
    from advisor.aws.remote_api import api_url_of, outputs_of
    from advisor.aws.remote_crawls import RemoteCrawls

    if not name and action != "status":
        raise UsageError(
            f"--remote {action} needs a {'spider' if action == 'start' else 'run'}: "
            f"advisor crawl {'harveynorman' if action == 'start' else 'RUN'} --remote {action}"
        )
    if settings and action != "start":
        raise UsageError(f"--remote {action} takes no settings ({', '.join(settings)})")
    crawls = RemoteCrawls(api_url_of(outputs_of(stack)))
    if not name:
        _show_all(crawls.all(), as_json=as_json)
        return
    if action == "start":
        started = crawls.start(name, base_url=base_url, shop=shop, settings=settings)
        if not started["started"]:
            click.echo(f"advisor: {started['reason']}: {started['run_id']}", err=True)
        name = started["run_id"]
    elif action in ("pause", "resume", "stop"):
        crawls.change(name, action)
    run = crawls.status(name)
    if action in ("start", "watch", "resume"):
        try:
            run = _watch(crawls, run)
        except KeyboardInterrupt:
            click.echo(
                f"\nadvisor: the crawl goes on; `advisor crawl {name} --remote stop` ends it",
                err=True,
            )
    click.echo(json.dumps(run, ensure_ascii=False) if as_json else _line(run))
    if run["status"] == "failed":
        ctx.exit(_FAILED_STATUS)


def _watch(crawls: RemoteCrawls, run: dict[str, Any]) -> dict[str, Any]:
    """Print the run's figures as they change, until it has ended or is paused."""
    shown = ""
    while run["status"] == "running":
        line = _line(run)
        if line != shown:
            click.echo(line, err=True)
            shown = line
        time.sleep(_LOOK_S)
        run = crawls.status(run["run_id"])
    return run


def _line(run: dict[str, Any]) -> str:
    why = f" ({run['finish_reason']})" if run["finish_reason"] else ""
    return (
        f"{run['run_id']} {run['shop']}: {run['status']}{why}, {run['pages']} pages, "
        f"{run['items']} items, {run['photos']} photos, {run['dropped']} dropped, "
        f"{run['errors']} errors, {run['todo']} to do"
    )


def _show_all(runs: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(runs, ensure_ascii=False))
        return
    columns = ("run_id", "shop", "status", "finish_reason", "pages", "items", "photos", "todo")
    rows = [[str(run[name]) for name in columns] for run in runs]
    echo_columns([[name.replace("_", " ") for name in columns], *rows], right=(4, 5, 6, 7))
