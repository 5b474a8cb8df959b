"""``selfsort check``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from selfsort.cli.output import PATH, emit, json_option, progress_bar, run_argument, shown
from selfsort.runtime import counted


@click.command()
@run_argument
@click.argument("exports", type=PATH, nargs=-1, metavar="[EXPORT]...")
@json_option
def check(run: Path, exports: tuple[Path, ...], as_json: bool) -> None:
    """Check that RUN, its catalog, its model and its exports are as they were written.

    Every file is read and compared with its checksum; nothing is changed. Exports into folders beside RUN, and beside
    the pictures, are found; name others as EXPORT. One line for each problem; the exit code is 1 if there is one.
    """
    from selfsort.photos.checking import check as find

    with progress_bar() as progress:
        problems, checked = find(run, exports, progress=progress)
    lines = [f"{shown(one.path)}: {shown(one.what).rstrip('.')}. {one.do}" for one in problems]
    if not problems:
        lines.append(f"Sound: {', '.join(map(shown, checked))}.")
    else:
        lines.append(f"{counted(len(problems), 'problem')}.")
    emit({"checked": checked, "problems": [one.as_json() for one in problems]}, "\n".join(lines), as_json=as_json)
    sys.exit(1 if problems else 0)
