from __future__ import annotations

import os
from pathlib import Path

import pytest

from advisor.aws import clients


def test_a_client_is_of_the_region_that_aws_region_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert clients.client.__wrapped__("sqs").meta.region_name == "eu-west-1"


def test_making_a_client_looks_through_no_other_services_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": looked.append(str(path)) or listdir(path))
    assert clients.client.__wrapped__("s3").meta.service_model.service_name == "s3"
    services = {Path(path).name for path in looked if Path(path).parent.name == "data"}
    assert services == {"s3"}
