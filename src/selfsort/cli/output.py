"""What all commands share: results as text or JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from selfsort.errors import DataError
from selfsort.runtime import Progress, atomic_write
from selfsort.threads import leave


class _Place(click.Path):
    """A path; an empty one, as an unset variable of a shell gives, would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty. Write . for the current folder.", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Place(path_type=Path)
run_argument = click.argument("run", type=PATH, metavar="RUN")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
#: The exit code after Ctrl-C.
INTERRUPTED = 130
_PLAIN_SECONDS = 10.0
#: Near the beginning of the tables and figures that commands write, so that only these are replaced.
_OURS = (b"path,group,status", b"Software\0selfsort")


def emit(result: dict[str, Any], text: str | Callable[[], str], *, as_json: bool) -> None:
    """Print a command's result."""
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=True, indent=2))
    else:
        click.echo(text() if callable(text) else text)


def fail(message: str, *, as_json: bool = False) -> NoReturn:
    """Print one error and end with exit code 1."""
    message = " ".join(message.encode("utf-8", "backslashreplace").decode().splitlines())
    if as_json:
        click.echo(json.dumps({"error": message}))
    click.echo(f"Error: {message}", err=True)
    leave(1)


def interrupted(how: str = "run the same command again") -> NoReturn:
    """Say how to go on after Ctrl-C and end with exit code 130."""
    click.echo(f"\nInterrupted. Nothing is lost: {how} to continue.", err=True)
    leave(INTERRUPTED)


def check_file(path: Path | None, option: str = "-o") -> None:
    """Refuse, before work starts, a file that cannot be written or that selfsort did not: it may be an original."""
    if path is None:
        return
    if path.is_dir():
        raise DataError(f"{path} is a folder. Give a file with {option}.")
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is a device or a pipe. Give a file with {option}.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise DataError(f"{path} cannot be written: there is no folder {path.parent} to write to. Make it first.")
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{path} cannot be replaced: {error.strerror}. Give another file with {option}.") from error
    if not any(mark in start for mark in _OURS):
        raise DataError(f"{path} is there and is no table or figure of selfsort: it stays. Give another with {option}.")


def write_file(path: Path, content: bytes, option: str = "-o") -> None:
    """Write what `check_file` allowed, whole or not at all."""
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}. Give another with {option}.") from error


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yield a progress callback: a live bar with time left on a terminal, else a line every ten seconds."""
    if sys.stderr.isatty():
        with _live_bar() as report:
            yield report
    else:
        yield _plain_lines()


@contextmanager
def _live_bar() -> Iterator[Progress]:
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
                # what the cache already holds must not count into the speed
                tasks[stage] = bar.add_task(stage, total=total, completed=done)
            elif done < bar.tasks[tasks[stage]].completed:  # a stage that begins again
                bar.reset(tasks[stage])
            bar.update(tasks[stage], completed=done, total=total)

        yield report
        for task in tasks.values():
            if bar.tasks[task].total is None:
                bar.update(task, total=1, completed=1)


def _plain_lines() -> Progress:
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
        click.echo(f"{stage}: {done:,} of {total:,}{eta}", err=True)

    return report


def shown(text: str) -> str:
    """Return `text` so that any terminal can print it: control characters and lone surrogates escaped."""
    from selfsort.sources import display_path

    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in display_path(text))


def quoted(path: str | Path) -> str:
    """Return a path as it can be pasted into a command."""
    return shlex.quote(shown(str(path)))
