"""Long work beside the page, in a process of its own: the page stays quick, and stopping it harms nothing."""

from __future__ import annotations

import multiprocessing
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from selfsort.errors import DataError, SelfsortError

#: Seconds between two reports of progress.
_REPORT_SECONDS = 0.2


class Job:
    """One piece of work.

    Parameters
    ----------
    name : str
        In the words of the page, such as "Grouping again".
    work : callable
        ``work(progress, **arguments)``, at the top of a module; what it returns, as JSON's types, is the `result`.
    **arguments
        Of `work`.

    Attributes
    ----------
    stage, done, total
        As `selfsort.runtime.Progress` gives them.
    result : object, optional
    error : str
        Why it ended early; empty if it did not.
    """

    def __init__(self, name: str, work: Callable[..., Any], **arguments: Any) -> None:
        self.name = name
        self.stage, self.done, self.total = "", 0, None
        self.result: Any = None
        self.error = ""
        self._stage_began, self._done_at_first = time.monotonic(), 0
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        # not a daemon: it may have processes of its own
        self._process = context.Process(target=_run, args=(theirs, work, arguments), name=f"selfsort {name}")
        self._process.start()
        theirs.close()
        self._thread = threading.Thread(target=self._listen, args=(ours,), daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def facts(self) -> dict[str, Any]:
        """Return how it stands, for the page: with seconds left in this stage where that can be told."""
        facts: dict[str, Any] = {"name": self.name, "stage": self.stage, "done": self.done, "total": self.total}
        facts |= {"running": self.is_running, "error": self.error, "result": self.result, "left": None}
        gained = self.done - self._done_at_first
        if self.total and gained > 0:
            facts["left"] = (time.monotonic() - self._stage_began) / gained * (self.total - self.done)
        return facts

    def stop(self) -> None:
        """End it now; what it had finished is kept where it keeps it."""
        if self.is_running:
            self.error = "Stopped. Nothing is lost."
            self._process.terminate()
        self._process.join(timeout=10)
        self._thread.join(timeout=10)

    def _listen(self, connection: Connection) -> None:
        while True:
            try:
                what, value = connection.recv()
            except (EOFError, OSError):
                break
            if what == "progress":
                stage, self.done, self.total = value
                if stage != self.stage:
                    self.stage, self._stage_began, self._done_at_first = stage, time.monotonic(), self.done
            elif what == "result":
                self.result = value
            else:
                self.error = value
        self._process.join()
        if self._process.exitcode and not self.error:
            self.error = f"It ended unexpectedly (exit code {self._process.exitcode}). Try again."


def _run(connection: Connection, work: Callable[..., Any], arguments: dict[str, Any]) -> None:
    reported = 0.0
    before = ""

    def progress(stage: str, done: int, total: int | None) -> None:
        nonlocal reported, before
        if stage != before or done == total or time.monotonic() - reported > _REPORT_SECONDS:
            reported, before = time.monotonic(), stage
            connection.send(("progress", (stage, done, total)))

    try:
        connection.send(("result", work(progress, **arguments)))
    except SelfsortError as error:
        connection.send(("error", str(error)))
    except KeyboardInterrupt:
        connection.send(("error", "Stopped. Nothing is lost."))
    except Exception as error:
        traceback.print_exc()
        connection.send(("error", f"It failed: {type(error).__name__}: {error}"))


class Jobs:
    """At most one job at a time, and the last one that ended."""

    def __init__(self) -> None:
        self.job: Job | None = None

    def start(self, name: str, work: Callable[..., Any], **arguments: Any) -> None:
        """Start a job, or say which one is running."""
        if self.job is not None and self.job.is_running:
            raise DataError(f"{self.job.name} is not finished yet. Wait for it, or stop it.")
        self.job = Job(name, work, **arguments)

    def facts(self) -> dict[str, Any] | None:
        """Return how the job stands, None if there was none."""
        return self.job.facts() if self.job is not None else None

    def stop(self) -> None:
        """Stop the job that is running, if any."""
        if self.job is not None:
            self.job.stop()
