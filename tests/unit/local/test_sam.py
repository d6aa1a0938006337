"""What `make sam-local` says where it cannot work."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from local import sam
from local.emulator import Emulator


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with no program at all."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(sam, "FOLDER", tmp_path / "sam")


def test_without_a_container_runtime_one_sentence_names_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert sam.main([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sam-local: needs Docker, Finch or podman, and none of them answers")
    assert "tests/infra/test_contract.py" in error


def test_without_sam_one_sentence_names_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sam, "SAM", tmp_path / "venv")
    with pytest.raises(sam.UsageError, match=r"run `make \.sam/\.installed` first"):
        sam.sam("build")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the runtime does it")
def test_containers_reach_what_listens_on_loopback_alone() -> None:
    """127.0.0.2 stands for the address of a container network: it is this machine's, too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        emulator = Emulator(f"http://127.0.0.1:{port}", Path("log"))
        with sam.reachable(emulator, sam.Containers({}, "127.0.0.2")) as url:
            assert url == f"http://127.0.0.2:{port}"
            with socket.create_connection(("127.0.0.2", port), timeout=30) as client:
                client.sendall(b"ask")
                client.shutdown(socket.SHUT_WR)
                connection, _ = server.accept()
                with connection:
                    assert connection.makefile("rb").read() == b"ask"
                    connection.sendall(b"answer")
                assert client.makefile("rb").read() == b"answer"
