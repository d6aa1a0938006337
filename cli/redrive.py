"""`advisor redrive`: what failed for another reason than a bad photo is tried again."""

from __future__ import annotations

import json

import click

from advisor.errors import UsageError
from cli.terminal import echo


@click.command()
@click.argument("queues", nargs=-1, metavar="[QUEUE...]")
@click.option("--dry-run", is_flag=True, help="Only count the dead letters.")
@click.option("--stack", default="ProductsAdvisor-Service", help="The stack of the functions.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a queue, a line each.")
def command(*, queues: tuple[str, ...], dry_run: bool, stack: str, as_json: bool) -> None:
    """Send dead letters back to their QUEUE (photos, tokens; all, if none is named).

    Needs of SQS: on the dead-letter queue GetQueueAttributes, and unless --dry-run
    ReceiveMessage and DeleteMessage; on the queue itself SendMessage. Of CloudFormation:
    DescribeStacks.

    \b
    Examples:
      advisor redrive --dry-run
      advisor redrive photos
    """
    from advisor.aws.redrive import work_queues

    found = {queue.name: queue for queue in work_queues(stack)}
    for name in queues:
        if name not in found:
            raise UsageError(f"no queue {name!r}; expected one of {', '.join(found)}")
    for name in queues or found:
        dead = found[name].dead()
        sent = 0 if dry_run else found[name].redrive()
        if as_json:
            echo(json.dumps({"queue": name, "dead": dead, "sent": sent}))
        elif dry_run:
            echo(f"{name}: {_count(dead)}, none sent" if dead else f"{name}: no dead letters")
        else:
            echo(f"{name}: {_count(sent)} sent again" if sent else f"{name}: no dead letters")


def _count(letters: int) -> str:
    return f"{letters} dead letter{'' if letters == 1 else 's'}"
