"""Indexes in S3 Vectors: each request against botocore's stubs, and their flow in moto.

moto has no QueryVectors: there the nearest of what it holds are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from advisor.aws import vectors
from advisor.aws.clients import client
from advisor.aws.embeddings import EmbeddingRow
from advisor.aws.indexes import CurrentIndexes, IndexedPhotos, IndexStore, StoredIndex
from advisor.aws.vectors import VectorIndex, VectorStore, index_store

pytestmark = pytest.mark.usefixtures("aws")
BUCKET = "arn:aws:s3vectors:eu-central-1:123456789012:bucket/vectors"
PREFIX = "vectors/m1/shoes & boots/"
NAME = "photos-" + "0" * 32


def unit(angle: float) -> npt.NDArray[np.float32]:
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


def row(sku: str, angle: float = 0.0, label: str = "shoes & boots") -> EmbeddingRow:
    return EmbeddingRow(
        model_version="m1", label=label, product_id=f"one:{sku}", image_id=f"i{sku}",
        photo_key=f"images/{sku}.jpg", probability=0.9, embedding=unit(angle),
    )  # fmt: skip


def key(sku: str) -> str:
    return vectors._key(row(sku)).hex()


def vector(sku: str, angle: float = 0.0) -> dict[str, Any]:
    return {
        "key": key(sku),
        "data": {"float32": unit(angle).tolist()},
        "metadata": {
            "product_id": f"one:{sku}", "image_id": f"i{sku}", "photo": f"images/{sku}.jpg",
        },
    }  # fmt: skip


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """Takes the requests that it is told of, in order, each as the service's model has it."""
    monkeypatch.setattr(vectors, "_name", lambda _prefix: NAME)
    with Stubber(client("s3vectors")) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def store(tmp_path: Path) -> VectorStore:
    return VectorStore("data", tmp_path, vectors_arn=BUCKET)


def put(stub: Stubber, *rows: dict[str, Any]) -> None:
    asked = {"indexArn": f"{BUCKET}/index/{NAME}", "vectors": list(rows)}
    stub.add_response("put_vectors", {}, asked)


def create(stub: Stubber) -> dict[str, Any]:
    asked = {
        "vectorBucketArn": BUCKET, "indexName": NAME, "dataType": "float32", "dimension": 2,
        "distanceMetric": "cosine",
        "metadataConfiguration": {"nonFilterableMetadataKeys": ["product_id", "image_id", "photo"]},
    }  # fmt: skip
    stub.add_response("create_index", {"indexArn": f"{BUCKET}/index/{NAME}"}, asked)
    return asked


def build(
    store: VectorStore, *rows: EmbeddingRow, before: StoredIndex | None = None
) -> StoredIndex | None:
    return store.store("m1", "shoes & boots", iter(rows), before=before)


def test_photos_are_put_into_an_index_that_is_made_with_the_first(
    stub: Stubber, store: VectorStore
) -> None:
    create(stub)
    put(stub, vector("a"), vector("b", 1.0))
    assert build(store, row("a"), row("b", 1.0)) == StoredIndex(PREFIX, 2)
    assert build(store) is None  # nothing is asked for a category without photos


def test_only_what_is_new_is_put_and_what_is_gone_is_deleted(
    stub: Stubber, store: VectorStore
) -> None:
    create(stub)
    put(stub, vector("a"), vector("b"))
    before = build(store, row("a"), row("b"))
    put(stub, vector("c"))
    gone = {"indexArn": f"{BUCKET}/index/{NAME}", "keys": [key("a")]}
    stub.add_response("delete_vectors", {}, gone)
    after = build(store, row("b"), row("c"), before=before)
    assert after is before  # in place: what is in use is the same index
    assert build(store, row("b"), row("c"), before=after) is after  # nothing is asked


def test_photos_are_put_and_deleted_a_call_full_at_a_time(
    stub: Stubber, store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "PUT_AT_ONCE", 2)
    monkeypatch.setattr(vectors, "MOST_DELETED", 2)
    create(stub)
    put(stub, vector("a"), vector("b"))
    put(stub, vector("c"), vector("d"))
    put(stub, vector("e"))
    assert build(store, *map(row, "abcde"))
    first, second, third, fourth = sorted(map(key, "abcd"))
    for keys in ([first, second], [third, fourth]):
        asked = {"indexArn": f"{BUCKET}/index/{NAME}", "keys": keys}
        stub.add_response("delete_vectors", {}, asked)
    assert build(store, row("e")) == StoredIndex(PREFIX, 1)


def test_a_build_that_is_broken_off_goes_on_where_it_was(
    stub: Stubber, store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "PUT_AT_ONCE", 1)
    monkeypatch.setattr(vectors, "NOTED_EVERY", 2)
    asked = create(stub)
    for sku in "abc":
        put(stub, vector(sku))
    stub.add_client_error("put_vectors", "TooManyRequestsException")
    with pytest.raises(ClientError, match="TooManyRequests"):
        build(store, *map(row, "abcd"))
    put(stub, vector("c"))  # it was put, and not noted yet
    put(stub, vector("d"))
    assert build(store, *map(row, "abcd")) == StoredIndex(PREFIX, 4)
    client("s3").delete_object(Bucket="data", Key=f"{PREFIX}keys")
    stub.add_client_error("create_index", "ConflictException", expected_params=asked)
    put(stub, vector("a"))
    assert build(store, row("a"))  # an index that is there is taken


def test_an_index_that_cannot_be_made_is_an_error(stub: Stubber, store: VectorStore) -> None:
    stub.add_client_error("create_index", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        build(store, row("a"))


def query(stub: Stubber, limit: int, *found: dict[str, Any], angle: float = 0.0) -> None:
    asked = {
        "indexArn": f"{BUCKET}/index/{NAME}", "topK": limit, "returnMetadata": True,
        "queryVector": {"float32": unit(angle).tolist()},
    }  # fmt: skip
    told = [{name: one[name] for name in ("key", "metadata")} for one in found]
    stub.add_response("query_vectors", {"vectors": told, "distanceMetric": "cosine"}, asked)


def fetch(stub: Stubber, keys: list[str], *there: dict[str, Any]) -> None:
    asked = {"indexArn": f"{BUCKET}/index/{NAME}", "keys": keys, "returnData": True}
    told = [{name: one[name] for name in ("key", "data")} for one in there]
    stub.add_response("get_vectors", {"vectors": told}, asked)


def test_a_search_gives_photos_with_their_likeness_and_embedding(stub: Stubber) -> None:
    near, far, gone = vector("a", 0.5), vector("b", 1.0), vector("c")
    query(stub, 3, near, gone, far)
    fetch(stub, [key("a"), key("c"), key("b")], far, near)
    found = VectorIndex(f"{BUCKET}/index/{NAME}").search(unit(0.0), limit=3)
    assert [one.photo.product_id for one in found] == ["one:a", "one:b"]
    assert (found[0].photo.image_id, found[0].photo.photo) == ("ia", "images/a.jpg")
    assert found[0].similarity == pytest.approx(np.cos(0.5))
    assert found[0].embedding == pytest.approx(unit(0.5))


def test_no_more_is_asked_for_than_a_query_gives(stub: Stubber) -> None:
    query(stub, 100)
    assert VectorIndex(f"{BUCKET}/index/{NAME}").search(unit(0.0), limit=400) == []


def test_indexes_that_nobody_reads_are_deleted_when_others_come_into_use(
    stub: Stubber, tmp_path: Path
) -> None:
    store = VectorStore("data", tmp_path, keep_s=3600, vectors_arn=BUCKET)

    def there(name: str, year: int) -> dict[str, Any]:
        return {
            "vectorBucketName": "vectors", "indexName": name, "indexArn": f"{BUCKET}/index/{name}",
            "creationTime": datetime(year, 1, 1, tzinfo=UTC),
        }  # fmt: skip

    first = {"indexes": [there(NAME, 2020), there("photos-old", 2020)], "nextToken": "more"}
    second = {"indexes": [there("photos-new", 2999)]}
    asked = {"vectorBucketArn": BUCKET, "prefix": "photos-"}
    stub.add_response("list_indexes", first, asked)
    stub.add_response("delete_index", {}, {"indexArn": f"{BUCKET}/index/photos-old"})
    stub.add_response("list_indexes", second, asked | {"nextToken": "more"})
    kept = {"shoes & boots": StoredIndex(PREFIX, 2)}
    store.publish(CurrentIndexes(model_version="m1", built_at="-", categories=kept))
    assert store.current() == CurrentIndexes(model_version="m1", built_at="-", categories=kept)


def test_the_setting_says_where_the_indexes_are(tmp_path: Path) -> None:
    assert type(index_store("files", "data", tmp_path)) is IndexStore
    assert index_store(BUCKET, "data", tmp_path) == VectorStore(
        "data", tmp_path, vectors_arn=BUCKET
    )


def date_indexes(parsed: dict[str, Any], **_: Any) -> None:
    """When they were made, which moto does not tell."""
    for one in parsed["indexes"]:
        one["creationTime"] = datetime(2020, 1, 1, tzinfo=UTC)


def nearest(**asked: Any) -> dict[str, Any]:
    """QueryVectors, of what moto holds."""
    held = client("s3vectors").list_vectors(
        indexArn=asked["indexArn"], returnData=True, returnMetadata=True
    )["vectors"]
    wanted = np.array(asked["queryVector"]["float32"])
    held.sort(key=lambda one: -float(np.array(one["data"]["float32"]) @ wanted))
    return {"vectors": held[: asked["topK"]]}


@pytest.fixture
def vector_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bucket in moto, with what moto leaves out."""
    one, listed = client("s3vectors"), "after-call.s3vectors.ListIndexes"
    one.create_vector_bucket(vectorBucketName="vectors")
    monkeypatch.setattr(one, "query_vectors", nearest)
    one.meta.events.register(listed, date_indexes)
    yield
    one.meta.events.unregister(listed, date_indexes)


@pytest.mark.usefixtures("vector_bucket")
def test_a_models_indexes_serve_until_the_next_ones_are_published(tmp_path: Path) -> None:
    store = VectorStore("data", tmp_path, keep_s=-5, vectors_arn=BUCKET)
    photos = IndexedPhotos(index_store(BUCKET, "data", tmp_path), max_age_s=0)

    def built(version: str, **categories: list[EmbeddingRow]) -> CurrentIndexes:
        fresh = CurrentIndexes(model_version=version, built_at="-")
        for label, rows in categories.items():
            if stored := store.store(version, label, rows, before=None):
                fresh.categories[label] = stored
        return fresh

    def found(*labels: str) -> list[str]:
        similar = photos.similar(labels, unit(0.0), limit=2)
        return [one.photo.product_id for one in similar]

    assert photos.model_version == ""
    store.publish(built("m1", shoes=[row("a", 0.1), row("b", 0.2)], hats=[row("c", 0.15)], no=[]))
    assert photos.model_version == "m1"
    assert found("shoes", "hats", "no", "unheard of") == ["one:a", "one:c"]
    later = built("m2", shoes=[row("d")])
    assert (photos.model_version, found("shoes")) == ("m1", ["one:a", "one:b"])
    for _ in range(2):  # what was in use before may be read for a while
        store.publish(later)
    assert (photos.model_version, found("shoes", "hats")) == ("m2", ["one:d"])
    there = client("s3vectors").list_indexes(vectorBucketArn=BUCKET)["indexes"]
    assert len(there) == 1
    kept = client("s3").list_objects_v2(Bucket="data", Prefix="vectors/")["Contents"]
    assert [one["Key"] for one in kept] == ["vectors/current.json", "vectors/m2/shoes/keys"]


def test_an_index_that_is_deleted_can_be_made_again_at_once(tmp_path: Path) -> None:
    """As after a rollback: what is noted of an index may be younger than the index."""
    client("s3vectors").create_vector_bucket(vectorBucketName="vectors")
    client("s3vectors").meta.events.register("after-call.s3vectors.ListIndexes", date_indexes)
    store = VectorStore("data", tmp_path, keep_s=3600, vectors_arn=BUCKET)

    def publish(version: str) -> StoredIndex:
        stored = store.store(version, "shoes", [row("a")], before=None)
        assert stored
        shoes = {"shoes": stored}
        store.publish(CurrentIndexes(model_version=version, built_at="-", categories=shoes))
        return stored

    publish("m1")
    for _ in range(2):
        publish("m2")
    again = store.open(publish("m1"))
    assert list(again._embeddings([key("a")])) == [key("a")]
