"""Intervals, calibration and coverage, with values known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.figures import (
    accuracy_at,
    calibration_curve,
    calibration_error,
    calibration_noise,
    coverage_curve,
    wilson,
)


def test_wilson_gives_the_intervals_of_the_literature() -> None:
    # Newcombe (1998), table I: 81 of 263 and 1 of 29 and 0 of 20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(0, 0) is None


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_the_share_and_lies_in_0_to_1(case: tuple[int, int]) -> None:
    low, high = wilson(*case) or (2, -1)
    assert 0 <= low <= case[0] / case[1] + 1e-12
    assert case[0] / case[1] - 1e-12 <= high <= 1


def test_probabilities_that_mean_what_they_say_have_no_calibration_error() -> None:
    best = np.repeat([0.5, 0.9], [10, 10])
    right = np.array([True] * 5 + [False] * 5 + [True] * 9 + [False])
    bins = calibration_curve(best, right)
    assert [one.count for one in bins] == [10, 10]
    assert calibration_error(bins) == pytest.approx(0)
    assert calibration_error(calibration_curve(best, ~right)) == pytest.approx(0.4)  # (0 + .8) / 2


@pytest.mark.parametrize("count", [100, 1000])
def test_what_chance_adds_to_the_calibration_error_is_what_drawing_finds(count: int) -> None:
    rng = np.random.default_rng(1)
    best = rng.beta(5, 1, count)
    drawn = [
        calibration_error(calibration_curve(best, rng.random(count) < best)) for _ in range(400)
    ]
    assert calibration_noise(best) == pytest.approx(np.mean(drawn), rel=0.07)
    assert calibration_noise(np.ones(count)) == 0


def test_a_probability_of_one_lies_in_the_last_bin() -> None:
    (only,) = calibration_curve(np.array([1.0, 0.99]), np.array([True, False]))
    assert (only.to, only.count, only.accuracy) == (1.0, 2, 0.5)


def test_withholding_the_least_sure_answers_is_a_curve() -> None:
    best = np.array([0.9, 0.3, 0.8, 0.2])
    right = np.array([True, False, True, True])
    curve = coverage_curve(best, right, steps=4)
    assert [(one.coverage, one.threshold, one.accuracy) for one in curve] == [
        (1.0, 0.2, 0.75),
        (0.75, 0.3, pytest.approx(2 / 3)),
        (0.5, 0.8, 1.0),
        (0.25, 0.9, 1.0),
    ]
    assert accuracy_at(curve, 0.8) == pytest.approx(2 / 3)
