"""AWS SAM takes the synthesized templates: `sam validate`, `sam build`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from infra.layers import LAYERS
from local import sam

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam") / "cdk.out"
    sam.synthesize(folder)
    return folder


@pytest.mark.parametrize("stack", ["Storage", "Service", "Training", "Web"])
def test_sam_finds_the_template_valid(synthesized: Path, stack: str) -> None:
    template = synthesized / f"ProductsAdvisor-{stack}.template.json"
    done = subprocess.run(
        sam.sam("validate", "--template", template),
        env=sam.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "is a valid SAM Template" in done.stdout


def test_sam_builds_every_function_and_finds_its_layers(synthesized: Path, tmp_path: Path) -> None:
    template = synthesized / sam.TEMPLATE
    done = subprocess.run(
        sam.sam("build", "--template", template, "--build-dir", tmp_path),
        env=sam.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    functions = sam.logical_ids(template)
    assert set(functions) == {path.parent.name for path in ROOT.glob("functions/*/handler.py")}
    for logical_id in functions.values():
        assert (tmp_path / logical_id / "handler.py").is_file()
    built = (tmp_path / "template.yaml").read_text(encoding="utf-8")
    layers = [
        resource["Metadata"]["aws:asset:path"]
        for resource in json.loads(template.read_bytes())["Resources"].values()
        if resource["Type"] == "AWS::Lambda::LayerVersion"
    ]
    assert len(layers) == len(LAYERS)
    assert all(layer in built for layer in layers)
