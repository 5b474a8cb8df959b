"""Progress of long work, as a bar in terminals and notebooks, as lines elsewhere, or not at all."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from selfsort.errors import DataError
from selfsort.runtime import Progress, silent

_PLAIN_SECONDS = 10.0


@contextmanager
def reporting(progress: Progress | bool | None) -> Iterator[Progress]:
    """Yield the callback to which long work reports its progress.

    Parameters
    ----------
    progress : callable, bool or None
        A callable gets ``progress(stage, done, total)``. True shows a bar on standard error, False shows nothing. None
        shows a bar in a terminal or a notebook, and nothing elsewhere, such as in a script with redirected output.

    Raises
    ------
    DataError
        If it is something else.
    """
    if progress is None or progress is True:
        if in_notebook() and importlib.util.find_spec("ipywidgets") is None:  # required by the bar
            yield plain_lines()
        elif progress or in_notebook() or in_terminal():
            with live_bar() as report:
                yield report
        else:
            yield silent
    elif progress is False:
        yield silent
    elif callable(progress):
        yield progress
    else:
        raise DataError(f"progress must be a callable, True, False or None: got {progress!r}.")


def in_terminal() -> bool:
    """Tell whether standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def in_notebook() -> bool:
    """Tell whether the caller is a notebook, according to rich."""
    if "IPython" not in sys.modules:  # every notebook has it; loading rich takes time
        return False
    from rich.console import Console

    return Console().is_jupyter


@contextmanager
def live_bar() -> Iterator[Progress]:
    """Yield a callback that shows a bar with the time left on standard error, one line for each stage."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = [
        SpinnerColumn("dots" if "utf" in (sys.stderr.encoding or "").lower() else "line"),
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    ]
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                for earlier in tasks.values():
                    if bar.tasks[earlier].total is None:  # a stage without a count is over when the next begins
                        bar.update(earlier, total=1, completed=1)
                # cached items must not count toward the speed
                tasks[stage] = bar.add_task(stage, total=total, completed=done)
            elif done < bar.tasks[tasks[stage]].completed:  # a stage that begins again
                bar.reset(tasks[stage])
            bar.update(tasks[stage], completed=done, total=total)

        yield report
        for task in tasks.values():
            if bar.tasks[task].total is None:
                bar.update(task, total=1, completed=1)


def plain_lines() -> Progress:
    """Return a callback that prints a line to standard error every ten seconds."""
    started = time.monotonic()
    first: dict[str, tuple[float, int]] = {}
    before: dict[str, int] = {}
    last = started

    def report(stage: str, done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if stage not in before or done < before[stage]:  # a stage that begins, or begins again
            first[stage] = now, done
        before[stage] = done
        since, at = first[stage]
        if now - last < _PLAIN_SECONDS or not total:
            return
        last = now
        left = (now - since) / (done - at) * (total - done) if done > at else None
        eta = f", about {left:.0f} s left" if left is not None else ""
        print(f"{stage}: {done:,} of {total:,}{eta}", file=sys.stderr)

    return report
