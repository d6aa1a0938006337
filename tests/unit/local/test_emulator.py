"""The emulator: where it may listen, and what programs are told of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import requests

from advisor.errors import UsageError
from local import emulator as emulators
from local.emulator import Emulator, running


def test_a_port_in_use_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulators, "PYTHON", Path(os.__file__))  # anything that is there
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(UsageError, match=f"port {port} cannot be used .*in use"),
            running(tmp_path, port=port),
        ):
            pass
    assert list(tmp_path.iterdir()) == []


def test_programs_reach_the_emulator_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    monkeypatch.setenv("NO_PROXY", "intranet")
    emulator = Emulator("http://127.0.0.1:4566", Path("log"))
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    assert requests.utils.get_environ_proxies(emulator.url) == {}
    assert requests.utils.get_environ_proxies("http://intranet/") == {}
    assert "http" in requests.utils.get_environ_proxies("http://elsewhere/")
