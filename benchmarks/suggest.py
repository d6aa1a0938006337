"""How long a search among a category's photos takes, and what it misses against an exact one.

`python -m benchmarks.suggest` enlarges real photos' embeddings by noise to 1,000 up to 1,000,000,
makes an index of them as the index function does, and searches in it with one thread. The photos
are those of ../shared/data, or the demo goods where that is not there. The files are in the page
cache, as when they were just fetched. Noise: of equal size in all
directions (`even`), so that copies of one photo are nearly equally far from each other, or as
large in each direction as the photos differ in it (`natural`). Beside it numpy's exact search over
float32, where it fits. Writes build/benchmarks/suggest.svg.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from advisor.catalog.index import COARSE, FILES, CategoryIndex, directions, encode
from benchmarks.photos import embed, photos_under
from benchmarks.processes import peak_mb
from training.config import DEFAULT_BACKBONE

ROOT: Final = Path(__file__).resolve().parent.parent
SHARED: Final = (ROOT.parent / "shared/data/clothing", ROOT.parent / "shared/data/caltech-products")
OUT: Final = ROOT / "build" / "benchmarks"
QUERIES: Final = 50
NOISE: Final = 0.3  # of the length of an embedding, or of its spread
CHUNK: Final = 20_000
Matrix = npt.NDArray[np.float32]


def real_embeddings(backbone: str) -> Matrix:
    """The embeddings of the photos there are, kept for the next run."""
    folders = [one for one in SHARED if one.is_dir()] or [ROOT / "build" / "goods"]
    photos = photos_under(folders)
    cache = OUT / f"embeddings-{Path(backbone).stem}-{len(photos)}.npy"
    if not cache.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        np.save(cache, embed((path.read_bytes() for path in photos), backbone))
    found: Matrix = np.load(cache)
    return found


def enlarged(real: Matrix, count: int, *, noise: str, seed: int) -> Matrix:
    """So many embeddings around real ones, unit length."""
    dice = np.random.default_rng(seed)
    base = real[dice.integers(0, len(real), count)]
    random = dice.standard_normal(base.shape, dtype=np.float32)
    if noise == "even":
        moved = base + random * np.float32(NOISE / np.sqrt(base.shape[1]))
    else:
        moved = base + random[:, : min(real.shape)] @ _spread(real.tobytes(), real.shape[1])
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.asarray(moved / length, dtype=np.float32)


@cache
def _spread(real: bytes, dimensions: int) -> Matrix:
    """The directions in which the photos differ, each as long as they differ in it."""
    matrix = np.frombuffer(real, dtype=np.float32).reshape(-1, dimensions)
    _, spread, axes = np.linalg.svd(matrix, full_matrices=False)
    width = spread / np.sqrt(len(matrix)) * NOISE
    return np.asarray(width[:, np.newaxis] * axes, dtype=np.float32)


def make(folder: Path, real: Matrix, count: int, noise: str) -> dict[str, Any]:
    """Write an index of so many photos; what an exact search finds for the queries, beside it."""
    queries = enlarged(real, QUERIES, noise=noise, seed=10**9)
    basis = directions(enlarged(real, min(count, 5_000), noise=noise, seed=0))
    shape = np.lib.format.open_memmap
    coarse = shape(folder / "coarse.npy", mode="w+", dtype=np.int8, shape=(count, basis.shape[1]))
    fine = shape(folder / "fine.npy", mode="w+", dtype=np.float16, shape=(count, real.shape[1]))
    ends = np.empty(count, dtype=np.int64)
    best = np.empty((QUERIES, 0), dtype=np.float32)
    rows = np.empty((QUERIES, 0), dtype=np.int64)
    exact_s = coding_s = 0.0
    end = 0
    with (folder / "photos.bin").open("wb") as lines:
        for start in range(0, count, CHUNK):
            part = enlarged(real, min(CHUNK, count - start), noise=noise, seed=start)
            began = time.perf_counter()
            with threadpool_limits(1):
                coarse[start : start + len(part)] = encode(part @ basis)
                fine[start : start + len(part)] = part
            coding_s += time.perf_counter() - began
            began = time.perf_counter()
            with threadpool_limits(1):
                scores = queries @ part.T
            exact_s += time.perf_counter() - began
            best = np.concatenate([best, scores], axis=1)
            here = np.arange(start, start + len(part))
            rows = np.concatenate([rows, np.broadcast_to(here, scores.shape)], axis=1)
            order = np.argsort(-best, axis=1)[:, :10]
            best = np.take_along_axis(best, order, axis=1)
            rows = np.take_along_axis(rows, order, axis=1)
            for row in range(start, start + len(part)):
                end += lines.write(json.dumps([f"shop:{row}", f"{row:064d}", "images/x"]).encode())
                ends[row] = end
    np.save(folder / "basis.npy", basis)
    np.save(folder / "ends.npy", ends)
    np.savez(folder / "asked.npz", queries=queries, rows=rows)
    return {"coding_s": round(coding_s, 1), "exact_ms_a_query": 1000 * exact_s / QUERIES}


def search(folder: Path) -> dict[str, Any]:
    """Search for the queries, in a process of its own; memory is what the searches added."""
    with np.load(folder / "asked.npz") as asked:
        queries, rows = asked["queries"], asked["rows"]
    for name in FILES:  # as when the function has just fetched them
        with (folder / name).open("rb") as file:
            while file.read(1 << 24):
                pass
    before = peak_mb("self")
    index = CategoryIndex.open(folder)
    times, right = [], []
    for query, exact in zip(queries, rows, strict=True):
        began = time.perf_counter()
        found = index.search(query, limit=10)
        times.append(1000 * (time.perf_counter() - began))
        ids = {int(one.photo.product_id.partition(":")[2]) for one in found}
        right.append(len(ids & set(exact.tolist())) / min(10, len(index)))
    after = peak_mb("self")
    return {
        "ms": round(float(np.median(times[1:])), 2),
        "worst_ms": round(max(times[1:]), 2),
        "first_ms": round(times[0], 2),
        "recall": round(float(np.mean(right)), 4),
        "search_mb": round(after - before),
        "process_mb": round(after),
        "file_mb": round(sum(one.stat().st_size for one in folder.iterdir()) / 1e6),
    }


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Time over size, both logarithmic, as an SVG file."""
    width, height, left, right, bottom = 560, 320, 60, 40, 40

    def place(count: float, ms: float) -> tuple[float, float]:
        return (
            left + (np.log10(count) - 3) / 3 * (width - left - right),
            height - bottom - (np.log10(ms) + 1) / 4 * (height - bottom - 20),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for power in range(3, 7):
        x, _ = place(10**power, 1)
        parts.append(
            f'<text x="{x:.0f}" y="{height - 15}" text-anchor="middle">{10**power:,}</text>'
        )
    for power in range(-1, 4):
        _, y = place(1_000, 10.0**power)
        parts.append(
            f'<text x="{left - 8}" y="{y + 4:.0f}" text-anchor="end">{10.0**power:g} ms</text>'
        )
        parts.append(f'<path d="M{left} {y:.0f}H{width - right}" stroke="#ddd"/>')
    for number, (noise, colour) in enumerate((("natural", "#0b6bcb"), ("even", "#c4421a"))):
        points = [place(one["photos"], one["ms"]) for one in rows if one["noise"] == noise]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = height / 3 + 16 * number
        parts.append(f'<text x="{left + 8}" y="{y:.0f}" fill="{colour}">{noise}</text>')
    path.write_text("".join([*parts, "</svg>"]), encoding="utf-8")


def main() -> None:
    """Print a table, a row for each size and noise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument(
        "--noise", nargs="+", choices=("natural", "even"), default=["natural", "even"]
    )
    parser.add_argument("--backbone", default=DEFAULT_BACKBONE)
    parser.add_argument("--folder", type=Path, help="where indexes are kept for --searching")
    parser.add_argument("--only", choices=("making", "searching"))
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        with threadpool_limits(1):  # as the deployed function has it
            print(json.dumps(search(options.search)))
        return
    real = real_embeddings(options.backbone) if options.only != "searching" else None
    with tempfile.TemporaryDirectory() as temporary:
        root = options.folder or Path(temporary)
        rows = []
        for noise in options.noise:
            for count in options.sizes:
                folder = root / f"{noise}-{count}"
                made = folder / "made.json"
                if real is not None:
                    folder.mkdir(parents=True, exist_ok=True)
                    made.write_text(json.dumps(make(folder, real, count, noise)))
                if options.only == "making":
                    continue
                command = [sys.executable, "-m", "benchmarks.suggest", "--search", str(folder)]
                said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
                about = {"noise": noise, "photos": count}
                rows.append(about | json.loads(said.stdout) | json.loads(made.read_text()))
                print(json.dumps(rows[-1]), flush=True)
        if rows and {one["noise"] for one in rows} == {"natural", "even"}:
            OUT.mkdir(parents=True, exist_ok=True)
            plot(rows, OUT / "suggest.svg")
    print(f"{COARSE} directions, one thread, numpy {np.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
