"""How fast `advisor crawl` is, beside Scrapy, and how much memory it takes.

`python -m benchmarks.crawl` crawls a shop on loopback (40 KB a page, 150 links each, every link
followed, no delay, 16 requests at a time) by turns with plain Scrapy, hand-tuned Scrapy and
`advisor crawl` with everything on: robots.txt, archive, frontier and ledger on disk, validation,
duplicates. What they wrote is kept to the end: after many files were deleted, ext4 takes five
times as long to make a new one. Then with 50 ms of latency, and with few and many addresses seen.
Scrapy is installed into build/benchmarks/. A rate is counted from the first request at the shop
to the end of the crawler's process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.processes import children, peak_mb

ROOT = Path(__file__).resolve().parent.parent
SCRAPY = "scrapy==2.19.0"
ENVIRONMENT = ROOT / "build" / "benchmarks" / "scrapy"
CONNECTIONS = 16
LATENCY_MS = 50
OURS, TUNED, PLAIN = "advisor crawl", "Scrapy, hand-tuned", "Scrapy, plain"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One crawl, all of the crawler's processes together.

    peak_mb: the sum of each one's peak. server: the share of a core that the shop itself took.
    """

    pages: int
    seconds: float
    cpu_s: float
    peak_mb: float
    server: float

    @property
    def rate(self) -> float:
        return self.pages / self.seconds


@contextmanager
def shop(pages: int, latency_ms: float = 0.0) -> Iterator[str]:
    """The address of a shop that runs until the block ends."""
    command = [sys.executable, "-m", "benchmarks.shop", "--pages", str(pages)]
    with subprocess.Popen(
        [*command, "--latency-ms", str(latency_ms)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 (it is a pipe)
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def measure(command: Sequence[str], url: str) -> Measured:
    """Run a crawler to its end and ask the shop what it saw. Exits if the crawler failed."""
    _stats(url)
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    peaks: dict[str, float] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            peaks.update(_peaks_mb(str(process.pid)))

    threading.Thread(target=watch).start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    end = time.time()
    ended.set()
    _, status, used = os.wait4(process.pid, 0)  # with what it waited for, too
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        assert process.stderr is not None  # noqa: S101 (it is a pipe)
        sys.exit(f"{' '.join(command)} failed:\n{process.stderr.read()}")
    seen = _stats(url)
    seconds = end - seen["first"]
    return Measured(
        pages=int(seen["asked"]),
        seconds=seconds,
        cpu_s=used.ru_utime + used.ru_stime,
        peak_mb=sum(peaks.values()),
        server=seen["cpu_s"] / seconds,
    )


def _peaks_mb(process: str) -> dict[str, float]:
    """The peaks so far of a process and those it started, by their ids (Linux tells them)."""
    found: dict[str, float] = {}
    with suppress(OSError, IndexError):  # it has ended
        found[process] = peak_mb(process)
        for child in children(process):
            found |= _peaks_mb(child)
    return found


def crawl_command(kind: str, url: str, out: Path, *, limit: int = 0) -> list[str]:
    """How to run one of the crawlers."""
    if kind == OURS:
        advisor = "from cli.main import main; main()"
        more = ["--limit", str(limit)] if limit else []
        arguments = ["crawl", "harveynorman", "--base-url", url, "--out", str(out), "--json", *more]
        return [sys.executable, "-c", advisor, *arguments]
    script = str(ROOT / "benchmarks" / "scrapy_shop.py")
    name = "tuned" if kind == TUNED else "plain"
    return [str(ENVIRONMENT / "bin" / "python"), script, name, url, str(out / "items.jsonl")]


def compare(kinds: Sequence[str], *, pages: int, rounds: int) -> dict[str, list[Measured]]:
    """Each crawler `rounds` times, by turns, so that a busy machine is busy for all."""
    found: dict[str, list[Measured]] = {kind: [] for kind in kinds}
    with shop(pages) as url, _folder() as folder:
        for number in range(rounds):
            for kind in kinds:
                out = folder / f"{kind}-{number}"
                one = measure(crawl_command(kind, url, out), url)
                if abs(one.pages - pages) > 2:  # start addresses that are no products
                    sys.exit(f"{kind} fetched {one.pages} of {pages} pages: nothing to compare")
                found[kind].append(one)
                _say(f"round {number + 1}: {kind}: {one.rate:.0f} pages/s")
    return found


def main() -> None:
    """Measure and print."""
    options = _options()
    kinds = [OURS] if options.skip_scrapy else [PLAIN, TUNED, OURS]
    if not options.skip_scrapy:
        install_scrapy()
    _print_machine(with_scrapy=not options.skip_scrapy)
    found = compare(kinds, pages=options.pages, rounds=options.rounds)
    _print_comparison(found, options.pages)
    if not options.skip_latency:
        _measure_latency(options.pages)
    if not options.skip_memory:
        _measure_memory()


def install_scrapy() -> None:
    """Scrapy in an environment of its own."""
    if not (ENVIRONMENT / "installed").exists():
        _say(f"installing {SCRAPY} into {ENVIRONMENT.relative_to(ROOT)}")
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", SCRAPY], check=True)
        (ENVIRONMENT / "installed").touch()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=3_000, help="pages a crawl (3000)")
    parser.add_argument("--rounds", type=int, default=3, help="crawls by each (3)")
    for part in ("scrapy", "latency", "memory"):
        parser.add_argument(f"--skip-{part}", action="store_true")
    return parser.parse_args()


def _print_machine(*, with_scrapy: bool) -> None:
    names = ("httptools", "selectolax", "isal", "protego", "w3lib")
    versions = [f"{name} {version(name)}" for name in names]
    versions += [SCRAPY] if with_scrapy else []
    print(
        f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}; {', '.join(versions)}"
    )


def _print_comparison(found: dict[str, list[Measured]], pages: int) -> None:
    print(f"\n{pages} pages, every link followed, no delay, {CONNECTIONS} at a time; medians")
    print(
        f"{'crawler':<20}{'pages/s':>9}{'CPU s/1,000':>13}{'peak MB':>9}{'shop busy':>11}"
        f"{'advisor is':>12}{'by CPU':>9}"
    )
    ours = _median(one.rate for one in found[OURS])
    our_cpu = _median(one.cpu_s / one.pages for one in found[OURS])
    for kind, ones in found.items():
        rate = _median(one.rate for one in ones)
        cpu = _median(one.cpu_s / one.pages for one in ones)
        faster = f"{ours / rate:>10.1f} x{cpu / our_cpu:>7.1f} x" if kind != OURS else ""
        print(
            f"{kind:<20}{rate:>9.0f}{1000 * cpu:>13.2f}"
            f"{_median(one.peak_mb for one in ones):>9.0f}"
            f"{_median(one.server for one in ones):>11.0%}{faster}"
        )


def _measure_latency(pages: int) -> None:
    limit = CONNECTIONS * 1000 / LATENCY_MS
    with shop(pages, LATENCY_MS) as url, _folder() as folder:
        one = measure(crawl_command(OURS, url, folder / "latency"), url)
    print(
        f"\nWith {LATENCY_MS} ms of latency: {one.rate:.0f} pages/s, {one.rate / limit:.0%} of the "
        f"{limit:.0f} that {CONNECTIONS} connections allow"
    )


def _measure_memory() -> None:
    """The same 1,000 pages in a small and in a large shop: what differs is what was seen."""
    print("\n1,000 pages fetched")
    for addresses in (1_000, 100_000):
        with shop(addresses) as url, _folder() as folder:
            one = measure(crawl_command(OURS, url, folder / "memory", limit=1_000), url)
        print(f"{addresses:>8,} addresses seen: peak {one.peak_mb:.0f} MB")


def _stats(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/_stats") as answer:  # noqa: S310 (our own shop)
        found: dict[str, float] = json.load(answer)
    return found


def _median(values: Iterator[float]) -> float:
    return statistics.median(values)


@contextmanager
def _folder() -> Iterator[Path]:
    (ROOT / "build" / "benchmarks").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build" / "benchmarks") as name:
        yield Path(name)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
