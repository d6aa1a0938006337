"""One deployment into the emulator for all end-to-end tests: crawled, trained, published."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from rich.console import Console
from rich.progress import Progress

from advisor.aws import clients
from local import demo as demos
from local.cloud import Cloud
from tests.e2e.browsing import NEEDS_CHROMIUM, Visit, chromium, policy_of

# A MobileNet V2 that has learned nothing: quick to make, and its features tell photos apart
# well enough for what is tested here, which is the plumbing.
MAKE_BACKBONE = """
import sys, keras
keras.utils.set_random_seed(7)
model = keras.applications.MobileNetV2(
    (224, 224, 3), alpha=0.35, include_top=False, weights=None, pooling="avg"
)
model.save(sys.argv[1])
"""


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[demos.Demo]:
    """The demo's own steps, up to the suggestions, with a backbone that is quick to make."""
    folder = tmp_path_factory.mktemp("e2e")
    backbone = folder / "backbone.keras"
    subprocess.run([sys.executable, "-c", MAKE_BACKBONE, str(backbone)], check=True)
    environment = dict(os.environ)
    progress = Progress(console=Console(stderr=True), disable=True)
    with ExitStack() as stack:
        demo = demos.Demo(stack, progress, folder=folder, backbone=str(backbone))
        try:
            for name, step in demos.STEPS:
                if step is not demos.schedule:  # fires once a minute: seen by `make demo-once`
                    demo.run(name, step)
            yield demo
        finally:
            os.environ.clear()
            os.environ.update(environment)
            clients.client.cache_clear()
            clients.table.cache_clear()


@pytest.fixture(scope="package")
def cloud(demo: demos.Demo) -> Cloud:
    return demo.cloud


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Without one what needs it is skipped; in CI it fails."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def policy(cloud: Cloud) -> str:
    return policy_of(cloud)


@pytest.fixture
def visit(browser: Browser, cloud: Cloud, policy: str) -> Iterator[Visit]:
    """A visit on a desktop, in light; it must leave nothing in the console."""
    visit = Visit(browser, cloud, policy)
    yield visit
    visit.close()


@pytest.fixture(scope="package")
def photo(demo: demos.Demo) -> bytes:
    return demo.photo


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("e2e")
            if "browser" in getattr(item, "fixturenames", ()):
                item.add_marker(NEEDS_CHROMIUM)
