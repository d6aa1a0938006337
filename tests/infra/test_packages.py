"""Each function imports with its own folder, its own layers and boto3: what Lambda gives it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.layers import LAYERS, THIS_MACHINE, build_layer

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py"))
# What Lambda's own Python brings: boto3 and what boto3 needs.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runtime")
    for name in RUNTIME:
        (folder / name).symlink_to(Path(boto3.__file__).parent.parent / name)
    return folder


def layers_of(function: str, template: dict[str, Any]) -> list[str]:
    for resource in template["Resources"].values():
        variables = resource["Properties"].get("Environment", {}).get("Variables", {})
        if variables.get("POWERTOOLS_SERVICE_NAME") == function:
            names = [
                layer["Ref"].partition("Layer")[0] for layer in resource["Properties"]["Layers"]
            ]
            return [name.lower() for name in names]
    raise LookupError(function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_imports_with_its_own_layers_only(
    function: str, aws: dict[str, Any], runtime: Path
) -> None:
    layers = [
        build_layer(name, THIS_MACHINE) / "python" for name in layers_of(function, aws["Service"])
    ]
    path = [str(ROOT / "functions" / function), *map(str, layers), str(runtime)]
    code = f"import sys; sys.path += {path!r}; import handler; print(handler.handler.__name__)"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout == "handler\n"  # importing says nothing and does nothing


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
