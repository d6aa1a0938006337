"""The synthesized templates, shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from infra.app import build

ROOT = Path(__file__).resolve().parents[2]
SHOPS = [{"spider": "harveynorman", "schedule": "rate(1 day)", "limit": 50}]
Template = dict[str, Any]


def synthesize(folder: Path, **context: Any) -> dict[str, Template]:
    app = cdk.App(outdir=str(folder), context={"shops": SHOPS, **context})
    build(app, layer_folder=lambda name: ROOT / "layers" / name)
    assembly = app.synth()
    return {stack.stack_name.split("-")[1]: stack.template for stack in assembly.stacks}


@pytest.fixture(scope="session", autouse=True)
def page() -> Iterator[None]:
    """The template names the built page; whether it is built is not what is tested here."""
    dist = ROOT / "web" / "dist"
    made = not dist.exists()
    dist.mkdir(parents=True, exist_ok=True)
    yield
    if made:
        dist.rmdir()


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    return synthesize(tmp_path_factory.mktemp("aws"))


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    return synthesize(tmp_path_factory.mktemp("local"), local="true")
