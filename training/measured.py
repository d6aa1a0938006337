"""A bundle's figures: what it says of the test photos, as JSON, as a page, photo by photo."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from advisor.vision.bundle import Bundle
from advisor.vision.bundle_info import ANSWERS, REPORT
from advisor.vision.gate import answers_json
from training.config import TrainingConfig
from training.evaluate import Evaluation, answer_photos, measure
from training.leak import measure_leak
from training.parallel import Progress
from training.report import Findings, render
from training.selection import Selection


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured. files: what the bundle holds of it, by name. metrics: for bundle.json."""

    evaluation: Evaluation
    files: dict[str, bytes]
    metrics: dict[str, Any]


def measure_bundle(
    bundle: Bundle, selection: Selection, config: TrainingConfig, progress: Progress
) -> Measured:
    """Measure a bundle on the test photos of the run that made it; without any, on validation's.

    Raises: DataError if none of them can be read any more.
    """
    test = [read.file for read in selection.of(selection.measuring)]
    answers = answer_photos(bundle, test, progress)
    evaluation = measure(answers, selection.labels, skipped={})
    leak = measure_leak(selection, config)
    mistakes = [one for one in answers if one.labels and not one.correct]
    moved = [one for one in answers if one.labels and one.file.shop_label]
    corrected = {
        "tested": len(moved),
        "agrees": sum(one.correct for one in moved),
        "as_before": sum(one.labels[0].label == one.file.shop_label for one in moved),
    }
    findings = Findings(
        mistakes=sorted(mistakes, key=lambda one: -one.labels[0].probability),
        copies=[
            (selection.reads[one].file, selection.reads[other].file)
            for one, other in selection.copies
        ],
        leak=leak,
        corrected=corrected,
    )
    said = {one.image_id: (one.file.label, one.labels[0].label) for one in answers if one.labels}
    return Measured(
        evaluation=evaluation,
        files={
            REPORT: render(bundle.info, evaluation, findings).encode(),
            ANSWERS: answers_json(said),
        },
        metrics=evaluation.to_dict()
        | {"leak": asdict(leak) if leak else None, "corrected": corrected},
    )
