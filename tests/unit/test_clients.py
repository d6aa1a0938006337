from __future__ import annotations

import pytest

from advisor.aws import clients


def test_a_client_is_of_the_region_that_aws_region_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert clients.client.__wrapped__("sqs").meta.region_name == "eu-west-1"
