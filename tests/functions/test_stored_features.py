"""A model trained from what the classify function stored: photos that it saw are not read again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from advisor.aws.clients import client, table
from advisor.aws.embeddings import EmbeddingTable
from advisor.aws.labelling import Labeller
from advisor.aws.labels import LabelTable
from advisor.aws.models import ModelStore
from advisor.aws.photos import PhotoPlace, catalog_key, read_photo
from advisor.crawling.photos import Photo
from advisor.errors import DataError, NotTunableError
from advisor.uploads import MAX_BYTES
from advisor.vision.bundle import Golden
from advisor.vision.bundle_info import ANSWERS, GOLDEN, BundleInfo
from advisor.vision.classifier import Classifier
from advisor.vision.images import image_id
from advisor.vision.publishing import publish
from tests.training import tiny
from training.backbones import Weights, resolve
from training.config import AUTO, FROZEN, IN_USE, TrainingConfig
from training.train import TrainingResult, run

pytestmark = pytest.mark.usefixtures("aws")

EACH = 20
MANIFEST = "s3://data/models/jobs/j.manifest.jsonl"
STORE = ModelStore("data")


@dataclass
class Bucket:
    """The photos in the bucket, and which of them were read."""

    keys: list[str] = field(default_factory=list)
    read: set[str] = field(default_factory=set)

    def put(self, data: bytes, label: str, sku: str) -> str:
        photo = Photo(
            product_id=f"one:{sku}", category=label, url=f"https://one/{sku}.png", data=data,
            content_type="image/png", extension="png", image_id=image_id(data),
        )  # fmt: skip
        key = catalog_key(photo, "one", image_id=photo.image_id, extension="png")
        metadata = {"product-id": quote(photo.product_id)}
        client("s3").put_object(Bucket="data", Key=key, Body=data, Metadata=metadata)
        self.keys.append(key)
        return key

    def list_them(self) -> None:
        lines = (json.dumps({"path": key.removeprefix("images/")}) + "\n" for key in self.keys)
        key = MANIFEST.removeprefix("s3://data/")
        client("s3").put_object(Bucket="data", Key=key, Body="".join(lines).encode())


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    """Photos that a model in use has seen: the classify function stored what it saw."""
    made = Bucket()
    for start, (label, colour) in enumerate(tiny.COLOURS.items()):
        for number in range(EACH):
            # Two photos of each product, which stay on one side.
            made.put(
                tiny.photo(colour, seed=1000 * start + number), label, f"{start}-{number // 2}"
            )
    made.list_them()
    lock = threading.Lock()

    def note(params: dict[str, Any], **_: Any) -> None:
        if params["Key"].startswith("images/"):
            with lock:
                made.read.add(params["Key"])

    in_use = train(tmp_path / "before", embeddings="")
    publish(STORE, in_use.version)
    see(made.keys, tmp_path / "in use")
    events = client("s3").meta.events
    events.register("provide-client-params.s3.GetObject", note)
    yield made
    events.unregister("provide-client-params.s3.GetObject", note)


def see(keys: list[str], folder: Path) -> None:
    """As functions/classify does with photos that arrive."""
    classifier = Classifier.load(STORE.download(STORE.current().version, folder))
    labeller = Labeller(classifier, LabelTable("labels"), EmbeddingTable("embeddings"))
    for key in keys:
        labeller.label(read_photo(PhotoPlace("data", key), max_bytes=MAX_BYTES))


def train(cache: Path, *, said: list[str] | None = None, **more: Any) -> TrainingResult:
    given = {"backbone": str(tiny.BACKBONE), "embeddings": "embeddings", "fine_tune": FROZEN}
    given |= {"manifest": MANIFEST, **more}
    config = TrainingConfig(min_images=5, test_percent=20, steps=100, **given)  # type: ignore[arg-type]  # of several types
    say = tiny.ignore if said is None else said.append
    return run(
        "s3://data/images", "s3://data/models/bundles", config, cache=cache, say=say,
        progress=tiny.ignore,
    )  # fmt: skip


def data_of(version: str) -> dict[str, Any]:
    return dict(BundleInfo.from_json(json.dumps(STORE.read_info(version))).data)


def measured_on(version: str) -> set[str]:
    """The beginnings of the test photos' ids, which their names end in."""
    return {one[:12] for one in json.loads(STORE.read_file(version, ANSWERS))}


def ids(keys: set[str]) -> set[str]:
    return {key.rpartition("-")[2].partition(".")[0] for key in keys}


def test_training_reads_no_photo_but_those_that_measure_the_model(
    bucket: Bucket, tmp_path: Path
) -> None:
    result = train(tmp_path / "cache")
    told = data_of(result.version)
    assert told["stored_features"] == told["photos"] == 3 * EACH
    of_test = measured_on(result.version)
    assert of_test <= ids(bucket.read)
    assert len(ids(bucket.read) - of_test) == 3  # the golden ones
    assert len(of_test) < EACH


def test_the_split_and_the_model_are_those_that_the_photos_would_give(
    bucket: Bucket, tmp_path: Path
) -> None:
    stored, read = train(tmp_path / "one"), train(tmp_path / "two", embeddings="")
    assert len(bucket.read) == 3 * EACH
    assert data_of(stored.version) == data_of(read.version) | {"stored_features": 3 * EACH}
    golden = [Golden.from_bytes(STORE.read_file(one.version, GOLDEN)) for one in (stored, read)]
    assert np.array_equal(golden[0].embeddings, golden[1].embeddings)
    assert np.allclose(golden[0].probabilities, golden[1].probabilities, atol=0.01)


def test_a_photo_that_nothing_is_stored_of_is_read(bucket: Bucket, tmp_path: Path) -> None:
    new = bucket.put(tiny.photo(tiny.COLOURS["red"], seed=7777), "red", "new")
    other = "images/red/named by nobody.png"  # its content may be another by now
    data = tiny.photo(tiny.COLOURS["red"], seed=8888)
    metadata = {"product-id": "one%3Aodd"}
    client("s3").put_object(Bucket="data", Key=other, Body=data, Metadata=metadata)
    bucket.keys.append(other)
    bucket.list_them()
    see([other], tmp_path / "in use")
    bucket.read.clear()
    result = train(tmp_path / "cache")
    assert {new, other} <= bucket.read
    assert len(bucket.read) < EACH
    assert data_of(result.version)["stored_features"] == 3 * EACH
    assert sum(result.photos.values()) == 3 * EACH + 2


def test_a_photo_that_is_gone_is_skipped_and_named(bucket: Bucket, tmp_path: Path) -> None:
    gone = sorted(bucket.keys, key=lambda key: key.rpartition("-")[2])[:8]
    for key in gone:
        client("s3").delete_object(Bucket="data", Key=key)
    result = train(tmp_path / "cache")
    assert set(result.unreadable) == {key.removeprefix("images/") for key in gone}
    assert data_of(result.version)["stored_features"] == 3 * EACH - 8


def test_features_of_another_backbone_are_left_alone(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    result = train(tmp_path / "cache", said=said, precision="float32")
    assert "embeddings has no features of this backbone: photos are read" in said
    assert data_of(result.version)["stored_features"] == 0
    assert len(bucket.read) == 3 * EACH
    monkeypatch.setattr("training.stored.PREPROCESSING_ID", "rgb224/pillow-99")
    assert data_of(train(tmp_path / "other").version)["stored_features"] == 0


def test_rows_of_before_training_needed_them_do_not_count(bucket: Bucket, tmp_path: Path) -> None:
    for row in table("embeddings").scan()["Items"]:
        for name in ("length", "fingerprint"):
            row.pop(name, None)
        table("embeddings").put_item(Item=row)
    result = train(tmp_path / "cache")
    assert data_of(result.version)["stored_features"] == 0
    assert len(bucket.read) == 3 * EACH


def test_a_head_is_trained_anew_on_the_backbone_in_use(bucket: Bucket, tmp_path: Path) -> None:
    in_use = STORE.current().version
    said: list[str] = []
    result = train(tmp_path / "cache", backbone=IN_USE, fine_tune=AUTO, said=said)
    assert result.backbone == "tiny_backbone"
    assert in_use in result.backbone_source  # its URI, or its name
    assert any("cannot be fine-tuned" in one and "only its head is trained" in one for one in said)
    assert ids(bucket.read) - measured_on(result.version) <= ids(set(bucket.keys))
    assert len(bucket.read) < EACH
    again = train(tmp_path / "cache", backbone=STORE.uri(result.version))  # of one made like this
    assert data_of(again.version)["stored_features"] == 3 * EACH
    with pytest.raises(NotTunableError, match="cannot be fine-tuned"):
        train(tmp_path / "cache", backbone=IN_USE, fine_tune="3")


def test_what_is_in_use_may_be_no_bundle_of_ours(bucket: Bucket, tmp_path: Path) -> None:
    key = f"models/bundles/{STORE.current().version}/bundle.json"
    client("s3").put_object(Bucket="data", Key=key, Body=b"{}")
    result = train(tmp_path / "cache")
    assert data_of(result.version)["stored_features"] == 0
    client("s3").delete_object(Bucket="data", Key=key)
    said: list[str] = []
    train(tmp_path / "cache", said=said)
    assert "embeddings has no features of this backbone: photos are read" in said


def test_a_backbone_is_looked_for_once_and_may_need_nothing_in_the_cache(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def look_for(name: str, **more: Any) -> Weights:
        asked.append(name)
        return resolve(name, **more)

    monkeypatch.setattr("training.train.resolve", look_for)
    listing = tmp_path / "list.jsonl"
    listing.write_text("".join(json.dumps({"path": one[7:]}) + "\n" for one in bucket.keys))
    folder = ModelStore("data").download(STORE.current().version, tmp_path / "in use")
    result = train(tmp_path / "new", backbone=str(folder), manifest=str(listing))
    assert data_of(result.version)["stored_features"] == 3 * EACH
    assert asked == [str(folder)]


def test_a_table_that_is_not_there_is_one_sentence(bucket: Bucket, tmp_path: Path) -> None:
    del bucket
    with pytest.raises(DataError, match=r"features, of nowhere, cannot be read: .*not found"):
        train(tmp_path / "cache", embeddings="nowhere")
