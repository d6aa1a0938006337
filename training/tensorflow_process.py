"""Runs a function in a process of its own that may import TensorFlow.

TensorFlow takes 4 s and 600 MB to import, prints to stderr natively, and is needed only to
make a graph or to fine-tune; so the training process never imports it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from advisor.errors import BackboneError
from training.parallel import Progress

P = ParamSpec("P")
T = TypeVar("T")
_POLL_S = 0.1
_parent: list[Connection] = []  # in the TensorFlow process: where what it tells goes


def in_tensorflow(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a module-level function in a fresh, quiet process and return what it returns.

    Errors come back as they were raised.
    Raises: BackboneError if the process died (most likely for want of memory).
    """
    return _call(lambda pool: pool.submit(function, *args, **kwargs), _ignore, _ignore)


def follow_in_tensorflow(
    function: Callable[[Any], T], argument: Any, *, say: Callable[[str], None], progress: Progress
) -> T:
    """As in_tensorflow, with one argument; what the function tells with tell_* is heard here."""
    return _call(lambda pool: pool.submit(function, argument), say, progress)


def tell_sentence(sentence: str) -> None:
    """In the TensorFlow process: what the other side's `say` is to be called with."""
    for connection in _parent:
        connection.send((sentence,))


def tell_progress(stage: str, done: int, total: int) -> None:
    """In the TensorFlow process: what the other side's `progress` is to be called with."""
    for connection in _parent:
        connection.send((stage, done, total))


def _call(
    submit: Callable[[ProcessPoolExecutor], Future[T]],
    say: Callable[[str], None],
    progress: Progress,
) -> T:
    others = set(active_children())
    context = get_context("spawn")  # not fork: threads of this process must not be copied half-way
    ours, theirs = context.Pipe(duplex=False)
    with (
        ours,
        theirs,
        ProcessPoolExecutor(
            1, mp_context=context, initializer=_be_quiet, initargs=(theirs,)
        ) as pool,
    ):
        try:
            future = submit(pool)
            while not future.done():
                _hear(ours, _POLL_S, say, progress)
            _hear(ours, 0, say, progress)
            return future.result()
        except BrokenProcessPool as error:
            raise BackboneError(
                "the process that works with TensorFlow died; is there enough memory?"
            ) from error
        except KeyboardInterrupt:  # else leaving the pool would wait for the whole work
            for child in set(active_children()) - others:
                child.terminate()
            raise


def _hear(
    connection: Connection, wait_s: float, say: Callable[[str], None], progress: Progress
) -> None:
    while connection.poll(wait_s):
        message = connection.recv()
        if len(message) == 1:
            say(*message)
        else:
            progress(*message)


def _ignore(*_: object) -> None:
    """What nobody wants to hear."""


def _be_quiet(connection: Connection) -> None:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the same graph on every machine
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    _parent.append(connection)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot say that no more work comes: the pool would wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
