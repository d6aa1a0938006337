"""report.html: what a model does and does not, on one page that opens offline."""

from __future__ import annotations

from html import escape

from advisor.vision.bundle_info import BundleInfo
from training.evaluate import Evaluation

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem;
       padding: 0 1rem; color: #1b1b1b; background: #fff }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td.text, th.text { text-align: left }
td.hit { background: rgb(30 120 70 / var(--share)) }
td.miss { background: rgb(190 50 40 / var(--share)) }
"""


def render(info: BundleInfo, evaluation: Evaluation) -> str:
    """The page. Every word that comes from outside is escaped."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Model report</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{evaluation.accuracy:.1%} of {evaluation.count} test photos classified correctly</h1>
<p>Among the first three labels: {evaluation.top3_accuracy:.1%}. Sure enough
to answer (probability {info.unknown_threshold:.2f} or more): {_answered(evaluation)}.
Backbone: {escape(info.backbone.name)}. Trained on {info.data["train"]} photos, calibrated on
{info.data["validation"]}; measured on the TFLite file.</p>
<h2>By category</h2>
<div class="wide">{_classes(evaluation)}</div>
<h2>Confusion</h2>
<p>Rows: the category of the photo. Columns: what the model answered.</p>
<div class="wide">{_confusion(evaluation)}</div>
<h2>Misclassified photos</h2>
<div class="wide">{_mistakes(evaluation)}</div>
</body>
</html>
"""


def _answered(evaluation: Evaluation) -> str:
    accuracy = evaluation.answered_accuracy
    correctly = "" if accuracy is None else f", of these {accuracy:.1%} correctly"
    return f"{evaluation.answered:.1%}{correctly}"


def _classes(evaluation: Evaluation) -> str:
    rows = [
        f"<tr><td class=text>{escape(label)}<td>{one.count}<td>{one.correct}"
        f"<td>{_percent(one.recall)}<td>{_percent(one.precision)}</tr>"
        for label, one in evaluation.per_class.items()
    ]
    head = "<th>Category<th>Photos<th>Correct<th>Recall<th>Precision"
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _confusion(evaluation: Evaluation) -> str:
    rows = []
    for true, (label, counts) in enumerate(
        zip(evaluation.labels, evaluation.confusion, strict=True)
    ):
        cells = [
            f"<td class={'hit' if answered == true else 'miss'} "
            f'style="--share: {count / max(1, sum(counts)):.2f}">{count or ""}'
            for answered, count in enumerate(counts)
        ]
        rows.append(f"<tr><td class=text>{escape(label)}{''.join(cells)}</tr>")
    heads = "".join(f"<th>{escape(label)}" for label in evaluation.labels)
    return f"<table><tr><th>{heads}</tr>{''.join(rows)}</table>"


def _mistakes(evaluation: Evaluation) -> str:
    if not evaluation.misclassified:
        return "<p>None.</p>"
    rows = [
        f"<tr><td class=text>{escape(one['photo'])}<td class=text>{escape(one['label'])}"
        f"<td class=text>{escape(one['answer'])}<td>{one['probability']:.2f}</tr>"
        for one in evaluation.misclassified
    ]
    head = "<th>Photo<th class=text>Its category<th class=text>Answer<th>Probability"
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
