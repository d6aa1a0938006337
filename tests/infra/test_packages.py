"""What is deployed is complete, small, and loads on Lambda's glibc."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.layers import LAMBDA, LAYERS, THIS_MACHINE, Target, build_layer
from tests.infra.elf import needed_libraries, needed_versions
from tests.infra.templates import layers_of
from tests.training import tiny

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py"))
# What Lambda's own Python brings: boto3 and what boto3 needs.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3")
PHOTOS = ("large.jpg", "rgb.png", "palette.png", "rgb.webp", "animated.gif", "rgb.avif")
# Amazon Linux 2023, of Lambda's Python 3.12 and later.
SYSTEM = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (11, 0, 0)}
# The libraries of those, and what else Lambda's Python is linked with.
LIBRARIES = {"libc", "libm", "libdl", "librt", "libpthread"}
LIBRARIES |= {"libstdc++", "libgcc_s", "libz", "ld-linux-x86-64", "ld-linux-aarch64"}
MOST_BYTES = 90_000_000


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME:
        (folder / name).symlink_to(Path(boto3.__file__).parent.parent / name)
    return folder


def run(code: str, folders: list[Path], *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Run code where only these folders (and the standard library) can be imported."""
    code = f"import sys\nsys.path += {[str(folder) for folder in folders]!r}\n{code}"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_imports_with_its_own_layers_only(
    function: str, aws: dict[str, Any], runtime: Path
) -> None:
    layers = [
        build_layer(name, THIS_MACHINE) / "python" for name in layers_of(function, aws["Service"])
    ]
    folders = [ROOT / "functions" / function, *layers, runtime]
    result = run("import handler; print(handler.handler.__name__)", folders)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout == "handler\n"  # importing says nothing and does nothing


def test_nothing_that_a_photo_needs_is_trimmed(
    aws: dict[str, Any], runtime: Path, tmp_path: Path
) -> None:
    layers = [
        build_layer(name, THIS_MACHINE) / "python" for name in layers_of("classify", aws["Service"])
    ]
    tiny.make_tiny_bundle(tmp_path / "bundle")
    code = """
from pathlib import Path
from advisor.catalog.matching import fuzz
from advisor.vision.classifier import Classifier
bundle, *photos = map(Path, sys.argv[1:])
classifier = Classifier.load(bundle)
print(*(len(classifier.predict(photo.read_bytes()).embedding) for photo in photos))
"""
    photos = [ROOT / "tests" / "images" / name for name in (*PHOTOS, "wide-gamut.jpg")]
    result = run(
        code.replace("\nfrom", "from", 1), [*layers, runtime], tmp_path / "bundle", *photos
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert len(set(result.stdout.split())) == 1


def test_the_layers_of_classify_are_at_most_90_mb_with_their_bytecode(aws: dict[str, Any]) -> None:
    files = [
        path
        for name in layers_of("classify", aws["Service"])
        for path in build_layer(name, THIS_MACHINE).rglob("*")
        if path.is_file()
    ]
    assert any(path.suffix == ".pyc" for path in files)
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "shared"])
@pytest.mark.parametrize("target", [LAMBDA, THIS_MACHINE], ids=lambda target: target.name)
def test_every_native_file_loads_on_lambdas_glibc(name: str, target: Target) -> None:
    """What was built for this machine is asked, too: wheels of the same names with other tags."""
    natives = [
        path for path in build_layer(name, target).rglob("*") if re.search(r"\.so\b", path.name)
    ]
    assert natives or name == "base"
    there = {path.name for path in natives}
    for path in natives:
        missing = set(needed_libraries(path.read_bytes())) - there
        assert {one.partition(".so")[0] for one in missing} <= LIBRARIES, path.name
        for symbol, version in needed_versions(path.read_bytes()):
            if symbol in SYSTEM:
                assert version <= SYSTEM[symbol], f"{path.name} needs {symbol}_{version}"


def test_no_layer_brings_what_another_brings() -> None:
    seen: dict[str, str] = {}
    for name in LAYERS:
        for path in (build_layer(name, THIS_MACHINE) / "python").iterdir():
            package = path.name
            if package.endswith((".dist-info", ".libs")) or package == "__pycache__":
                continue
            assert package not in seen or package.startswith("typing_extensions"), (
                f"{package} is in {name} and in {seen[package]}"
            )
            seen[package] = name
