"""The head: trained, calibrated, put into the graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advisor.errors import BackboneError, UsageError
from advisor.vision.interpreter import Model
from tests.training import tiny
from training.calibration import best_temperature, unknown_threshold
from training.config import TrainingConfig
from training.head import (
    Head,
    HeadRecipe,
    calibrated,
    cross_fitted,
    softmax,
    train_head,
)
from training.tflite import put_head

RECIPE = HeadRecipe(steps=300, batch_size=50, learning_rate=0.01, weight_decay=0.0, seed=1)


def clusters(count: int, *, seed: int = 0, apart: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Three clusters in 8 dimensions, the first ten times as large as the others."""
    rng = np.random.default_rng(seed)
    targets = np.array([0] * 10 * count + [1] * count + [2] * count)
    centres = np.eye(3, 8) * apart
    return (centres[targets] + rng.normal(0, 1, (len(targets), 8))).astype(np.float32), targets


def recalls(head: Head, features: np.ndarray, targets: np.ndarray) -> list[float]:
    answers = head.probabilities(features).argmax(axis=1)
    return [float((answers[targets == label] == label).mean()) for label in range(3)]


def test_learns_what_can_be_told_apart() -> None:
    head = train_head(*clusters(50), 3, RECIPE)
    assert min(recalls(head, *clusters(50, seed=9))) > 0.9


def test_a_small_category_counts_as_much_as_a_large_one() -> None:
    head = train_head(*clusters(300, apart=1.5), 3, RECIPE)
    large, *small = recalls(head, *clusters(300, seed=9, apart=1.5))
    assert min(small) > large - 0.08


def test_equal_seeds_give_equal_heads() -> None:
    one, same = (train_head(*clusters(20), 3, RECIPE) for _ in range(2))
    assert np.array_equal(one.kernel, same.kernel)
    other = train_head(*clusters(20), 3, replace(RECIPE, seed=2))
    assert not np.array_equal(one.kernel, other.kernel)


def test_smoothed_labels_make_a_head_as_sure_as_they_are() -> None:
    features, targets = clusters(50, apart=12.0)
    head = train_head(features, targets, 3, replace(RECIPE, steps=2000, head_smoothing=0.3))
    sure = head.probabilities(features).max(axis=1).mean()
    assert sure == pytest.approx(1 - 0.3 + 0.3 / 3, abs=0.02)


def test_training_ends_when_validation_gets_worse() -> None:
    features, targets = clusters(20, apart=0.5)
    unseen, truth = clusters(20, seed=9, apart=0.5)
    recipe = replace(RECIPE, steps=3000, learning_rate=0.05)

    def loss(head: Head) -> float:
        return float(-np.log(head.probabilities(unseen)[np.arange(len(truth)), truth]).mean())

    late = train_head(features, targets, 3, recipe, held_out=(unseen, truth))
    stopped = train_head(features, targets, 3, replace(recipe, patience=2),
                         held_out=(unseen, truth))  # fmt: skip
    assert loss(stopped) < loss(late)
    # What comes later has a lower loss here: only the end of training keeps it out.
    assert not np.array_equal(
        stopped.kernel,
        train_head(features, targets, 3, replace(recipe, patience=10**6),
                   held_out=(unseen, truth)).kernel,
    )  # fmt: skip
    nobody = (unseen[:0], truth[:0])
    unwatched = train_head(features, targets, 3, replace(recipe, patience=2), held_out=nobody)
    assert np.array_equal(unwatched.kernel, late.kernel)


def test_a_head_put_into_the_graph_computes_what_numpy_does() -> None:
    rng = np.random.default_rng(0)
    head = Head(
        rng.normal(0, 0.1, (8, 3)).astype(np.float16).astype(np.float32),
        np.array([0.5, -0.25, 0], np.float32),
    )
    graph = tiny.GRAPH.read_bytes()
    changed = put_head(graph, head)
    photo = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    output, before = Model(changed).run(photo), Model(graph).run(photo)
    assert output.probabilities.shape == (3,)
    assert np.allclose(output.probabilities, head.probabilities(output.embedding), atol=1e-4)
    assert np.array_equal(output.embedding, before.embedding)
    assert put_head(changed, head) == changed


def test_a_head_of_other_features_is_refused() -> None:
    with pytest.raises(BackboneError, match="a head for 9 features; the graph has 8"):
        put_head(tiny.GRAPH.read_bytes(), Head(np.zeros((9, 3), np.float32), np.zeros(3)))


def test_the_temperature_undoes_over_confidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5)).astype(np.float32)
    targets = np.array([rng.choice(5, p=p / p.sum()) for p in softmax(logits).astype(float)])
    assert best_temperature(logits, targets) == pytest.approx(1.0, abs=0.1)
    assert best_temperature(logits * 3, targets) == pytest.approx(3.0, abs=0.3)


def test_a_calibrated_head_ranks_alike() -> None:
    features, targets = clusters(30)
    head = train_head(features, targets, 3, RECIPE)
    cooler = calibrated(head, 2.0)
    best, calm = head.probabilities(features), cooler.probabilities(features)
    assert (best.argmax(1) == calm.argmax(1)).mean() > 0.99
    assert calm.max(1).mean() < best.max(1).mean()


def test_few_photos_calibrate_nothing() -> None:
    logits = np.full((11, 6), -5, np.float32)
    logits[:, 2] = 5
    targets = np.full(11, 2)
    assert best_temperature(logits, targets) == 1.0
    assert unknown_threshold(softmax(logits), targets, max_error=0.05) == (0.25, False)


def surely(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Answers of a model that is right as often as it says, and the truth; the first is its."""
    sure = rng.uniform(0.5, 1, count).astype(np.float32)
    targets = (rng.random(count) > sure).astype(np.int64)
    return np.stack([sure, 1 - sure], axis=1), targets


def test_the_threshold_keeps_its_promise_on_other_photos_nine_times_in_ten() -> None:
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(100):
        threshold = unknown_threshold(*surely(rng, 400), max_error=0.1).at
        others, truth = surely(rng, 20_000)
        broken += bool((truth[others.max(axis=1) >= threshold] != 0).mean() > 0.1)
    assert 1 <= broken <= 17  # about 10; of a rule that keeps to 10 % on the 400 alone, about 50


def test_more_photos_let_more_be_answered() -> None:
    rng = np.random.default_rng(1)
    few, many = (
        np.mean([unknown_threshold(*surely(rng, count), max_error=0.1).at for _ in range(20)])
        for count in (200, 20_000)
    )
    assert unknown_threshold(*surely(rng, 20_000), max_error=0.1).shown
    assert 0.8 < many < 0.82 < few  # nine of ten answers are right from .8 on


def test_where_photos_are_too_few_to_show_it_the_nearest_threshold_is_taken() -> None:
    sure = np.linspace(0.6, 1, 50, dtype=np.float32)
    probabilities = np.stack([sure, 1 - sure], axis=1)
    right = np.zeros(50, np.int64)
    assert unknown_threshold(probabilities, right, max_error=0.01) == (sure[0], False)
    assert unknown_threshold(probabilities, right, max_error=0.0) == (sure[0], False)
    assert unknown_threshold(probabilities, right + 1, max_error=0.01) == (1.0, False)


def test_heads_are_asked_about_groups_that_they_have_not_seen() -> None:
    rng = np.random.default_rng(4)
    features = np.repeat(rng.normal(0, 1, (60, 200)), 2, axis=0).astype(np.float32)
    targets = np.repeat(rng.integers(0, 2, 60), 2)  # nothing to learn but by heart
    nobody = (features[:0], targets[:0])
    together, apart = (
        cross_fitted(features, targets, names, 2, RECIPE, held_out=nobody).argmax(axis=1) == targets
        for names in ([f"{n // 2}" for n in range(120)], [f"{n}" for n in range(120)])
    )
    assert together.mean() < 0.65
    assert apart.mean() > 0.75  # of two thirds a copy was seen


@pytest.mark.parametrize("names", ["label", "one"])
def test_heads_that_have_not_seen_a_label_can_be_asked(names: str) -> None:
    features, targets = clusters(5)
    groups = [str(label) if names == "label" else "same" for label in targets]
    nobody = (features[:0], targets[:0])
    logits = cross_fitted(features, targets, groups, 3, RECIPE, held_out=nobody)
    assert np.isfinite(logits).all()
    unseen = [logits[targets == label].argmax(axis=1) == label for label in (1, 2)]
    assert not np.concatenate(unseen).any()


def test_equally_sure_photos_are_answered_together_or_not_at_all() -> None:
    probabilities = np.array([[0.9, 0.1]] * 80 + [[0.8, 0.2]] * 20, np.float32)
    targets = np.array([0] * 84 + [1] * 16)  # of those at .8 only the first four are right
    threshold = unknown_threshold(probabilities, targets, max_error=0.05)
    assert threshold.at == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"steps": 0}, "steps is 0; at least 1"), ({"min_images": -3}, "min_images is -3"),
     ({"learning_rate": float("nan")}, "learning_rate is nan"),
     ({"max_error": 5.0}, "max_error is 5.0; expected 0 to 1"),
     ({"test_percent": 0}, "test_percent is 0; expected 1 to 90"),
     ({"test_percent": 60, "validation_percent": 40}, "together at most 90")],
)  # fmt: skip
def test_hyperparameters_that_make_no_sense_are_refused(
    change: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected):
        TrainingConfig(**change)
