"""MiniStack, the local AWS emulator: a process of its own venv, on loopback only."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from advisor.errors import UsageError
from local.processes import running_program

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".emulator" / "venv" / "bin" / "python"
HOST = "127.0.0.1"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 15


@dataclass(frozen=True)
class Emulator:
    """A running emulator."""

    url: str
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to talk to the emulator, and to nothing else of AWS."""
        direct = ",".join(filter(None, (os.environ.get("no_proxy"), os.environ.get("NO_PROXY"))))
        direct = f"{direct},{HOST}" if direct else HOST
        return {
            # A proxy knows nothing of this machine's own addresses.
            "NO_PROXY": direct,
            "no_proxy": direct,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            # The person's own profiles must not leak in.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


def use(emulator: Emulator) -> None:
    """Point this process, and what it starts, at the emulator."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(emulator.environment)


@contextmanager
def running(folder: Path, *, port: int = 0, keep_state: bool = False) -> Iterator[Emulator]:
    """Run the emulator until the block ends; then no process and no port of it is left.

    folder: its logs and temporary files, and its state if that is to be kept.
    port: 0 for any free one. Raises: UsageError if it cannot start (a port in use, no set-up).
    """
    if not PYTHON.exists():
        raise UsageError("the emulator is not installed; run `make setup` first")
    port = _free_port(port)
    temporary = folder / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)  # the emulator leaks temporary folders
    temporary.mkdir(parents=True)
    emulator = Emulator(f"http://{HOST}:{port}", folder / "emulator.log")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
        **emulator.environment,
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "TMPDIR": str(temporary),
        "LAMBDA_WARM_TTL_SECONDS": "3600",
    }
    if keep_state:
        state, objects = folder / "state", folder / "s3"
        environment |= {"PERSIST_STATE": "1", "STATE_DIR": str(state)}
        environment |= {"S3_PERSIST": "1", "S3_DATA_DIR": str(objects)}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        log = stack.enter_context(emulator.log.open("wb"))
        process = stack.enter_context(
            running_program(
                [PYTHON, "-m", "ministack"],
                grace_s=STOP_TIMEOUT_S if keep_state else 0,  # for nothing else it need not wait
                env=environment,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        )
        _wait_until_ready(emulator, process)
        yield emulator


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"port {port} cannot be used ({error.strerror}); name another one,"
                " or 0 for any that is free"
            ) from error
        free: int = probe.getsockname()[1]
        return free


def _wait_until_ready(emulator: Emulator, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with requests.Session() as session:
        session.trust_env = False  # no proxy on the way to this machine
        while time.monotonic() < deadline:
            if process.poll() is not None:
                tail = emulator.log.read_text(errors="replace").strip().splitlines()[-1:]
                raise UsageError(
                    f"the emulator ended at once: {''.join(tail)} (see {emulator.log})"
                )
            with suppress(requests.RequestException):  # also one too busy to answer in time
                if session.get(f"{emulator.url}/_ministack/health", timeout=2).ok:
                    return
            time.sleep(0.1)
    raise UsageError(f"the emulator was not ready after {START_TIMEOUT_S} s; see {emulator.log}")
