"""Lambda layers built by pip, without Docker: trimmed, compiled, cached by content.

On AWS a layer holds wheels for Lambda's own Python and glibc; on the local emulator, whose
functions run in its own interpreter, wheels for the interpreter that runs this.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "layers"

# What no request of ours touches; tests/infra/test_packages.py imports and runs what is left.
TRIM = (
    "bin",
    # litert: all but the interpreter.
    "ai_edge_litert/*WebGpu*",
    "ai_edge_litert/vendors",
    "ai_edge_litert/tools",
    "ai_edge_litert/aot",
    "ai_edge_litert/*genai*",
    "ai_edge_litert/internal",
    "ai_edge_litert/libLiteRt.so",  # of the newer CompiledModel interface
    "ai_edge_litert/_pywrap_[!l]*",
    "ai_edge_litert/_pywrap_litert_[!i]*",
    "ai_edge_litert/format_converter*",
    "ai_edge_litert/schema_py_generated.py",
    "ai_edge_litert/*_pb2.py",
    "google/protobuf",
    "google/_upb",
    "protobuf-*",
    "ml_dtypes",
    "ml_dtypes-*",
    "tqdm",
    "tqdm-*",
    "flatbuffers",
    "flatbuffers-*",
    "backports",
    "backports*strenum*",
    # numpy: its lazily imported parts, test suites, and what C is compiled with.
    "numpy/**/tests",
    "numpy/_core/_simd*",
    "numpy/_core/_*_tests*",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/fft",
    "numpy/ma",
    "numpy/polynomial",
    "numpy/random",
    "numpy/testing",
    "numpy/_pyinstaller",
    "numpy/**/*.pyi",
    "numpy/**/*.pxd",
    "numpy/**/*.lib",
    "numpy/**/*.a",
    "numpy/_core/include",
    # Pillow: drawing text, and what else reads no photo.
    "PIL/_imagingft*",
    "PIL/_imagingmath*",
    "PIL/_imagingmorph*",
    "PIL/_imagingtk*",
    "PIL/**/*.pyi",
    "pillow.libs/libbrotli*",
    "pillow.libs/libfreetype*",
    "pillow.libs/libharfbuzz*",
    "pillow.libs/libpng*",
    # Twins of what is there: for newer processors, and YAML in C.
    "rapidfuzz/**/*_avx2*",
    "yaml/_yaml*",
    "selectolax/*.c",
    "selectolax/**/*.pxi",
    "selectolax/**/*.pyi",
    # Powertools: all but Logger, Metrics and Tracer, which need one of the utilities.
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/middleware_factory",
    "aws_lambda_powertools/utilities/[!_j]*",
    "jmespath",
    "jmespath-*",
)


@dataclass(frozen=True)
class Target:
    """The Python a layer is built for: "3.13", and pip's platform tags (none: this machine)."""

    python_version: str
    platforms: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For a folder's name: "lambda-3.13", "here-3.12"."""
        return f"{'lambda' if self.platforms else 'here'}-{self.python_version}"


# glibc of Amazon Linux 2023 is 2.34; wheels name the oldest they claim to need.
LAMBDA = Target("3.13", ("manylinux_2_27_x86_64", "manylinux_2_28_x86_64", "manylinux2014_x86_64"))
THIS_MACHINE = Target(f"{sys.version_info.major}.{sys.version_info.minor}")

PROCESS = {
    # What every function's process starts with: pieces of memory of 4 MB and more go back to the
    # kernel when they are freed. glibc else learns to keep up to 64 MB of them, on top of the next
    # photo's (`python -m benchmarks.hostile_images`: 316 MB at most, 287 with this).
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    # Of what else is freed 16 MB are kept: by setting the one above glibc stops to learn this one,
    # too, and would give back all but 128 KB after every photo, only to ask for it again
    # (decision 41: 600 page faults for a JPEG of 2 megapixels, 2,900 for an undrafted one).
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
    # Pillow warns of each odd EXIF entry: 450 KB of them would be 7 MB of a log that is paid for.
    "PYTHONWARNINGS": "ignore::UserWarning",
}

# And those with one core at most: numpy's linear algebra starts no threads, which would only wait
# for work and take a third of numpy's import (88 ms of CPU time instead of 130).
ONE_CORE_MB = 1769  # where Lambda gives a whole one; below and above in proportion
ONE_CORE = {"OPENBLAS_NUM_THREADS": "1"}

LAYERS = ("shared", "base", "vision", "catalog", "crawl")

RECIPE = 2  # count on when a layer is filled in another way, so that it is built anew

LayerFolder = Callable[[str], Path]  # the name of a folder of layers/ -> what to deploy


def build_layer(name: str, target: Target) -> Path:
    """Build `layers/<name>` for a target, once: the folder to deploy (holds `python/`).

    `shared` is our own package; every other layer is what its requirements.txt names.
    """
    source = ROOT / "layers" / name
    kind = f"{name}-{target.name}-"
    folder = BUILD / f"{kind}{_fingerprint(source, target)}"
    with _building():
        if not folder.is_dir():
            half = BUILD / f"{kind}half"
            shutil.rmtree(half, ignore_errors=True)  # of a build that was killed
            _fill(half / "python", name, target)
            half.rename(folder)
            for other in BUILD.glob(f"{kind}*"):
                if other != folder:
                    _remove_if_unused(other)
        _hold(folder)
    return folder


@contextmanager
def _building() -> Iterator[None]:
    """One build at a time: a second one waits and finds what the first has made."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _hold(folder: Path) -> int:
    """Keep other builds from removing the folder until this program ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _remove_if_unused(folder: Path) -> None:
    """Remove what an older build left, unless another program is about to deploy it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    except BlockingIOError:
        return
    finally:
        os.close(descriptor)


def _fill(folder: Path, name: str, target: Target) -> None:
    source = ROOT / "layers" / name
    if name == "shared":
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(source / "python", folder, ignore=ignored)
    else:
        pip_install(["--requirement", str(source / "requirements.txt")], folder, target)
        _trim(folder)
    _compile(name, folder, target)


def _fingerprint(source: Path, target: Target) -> str:
    recipe = (RECIPE, target, TRIM, python_of(target))
    digest = hashlib.sha256(repr(recipe).encode())
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def pip_install(packages: Sequence[str], into: Path, target: Target) -> None:
    """Install packages (as pip's command line names them) for a target into a folder."""
    options = []
    if target.platforms:
        options = ["--only-binary=:all:", "--python-version", target.python_version]
        options += [flag for tag in target.platforms for flag in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", *options]
    command += ["--disable-pip-version-check", "--target", str(into), *packages]
    # stdout belongs to the CDK command line.
    result = subprocess.run(  # noqa: S603 (our own interpreter and file)
        command, check=False, capture_output=True, text=True
    )
    if result.returncode:
        raise RuntimeError(f"pip could not install {packages}:\n{result.stderr[-2000:]}")


def _trim(folder: Path) -> None:
    for pattern in TRIM:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _compile(name: str, folder: Path, target: Target) -> None:
    """Ship .pyc: imports to the first inference take 84 ms with them, 245 without.

    Of other people's packages instead of the source, 11 MB of it; of ours beside it, so that
    tracebacks show our lines. Bytecode belongs to one Python version; without that Python on
    this machine the layer works all the same, with a slower cold start.
    """
    python = python_of(target)
    if python is None:
        sys.stderr.write(
            f"layers: no python{target.python_version} on this machine, so layer {name}"
            " ships no .pyc (slower cold starts)\n"
        )
        return
    ours = name == "shared"
    options = ["--invalidation-mode", "unchecked-hash", *([] if ours else ["-b"])]
    subprocess.run(  # noqa: S603 (the interpreter found, on our own folder)
        [python, "-m", "compileall", "-q", *options, folder],
        check=False,  # a package may carry a template that is no Python
        stdout=subprocess.DEVNULL,
    )
    if not ours:
        for compiled in folder.rglob("*.pyc"):
            compiled.with_suffix(".py").unlink(missing_ok=True)


def python_of(target: Target) -> str | None:
    """A Python of the target's version on this machine: on the PATH, or among pyenv's."""
    if target.python_version == THIS_MACHINE.python_version:
        return sys.executable
    name = f"python{target.python_version}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(pyenv.glob(f"versions/{target.python_version}.*/bin/{name}"))
    for found in filter(None, (shutil.which(name), *map(str, kept))):
        answer = subprocess.run(  # noqa: S603 (a shim of that name may have no such Python behind)
            [found, "--version"], check=False, capture_output=True, text=True
        )
        if re.match(rf"Python {target.python_version}\.", answer.stdout):
            return found
    return None


if __name__ == "__main__":  # part of the set-up, so that the first deployment is quick
    for each in LAYERS:
        build_layer(each, THIS_MACHINE)
