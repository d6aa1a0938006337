"""`python -m local.up`: the emulator with the stacks in it, up until Ctrl-C, state kept."""

from __future__ import annotations

import signal
import sys

import click
from rich.console import Console

from advisor.errors import AdvisorError, UsageError
from local import emulator as emulators
from local.cloud import deploy
from local.lock import only_one
from local.processes import interrupt_on_signals

FOLDER = emulators.ROOT / ".emulator" / "local"
DEFAULT_PORT = 4566


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port of the emulator; 0: any free.",
)
def main(port: int) -> None:
    """Run the stacks on this machine, keeping buckets and tables for the next time."""
    interrupt_on_signals()
    console = Console(stderr=True)
    try:
        with (
            only_one(FOLDER, "`make local`"),
            emulators.running(FOLDER, port=port, keep_state=True) as emulator,
        ):
            emulators.use(emulator)
            with console.status("cdk deploy"):
                cloud = deploy(emulator, shops=[], log=FOLDER / "deploy.log")
            for name, value in (
                ("AWS endpoint", emulator.url),
                ("Web page", cloud.page_url),
                ("API", cloud.api_url),
                ("Data bucket", cloud["DataBucket"]),
                ("Uploads bucket", cloud["UploadsBucket"]),
            ):
                print(f"{name + ':':16}{value}")
            print("\nFor the AWS command line and boto3:")
            for key, value in emulator.environment.items():
                print(f"  export {key}={value}")
            print("\nCtrl-C stops it; buckets and tables are kept.", flush=True)
            signal.pause()
    except UsageError as error:
        console.print(f"local: {error}", style="red", markup=False)
        sys.exit(2)
    except AdvisorError as error:
        console.print(f"local: {error}", style="red", markup=False)
        sys.exit(1)
    except KeyboardInterrupt:
        print("Stopped.", flush=True)


if __name__ == "__main__":
    main()
