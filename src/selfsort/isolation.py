"""Work on bytes that nobody vouches for, in processes of its own: with limits of time and memory, and heard by nobody.

A C library cannot be interrupted and writes where it likes. A process can be killed, and what it writes to the standard
error is kept for the reason. The processes are started by the path of the interpreter, not by `multiprocessing`, which
would run the user's own script once more in each of them. What they answer is JSON and bytes, never pickled objects.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from typing import IO, Any

from selfsort.errors import SelfsortError
from selfsort.runtime import n_threads

#: A process that nobody asked for so many seconds ends.
IDLE_SECONDS = 60
#: A waiting process is given up after so many times the seconds that it may work.
_PATIENCE = 6
#: Bytes of the standard error that are kept.
HEARD = 4096
_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from selfsort.isolated import main
main(sys.argv[2])
"""


class Failed(Exception):  # noqa: N818  (named for what the caller is told of)
    """The process ended before it answered, or could not answer.

    Attributes
    ----------
    why : str
        ``"time"``, ``"memory"``, ``"killed"`` (by the system, which may have been short of memory) or ``"crash"``.
    heard : str
        What it wrote to the standard error.
    """

    def __init__(self, why: str, heard: str = "") -> None:
        super().__init__(why)
        self.why, self.heard = why, heard


class StoppedError(SelfsortError):
    """`Processes.stop` was called while a process worked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process answers: JSON's types, bytes, and what it wrote to the standard error meanwhile."""

    facts: dict[str, Any]
    data: bytes
    heard: str


class Processes:
    """Processes that answer requests, started when they are needed, at most one per processor; for many threads.

    Parameters
    ----------
    module : str
        What answers: it has ``answer(request, data) -> (facts, data)``, where `request` and `facts` are JSON's types.
        ``data`` of a request is None where the process was sent it before.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._of_parent: list[_Process] = []
        self._all: list[_Process] = []
        self._idle: list[_Process] = []
        self._free = threading.Condition()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.stop)

    @staticmethod
    def are_possible() -> bool:
        """Tell whether this program can start an interpreter; a frozen one would start itself."""
        return bool(sys.executable) and not getattr(sys, "frozen", False)

    def ask(self, request: dict[str, Any], data: bytes, *, key: int, seconds: float, memory: int) -> Answer:
        """Send one request and wait for its answer.

        Parameters
        ----------
        request : dict
        data : bytes
        key : int
            Of the data: a process that had the same key last is preferred and not sent the data again.
        seconds : float
            Of processor time where the system counts it, and six times as long in all.
        memory : int
            Bytes that the process may have beyond those of its own code; where the system limits them.

        Raises
        ------
        Failed
        OSError
            If no process can be started.
        """
        while True:
            process = self._take(key)
            try:
                answer = process.ask(request, data, key, seconds, memory)
            except _Idle:  # it ended by itself between two requests
                self._put_back(process)
                continue
            except BaseException:  # an interrupt too: what it answers now would be taken for the next answer
                process.end()
                self._put_back(process)
                raise
            self._put_back(process)
            return answer

    def stop(self) -> None:
        """End all processes; those who wait for an answer get `StoppedError`."""
        with self._free:
            for process in self._all:
                process.end()
            for process in self._idle:  # those at work are closed by who waits for them
                process.close()
            self._all, self._idle = [], []

    def _forget(self) -> None:
        """Start with no processes; those of a forked parent are not ours, and their pipes must not be flushed here."""
        self._of_parent, self._all, self._idle = self._all, [], []
        self._free = threading.Condition()

    def _take(self, key: int) -> _Process:
        with self._free:
            while True:
                for process in [process for process in self._idle if not process.is_alive()]:
                    self._idle.remove(process)
                    self._all.remove(process)
                    process.close()
                same = [process for process in self._idle if process.key == key]
                if same or (self._idle and len(self._all) >= n_threads()):
                    chosen = (same or self._idle)[0]  # of the others the one that was idle longest
                    self._idle.remove(chosen)
                    return chosen
                if len(self._all) < n_threads():
                    self._all.append(_Process(self._module))
                    return self._all[-1]
                self._free.wait()

    def _put_back(self, process: _Process) -> None:
        with self._free:
            if process.is_alive():
                self._idle.append(process)
            else:
                self._all = [other for other in self._all if other is not process]
                process.close()
            self._free.notify()


class _Idle(Exception):  # noqa: N818
    """The process had ended before it was asked."""


class _Process:
    """One process, used by one thread at a time."""

    def __init__(self, module: str) -> None:
        self.key = -1
        self.stopped = False
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as this is)
        command = [sys.executable, "-I", "-c", _START, json.dumps(sys.path), module]
        own_group: dict[str, Any] = {"start_new_session": True}  # Ctrl-C in a terminal is for us alone
        if os.name == "nt":
            own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, **own_group
            )
        except BaseException:
            self._errors.close()
            raise

    def is_alive(self) -> bool:
        return not self.stopped and self._process.poll() is None

    def end(self) -> None:
        """Kill it; who waits for its answer sees its end."""
        self.stopped = True
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End it and let go of what it held."""
        self.end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        for file in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):  # what was not sent is of no use
                self._pipe(file).close()

    def ask(self, request: dict[str, Any], data: bytes, key: int, seconds: float, memory: int) -> Answer:
        known = key == self.key
        head = {"request": request, "seconds": seconds, "memory": memory, "size": -1 if known else len(data)}
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        watch = threading.Timer(seconds * _PATIENCE, give_up)
        watch.daemon = True
        watch.start()
        try:
            reached = self._send(head, b"" if known else data)
            line = self._pipe(self._process.stdout).readline() if reached else b""
            answer = self._receive(line)
        finally:
            watch.cancel()
        if answer is None:
            raise self._failure(late.is_set())
        self.key = key
        if answer.facts.pop("why", "") == "memory":
            raise Failed("memory", answer.heard)
        return answer

    def _send(self, head: dict[str, Any], data: bytes) -> bool:
        pipe = self._pipe(self._process.stdin)
        try:
            pipe.write(json.dumps(head).encode() + b"\n")
            pipe.write(data)
            pipe.flush()
        except (BrokenPipeError, OSError):
            return False
        return True

    def _receive(self, line: bytes) -> Answer | None:
        if not line.endswith(b"\n"):
            return None
        head = json.loads(line)
        data = self._pipe(self._process.stdout).read(head["size"])
        return Answer(head["facts"], data, head["heard"]) if len(data) == head["size"] else None

    def _failure(self, late: bool) -> Exception:
        code = self._process.wait()
        if self.stopped:
            return StoppedError("Stopped while pictures were decoded.")
        if code == 0:
            return _Idle()
        self._errors.seek(0)
        heard = self._errors.read(HEARD).decode("utf-8", "replace")
        if late or code == -getattr(signal, "SIGPROF", 0):
            return Failed("time", heard)
        return Failed("killed" if code == -getattr(signal, "SIGKILL", 0) else "crash", heard)

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe
