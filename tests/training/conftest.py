"""What several tests of training stand on: one process with TensorFlow, an S3 in memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from typing import Any

import boto3
import pytest
from moto import mock_aws

from advisor.aws import clients
from training import tensorflow_process


@pytest.fixture(scope="session")
def pool() -> Iterator[ProcessPoolExecutor]:
    """A process as in_tensorflow starts one; importing TensorFlow takes most of a test's time."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with (
        ours,
        theirs,
        ProcessPoolExecutor(
            1, mp_context=context, initializer=tensorflow_process._be_quiet, initargs=(theirs,)
        ) as pool,
    ):
        yield pool


@pytest.fixture
def one_tensorflow(pool: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks for TensorFlow gets the same process; what it tells while it works is lost."""
    monkeypatch.setattr(
        tensorflow_process, "ProcessPoolExecutor", lambda *_, **__: nullcontext(pool)
    )


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 without buckets, in memory, which our own clients ask, too."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    clients.client.cache_clear()
    with mock_aws():
        yield boto3.client("s3")
    clients.client.cache_clear()
