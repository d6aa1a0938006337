"""The report, and what it is made from."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.vision.bundle import load_bundle
from advisor.vision.bundle_info import ANSWERS, REPORT
from advisor.vision.classification import Label
from tests.training import tiny
from training.config import FROZEN, TrainingConfig
from training.dataset import PhotoFile, scan
from training.evaluate import Answer, evaluate, measure
from training.features import Read
from training.leak import measure_leak
from training.report import Findings, render
from training.rows import RowFile
from training.selection import Selection
from training.split import Side, split
from training.train import train

CONFIG = TrainingConfig(
    backbone=str(tiny.BACKBONE), min_images=5, test_percent=20, steps=300, fine_tune=FROZEN
)
HOSTILE = "<script>alert('x')</script> & \"co\""


def answer(true: str, *ranked: tuple[str, float], unknown: bool = False) -> Answer:
    file = PhotoFile(folder=Path("nowhere"), inside=f"{true}/a.jpg", label=true)
    labels = tuple(Label(label, probability) for label, probability in ranked)
    return Answer(file=file, image_id=f"{true}{ranked}", labels=labels, unknown=unknown)


def test_the_figures_of_known_answers() -> None:
    answers = [
        answer("a", ("a", 0.9), ("b", 0.1)),
        answer("a", ("b", 0.6), ("a", 0.4)),
        answer("b", ("b", 0.8), ("c", 0.2)),
        answer("b", ("c", 0.5), ("a", 0.3), unknown=True),
    ]
    found = measure(answers, ("a", "b", "c"), skipped={})
    assert (found.accuracy, found.top3_accuracy) == (0.5, 0.75)
    assert (found.answered, found.answered_accuracy) == (0.75, pytest.approx(2 / 3))
    assert found.confusion == ((0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 2, 1))
    b = found.per_class["b"]
    assert (b.count, b.answered, b.correct, b.precision, b.recall) == (2, 2, 1, 0.5, 0.5)
    assert found.per_class["c"].recall is None
    assert found.per_class["c"].precision == 0.0
    assert [one["photo"] for one in found.misclassified] == ["a/a.jpg", "b/a.jpg"]
    assert found.misclassified[0]["answers"][0] == {"label": "b", "probability": 0.6}
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on photos of which each has a copy in another form."""
    from PIL import Image

    folder = tiny.make_photos(tmp_path_factory.mktemp("photos") / "images", each=20)
    for path in list(folder.rglob("*.png")):
        Image.open(path).convert("RGB").save(path.with_suffix(".jpg"), quality=90)
    (folder / "red" / "odd & <b>.png").write_bytes(tiny.photo(tiny.COLOURS["blue"], seed=9999))
    out = tmp_path_factory.mktemp("out") / "model"
    cache = tmp_path_factory.mktemp("cache")
    train(folder, out, CONFIG, cache=cache, say=tiny.ignore, progress=tiny.ignore)
    return out


def test_the_bundle_holds_the_figures_as_json(bundle: Path) -> None:
    metrics = load_bundle(bundle).info.metrics
    assert metrics["accuracy_interval"][0] < metrics["accuracy"] <= metrics["accuracy_interval"][1]
    assert 0 <= metrics["calibration_error"] <= 1
    assert metrics["coverage"][0]["coverage"] == 1.0
    assert metrics["leak"]["together"]["count"] > 0
    assert metrics["leak"]["leaked"] > 0


def test_the_bundle_holds_every_answer(bundle: Path) -> None:
    info = load_bundle(bundle).info
    answers = json.loads((bundle / ANSWERS).read_bytes())
    right = sum(label == said for label, said in answers.values())
    assert len(answers) == info.metrics["count"]
    assert right / len(answers) == pytest.approx(info.metrics["accuracy"])
    assert ANSWERS in info.files


class Page(HTMLParser):
    """What a browser would fetch, run or show."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} {name}"
            if name in {"src", "href", "xlink:href", "action"}:
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def parse(page: str) -> Page:
    parser = Page()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_is_whole_and_fetches_and_runs_nothing(bundle: Path) -> None:
    text = (bundle / REPORT).read_text(encoding="utf-8")
    page = parse(text)
    assert "script" not in page.tags
    assert page.tags.count("main") == 1
    assert text.count('class="wide"') == text.count('class="wide" tabindex="0"') > 3
    assert page.addresses
    assert all(one.startswith("data:image/webp;base64,") for one in page.addresses)
    assert not re.search(r"url\(|@import|https?://", text.replace(str(tiny.BACKBONE), ""))
    for heading in (
        "By category",
        "How far its probabilities",
        "What it answers",
        "Photos that lo",
    ):
        assert heading in page.text


def test_copies_are_shown_with_what_a_leaky_split_would_have_said(bundle: Path) -> None:
    page = parse((bundle / REPORT).read_text(encoding="utf-8"))
    assert "Photos that look the same (60)" in page.text
    assert "Split photo by photo" in page.text


def test_words_from_outside_are_shown_as_text(bundle: Path) -> None:
    info = load_bundle(bundle).info
    answers = [answer(HOSTILE, ("a", 0.9)), answer("a", (HOSTILE, 0.7)), answer("a", ("a", 0.9))]
    figures = measure(answers, ("a", HOSTILE), skipped={})
    corrections = {"given": 1, "photos": 1, "changed": 1,
                   "moves": [{"from": HOSTILE, "to": "a", "photos": 1}]}  # fmt: skip
    data = {**info.data, "pruned": {HOSTILE: 1}, "unreadable": {HOSTILE: HOSTILE}}
    hostile = replace(info, data={**data, "corrections": corrections})
    findings = Findings(
        mistakes=answers[:2],
        copies=[(answers[0].file, answers[1].file)],
        leak=None,
        corrected={"tested": 1, "agrees": 1, "as_before": 0},
    )
    text = render(hostile, figures, findings)
    page = parse(text)
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) >= 8


@pytest.mark.parametrize(
    ("shown", "said"),
    [(True, "so that, nine times in ten, at most 10% of the answers are wrong on photos it has"),
     (False, "The photos it was chosen by are too few to show that at most 10% of the answers")],
)  # fmt: skip
def test_the_threshold_promises_only_what_the_photos_showed(
    bundle: Path, shown: bool, said: str
) -> None:
    info = load_bundle(bundle).info
    info = replace(
        info,
        unknown_threshold=0.7,
        training={**info.training, "threshold_shown": shown, "max_error": 0.1},
    )
    figures = measure([answer("a", ("a", 0.9)), answer("a", ("b", 0.8))], ("a", "b"), skipped={})
    findings = Findings(mistakes=(), copies=(), leak=None, corrected={"tested": 0})
    text = parse(render(info, figures, findings)).text
    assert said in text
    assert ("nine times in ten" in text) is shown
    assert "It answers 100.0% of the test photos, and is right on 50.0% of these" in text


def test_a_matrix_that_nobody_reads_is_left_out(bundle: Path) -> None:
    labels = tuple(f"label {number}" for number in range(1000))
    answers = [answer("label 1", ("label 2", 0.9)), answer("label 2", ("label 2", 0.9))]
    figures = measure(answers, labels, skipped={})
    findings = Findings(mistakes=(), copies=(), leak=None, corrected={"tested": 0})
    text = render(load_bundle(bundle).info, figures, findings)
    assert "The matrix of 1000 categories is in bundle.json" in text
    assert len(figures.confusion) == 2


def selection_of(groups: list[str], labels: list[str], vectors: Any, folder: Path) -> Selection:
    reads = tuple(
        Read(PhotoFile(folder=Path(), inside=str(number), label=label), f"{number:064x}", number)
        for number, label in enumerate(labels)
    )
    with RowFile(folder) as file:
        for vector in vectors:
            file.add(vector)
        rows = file.rows()
    sides = split(labels, groups, test_percent=25, validation_percent=0)
    return Selection(
        reads=reads, sides=tuple(sides), labels=("a", "b"), pruned={}, unreadable={}, skipped={},
        groups=tuple(groups), copies=(), vectors=rows,
    )  # fmt: skip


def test_a_leaky_split_flatters_and_the_report_says_by_how_much(tmp_path: Path) -> None:
    """Labels that only memory can tell: random ones, of ten photos of each product."""
    rng = np.random.default_rng(1)
    products = rng.normal(0, 1, (40, 64))
    groups = [f"product {number // 10}" for number in range(400)]
    labels = ["ab"[side] for side in rng.integers(0, 2, 40).repeat(10)]
    vectors = products.repeat(10, axis=0) + rng.normal(0, 0.01, (400, 64))
    config = TrainingConfig(test_percent=25, validation_percent=0, steps=300, weight_decay=0)
    leak = measure_leak(selection_of(groups, labels, vectors, tmp_path), config)
    assert leak is not None
    assert leak.apart.accuracy > leak.together.accuracy + 0.2
    assert leak.leaked == leak.apart.count


def test_without_copies_nothing_can_leak(tmp_path: Path) -> None:
    groups = [f"{number:064x}" for number in range(8)]
    lone = selection_of(groups, ["a", "b"] * 4, np.eye(8), tmp_path)
    assert measure_leak(lone, CONFIG) is None
    assert Side.TEST in lone.sides


def test_evaluate_measures_a_folder(bundle: Path, tmp_path: Path) -> None:
    folder = tiny.make_photos(tmp_path / "images", each=2)
    found = evaluate(load_bundle(bundle), scan(folder), tiny.ignore)
    assert (found.count, found.accuracy) == (6, 1.0)
