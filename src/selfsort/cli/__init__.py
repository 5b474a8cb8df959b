"""The command line: arguments in, one library call, print.

Exit codes: 0 done, 1 an error that the message explains, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import codecs
import difflib
import errno
import importlib
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from selfsort import __version__
from selfsort.cli.output import INTERRUPTED, fail, interrupted, shown
from selfsort.errors import SelfsortError
from selfsort.runtime import cache_path
from selfsort.threads import leave

_COMMANDS = {
    "organize": ("selfsort.cli.organize", "organize"),
    "demo": ("selfsort.cli.organize", "demo"),
    "info": ("selfsort.cli.runs", "info"),
    "groups": ("selfsort.cli.runs", "groups"),
    "list": ("selfsort.cli.listing", "list_"),
    "evaluate": ("selfsort.cli.runs", "evaluate"),
    "review": ("selfsort.cli.review", "review"),
    "correct": ("selfsort.cli.correct", "correct"),
    "check": ("selfsort.cli.check", "check"),
    "catalog": ("selfsort.cli.library", "catalog"),
    "duplicates": ("selfsort.cli.library", "duplicates"),
    "events": ("selfsort.cli.library", "events"),
    "text": ("selfsort.cli.facets", "text"),
    "search": ("selfsort.cli.facets", "search"),
    "people": ("selfsort.cli.facets", "people"),
    "flaws": ("selfsort.cli.facets", "flaws"),
    "export": ("selfsort.cli.export", "export"),
    "undo": ("selfsort.cli.export", "undo"),
    "trash": ("selfsort.cli.export", "trash"),
    "methods": ("selfsort.cli.learn", "methods"),
    "fit": ("selfsort.cli.learn", "fit"),
    "resume": ("selfsort.cli.learn", "resume"),
    "predict": ("selfsort.cli.learn", "predict"),
    "choose-k": ("selfsort.cli.choosing", "choose_k"),
    "choose-run": ("selfsort.cli.choosing", "choose_run"),
    "mi": ("selfsort.cli.information", "mi"),
    "reproduce": ("selfsort.cli.reproduce", "reproduce"),
}


#: What people may call commands.
_MEANT = {
    "cluster": "organize",
    "sort": "organize",
    "train": "fit",
    "score": "evaluate",
    "ls": "list",
    "show": "review",
}
_MEANT |= {"rename": "correct", "merge": "correct", "dupes": "duplicates", "find": "search", "faces": "people"}
#: What is wrong with a disk or a path and not with us.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PLACE = {errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}
_PLACE |= {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}


class Group(click.Group):
    """Load commands when they are called, and print our errors as one line; bugs keep their traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order a newcomer needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command and return it."""
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; of one that is not there, say which may be meant."""
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name.lower(), [*_COMMANDS, *_MEANT], n=3, cutoff=0.6)
            commands = dict.fromkeys(_MEANT.get(word, word) for word in near)
            hint = f"Did you mean {' or '.join(commands)}?" if commands else "To see all: selfsort --help"
            if Path(name).exists():
                hint = f"To group pictures: selfsort organize {shlex.quote(name)}"
            raise click.UsageError(f"There is no command {shown(name)!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note whether the command, not parsed yet, will print JSON: errors then do too."""
        ctx.meta["as_json"] = "--json" in args
        return super().parse_args(ctx, args)

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        """Run as a program: with file names in UTF-8 in every locale, and ended at once after an interrupt."""
        if args is None and sys.getfilesystemencoding() != "utf-8" and os.name == "posix" and sys.executable:
            _start_in_utf8()
        try:
            return super().main(args, *more, **options)
        except SystemExit as end:
            if args is None and isinstance(end.code, int):  # a program, not a call within one
                leave(end.code, at_once=end.code == INTERRUPTED)  # Python takes seconds to take itself down
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn our errors, a full disk and Ctrl-C into one line and an exit code."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        # a program of its own keeps what matplotlib knows of fonts with all else that can be made again
        os.environ.setdefault("MPLCONFIGDIR", str(cache_path() / "matplotlib"))
        warnings.showwarning = _warn  # type: ignore[assignment]
        try:
            return super().invoke(ctx)
        except SelfsortError as error:
            fail(str(error), as_json=ctx.meta["as_json"])
        except OSError as error:
            if error.errno not in _FULL | _PLACE:
                raise
            fail(_of_disk(error), as_json=ctx.meta["as_json"])
        except RuntimeError as error:  # pathlib's, of links that lead to one another
            if not str(error).startswith("Symlink loop"):
                raise
            fail(f"{error}. Give another path.", as_json=ctx.meta["as_json"])
        except KeyboardInterrupt:
            interrupted()


def _warn(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """Say in one line what users are warned of; what only programmers want to know is left out."""
    if issubclass(category, UserWarning):
        click.echo(f"Warning: {shown(str(message))}", err=True)


def _start_in_utf8() -> None:
    """Start this program again with file names in UTF-8: other encodings lack most names that archives may hold.

    The output keeps its encoding, but where that is ASCII: this is what a system says that knows of no terminal.
    """
    shows = {}
    if sys.stdout is not None and codecs.lookup(sys.stdout.encoding).name != "ascii":
        shows = {"PYTHONIOENCODING": f"{sys.stdout.encoding}:backslashreplace"}
    os.execve(
        sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], shows | os.environ | {"PYTHONUTF8": "1"}
    )


def _of_disk(error: OSError) -> str:
    where = shown(os.fsdecode(error.filename)) if error.filename else "A file"
    what = "cannot be written" if error.errno in _FULL else "cannot be used"
    do = "Make room" if error.errno in _FULL else "Mend that or give another path"
    if where.startswith(shown(os.environ.get("SELFSORT_CACHE") or "\0")):
        do += " (the variable SELFSORT_CACHE names this folder)"
    return (
        f"{where} {what}: {os.strerror(error.errno or 0)}. {do}, and run the same command again: what is done is kept."
    )


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="selfsort")
def main() -> None:
    """Sort images that nobody labeled: group them, look at the groups, score them, export them; train methods."""
