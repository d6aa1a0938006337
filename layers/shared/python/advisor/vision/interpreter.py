"""Runs a TFLite model with whichever interpreter is installed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from advisor.errors import BundleError

INPUT = "image"
PROBABILITIES = "probabilities"
EMBEDDING = "embedding"


@dataclass(frozen=True)
class Output:
    """What the model computes of one photo.

    probabilities: float32 (labels,), sum 1. embedding: float32 (1280,), as pooled by the
    backbone, not scaled.
    """

    probabilities: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]


class Model:
    """A TFLite model with the outputs `probabilities` and `embedding`. Not thread-safe.

    content: the file's bytes. num_threads: cores for one photo (one is best for a function).
    Raises: BundleError if the bytes are no such model, or no interpreter is installed.
    """

    def __init__(self, content: bytes, *, num_threads: int = 1) -> None:
        make = interpreter_class()
        try:
            # The runner borrows the interpreter's memory: both must live.
            with _native_quiet():
                self._interpreter = make(model_content=content, num_threads=num_threads)
                self._interpreter.allocate_tensors()
                self._run = self._interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{len(content)} bytes are no TFLite model: {error}") from error
        outputs = set(self._run.get_output_details())
        if outputs != {PROBABILITIES, EMBEDDING}:
            raise BundleError(
                f"the model's outputs are {sorted(outputs)}; "
                f"expected {PROBABILITIES!r} and {EMBEDDING!r}"
            )

    def run(self, image: npt.NDArray[np.uint8]) -> Output:
        """Compute both outputs of one decoded photo, uint8 (224, 224, 3)."""
        outputs = self._run(**{INPUT: image[np.newaxis]})
        return Output(outputs[PROBABILITIES][0], outputs[EMBEDDING][0])


def interpreter_class() -> Any:
    """The Interpreter class: of ai-edge-litert, else of its predecessor tflite-runtime.

    tflite-runtime is what containers and edge boards have (with numpy 1); it loads on no
    zip Lambda, so the newer one is asked first.
    Raises: BundleError if neither is installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 (one of two)
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter  # noqa: PLC0415 (the other)
        except ImportError as error:
            raise BundleError(
                "no TFLite interpreter is installed: pip install ai-edge-litert"
            ) from error
    return Interpreter


_REDIRECTING = threading.Lock()  # file descriptors belong to the process, not to a thread


@contextmanager
def _native_quiet() -> Iterator[None]:
    """Drop what native code prints while a model is loaded; failures come as exceptions.

    The library greets with "INFO: Created TensorFlow Lite XNNPACK delegate", which is no JSON
    in a function's log, and the local emulator takes native writes to stdout for its protocol.
    """
    with _REDIRECTING:
        saved: dict[int, int] = {}
        try:
            for descriptor in (1, 2):
                with suppress(OSError):  # a daemon may have closed it: nothing is printed there
                    saved[descriptor] = os.dup(descriptor)
            null = os.open(os.devnull, os.O_WRONLY)
            for descriptor in saved:
                os.dup2(null, descriptor)
            os.close(null)
            yield
        finally:
            for descriptor, copy in saved.items():
                os.dup2(copy, descriptor)
                os.close(copy)
