"""Threads that nobody must wait for: a thread inside a C library delays neither Ctrl-C nor the exit."""

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

#: Seconds to wait for threads after an exception before they are abandoned.
PATIENCE = 0.3
_alive: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


class Threads:
    """Like `concurrent.futures.ThreadPoolExecutor`, but without waiting for its threads in every case.

    The context manager waits for all calls. After an exception, such as an interrupt, it drops the calls that have not
    begun and waits `PATIENCE` seconds for the others.

    Parameters
    ----------
    name : str
        Name prefix of the threads.
    n : int, optional
        Number of threads; by default the number of processors.

    Attributes
    ----------
    stopping : Event
        Set when the remaining work is unwanted. Long calls may check it.
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
        """Run a call in one of the threads. The future has its result or exception."""
        future: Future[T] = Future()
        self._calls.put((future, call, arguments))
        return future

    def close(self, *, wait: bool = False) -> None:
        """End the threads after their current calls, or with `wait` after all submitted calls."""
        if not wait:
            self.stopping.set()
        for _ in self._threads:
            self._calls.put(None)
        until = time.monotonic() + PATIENCE
        for thread in self._threads:
            while thread.is_alive() and (wait or time.monotonic() < until):
                thread.join(0.1)  # the timeout lets every system notice an interrupt

    def _run(self) -> None:
        while (asked := self._calls.get()) is not None:
            future, call, arguments = asked
            if self.stopping.is_set():
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call(*arguments))
            except BaseException as error:  # for the caller
                future.set_exception(error)
            del asked, future

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(wait=kind is None)


def leave(code: int, *, at_once: bool = False) -> NoReturn:
    """Exit the program even if threads are still working: these would crash during Python's shutdown."""
    if at_once or any(thread.is_alive() for thread in _alive):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
