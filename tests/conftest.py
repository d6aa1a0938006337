"""For every test: no AWS settings of the person who runs it, and no clock to beat."""

from __future__ import annotations

import os

from hypothesis import settings


def pytest_configure() -> None:
    """No test may reach a real account, nor fail for want of one, or on a busy machine."""
    settings.register_profile("no deadline", deadline=None)
    settings.load_profile("no deadline")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )
