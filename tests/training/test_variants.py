"""Distorted variants of photos: fixed by content and number, computed once, learnt from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import DataError, UsageError
from advisor.vision.bundle_info import read_info
from advisor.vision.images import decode, image_id
from advisor.vision.interpreter import Model
from tests.training import tiny
from training.backbones import local
from training.config import FROZEN, TrainingConfig
from training.dataset import scan
from training.features import FeatureCache, Read, read_photos
from training.rows import FloatArray, Rows
from training.train import train
from training.variants import distort, variant_features

DATA = tiny.photo((30, 160, 220))
PHOTO, SHA256 = decode(DATA), image_id(DATA)


@pytest.fixture
def reads(tmp_path: Path) -> list[Read]:
    files = scan(tiny.make_photos(tmp_path / "photos", each=2))
    return read_photos(files, tiny.GRAPH.read_bytes, features_in(tmp_path), tiny.ignore)[0]


def features_in(folder: Path) -> FeatureCache:
    return FeatureCache(folder / "cache", local(tiny.BACKBONE))


def whole(rows: Rows) -> FloatArray:
    return rows[np.arange(len(rows))]


def test_a_variant_follows_from_content_and_number() -> None:
    variant = distort(PHOTO, SHA256, 0)
    assert (variant.shape, variant.dtype) == (PHOTO.shape, np.uint8)
    assert np.array_equal(variant, distort(PHOTO, SHA256, 0))
    for other in (PHOTO, distort(PHOTO, SHA256, 1), distort(PHOTO, "ff" * 32, 0)):
        assert np.abs(variant.astype(int) - other).mean() > 1


def test_some_variants_are_mirrored_and_all_show_at_least_a_third_of_the_photo() -> None:
    right = np.arange(224, dtype=np.uint8)[:, np.newaxis]
    ramp = np.ascontiguousarray(np.broadcast_to(right, (224, 224, 3)))
    rises = []
    for number in range(40):
        row = distort(ramp, SHA256, number)[100, :, 0].astype(int)
        rises.append(row[-1] - row[0])
    assert 5 < sum(rise < 0 for rise in rises) < 35
    assert min(abs(rise) for rise in rises) > 0.33 * 224 * 0.7


def test_variants_brighten_and_darken() -> None:
    grey = np.full((224, 224, 3), 128, np.uint8)
    means = [distort(grey, SHA256, number).mean() for number in range(40)]
    assert 128 * 0.7 - 1 < min(means) < 110
    assert 146 < max(means) < 128 * 1.3 + 1


def test_features_of_variants_are_those_of_the_serving_graph_and_in_order(
    reads: list[Read], tmp_path: Path
) -> None:
    found = variant_features(reads, 2, tiny.GRAPH.read_bytes, features_in(tmp_path), tiny.ignore)
    model = Model(tiny.GRAPH.read_bytes())
    expected = [
        np.array(model.run(distort(decode(one.file.path.read_bytes()), one.sha256, n)).embedding)
        for one in reads
        for n in range(2)
    ]
    assert np.array_equal(whole(found), np.stack(expected))


def test_features_of_variants_are_computed_once_and_more_of_them_added(
    reads: list[Read], tmp_path: Path
) -> None:
    cache, graph = features_in(tmp_path), tiny.GRAPH.read_bytes
    first = variant_features(reads, 2, graph, cache, tiny.ignore)
    again = variant_features(reads, 2, lambda: pytest.fail("nothing is new"), cache, tiny.ignore)
    assert np.array_equal(whole(first), whole(again))
    more = whole(variant_features(reads, 3, graph, cache, tiny.ignore))
    first_two = more.reshape(len(reads), 3, -1)[:, :2]
    assert np.array_equal(first_two.reshape(2 * len(reads), -1), whole(first))


def test_a_photo_that_changed_since_it_was_read_is_an_error(
    reads: list[Read], tmp_path: Path
) -> None:
    reads[0].file.path.write_bytes(DATA)
    with pytest.raises(DataError, match="was changed while it was being trained on"):
        variant_features(reads, 1, tiny.GRAPH.read_bytes, features_in(tmp_path), tiny.ignore)


def test_training_with_distortions_gives_another_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tiny.make_photos(tmp_path / "photos", each=12)
    monkeypatch.setattr("training.train.cached_graph", lambda *_, **__: tiny.GRAPH.read_bytes())
    config = TrainingConfig(
        backbone=str(tiny.BACKBONE), min_images=5, test_percent=20, steps=100, fine_tune=FROZEN
    )
    models = []
    for count in (0, 2, 2):
        out = tmp_path / f"model{len(models)}"
        train(photos, out, replace(config, distortions=count), cache=tmp_path / "cache",
              say=tiny.ignore, progress=tiny.ignore)  # fmt: skip
        assert read_info(out).training["distortions"] == count
        models.append((out / "model.tflite").read_bytes())
    assert models[0] != models[1] == models[2]


def test_a_negative_number_of_distortions_is_refused() -> None:
    with pytest.raises(UsageError, match="distortions is -1; at least 0 is needed"):
        TrainingConfig(distortions=-1)
