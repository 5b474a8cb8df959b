"""What all commands share: results as text or JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import click

from selfsort.errors import DataError
from selfsort.files import atomic_write
from selfsort.progress import in_terminal, live_bar, plain_lines
from selfsort.runtime import Progress, printable


class _Place(click.Path):
    """A path; an empty one, as an unset variable of a shell gives, would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty. Write . for the current folder.", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Place(path_type=Path)
run_argument = click.argument("run", type=PATH, metavar="RUN")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
#: So many files that were left out are listed; all are in a file that begins with this line.
_N_LISTED = 10
_LEFT_OUT = "# left out by selfsort, one file a line"
#: The exit code after Ctrl-C.
INTERRUPTED = 130
#: Near the beginning of the tables and figures that commands write, so that only these are replaced.
_OURS = (b"path,group,status", b"Software\0selfsort")


def emit(result: dict[str, Any], text: str | Callable[[], str], *, as_json: bool) -> None:
    """Print a command's result."""
    if as_json:
        printed = json.dumps(result, ensure_ascii=True, indent=2)
    else:
        printed = harmless(text() if callable(text) else text)
    write_out(f"{printed}\n".encode(sys.stdout.encoding or "utf-8", "backslashreplace"))


def write_out(data: bytes) -> None:
    """Write bytes to standard output; where they do not fit, nothing more is tried there."""
    try:
        click.echo(data, nl=False)
    except OSError as error:
        if error.errno != errno.EPIPE:  # that a reader had enough is no error; click ends quietly
            error.filename = "standard output"
        raise


def shortened(lines: Sequence[str], place: Path, *, write: bool = True) -> list[str]:
    """Return the first lines of a list of files that were left out, and the name of a file that has all of them.

    Parameters
    ----------
    lines : sequence of str
    place : Path
        The run or folder that it is about: the file lies beside it, or where that cannot be, among temporary files.
    write : bool
        Whether the file may be written.
    """
    if len(lines) <= _N_LISTED:
        return list(lines)
    more = f"... and {len(lines) - _N_LISTED:,} more"
    if not write:
        return [*lines[:_N_LISTED], f"{more}; --json has all."]
    data = "\n".join((_LEFT_OUT, *lines, "")).encode("utf-8", "backslashreplace")
    path = place.resolve()
    path = path.with_name(f"{path.name}.left-out.txt")
    try:
        if path.exists() and not path.read_bytes().startswith(_LEFT_OUT.encode()):
            raise FileExistsError
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    except OSError:
        handle, name = tempfile.mkstemp(prefix="selfsort-", suffix=".left-out.txt")
        path = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    return [*lines[:_N_LISTED], f"{more}: {shown(str(path))} lists all {len(lines):,}."]


def fail(message: str, *, as_json: bool = False) -> NoReturn:
    """Print one error and end with exit code 1."""
    message = harmless(" ".join(message.encode("utf-8", "backslashreplace").decode().splitlines()))
    if as_json:
        with suppress(OSError):  # it may be standard output that is full
            click.echo(json.dumps({"error": message}))
    click.echo(f"Error: {message}", err=True)
    sys.exit(1)


def interrupted(how: str = "run the same command again") -> NoReturn:
    """Say how to go on after Ctrl-C and end with exit code 130."""
    click.echo(f"\nInterrupted. Nothing is lost: {how} to continue.", err=True)
    sys.exit(INTERRUPTED)


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
    if in_terminal():
        with live_bar() as report:
            yield report
    else:
        yield plain_lines()


def harmless(text: str) -> str:
    """Return text of several lines as a terminal can print it, whoever wrote parts of it; see `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def shown(text: str | bytes) -> str:
    """Return text that belongs in one line as a terminal can print it; line ends are escaped too."""
    return printable(text)


def quoted(path: str | Path) -> str:
    """Return a path as it can be pasted into a command."""
    return shlex.quote(shown(str(path)))
