"""One bundle, two interpreters: ai-edge-litert and its predecessor tflite-runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advisor.errors import BundleError
from advisor.vision.interpreter import interpreter_class
from tests.training import tiny

ROOT = Path(__file__).parents[3]
PHOTO = ROOT / "tests" / "images" / "large.jpg"
# The last release; its newest wheel is for Python 3.11, and it wants the numpy before 2.
OLD = ("tflite-runtime==2.14.0", "numpy==1.26.4", "pillow==13.0.0")
CLASSIFY = """
import json, sys
from pathlib import Path
from advisor.vision.classifier import Classifier
from advisor.vision.interpreter import interpreter_class
bundle, photo = map(Path, sys.argv[1:])
prediction = Classifier.load(bundle).predict(photo.read_bytes(), top_k=20)
answer = prediction.classification.to_dict() | {"embedding": prediction.embedding.tolist()}
print(json.dumps(answer | {"interpreter": interpreter_class().__module__}))
"""


@pytest.fixture(scope="module")
def old_python() -> Path:
    """A Python with tflite-runtime, kept in build/; made by pip the first time."""
    found = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
    if found is None:
        pytest.skip("no Python 3.11 on this machine, the last that tflite-runtime has a wheel for")
    folder = ROOT / "build" / "tflite-runtime"
    python, done = folder / "bin" / "python", folder / ".installed"
    if not done.exists() or done.read_text() != " ".join(OLD):
        subprocess.run([found, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", *OLD]
        installed = subprocess.run(pip, capture_output=True, text=True, check=False)
        if installed.returncode:
            pytest.skip(f"pip finds no tflite-runtime for this machine: {installed.stderr[-300:]}")
        done.write_text(" ".join(OLD))
    return python


def classify(python: Path | str, bundle: Path) -> dict[str, Any]:
    package = str(ROOT / "layers" / "shared" / "python")
    result = subprocess.run(
        [python, "-c", CLASSIFY, bundle, PHOTO],
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.slow
def test_the_same_bundle_answers_the_same_in_tflite_runtime(
    old_python: Path, tmp_path: Path
) -> None:
    tiny.make_tiny_bundle(tmp_path / "bundle")
    old, new = (classify(one, tmp_path / "bundle") for one in (old_python, sys.executable))
    assert old["interpreter"].startswith("tflite_runtime")
    assert new["interpreter"].startswith("ai_edge_litert")
    assert old["model_version"] == new["model_version"]
    assert [one["label"] for one in old["labels"]] == [one["label"] for one in new["labels"]]
    for before, after in zip(old["labels"], new["labels"], strict=True):
        assert before["probability"] == pytest.approx(after["probability"], abs=1e-3)
    assert float(np.dot(old["embedding"], new["embedding"])) > 0.9999


def test_without_an_interpreter_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.setitem(sys.modules, f"{name}.interpreter", None)
    with pytest.raises(BundleError, match="pip install ai-edge-litert"):
        interpreter_class()
