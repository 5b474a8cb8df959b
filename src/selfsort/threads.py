"""Threads that nobody has to wait for: one that is inside a C library neither holds up Ctrl-C nor the end."""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NoReturn, TypeVar

from selfsort.runtime import n_threads

T = TypeVar("T")

#: After an exception, threads are waited for so many seconds, and then left behind.
PATIENCE = 0.3
_alive: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


class Threads:
    """Like `concurrent.futures.ThreadPoolExecutor`, whose threads are waited for whatever happens; here they are not.

    As a context manager it waits for all calls; after an exception, such as an interrupt, it drops those that have not
    begun and waits `PATIENCE` seconds for the others.

    Parameters
    ----------
    name : str
        Of the threads.
    n : int, optional
        How many; as many as processors if not given.

    Attributes
    ----------
    stopping : Event
        Set once no more is wanted; calls that take long may look at it.
    """

    def __init__(self, name: str, n: int | None = None) -> None:
        self.stopping = threading.Event()
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = (
            queue.SimpleQueue()
        )
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(n or n_threads())
        ]
        for thread in self._threads:
            thread.start()
            _alive.add(thread)

    def submit(self, call: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call it in one of the threads; the future has what it returns or raises."""
        future: Future[T] = Future()
        self._calls.put((future, call, arguments))
        return future

    def close(self, *, wait: bool = False) -> None:
        """End the threads: each finishes what it does; with `wait` also all that was submitted."""
        if not wait:
            self.stopping.set()
        for _ in self._threads:
            self._calls.put(None)
        until = time.monotonic() + PATIENCE
        for thread in self._threads:
            while thread.is_alive() and (wait or time.monotonic() < until):
                thread.join(0.1)  # with a timeout an interrupt is noticed on every system

    def _run(self) -> None:
        while (asked := self._calls.get()) is not None:
            future, call, arguments = asked
            if self.stopping.is_set():
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call(*arguments))
            except BaseException as error:  # for who asked
                future.set_exception(error)
            del asked, future

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(wait=kind is None)


def leave(code: int, *, at_once: bool = False) -> NoReturn:
    """End the program, also where threads are still at work: these would crash while Python takes itself down."""
    if at_once or any(thread.is_alive() for thread in _alive):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
