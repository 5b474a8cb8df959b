"""What the server holds while it runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from selfsort.app import facts
from selfsort.app.jobs import Job, Jobs
from selfsort.app.pictures import Pictures
from selfsort.app.review import Review
from selfsort.clusters import Clusters
from selfsort.errors import DataError, SelfsortError

#: The job after which names are found anew.
READING_TEXT = "Reading text"


class OtherRunError(DataError):
    """The page shows another run than the one that is there now."""


class Page:
    """What the server holds while it runs: all of it is used from the event loop, but for pictures and facts.

    Parameters
    ----------
    run : Path
    """

    def __init__(self, run: Path) -> None:
        self.review = Review(run)
        self.jobs = Jobs()
        self._clusters: Any = None
        self._ended: Job | None = None
        self.told_apart: set[frozenset[str]] = set()
        #: Held by each change while it is made, so that they are made in the order in which they came.
        self.turn = asyncio.Lock()
        self._naming: asyncio.Future[None] | None = None
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._read()

    def _read(self) -> None:
        if self._clusters is not self.review.clusters:
            self._clusters = self.review.clusters
            self.pictures = Pictures(self._clusters)
            paths = self._clusters.items.column("path_bytes").to_pylist()
            self.paths = [os.fsdecode(path) for path in paths]
            self._read_facts()

    def _read_facts(self) -> None:
        """Begin to read anew what the catalog knows, for naming."""
        self._tasks.clear()
        if self._naming is not None:
            self._naming.cancel()
        self._naming = asyncio.ensure_future(self._name(self._clusters))

    async def _name(self, clusters: Clusters) -> None:
        try:
            terms = await asyncio.to_thread(facts.terms, clusters, self.review.run)
        except SelfsortError:
            return  # names stay as the run has them; what is wrong is said where the catalog is asked next
        if clusters is self.review.clusters:
            self.review.name_by(terms)

    def fresh(self, stamp: str | None = None) -> Review:
        """Return the review as it is now, read anew if the run or its log changed.

        Raises `OtherRunError` if `stamp` is given and is not that of the run that is there now.
        """
        self.review.version()
        self._read()
        if stamp is not None and stamp != self.review.stamp:
            raise OtherRunError("The pictures were grouped again meanwhile. Nothing was changed; look again.")
        return self.review

    def forget(self, name: str) -> None:
        """Compute something anew when it is asked for next."""
        self._tasks.pop(name, None)

    async def once(self, name: str, compute: Any) -> Any:
        """Return what `compute` makes of the run, computed in a thread, once per run."""
        task = self._tasks.get(name)
        if task is None or (task.done() and task.exception() is not None):
            task = asyncio.create_task(asyncio.to_thread(compute, self._clusters, self.review.run))
            self._tasks[name] = task
        return await asyncio.shield(task)

    def now(self) -> dict[str, Any]:
        """Return what the page asks for again and again; what a job that has just ended read is read anew."""
        job = self.jobs.job
        self.fresh()
        if job is not None and not job.is_running and job is not self._ended:
            self._ended = job
            if job.name == READING_TEXT:
                self._read_facts()
        return {"version": self.review.version(), "job": self.jobs.facts()}

    def close(self) -> None:
        """Stop what runs and let go of the catalog."""
        if self._naming is not None:
            self._naming.cancel()
        self.jobs.stop()
        self.review.close()
