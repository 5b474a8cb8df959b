"""The worker side of `selfsort.isolation`, which runs in the process with limits."""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import sys
import threading
from typing import IO, Any

from selfsort.isolation import HEARD, IDLE_SECONDS

#: Maximum size in bytes of any written file, including standard error.
_FILE_BYTES = 1 << 20


def main(module: str) -> None:
    """Answer requests from standard input until it closes, or until no request arrives for a while.

    Parameters
    ----------
    module : str
        See `selfsort.isolation.Processes`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not mix with responses
    _limit("RLIMIT_FSIZE", _FILE_BYTES)
    _limit("RLIMIT_CORE", 0)
    answer = importlib.import_module(module).answer
    requests: queue.SimpleQueue[tuple[dict[str, Any], bytes | None]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    own = _in_use()
    while True:
        try:
            head, data = requests.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
        _limit("RLIMIT_AS", own + head["memory"])
        _count_down(head["seconds"])
        facts: dict[str, Any]
        try:
            facts, answered = answer(head["request"], data)
        except MemoryError:
            facts, answered = {"why": "memory"}, b""
        _count_down(0)
        _limit("RLIMIT_AS", None)
        del data
        os.lseek(2, 0, os.SEEK_SET)
        heard = os.read(2, HEARD).decode("utf-8", "replace")
        out.write(json.dumps({"facts": facts, "size": len(answered), "heard": heard}).encode() + b"\n")
        out.write(answered)
        out.flush()


def _listen(pipe: IO[bytes], requests: queue.SimpleQueue[tuple[dict[str, Any], bytes | None]]) -> None:
    """Read requests. Exit the process at once when the caller is gone, even during work."""
    try:
        while line := pipe.readline():
            head = json.loads(line)
            requests.put((head, pipe.read(head["size"]) if head["size"] >= 0 else None))
    finally:
        os._exit(1)


def _count_down(seconds: float) -> None:
    """Set the limit of processor time of this process in seconds; 0: none."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit(name: str, value: int | None) -> None:
    """Set a resource limit if the system has it; None: the hard limit."""
    try:
        import resource

        hard = resource.getrlimit(getattr(resource, name))[1]
        if value is None or 0 <= hard < value:  # negative: no hard limit
            value = hard
        resource.setrlimit(getattr(resource, name), (value, hard))
    except (ImportError, AttributeError, ValueError, OSError):  # Windows has none, macOS only some
        return


def _in_use() -> int:
    """Return the size of this process's address space in bytes, or an estimate."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 1 << 30
