"""The other side of `selfsort.isolation`: what runs in the process that has limits."""

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

#: Bytes that may be written to any file, the standard error among them.
_FILE_BYTES = 1 << 20


def main(module: str) -> None:
    """Answer the requests that come on the standard input until it ends, or nobody asks for a while.

    Parameters
    ----------
    module : str
        See `selfsort.isolation.Processes`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand among the answers
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
    """Take in requests; end the process when who asks is gone, whatever it is doing."""
    try:
        while line := pipe.readline():
            head = json.loads(line)
            requests.put((head, pipe.read(head["size"]) if head["size"] >= 0 else None))
    finally:
        os._exit(1)


def _count_down(seconds: float) -> None:
    """Let the system end this process when it has worked so many seconds; 0: never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit(name: str, value: int | None) -> None:
    """Set a limit, where the system has it; None: as high as it may be."""
    try:
        import resource

        hard = resource.getrlimit(getattr(resource, name))[1]
        if value is None or 0 <= hard < value:  # below 0: there is no hard limit
            value = hard
        resource.setrlimit(getattr(resource, name), (value, hard))
    except (ImportError, AttributeError, ValueError, OSError):  # Windows has none, macOS only some
        return


def _in_use() -> int:
    """Return the bytes of addresses that this process has, or about as many."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 1 << 30
