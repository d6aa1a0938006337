"""The `advisor` command: finds the subcommands and turns errors into one sentence."""

from __future__ import annotations

import atexit
import gc
import importlib
import sys

import click

from advisor.errors import AdvisorError, UsageError

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended
COMMANDS = (
    "crawl", "replay", "spider",
    "train", "model", "evaluate", "classify",
    "suggest", "prices", "alert", "categories", "disagreements", "reviews",
    "redrive",
)  # fmt: skip


class _LazyGroup(click.Group):
    """Imports a subcommand's module only when it is asked for, so that help is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"cli.{cmd_name}").command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="products-advisor")
def advisor() -> None:
    """Crawl shops, learn categories from photos, classify photos, compare prices.

    \b
    A whole session on plain folders:
      advisor crawl harveynorman --out shop --limit 200
      advisor train shop/images --out model --min-images 20
      advisor suggest --bundle model --items shop photo.jpg
    """


def main() -> None:
    """Run the command line; an error of ours becomes one sentence and a status, no traceback."""
    atexit.register(gc.freeze)  # what is left goes with the process; searching it takes 50 ms
    try:
        # Not click's standalone mode: for that, Ctrl-C is a failure like any other.
        sys.exit(advisor(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except UsageError as error:
        sys.exit(_say(error, status=2))
    except AdvisorError as error:
        sys.exit(_say(error, status=1))
    except (click.Abort, KeyboardInterrupt):
        click.echo("advisor: interrupted", err=True)
        sys.exit(INTERRUPTED)


def _say(error: AdvisorError, *, status: int) -> int:
    click.echo(f"advisor: {error}", err=True)
    return status
