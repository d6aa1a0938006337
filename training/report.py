"""report.html: what a model does and does not, on one page that opens offline.

No script and nothing fetched: photos are in the page, charts are SVG.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any, Final

from PIL import Image

from advisor.errors import UnreadableImageError
from advisor.vision.bundle_info import BundleInfo
from advisor.vision.images import decode
from training.dataset import PhotoFile
from training.evaluate import MAX_MISTAKES, Answer, ClassMetrics, Evaluation
from training.figures import Interval
from training.leak import HeadAccuracy, Leak

SHOWN_MISTAKES: Final = 60
SHOWN_COPIES: Final = 24
SHOWN_NAMES: Final = 100
MATRIX_LABELS: Final = 30  # a larger matrix than that nobody reads
_THUMBNAIL = (112, 112)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the page shows besides the figures.

    mistakes: wrong answers, the surest first. copies: pairs of photos that look the same.
    leak: None where no two photos belong together. corrected: of the test photos that a person
    corrected: tested, agrees (answered as corrected), as_before (as the shop said).
    """

    mistakes: Sequence[Answer]
    copies: Sequence[tuple[PhotoFile, PhotoFile]]
    leak: Leak | None
    corrected: Mapping[str, int]


def render(info: BundleInfo, evaluation: Evaluation, findings: Findings) -> str:
    """The page. Every word that comes from outside is escaped."""
    sections = (
        ("By category", _classes(evaluation)),
        ("Which are taken for which", _confusion(evaluation)),
        ("How far its probabilities can be trusted", _calibration(evaluation)),
        ("What it answers and what it leaves open", _coverage(info, evaluation)),
        (f"Misclassified photos ({_mistake_count(evaluation)})", _mistakes(findings.mistakes)),
        (f"Photos that look the same ({len(findings.copies)})", _copies(findings)),
        ("Corrected labels", _corrections(info.data.get("corrections"), findings.corrected)),
        ("Left out", _left_out(info)),
        ("How it was made", _made(info)),
    )
    measuring = _measuring(info)
    chosen = (
        "; these photos chose its calibration, too, so expect a little less of others"
        if measuring == "validation"
        else ""
    )
    body = "".join(f"<section><h2>{title}</h2>{text}</section>" for title, text in sections if text)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Model {escape(info.version)}: {evaluation.accuracy:.1%}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<p class="eyebrow">Model report · {escape(info.version)}</p>
<h1>{evaluation.accuracy:.1%} of {evaluation.count} {measuring} photos classified correctly</h1>
<p>Measured on the TFLite file that serves, on photos it was not trained on{chosen}. In brackets,
here and below: the range that holds the true share with 95&nbsp;% confidence.</p>
</header>
<main>
<div class="cards">{_cards(info, evaluation)}</div>
{body}
</main>
</body>
</html>
"""


def thumbnail(file: PhotoFile) -> str:
    """An <img> with the photo in it, as the model sees it; "" if it cannot be read (any more)."""
    try:
        photo = decode(file.read())
    except (OSError, UnreadableImageError):
        return ""
    buffer = BytesIO()
    image = Image.fromarray(photo).resize(_THUMBNAIL, Image.Resampling.BOX)
    image.save(buffer, "WEBP", quality=60)
    width, height = _THUMBNAIL
    return (
        f'<img width="{width}" height="{height}" alt="{escape(file.label)}" loading="lazy"'
        f' src="data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}">'
    )


def _cards(info: BundleInfo, one: Evaluation) -> str:
    gain = 100 * (one.accuracy_at_90 - one.accuracy)
    answered = "-" if one.answered_accuracy is None else f"{one.answered_accuracy:.1%}"
    cards = (
        ("Correct", f"{one.accuracy:.1%}", _range(one.accuracy_interval)),
        ("Among the first three", f"{one.top3_accuracy:.1%}", _range(one.top3_interval)),
        (
            "Correct where sure",
            answered,
            f"{_range(one.answered_interval)}, answering {one.answered:.0%}"
            if one.answered
            else "every photo is unknown",
        ),
        ("Correct of the surest 90 %", f"{one.accuracy_at_90:.1%}", f"{gain:+.1f} points"),
        (
            "Calibration error",
            f"{one.calibration_error:.3f}",
            f"{one.calibration_noise:.3f} is chance, of {one.count} photos",
        ),
        ("Categories", str(len(info.labels)), f"{info.data.get('photos', 0)} photos"),
    )
    return "".join(
        f'<div class="card"><span>{name}</span><strong>{value}</strong><small>{more}</small></div>'
        for name, value, more in cards
    )


def _classes(evaluation: Evaluation) -> str:
    rows = [
        f'<tr><th scope="row">{escape(label)}</th><td>{one.count}</td>'
        f"{_share_cells(one.recall, one.recall_interval)}<td>{one.answered}</td>"
        f"{_share_cells(one.precision, one.precision_interval)}</tr>"
        for label, one in sorted(evaluation.per_class.items(), key=_by_recall)
    ]
    return (
        "<p>Worst recall first. Recall: how many of the category's photos were found. Precision:"
        " how many of the answers were right.</p>"
        '<div class="wide" tabindex="0"><table><thead><tr><th scope="col">Category</th>'
        '<th scope="col">Photos</th><th scope="col" colspan="2">Recall</th>'
        '<th scope="col">Answers</th><th scope="col" colspan="2">Precision</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _by_recall(item: tuple[str, ClassMetrics]) -> tuple[float, str]:
    label, one = item
    return (2.0 if one.recall is None else one.recall, label)


def _share_cells(share: float | None, interval: Interval | None) -> str:
    if share is None or interval is None:
        return '<td colspan="2" class="none">none</td>'
    low, high = (100 * end for end in interval)
    bar = (
        '<svg class="range" viewBox="0 0 100 12" role="img" aria-label="'
        f'{low:.0f} to {high:.0f} percent"><rect class="track" y="5" width="100" height="2"/>'
        f'<rect class="span" x="{low:.1f}" y="3" width="{high - low:.1f}" height="6" rx="3"/>'
        f'<circle cx="{100 * share:.1f}" cy="6" r="3.5"/></svg>'
    )
    return f"<td>{share:.0%} <small>{_range(interval)}</small></td><td>{bar}</td>"


def _confusion(evaluation: Evaluation) -> str:
    wrong = sorted(
        ((count, true, said) for true, said, count in evaluation.confusion if true != said),
        key=lambda one: (-one[0], one[1:]),
    )
    labels = evaluation.labels
    totals = {label: one.count for label, one in evaluation.per_class.items()}
    most = "".join(
        f"<li><b>{escape(labels[true])}</b> taken for <b>{escape(labels[said])}</b>:"
        f" {count} of {totals[labels[true]]}</li>"
        for count, true, said in wrong[:8]
    )
    listed = f"<ol>{most}</ol>" if most else "<p>No photo was taken for another category.</p>"
    if len(labels) > MATRIX_LABELS:
        return f"{listed}<p>The matrix of {len(labels)} categories is in bundle.json.</p>"
    return f'{listed}<div class="wide" tabindex="0">{_matrix(evaluation)}</div>'


def _matrix(evaluation: Evaluation) -> str:
    counts = {(true, said): count for true, said, count in evaluation.confusion}
    rows = []
    for true, label in enumerate(evaluation.labels):
        total = max(1, evaluation.per_class[label].count)
        cells = "".join(
            _matrix_cell(counts.get((true, said), 0), total, hit=said == true)
            for said in range(len(evaluation.labels))
        )
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>')
    heads = "".join(f'<th scope="col"><span>{escape(one)}</span></th>' for one in evaluation.labels)
    return (
        "<table class=matrix><caption>Rows: the photo's category. Columns: the answer.</caption>"
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _matrix_cell(count: int, total: int, *, hit: bool) -> str:
    if not count:
        return "<td>·</td>"
    shade = 1 + round(8 * count / total)
    return f'<td class="{"hit" if hit else "miss"} s{shade}">{count}</td>'


def _calibration(evaluation: Evaluation) -> str:
    most = max(one.count for one in evaluation.calibration)
    dots = "".join(
        f'<circle cx="{_x(one.confidence):.1f}" cy="{_y(one.accuracy):.1f}"'
        f' r="{3 + 9 * (one.count / most) ** 0.5:.1f}"><title>{one.count} photos, said'
        f" {one.confidence:.0%}, right {one.accuracy:.0%}</title></circle>"
        for one in evaluation.calibration
    )
    line = " ".join(f"{_x(b.confidence):.1f},{_y(b.accuracy):.1f}" for b in evaluation.calibration)
    chart = _chart(
        f'<line class="ideal" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>'
        f'<polyline class="line" points="{line}"/><g class="dots">{dots}</g>',
        across="what it says: best probability",
        up="how often that is right",
        low=0.0,
    )
    rows = [
        (f"{one.above:.0%} to {one.to:.0%}", one.count, f"{one.confidence:.1%}",
         f"{one.accuracy:.1%}")
        for one in evaluation.calibration
    ]  # fmt: skip
    table = _table(("Best probability", "Photos", "Mean", "Right"), rows)
    return (
        "<p>On the dashed line a probability of 80&nbsp;% is right in 80&nbsp;% of the photos;"
        f" a larger dot is more photos. On average it is off by"
        f" {100 * evaluation.calibration_error:.1f} points (expected calibration error);"
        f" were every probability just right, {100 * evaluation.calibration_noise:.1f} points would"
        f" still be off by chance, of {evaluation.count} photos.</p>"
        f"{chart}<details><summary>The figures</summary>{table}</details>"
    )


def _coverage(info: BundleInfo, evaluation: Evaluation) -> str:
    low = min(point.accuracy for point in evaluation.coverage)
    low = min(0.9, int(10 * low) / 10)
    line = " ".join(
        f"{_x(point.coverage):.1f},{_y(point.accuracy, low):.1f}" for point in evaluation.coverage
    )
    at = _x(evaluation.answered)
    allowed = float(info.training.get("max_error", 0.05))
    aim = _y(max(low, 1 - allowed), low)
    anchor, beside = ("end", at - 6) if evaluation.answered > 0.5 else ("start", at + 6)
    chart = _chart(
        f'<line class="ideal" x1="{_x(0)}" y1="{aim:.1f}" x2="{_x(1)}" y2="{aim:.1f}"/>'
        f'<text class="note" x="{_x(0) + 6}" y="{aim - 6:.1f}">{1 - allowed:.0%} right</text>'
        f'<line class="chosen" x1="{at:.1f}" y1="{_y(0)}" x2="{at:.1f}" y2="{_y(1)}"/>'
        f'<text class="note" x="{beside:.1f}" y="{_y(0) - 8:.1f}" text-anchor="{anchor}">'
        f"chosen: {evaluation.answered:.0%} answered</text>"
        f'<polyline class="line" points="{line}"/>',
        across="share of the photos that it answers",
        up="right, of these",
        low=low,
    )
    rows = [
        (f"{point.coverage:.0%}", f"{point.threshold:.2f}", f"{point.accuracy:.1%}")
        for point in evaluation.coverage
    ]
    table = _table(("Answered", "From probability", "Right"), rows)
    return (
        f"<p>A photo whose best probability is below <b>{info.unknown_threshold:.2f}</b> is"
        f" answered with <i>unknown</i>. {_promise(info, allowed)} {_kept(info, evaluation)}</p>"
        f"{chart}<details><summary>The figures</summary>{table}</details>"
    )


def _promise(info: BundleInfo, allowed: float) -> str:
    """What the threshold of `unknown` was chosen for, and whether the photos sufficed for that."""
    if info.training.get("threshold_shown", True):
        return (
            f"That was chosen so that, nine times in ten, at most {allowed:.0%} of the answers are"
            " wrong on photos it has not seen."
        )
    if info.unknown_threshold < 1:
        return (
            "The photos it was chosen by are too few to show that at most"
            f" {allowed:.0%} of the answers are wrong on others."
        )
    return f"None that is lower keeps to at most {allowed:.0%} of wrong answers."


def _kept(info: BundleInfo, evaluation: Evaluation) -> str:
    photos = f"{_measuring(info)} photos"
    if evaluation.answered_accuracy is None:
        return f"It answers none of the {photos}."
    return (
        f"It answers {evaluation.answered:.1%} of the {photos}, and is right on"
        f" {evaluation.answered_accuracy:.1%} of these {_range(evaluation.answered_interval)}."
    )


def _mistake_count(evaluation: Evaluation) -> int:
    return evaluation.count - sum(one.correct for one in evaluation.per_class.values())


def _mistakes(mistakes: Sequence[Answer]) -> str:
    if not mistakes:
        return "<p>None.</p>"
    cards = []
    for one in mistakes[:SHOWN_MISTAKES]:
        said = "".join(
            f"<li>{escape(label.label)} <small>{label.probability:.0%}</small></li>"
            for label in one.labels
        )
        held = " <small>answered unknown</small>" if one.unknown else ""
        cards.append(
            f"<figure>{thumbnail(one.file)}<figcaption><b>{escape(one.file.label)}</b>{held}"
            f"<ol>{said}</ol><code>{escape(one.file.name)}</code></figcaption></figure>"
        )
    shown = f" The first {SHOWN_MISTAKES}." if len(mistakes) > SHOWN_MISTAKES else ""
    return (
        "<p>In bold the photo's category, below it the answers. The surest mistakes first: often"
        f" it is the category that is wrong.{shown} Up to {MAX_MISTAKES} are in bundle.json, every"
        f' answer in answers.json.</p><div class="photos">{"".join(cards)}</div>'
    )


def _copies(findings: Findings) -> str:
    if findings.leak is None:
        return "<p>No two photos look the same or show one product: nothing could leak.</p>"
    disagreeing = sum(one.label != other.label for one, other in findings.copies)
    pairs = sorted(findings.copies, key=lambda pair: pair[0].label == pair[1].label)
    cards = "".join(
        f"<figure>{thumbnail(one)}{thumbnail(other)}<figcaption><b>{escape(one.label)}</b>"
        + ("" if one.label == other.label else f" and <b>{escape(other.label)}</b>")
        + f"<code>{escape(one.name)}</code><code>{escape(other.name)}</code></figcaption></figure>"
        for one, other in pairs[:SHOWN_COPIES]
    )
    odd = f" {disagreeing} of the pairs lie in two categories; they are shown first."
    shown = f" The first {SHOWN_COPIES} are shown." if len(pairs) > SHOWN_COPIES else ""
    gallery = f'<div class="photos pairs">{cards}</div>' if cards else ""
    return (
        "<p>Copies, near-copies and all photos of one product stay on one side of the split,"
        f" so that the model is not asked what it has seen.{odd if disagreeing else ''}{shown}</p>"
        f"{_leak(findings.leak)}{gallery}"
    )


def _leak(leak: Leak) -> str:
    rows = [
        ("Split with copies and products together", _measured(leak.together), "0"),
        ("Split photo by photo", _measured(leak.apart), str(leak.leaked)),
    ]
    head = ("A head on the backbone's features", "Test accuracy", "Test photos with a twin outside")
    return _table(head, rows)


def _measured(one: HeadAccuracy) -> str:
    return f"{one.accuracy:.1%} {_range(one.interval)} of {one.count}"


def _corrections(corrections: Any, corrected: Mapping[str, int]) -> str:
    if not corrections:
        return ""
    rows = [(move["from"], move["to"], move["photos"]) for move in corrections["moves"]]
    effect = (
        f" {corrected['tested']} of these are test photos: the model answers as corrected in"
        f" {corrected['agrees']}, as the shop said in {corrected['as_before']}."
        if corrected["tested"]
        else ""
    )
    return (
        f"<p>{corrections['given']} photos were corrected by hand; {corrections['photos']} files"
        f" here are of these, and {corrections['changed']} got another label by it.{effect}</p>"
        + (_table(("The shop's category", "Corrected to", "Photos"), rows) if rows else "")
    )


def _measuring(info: BundleInfo) -> str:
    """Which photos measured the model (training/selection.py)."""
    return "test" if info.data.get("test") else "validation"


def _left_out(info: BundleInfo) -> str:
    counted = {
        "Categories with too few photos": info.data.get("pruned", {}),
        "Categories of validation and test photos that are not trained": info.data.get(
            "skipped", {}
        ),
    }
    unreadable = [f"{name}: {why}" for name, why in info.data.get("unreadable", {}).items()]
    unused = info.data.get("unused", 0)
    return (
        (
            f"<p>{unused} photos are not used: a copy of each, or a photo of its product, is among"
            " the validation or test photos.</p>"
            if unused
            else ""
        )
        + "".join(
            _names(title, [f"{label}: {count} photos" for label, count in counts.items()])
            for title, counts in counted.items()
        )
        + _names("Photos that cannot be read", unreadable)
    )


def _names(title: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f"<li>and {len(names) - SHOWN_NAMES} more</li>" if len(names) > SHOWN_NAMES else ""
    items = "".join(f"<li>{escape(name)}</li>" for name in names[:SHOWN_NAMES])
    return f"<details><summary>{title} ({len(names)})</summary><ul>{items}{more}</ul></details>"


def _made(info: BundleInfo) -> str:
    rows: list[tuple[str, Any]] = [
        ("made", info.created_at),
        ("backbone", f"{info.backbone.name} ({info.backbone.source})"),
        ("preprocessing", info.preprocessing_id),
        *((f"{side} photos", info.data.get(side, 0)) for side in ("train", "validation", "test")),
        ("photos and labels, hashed", info.data.get("manifest_sha256", "")),
        ("temperature", f"{info.temperature:.3f}"),
        *((name.replace("_", " "), value) for name, value in info.training.items()),
    ]
    return f"<details><summary>Settings and data</summary>{_table(('', ''), rows)}</details>"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    first = f"<thead><tr>{heads}</tr></thead>" if any(head) else ""
    return f'<div class="wide" tabindex="0"><table>{first}<tbody>{body}</tbody></table></div>'


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"({interval[0]:.0%} to {interval[1]:.0%})"


_LEFT, _TOP, _WIDTH, _HEIGHT = 56, 14, 440, 270


def _x(share: float) -> float:
    return _LEFT + _WIDTH * share


def _y(share: float, low: float = 0.0) -> float:
    return _TOP + _HEIGHT * (1 - (share - low) / (1 - low))


def _chart(inner: str, *, across: str, up: str, low: float) -> str:
    """Axes from `low` to 1 upwards and 0 to 1 across, around what is drawn in them."""
    ticks = "".join(
        f'<text x="{_LEFT - 8}" y="{_y(share, low) + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{_y(share, low):.1f}"'
        f' y2="{_y(share, low):.1f}"/>'
        for share in (low + step * (1 - low) / 5 for step in range(6))
    ) + "".join(
        f'<text x="{_x(share):.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{share:.0%}'
        "</text>"
        for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    )
    return (
        f'<svg class="chart" viewBox="0 0 520 330" role="img" aria-label="{up} by {across}">'
        f'{ticks}<text x="{_LEFT + _WIDTH / 2}" y="{_TOP + _HEIGHT + 40}" text-anchor="middle">'
        f'{across}</text><text transform="translate(14 {_TOP + _HEIGHT / 2}) rotate(-90)"'
        f' text-anchor="middle">{up}</text>{inner}</svg>'
    )


_SHADES = "".join(f".s{step} {{ --shade: {6 + 9 * step}% }}\n" for step in range(1, 10))
_STYLE = (
    """
:root { color-scheme: light dark;
  --ink: light-dark(#1c1f24, #e8eaee); --soft: light-dark(#5a6270, #a3acba);
  --page: light-dark(#fbfbfa, #14161a); --card: light-dark(#fff, #1c1f25);
  --rule: light-dark(#e2e4e8, #31363f); --blue: light-dark(#1f5fbf, #7fb0ff);
  --green: light-dark(#1f8a55, #48b981); --red: light-dark(#c9432f, #ef7d68) }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 62rem;
  padding: 2.5rem 1.25rem 5rem; color: var(--ink); background: var(--page) }
h1 { font-size: clamp(1.6rem, 4vw, 2.4rem); line-height: 1.15; margin: .2rem 0 .8rem;
  letter-spacing: -.02em; text-wrap: balance }
h2 { font-size: 1.25rem; margin: 0 0 .6rem; letter-spacing: -.01em }
p { max-width: 44rem; margin: .4rem 0 1rem } small { color: var(--soft); font-size: .82em }
code { font-size: .75rem; color: var(--soft); overflow-wrap: anywhere; display: block }
section { border-top: 1px solid var(--rule); margin-top: 2.5rem; padding-top: 1.6rem }
.eyebrow { color: var(--soft); font-size: .85rem; margin: 0 }
.cards { display: grid; grid-template-columns: repeat(3, 1fr); gap: .8rem; margin-top: 1.6rem }
@media (max-width: 40rem) { .cards { grid-template-columns: repeat(2, 1fr) } }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: .7rem;
  padding: .8rem 1rem; display: grid; align-content: start }
.card span { color: var(--soft); font-size: .82rem } .card strong { font-size: 1.6rem;
  line-height: 1.3; font-variant-numeric: tabular-nums; letter-spacing: -.02em }
.wide { overflow-x: auto } .wide:focus-visible { outline: 2px solid var(--blue) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--rule); text-align: right;
  vertical-align: middle }
th { font-weight: 600 } thead th { color: var(--soft); font-weight: 500; font-size: .82rem }
th:first-child, td:first-child { text-align: left } th[colspan] { text-align: center }
.wide + .photos { margin-top: 1rem }
td { white-space: nowrap } td:first-child { white-space: normal; overflow-wrap: break-word }
td:nth-child(2):last-child { white-space: normal; overflow-wrap: anywhere }
.none { color: var(--soft) }
.range { width: 7.5rem; height: .9rem; display: block; overflow: visible }
.track { fill: var(--rule) } .span { fill: var(--blue); opacity: .35 }
.range circle { fill: var(--blue) }
.matrix caption { text-align: left; color: var(--soft); font-size: .85rem; padding-bottom: .5rem }
.matrix td, .matrix th { padding: .3rem .5rem; text-align: center; border: 0 }
.matrix th[scope=row] { text-align: right; padding-right: .8rem; white-space: nowrap }
.matrix thead th { vertical-align: bottom } .matrix thead span { writing-mode: vertical-rl;
  transform: rotate(180deg); max-height: 10rem }
.matrix td { min-width: 2.4rem; height: 2.4rem; color: var(--rule); border-radius: .3rem }
.matrix .hit, .matrix .miss { color: var(--ink);
  background: color-mix(in srgb, var(--tone) var(--shade), transparent) }
.hit { --tone: var(--green) } .miss { --tone: var(--red) }
.chart { width: 100%; max-width: 40rem; height: auto; display: block; margin: .5rem 0 1rem }
.chart text { fill: var(--soft); font-size: 12px } .chart .note { fill: var(--ink) }
.grid { stroke: var(--rule) } .ideal { stroke: var(--soft); stroke-dasharray: 5 5 }
.line { fill: none; stroke: var(--blue); stroke-width: 2.5; stroke-linejoin: round }
.chosen { stroke: var(--green); stroke-width: 2 } .dots circle { fill: var(--blue); opacity: .75 }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .8rem }
.pairs { grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)) }
figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: .7rem;
  padding: .6rem; font-size: .88rem; overflow-wrap: anywhere }
figure img { border-radius: .4rem; margin: 0 .4rem .4rem 0; background: var(--rule) }
figure ol { margin: .2rem 0 .4rem; padding-left: 1.1rem }
details { margin: .6rem 0 } summary { cursor: pointer; color: var(--blue) }
summary:focus-visible { outline: 2px solid var(--blue); outline-offset: 3px }
@media print { body { background: none } figure, tr { break-inside: avoid } }
"""
    + _SHADES
)
