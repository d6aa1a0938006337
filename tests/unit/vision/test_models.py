"""Bundles in S3, and the one in use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from advisor.aws import clients
from advisor.aws.models import BUNDLES, CURRENT, ModelStore
from advisor.aws.serving import current_classifier
from advisor.errors import BundleError, NoModelError, NotFoundError, UsageError
from advisor.vision.bundle import hashes, load_bundle
from advisor.vision.bundle_info import GOLDEN, INFO, LABELS, MODEL, REPORT, read_info
from advisor.vision.publishing import check_bundle, publish
from tests.training import tiny

BUCKET = "shop-data"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    clients.client.cache_clear()
    with mock_aws():
        s3 = boto3.client("s3")
        place = {"LocationConstraint": "eu-central-1"}
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
        yield s3
    clients.client.cache_clear()


@pytest.fixture
def store(s3: Any) -> ModelStore:
    return ModelStore(BUCKET)


def upload(store: ModelStore, folder: Path, *, bias: tuple[float, float, float]) -> str:
    tiny.make_tiny_bundle(folder, bias=bias)
    return store.upload(folder)


def test_no_model_is_an_error_of_its_own(store: ModelStore) -> None:
    with pytest.raises(NoModelError, match=f"no model is published in s3://{BUCKET}/models"):
        store.current()


def test_an_uploaded_bundle_is_complete_and_not_in_use(store: ModelStore, tmp_path: Path) -> None:
    version = upload(store, tmp_path / "a", bias=(0, 0, 1))
    assert check_bundle(store, version).version == version
    assert store.versions() == [version]
    assert store.read_info(version)["labels"] == list(tiny.LABELS)
    with pytest.raises(NoModelError):
        store.current()


def test_publishing_keeps_the_version_before(store: ModelStore, tmp_path: Path) -> None:
    first = upload(store, tmp_path / "a", bias=(0, 0, 1))
    second = upload(store, tmp_path / "b", bias=(0, 1, 0))
    assert publish(store, first).previous is None
    publish(store, second, force="a test")
    current = publish(store, second)  # again changes nothing
    assert current == store.current()
    assert (current.version, current.previous, current.accuracy) == (second, first, 0.5)


def test_publishing_an_unknown_version_changes_nothing(store: ModelStore) -> None:
    with pytest.raises(NotFoundError, match="no model bundle 'nope'"):
        publish(store, "nope")
    with pytest.raises(NoModelError):
        store.current()


def test_downloads_a_bundle_once(store: ModelStore, tmp_path: Path, s3: Any) -> None:
    version = upload(store, tmp_path / "a", bias=(0, 0, 1))
    folder = store.download(version, tmp_path / "cache" / version)
    assert load_bundle(folder).info.version == version
    s3.delete_object(Bucket=BUCKET, Key=f"{BUNDLES}{version}/{MODEL}")
    assert store.download(version, folder) == folder
    assert [path.name for path in folder.parent.iterdir()] == [version]


def test_fetches_of_a_bundle_what_classifying_needs(store: ModelStore, tmp_path: Path) -> None:
    with_report(tmp_path / "a")
    version = store.upload(tmp_path / "a")
    assert store.read_file(version, REPORT) == b"<html>"
    folder = store.download(version, tmp_path / "cache" / version)
    assert {path.name for path in folder.iterdir()} == {MODEL, LABELS, GOLDEN, INFO}
    assert load_bundle(folder).info.version == version


def test_a_bundle_without_its_report_is_not_uploaded(
    store: ModelStore, tmp_path: Path, s3: Any
) -> None:
    with_report(tmp_path / "a")
    (tmp_path / "a" / REPORT).unlink()
    with pytest.raises(BundleError, match=f"no readable {REPORT}"):
        store.upload(tmp_path / "a")
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def with_report(folder: Path) -> None:
    """A bundle, as training leaves it."""
    tiny.make_tiny_bundle(folder)
    info = read_info(folder)
    (folder / REPORT).write_bytes(b"<html>")
    files = {**info.files, **hashes({REPORT: b"<html>"})}
    (folder / INFO).write_text(replace(info, files=files).to_json())


def test_an_incomplete_bundle_is_seen_and_not_half_downloaded(
    store: ModelStore, tmp_path: Path, s3: Any
) -> None:
    version = upload(store, tmp_path / "a", bias=(0, 0, 1))
    s3.delete_object(Bucket=BUCKET, Key=f"{BUNDLES}{version}/{MODEL}")
    with pytest.raises(BundleError, match=f"lacks {MODEL}"):
        publish(store, version)
    with pytest.raises(BundleError, match=f"lacks {MODEL}"):
        store.download(version, tmp_path / "cache" / version)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_changed_bundle_is_not_uploaded(store: ModelStore, tmp_path: Path, s3: Any) -> None:
    tiny.make_tiny_bundle(tmp_path / "a")
    (tmp_path / "a" / MODEL).write_bytes(b"else")
    with pytest.raises(BundleError, match="sha256"):
        store.upload(tmp_path / "a")
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_the_info_is_uploaded_last(store: ModelStore, tmp_path: Path, s3: Any) -> None:
    names: list[str] = []

    def note(params: dict[str, Any], **_: object) -> None:
        names.append(params["Key"].rpartition("/")[2])

    clients.client("s3").meta.events.register("provide-client-params.s3.PutObject", note)
    upload(store, tmp_path / "a", bias=(0, 0, 1))
    assert MODEL in names
    assert names[-1] == INFO


def test_a_bucket_that_is_not_there_is_one_sentence(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="s3://absent cannot be used"):
        ModelStore("absent").check()
    with pytest.raises(UsageError, match="no bundle can be stored in s3://absent"):
        upload(ModelStore("absent"), tmp_path / "a", bias=(0, 0, 1))
    ModelStore(BUCKET).check()


def test_a_warm_function_follows_what_is_published(store: ModelStore, tmp_path: Path) -> None:
    first = upload(store, tmp_path / "a", bias=(0, 0, 1))
    second = upload(store, tmp_path / "b", bias=(0, 1, 0))
    cache = tmp_path / "cache"
    publish(store, first)
    held = current_classifier(store, cache_dir=cache)
    publish(store, second, force="a test")
    assert current_classifier(store, cache_dir=cache) is held
    assert held.version == first
    assert current_classifier(store, cache_dir=cache, max_age_s=0).version == second


def test_the_model_before_is_still_there_by_name_and_those_before_it_are_gone(
    store: ModelStore, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    versions = sorted(
        upload(store, tmp_path / name, bias=(0, number, 1)) for number, name in enumerate("abc")
    )
    for version in versions:
        publish(store, version, force="a test")
        current_classifier(store, cache_dir=cache, max_age_s=0)
    first, second, third = versions
    assert current_classifier(store, cache_dir=cache).version == third
    assert current_classifier(store, cache_dir=cache, version=second).version == second
    with pytest.raises(NotFoundError, match=f"no model {first!r} in use; there is {third} and"):
        current_classifier(store, cache_dir=cache, version=first)
    assert sorted(folder.name for folder in cache.iterdir()) == [second, third]


def test_a_warm_function_goes_on_answering_when_the_new_model_cannot_be_had(
    store: ModelStore, tmp_path: Path, s3: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = upload(store, tmp_path / "a", bias=(0, 0, 1))
    second = upload(store, tmp_path / "b", bias=(0, 1, 0))
    cache = tmp_path / "cache"
    publish(store, first)
    current_classifier(store, cache_dir=cache)
    publish(store, second, force="a test")
    s3.put_object(Bucket=BUCKET, Key=f"{BUNDLES}{second}/{MODEL}", Body=b"damaged")
    assert current_classifier(store, cache_dir=cache, max_age_s=1e-9).version == first
    assert "the model before stays in use" in caplog.text
    with pytest.raises(BundleError):  # photos in S3 wait for the model that was published
        current_classifier(store, cache_dir=cache, max_age_s=0)
    upload(store, tmp_path / "b", bias=(0, 1, 0))  # which mends it
    assert current_classifier(store, cache_dir=cache, max_age_s=1e-9).version == second


def test_a_cold_function_answers_by_the_model_before_when_the_new_one_cannot_be_had(
    store: ModelStore, tmp_path: Path, s3: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = upload(store, tmp_path / "a", bias=(0, 0, 1))
    second = upload(store, tmp_path / "b", bias=(0, 1, 0))
    publish(store, first)
    s3.put_object(Bucket=BUCKET, Key=f"{BUNDLES}{first}/{MODEL}", Body=b"damaged")
    with pytest.raises(BundleError):  # there is none before it
        current_classifier(store, cache_dir=tmp_path / "cold")
    upload(store, tmp_path / "a", bias=(0, 0, 1))
    publish(store, second, force="a test")
    s3.put_object(Bucket=BUCKET, Key=f"{BUNDLES}{second}/{MODEL}", Body=b"damaged")
    cache = tmp_path / "cache"
    assert current_classifier(store, cache_dir=cache).version == first
    assert "the model before stays in use" in caplog.text
    with pytest.raises(BundleError):
        current_classifier(store, cache_dir=cache, max_age_s=0)
    upload(store, tmp_path / "b", bias=(0, 1, 0))
    assert current_classifier(store, cache_dir=cache, max_age_s=1e-9).version == second


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}", f"s3://{BUCKET}/models/bundles/"])
def test_a_store_is_named_by_its_place(uri: str) -> None:
    assert ModelStore.at(uri) == ModelStore(BUCKET)


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/elsewhere", "s3:///models/bundles/"])
def test_another_place_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="s3://"):
        ModelStore.at(uri)


def test_current_json_is_what_readers_expect(store: ModelStore, tmp_path: Path, s3: Any) -> None:
    version = upload(store, tmp_path / "a", bias=(0, 0, 1))
    publish(store, version)
    raw = json.loads(s3.get_object(Bucket=BUCKET, Key=CURRENT)["Body"].read())
    assert set(raw) == {"version", "accuracy", "published_at", "previous", "reason", "history"}
