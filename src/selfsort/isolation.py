"""Worker processes for untrusted bytes, with limits on time and memory and with captured output.

A C library cannot be interrupted and may print. A process can be killed, and its standard error becomes part of the
reason for a failure. The processes are started by the path of the interpreter, not by `multiprocessing`, which would
run the user's script again in each of them. Responses are JSON and bytes, never pickled objects.
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

#: A worker process that gets no request for this many seconds exits.
IDLE_SECONDS = 60
#: Wall-clock limit of a request, as a multiple of its limit of processor time.
_PATIENCE = 6
#: Bytes of standard error that are kept.
HEARD = 4096
_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from selfsort.isolated import main
main(sys.argv[2])
"""


class Failed(Exception):  # noqa: N818  (named for the outcome)
    """The process ended before it answered, or could not answer.

    Attributes
    ----------
    why : str
        ``"time"``, ``"memory"``, ``"killed"`` (by the system, which may have been short of memory) or ``"crash"``.
    heard : str
        Its standard error.
    """

    def __init__(self, why: str, heard: str = "") -> None:
        super().__init__(why)
        self.why, self.heard = why, heard


class StoppedError(SelfsortError):
    """`Processes.stop` was called while a process worked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Response of a process: JSON types, bytes, and its standard error during the request."""

    facts: dict[str, Any]
    data: bytes
    heard: str


class Processes:
    """Pool of worker processes that answer requests; thread-safe. Starts at most one per processor, on demand.

    Parameters
    ----------
    module : str
        Module with ``answer(request, data) -> (facts, data)``, where `request` and `facts` are JSON types. The ``data``
        of a request is None if the process already has it.
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
        """Tell whether this program can start an interpreter. A frozen program would start itself."""
        return bool(sys.executable) and not getattr(sys, "frozen", False)

    def ask(self, request: dict[str, Any], data: bytes, *, key: int, seconds: float, memory: int) -> Answer:
        """Send one request and wait for its answer.

        Parameters
        ----------
        request : dict
        data : bytes
        key : int
            Key of the data. A process that had the same key last is preferred and does not get the data again.
        seconds : float
            Limit of processor time, if the system supports it. The wall-clock limit is six times as long.
        memory : int
            Limit in bytes of memory beyond that of its own code, if the system supports it.

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
            except _Idle:  # it exited between two requests
                self._put_back(process)
                continue
            except BaseException:  # also after an interrupt: its late response would be taken for the next one
                process.end()
                self._put_back(process)
                raise
            self._put_back(process)
            return answer

    def stop(self) -> None:
        """End all processes. Callers that wait for a response get `StoppedError`."""
        with self._free:
            for process in self._all:
                process.end()
            for process in self._idle:  # busy ones are closed by their callers
                process.close()
            self._all, self._idle = [], []

    def _forget(self) -> None:
        """Forget all processes after a fork: they belong to the parent, and this process must not flush their pipes."""
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
                    chosen = (same or self._idle)[0]  # else the one that was idle longest
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
    """The process had exited before the request."""


class _Process:
    """One process, used by one thread at a time."""

    def __init__(self, module: str) -> None:
        self.key = -1
        self.stopped = False
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as this object lives)
        command = [sys.executable, "-I", "-c", _START, json.dumps(sys.path), module]
        own_group: dict[str, Any] = {"start_new_session": True}  # Ctrl-C in a terminal must reach only this process
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
        """Kill the process; a caller that waits for its response notices."""
        self.stopped = True
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Kill the process and release its resources."""
        self.end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        for file in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):  # unsent data is lost
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
