"""What a user can call is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advisor.crawling.spiders.registry import NAMES
from cli.main import COMMANDS
from infra.service_stack import CATALOG_ROUTES, CLASSIFY_ROUTES, CRAWLS_ROUTES, REVIEWS_ROUTES

ROOT = Path(__file__).resolve().parents[2]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme_or_a_guide(command: str) -> None:
    guides = [path.name for path in (ROOT / "docs").glob("*.md")]
    assert f"advisor {command} " in text("README.md") + "".join(text(f"docs/{n}") for n in guides)


@pytest.mark.parametrize("route", [*CLASSIFY_ROUTES, *CATALOG_ROUTES])
def test_every_public_route_is_in_the_guide(route: str) -> None:
    assert f"`{route}`" in text("docs/api.md")


@pytest.mark.parametrize("route", REVIEWS_ROUTES)
def test_every_route_of_reviews_is_in_the_guide(route: str) -> None:
    assert f"`{route}`" in text("docs/review.md")


@pytest.mark.parametrize("route", CRAWLS_ROUTES)
def test_every_route_of_crawls_is_in_the_guide(route: str) -> None:
    assert f"`{route}`" in text("docs/crawl-on-aws.md")


@pytest.mark.parametrize("spider", NAMES)
def test_every_spider_is_named(spider: str) -> None:
    assert spider in text("docs/add-a-shop.md")


def test_every_make_target_has_a_word_of_help() -> None:
    makefile = text("Makefile")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    targets = phony[1].split()
    assert targets == re.findall(r"^([a-z-]+):.* ## ", makefile, re.MULTILINE)


def test_links_between_the_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} links to {link}"
