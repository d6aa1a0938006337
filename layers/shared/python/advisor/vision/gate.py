"""Whether a model is better than the one in use: both on the same photos. Needs no numpy.

Each bundle carries what it said of its test photos. A photo's side of the split follows from
its content, so two models of one catalog share test photos, and neither was trained on them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from advisor.errors import BundleError

# Publishing has every photo of the catalog labelled anew, so chance is no reason for it.
MAX_P: Final = 0.05

Answers = Mapping[str, tuple[str, str]]  # image id -> the photo's label, the model's answer


def answers_json(answers: Answers) -> bytes:
    """answers.json of a bundle."""
    return json.dumps(dict(sorted(answers.items())), ensure_ascii=False, indent=0).encode()


def read_answers(data: bytes) -> dict[str, tuple[str, str]]:
    """Read answers.json.

    Raises: BundleError if it holds something else.
    """
    try:
        raw: dict[str, list[str]] = json.loads(data)
        return {image_id: (label, answer) for image_id, (label, answer) in raw.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise BundleError(f"answers.json of a bundle cannot be read: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the same photos.

    right, theirs: photos that the new model and the one in use answer correctly. gained: that
    only the new one does; lost: that only the one in use does.
    """

    photos: int
    right: int
    theirs: int
    gained: int
    lost: int

    @property
    def p(self) -> float:
        """How likely a model that is no better gains that many of the photos they differ on.

        McNemar's test, exact and one-sided: below 0.5 the new one is right more often.
        """
        differ = self.gained + self.lost
        ways = sum(math.comb(differ, count) for count in range(self.gained, differ + 1))
        return float(ways / 2**differ)

    def __str__(self) -> str:
        return (
            f"right on {self.right} of {self.photos} photos, the one in use on {self.theirs}; "
            f"{self.gained} only the new one gets right, {self.lost} only the one in use "
            f"(p = {self.p:.2g})"
        )


def compare(
    fresh: Answers,
    current: Answers,
    *,
    fresh_labels: Collection[str],
    current_labels: Collection[str],
) -> Comparison:
    """Compare a new model with the one in use on the photos that both were measured on.

    Where one knows a category that the other does not, the other is wrong on its photos. The
    photos' labels are those that the new model was measured by, with the latest corrections.
    """
    known, answerable = set(current_labels), set(fresh_labels)
    both = [(label, said, current[photo][1]) for photo, (label, said) in fresh.items()
            if photo in current]  # fmt: skip
    both += [(label, said, "") for photo, (label, said) in fresh.items()
             if photo not in current and label not in known]  # fmt: skip
    both += [(label, "", said) for photo, (label, said) in current.items()
             if photo not in fresh and label not in answerable]  # fmt: skip
    ours = [said == label for label, said, _ in both]
    theirs = [said == label for label, _, said in both]
    return Comparison(
        photos=len(both),
        right=sum(ours),
        theirs=sum(theirs),
        gained=sum(a and not b for a, b in zip(ours, theirs, strict=True)),
        lost=sum(b and not a for a, b in zip(ours, theirs, strict=True)),
    )


@dataclass(frozen=True)
class Verdict:
    """Whether a model may be published, and why, in one sentence."""

    publish: bool
    reason: str


def judge(comparison: Comparison, in_use: str, *, max_p: float = MAX_P, force: str = "") -> Verdict:
    """Whether a model may take the place of the one in use, of version in_use.

    max_p: how likely the gain may be by chance; 0.5 takes any that is right more often. force:
    the reason to publish in any case, "" for none.
    """
    figures = str(comparison) if comparison.photos else "no photo that both were measured on"
    if force:
        return Verdict(True, f"forced ({force}), against {in_use}: {figures}")
    if not comparison.photos:
        return Verdict(False, f"cannot be compared with {in_use} in use: {figures}")
    if comparison.gained > comparison.lost and comparison.p <= max_p:
        return Verdict(True, f"better than {in_use} in use: {figures}")
    return Verdict(
        False, f"not shown to be better than {in_use} in use, as p is above {max_p:g}: {figures}"
        if comparison.gained > comparison.lost
        else f"no better than {in_use} in use: {figures}",
    )  # fmt: skip
