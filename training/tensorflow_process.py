"""Runs a function in a process of its own that may import TensorFlow.

TensorFlow takes 4 s and 600 MB to import, prints to stderr natively, and is needed only to
make a graph; so the training process never imports it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from typing import ParamSpec, TypeVar

from advisor.errors import BackboneError

P = ParamSpec("P")
T = TypeVar("T")


def in_tensorflow(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a module-level function in a fresh, quiet process and return what it returns.

    Errors come back as they were raised.
    Raises: BackboneError if the process died (most likely for want of memory).
    """
    others = set(active_children())
    # spawn, not fork: threads of this process must not be copied half-way.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_be_quiet) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool as error:
            raise BackboneError(
                "the process that makes the graph with TensorFlow died; is there enough memory?"
            ) from error
        except KeyboardInterrupt:  # else leaving the pool would wait for the whole conversion
            for child in set(active_children()) - others:
                child.terminate()
            raise


def _be_quiet() -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the same graph on every machine
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot say that no more work comes: the pool would wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
