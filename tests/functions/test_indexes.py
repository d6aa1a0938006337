"""The index function and what searches in its indexes, against moto."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.aws.catalog import CatalogTables
from advisor.aws.clients import client
from advisor.aws.doubts import DoubtStore
from advisor.aws.embeddings import EmbeddingRow, EmbeddingTable
from advisor.aws.indexes import CURRENT, IndexedPhotos, IndexStore
from advisor.aws.listings import CurrentListing, ListingStore
from advisor.aws.models import CURRENT as CURRENT_MODEL
from advisor.aws.models import ModelStore
from advisor.aws.reviews import CATEGORY, MATCH, Decision, ReviewTable
from advisor.catalog.listing import Query
from advisor.crawling.items import Item
from functions.index.handler import Services, handler

pytestmark = pytest.mark.usefixtures("aws")
EMBEDDINGS = EmbeddingTable("embeddings")
CATALOG = CatalogTables("products", "prices")
REVIEWS = ReviewTable("reviews")


def unit(angle: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([np.cos(angle), np.sin(angle), 0, 0], dtype=np.float32)


def publish_model(version: str, *labels: str) -> None:
    current = {"version": version, "accuracy": 1.0, "published_at": "-"}
    info = {"version": version, "labels": labels}
    for key, value in (
        (CURRENT_MODEL, current),
        (f"models/bundles/{version}/bundle.json", info),
    ):
        client("s3").put_object(Bucket="data", Key=key, Body=json.dumps(value).encode())


def shelve(version: str, label: str, sku: str, angle: float) -> None:
    key = f"images/{label}/one/{sku}.jpg"
    client("s3").put_object(Bucket="data", Key=key, Body=b"-")
    EMBEDDINGS.put(
        EmbeddingRow(
            model_version=version, label=label, product_id=f"one:{sku}", image_id=f"i{sku}",
            photo_key=key, probability=0.9, embedding=unit(angle),
        )
    )  # fmt: skip


def index(tmp_path: Path, *, keep_s: float = -5, **event: Any) -> dict[str, Any]:
    def services() -> Services:
        return Services(
            data_bucket="data", models=ModelStore("data"), embeddings=EMBEDDINGS,
            indexes=IndexStore("data", tmp_path / "indexing", keep_s=keep_s), catalog=CATALOG,
            listings=ListingStore("data", tmp_path / "listing", keep_s=keep_s),
            doubts=DoubtStore("data"), reviews=REVIEWS,
        )  # fmt: skip

    return handler(event, None, services=services)


def searching(tmp_path: Path) -> IndexedPhotos:
    return IndexedPhotos(IndexStore("data", tmp_path / "searching"), max_age_s=0)


def found(photos: IndexedPhotos, *labels: str, angle: float = 0.0) -> list[str]:
    assert photos.model_version
    similar = photos.similar(labels or ("shoes",), unit(angle), limit=3)
    return [one.photo.product_id for one in similar]


def test_what_was_labelled_can_be_searched_by_category(tmp_path: Path) -> None:
    publish_model("m1", "shoes", "plants", "empty")
    for sku, angle in (("a", 0.0), ("b", 0.5), ("c", 1.0)):
        shelve("m1", "shoes", sku, angle)
    shelve("m1", "plants", "d", 0.1)
    result = index(tmp_path)
    assert result["published"] and result["complete"]
    assert (result["photos"], result["categories"], result["rebuilt"]) == (4, 2, 2)
    photos = searching(tmp_path)
    assert found(photos, "shoes") == ["one:a", "one:b", "one:c"]
    assert found(photos, "shoes", angle=1.0) == ["one:c", "one:b", "one:a"]
    assert found(photos, "shoes", "plants") == ["one:a", "one:d", "one:b"]
    assert found(photos, "empty") == found(photos, "unheard of") == []


def test_a_product_is_found_once_by_its_best_photo(tmp_path: Path) -> None:
    publish_model("m1", "shoes")
    for image, angle in (("x", 0.0), ("y", 0.2)):
        EMBEDDINGS.put(
            EmbeddingRow(
                model_version="m1", label="shoes", product_id="one:a", image_id=image,
                photo_key=image, probability=1, embedding=unit(angle),
            )
        )  # fmt: skip
    index(tmp_path, force=True)
    photos = searching(tmp_path)
    assert found(photos) == ["one:a"]
    assert photos.similar(["shoes"], unit(0.2), limit=3)[0].photo.image_id == "y"


def test_only_categories_that_changed_are_built_again(tmp_path: Path) -> None:
    publish_model("m1", "shoes", "plants")
    shelve("m1", "shoes", "a", 0.0)
    shelve("m1", "plants", "d", 0.1)
    index(tmp_path)
    again = index(tmp_path)
    assert (again["published"], again["rebuilt"]) == (False, 0)
    shelve("m1", "shoes", "b", 0.1)
    assert index(tmp_path)["rebuilt"] == 1
    assert found(searching(tmp_path)) == ["one:a", "one:b"]


def test_a_search_that_goes_on_sees_the_new_index_and_forgets_the_old_one(tmp_path: Path) -> None:
    publish_model("m1", "shoes")
    shelve("m1", "shoes", "a", 0.0)
    index(tmp_path)
    photos = searching(tmp_path)
    assert found(photos) == ["one:a"]
    shelve("m1", "shoes", "b", 0.1)
    index(tmp_path)
    assert found(photos) == ["one:a", "one:b"]
    assert len(list((tmp_path / "searching").iterdir())) == 1


def test_the_old_models_index_serves_until_the_new_ones_is_complete(tmp_path: Path) -> None:
    publish_model("m1", "shoes")
    for number in range(20):
        shelve("m1", "shoes", f"s{number}", number / 20)
    index(tmp_path)
    publish_model("m2", "shoes")
    for number in range(18):  # of twenty: labelling goes on
        shelve("m2", "shoes", f"s{number}", number / 20)
    waiting = index(tmp_path)
    assert (waiting["complete"], waiting["published"]) == (False, False)
    photos = searching(tmp_path)
    assert photos.model_version == "m1"
    assert len(photos.similar(["shoes"], unit(0), limit=50)) == 20
    shelve("m2", "shoes", "s18", 0.9)
    assert index(tmp_path)["published"]  # one in twenty may be no photo at all
    assert photos.model_version == "m2"
    assert len(photos.similar(["shoes"], unit(0), limit=50)) == 19


def test_nothing_is_indexed_before_a_model_is_published(tmp_path: Path) -> None:
    assert index(tmp_path)["reason"] == "no model is published yet"
    assert searching(tmp_path).model_version == ""


def test_indexes_that_no_reader_asks_for_are_removed(tmp_path: Path) -> None:
    publish_model("m1", "shoes")
    for number in range(4):
        shelve("m1", "shoes", f"s{number}", number / 4)
        index(tmp_path, force=True)
    keys = [one["Key"] for one in client("s3").list_objects_v2(Bucket="data")["Contents"]]
    builds = {key.rpartition("/")[0] for key in keys if key.startswith("index/m1/")}
    assert len(builds) == 2  # the one in use, and the one before, which may be being read
    assert CURRENT in keys


def test_what_another_build_may_be_about_to_publish_is_not_removed(tmp_path: Path) -> None:
    publish_model("m1", "shoes")
    shelve("m1", "shoes", "a", 0.0)
    sell("one", "a", "Runner", "footwear")
    for name in ("index/m1/shoes/other/coarse.npy", "listing/other.sqlite"):
        client("s3").put_object(Bucket="data", Key=name, Body=b"-")
    index(tmp_path, keep_s=3600)
    keys = [one["Key"] for one in client("s3").list_objects_v2(Bucket="data")["Contents"]]
    assert {"index/m1/shoes/other/coarse.npy", "listing/other.sqlite"} <= set(keys)
    index(tmp_path, keep_s=-5)
    shelve("m1", "shoes", "b", 0.0)
    index(tmp_path, keep_s=-5)
    keys = [one["Key"] for one in client("s3").list_objects_v2(Bucket="data")["Contents"]]
    assert not {"index/m1/shoes/other/coarse.npy", "listing/other.sqlite"} & set(keys)


def test_a_build_that_fails_leaves_the_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_model("m1", "shoes")
    shelve("m1", "shoes", "a", 0.0)
    index(tmp_path)
    shelve("m1", "shoes", "b", 0.1)
    real = client("s3").upload_file

    def fails(name: str, bucket: str, key: str) -> None:
        if key.endswith("ends.npy"):
            raise OSError("no more")
        real(name, bucket, key)

    with monkeypatch.context() as broken:
        broken.setattr(client("s3"), "upload_file", fails)
        with pytest.raises(OSError, match="no more"):
            index(tmp_path)
    assert found(searching(tmp_path)) == ["one:a"]
    index(tmp_path)
    assert found(searching(tmp_path)) == ["one:a", "one:b"]


def sell(shop: str, sku: str, title: str, category: str) -> None:
    item = Item(id=sku, title=title, category=category, description="-", shop=shop)
    CATALOG.put_item(item, run_id="r", observed_at="2026-11-22")


def test_products_are_listed_under_the_category_that_their_photos_show(tmp_path: Path) -> None:
    publish_model("m1", "shoes", "plants")
    for sku in ("a", "b"):
        sell("one", sku, f"Runner {sku}", "footwear")
        shelve("m1", "shoes", sku, 0.0)
    sell("one", "c", "Fern", "footwear")  # mis-shelved
    shelve("m1", "plants", "c", 1.0)
    sell("two", "d", "Tent", "outdoor")  # no photo: the shop's own word
    assert index(tmp_path)["products"] == 4
    listed = CurrentListing(ListingStore("data", tmp_path / "x"), max_age_s=0).get()
    assert listed
    listing, about = listed
    assert [(one["category"], one["products"]) for one in listing.categories()] == [
        ("shoes", 3),
        ("outdoor", 1),
    ]
    [found] = listing.find(Query(words="fern")).products
    assert (found["category"], found["shop_category"]) == ("shoes", "footwear")
    assert found["photo"] == "images/plants/one/c.jpg"
    assert [(one["product_id"], one["label"]) for one in about["disagreements"]] == [
        ("one:c", "plants")
    ]


def test_a_pin_wins_and_a_list_is_there_before_any_model(tmp_path: Path) -> None:
    sell("one", "a", "Runner", "footwear")
    sell("one", "b", "Tent", "outdoor")
    REVIEWS.put(
        Decision(
            kind=CATEGORY, about="-", said="shoes & boots", by="ann", at="2026",
            seen={"shop": "one", "category": "footwear", "unified": "footwear"},
        )
    )  # fmt: skip
    assert index(tmp_path)["products"] == 2
    listed = CurrentListing(ListingStore("data", tmp_path / "x"), max_age_s=0).get()
    assert listed
    assert [one["category"] for one in listed[0].categories()] == ["outdoor", "shoes & boots"]
    assert [(one["category"], one["unified"], one["pinned"]) for one in listed[1]["mapped"]] == [
        ("footwear", "shoes & boots", True), ("outdoor", "outdoor", False),
    ]  # fmt: skip


def test_a_new_list_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    listing = CurrentListing(ListingStore("data", tmp_path / "x"), max_age_s=0)
    assert listing.get() is None
    for sku in ("a", "b", "c"):
        sell("one", sku, f"Runner {sku}", "footwear")
        index(tmp_path)
        listed = listing.get()
        assert listed
    assert len(listed[0].find(Query()).products) == 3
    keys = [one["Key"] for one in client("s3").list_objects_v2(Bucket="data")["Contents"]]
    assert sum(key.endswith(".sqlite") for key in keys) == 2
    assert len(list((tmp_path / "x").iterdir())) == 1


def doubts() -> list[dict[str, Any]]:
    return DoubtStore("data").matches()


def test_doubtful_matches_are_listed_for_a_person_until_they_are_decided(tmp_path: Path) -> None:
    publish_model("m1", "tents")
    for shop, angle in (("one", 0.0), ("two", 1.5)):
        sell(shop, "t", "Family tent", "outdoor")
        EMBEDDINGS.put(
            EmbeddingRow(
                model_version="m1", label="tents", product_id=f"{shop}:t", image_id=shop,
                photo_key=f"images/{shop}", probability=0.9, embedding=unit(angle),
            )
        )  # fmt: skip
    assert index(tmp_path, force=True)["doubts"] == 1
    [doubt] = doubts()
    assert (doubt["one"], doubt["other"]) == ("one:t", "two:t")
    assert (doubt["reason"], doubt["why"]) == ("name", "photos differ")
    assert (doubt["one_photo"], doubt["other_photo"]) == ("images/one", "images/two")
    REVIEWS.put(
        Decision(
            kind=MATCH, about=doubt["match_id"], said="different", by="ann", at="2026",
            seen={"one": "one:t", "other": "two:t"},
        )
    )  # fmt: skip
    assert index(tmp_path, force=True)["doubts"] == 0


def test_doubts_need_no_model(tmp_path: Path) -> None:
    for shop in ("one", "two"):
        sell(shop, "t", "Tent", "outdoor")
    assert index(tmp_path)["doubts"] == 1  # a name that many things have, and no photos
