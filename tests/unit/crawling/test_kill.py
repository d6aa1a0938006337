"""A crawl that is killed again and again, and resumed, comes to what an undisturbed one does."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.crawling.loopback import Answer, Shop, listing, product_page, serving

PRODUCTS = 450
PAGES = 500
KILLS = 20
SEED = 20
HANGS_S = 300  # no crawl here takes so long, however busy the machine is


def _shop() -> dict[str, Answer]:
    """50 listings of 9 products; no photos, so that requests are pages."""
    pages = {
        f"/p/{at}": product_page(f"S{at}", image=None, links=str(listing("/", "/p/0").body))
        for at in range(PRODUCTS)
    }
    for number in range(PAGES - PRODUCTS):
        products = [f"/p/{at}" for at in range(number * 9, number * 9 + 9)]
        following = [f"/?page={number * 2 + more}" for more in (1, 2)]  # two ways, to fan out
        known = [path for path in following if int(path[7:]) < PAGES - PRODUCTS]
        pages[f"/?page={number}" if number else "/"] = listing(*known, *products)
    return pages


def _start(
    shop: Shop, out: Path, *options: str, file_bytes: int = resource.RLIM_INFINITY
) -> subprocess.Popen[str]:
    """file_bytes: how long a file may get before writing to it fails, as on a full disk."""
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({file_bytes}, {file_bytes}))"
    code = f"import resource; {limit}; from cli.main import main; main()"
    arguments = ["crawl", "schema-org", "--base-url", shop.url, "--out", str(out), "--json"]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


def _items(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "items.jsonl").read_text("utf-8").splitlines()]
    return sorted(lines, key=lambda item: item["id"])


def _is_between(shop: Shop, process: subprocess.Popen[str], moment: int) -> bool:
    """Wait until the shop was asked so often; whether the crawl is still going on then."""
    deadline = time.monotonic() + HANGS_S
    while len(shop.asked) < moment and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    return process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 16])
def test_20_kills_cost_no_item_and_no_request_but_those_under_way(
    tmp_path: Path, at_once: int
) -> None:
    """What is under way at a kill has to be asked for again, whoever crawls."""
    moments = sorted(random.Random(SEED).sample(range(5, PAGES - 5), KILLS))  # noqa: S311 (no secret)
    option = f"--concurrency={at_once}"
    with serving(_shop()) as shop:
        figures = json.loads(
            _start(shop, tmp_path / "calm", option).communicate(timeout=HANGS_S)[0]
        )
        assert (figures["pages"], figures["items"]) == (PAGES, PRODUCTS)
        shop.asked.clear()
        for moment in moments:
            process = _start(shop, tmp_path / "killed", option)
            assert _is_between(shop, process, moment)
            process.kill()
            process.communicate()
        last = _start(shop, tmp_path / "killed", option)
        figures = json.loads(last.communicate(timeout=HANGS_S)[0])
    assert (figures["pages"], figures["items"]) == (PAGES, PRODUCTS)
    assert _items(tmp_path / "killed") == _items(tmp_path / "calm")
    assert not list((tmp_path / "killed" / ".crawl").glob("answers*"))
    assert len(shop.asked) <= 1 + PAGES + KILLS * at_once  # 1: robots.txt
    if at_once == 1:
        assert len(shop.asked) <= 1.05 * (1 + PAGES)


@pytest.mark.parametrize("file_bytes", [4_000, 30_000, 100_000])
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path, file_bytes: int) -> None:
    with serving(_shop()) as shop:
        process = _start(shop, tmp_path / "out", file_bytes=file_bytes)
        output, errors = process.communicate(timeout=HANGS_S)
        assert (process.returncode, output) == (2, "")
        assert errors.strip().count("\n") == 0
        assert f"advisor: cannot write to {tmp_path / 'out'}" in errors
        rest = _start(shop, tmp_path / "out")
        figures = json.loads(rest.communicate(timeout=HANGS_S)[0])
    assert (figures["pages"], figures["items"]) == (PAGES, PRODUCTS)
    assert len({item["id"] for item in _items(tmp_path / "out")}) == PRODUCTS
