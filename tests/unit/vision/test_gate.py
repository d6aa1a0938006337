"""Which of two models is better, told from what both said of the same photos."""

from __future__ import annotations

import subprocess
import sys

import pytest

from advisor.errors import BundleError
from advisor.vision.gate import Comparison, answers_json, compare, judge, read_answers

LABELS = ("hat", "shoe")


def said(answers: str, truth: str = "hat", start: int = 0) -> dict[str, tuple[str, str]]:
    """Photos of one label: `+` was answered right, `-` wrong."""
    other = "shoe" if truth == "hat" else "hat"
    return {
        f"{truth}{number}": (truth, truth if sign == "+" else other)
        for number, sign in enumerate(answers, start=start)
    }


def both(fresh: str, current: str) -> Comparison:
    return compare(said(fresh), said(current), fresh_labels=LABELS, current_labels=LABELS)


def test_counts_who_is_right_where() -> None:
    found = both("++-+-", "+-+--")
    assert found == Comparison(photos=5, right=3, theirs=2, gained=2, lost=1)


def test_only_photos_that_both_saw_count() -> None:
    fresh, current = said("++++"), said("--", start=2)
    found = compare(fresh, current, fresh_labels=LABELS, current_labels=LABELS)
    assert (found.photos, found.gained) == (2, 2)


def test_a_category_that_only_one_knows_counts_against_the_other() -> None:
    fresh, current = said("++"), said("++") | {"c1": ("cap", "cap")}
    new = {"s1": ("scarf", "scarf"), "s2": ("scarf", "hat")}
    found = compare(
        fresh | new, current, fresh_labels=(*LABELS, "scarf"), current_labels=(*LABELS, "cap")
    )
    assert (found.photos, found.gained, found.lost) == (5, 1, 1)


def test_a_photo_is_judged_by_its_corrected_label() -> None:
    current = {"p": ("hat", "shoe")}  # counted as a mistake then; the label was one
    fresh = {"p": ("shoe", "shoe")}
    found = compare(fresh, current, fresh_labels=LABELS, current_labels=LABELS)
    assert (found.right, found.theirs) == (1, 1)


def test_p_is_the_exact_one_of_mcnemar() -> None:
    assert Comparison(photos=9, right=8, theirs=0, gained=8, lost=0).p == 1 / 256
    assert Comparison(photos=9, right=6, theirs=5, gained=2, lost=1).p == 0.5
    assert Comparison(photos=9, right=5, theirs=5, gained=0, lost=0).p == 1
    # 5 + 1 of 2**6 ways, and 1: scipy.stats.binomtest(5, 6, alternative="greater")
    assert Comparison(photos=9, right=5, theirs=1, gained=5, lost=1).p == pytest.approx(0.109375)


def test_publishes_what_is_shown_to_be_better_and_nothing_else() -> None:
    better, luck, equal, worse = (
        both("+++++++", "-------"), both("++", "+-"), both("+-", "-+"), both("-", "+"),
    )  # fmt: skip
    assert judge(better, "m1").publish
    assert judge(better, "m1").reason == (
        "better than m1 in use: right on 7 of 7 photos, the one in use on 0; 7 only the new one "
        "gets right, 0 only the one in use (p = 0.0078)"
    )
    assert not judge(luck, "m1").publish
    assert judge(luck, "m1").reason.startswith("not shown to be better than m1 in use, as p is ab")
    assert judge(luck, "m1", max_p=0.5).publish
    for one in (equal, worse):
        assert not judge(one, "m1", max_p=1).publish
        assert judge(one, "m1", max_p=1).reason.startswith("no better than m1 in use")


def test_models_without_a_photo_in_common_are_not_compared() -> None:
    nothing = compare(said("+"), said("+", start=7), fresh_labels=LABELS, current_labels=LABELS)
    assert not judge(nothing, "m1").publish
    assert judge(nothing, "m1").reason == (
        "cannot be compared with m1 in use: no photo that both were measured on"
    )


def test_force_publishes_and_keeps_reason_and_figures() -> None:
    verdict = judge(both("-", "+"), "m1", force="the labels were wrong")
    assert verdict.publish
    assert verdict.reason.startswith("forced (the labels were wrong), against m1: right on 0 of 1")


def test_answers_are_read_as_they_were_written() -> None:
    answers = {"b": ("hi-fi, audio", "x"), "a": ("é", "é")}
    assert read_answers(answers_json(answers)) == answers
    assert list(read_answers(answers_json(answers))) == ["a", "b"]
    for damaged in (b"{", b"[]", b'{"a": 5}', b'{"a": ["x"]}'):
        with pytest.raises(BundleError, match=r"answers\.json of a bundle cannot be read"):
            read_answers(damaged)


def test_needs_no_numpy() -> None:
    code = "import sys, advisor.vision.gate; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
