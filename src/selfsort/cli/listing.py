"""The command ``list``: pictures of a run for people and for pipes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from selfsort.cli.output import emit, json_option, run_argument, shown, write_out


@click.command("list")
@run_argument
@click.option("--unreadable", is_flag=True, help="Only files that could not be read, and why.")
@click.option("--group", "groups", type=int, multiple=True, metavar="N", help="Only of this group; -1: of none.")
@click.option("--kind", multiple=True, metavar="KIND", help="Only of this kind, such as photo or screenshot.")
@click.option("--before", metavar="DATE", help="Only taken before that: 2024, 2024-07, 2024-07-31 or with T18:30.")
@click.option("--after", metavar="DATE", help="Only taken then or later.")
@click.option("--absolute", is_flag=True, help="Print absolute paths, not those relative to the scanned folder.")
@click.option("-0", "--null", "nul", is_flag=True, help="Print exact paths, each ended by NUL, for xargs -0.")
@json_option
def list_(
    run: Path,
    unreadable: bool,
    groups: tuple[int, ...],
    kind: tuple[str, ...],
    before: str | None,
    after: str | None,
    absolute: bool,
    nul: bool,
    as_json: bool,
) -> None:
    """List the pictures of RUN, one a line: all, or those that every option given holds for.

    An option that is given more than once takes either value. Groups are as they are after your corrections. The time
    is that of the camera; a picture of which only the time of its file is known has none.
    """
    from selfsort.errors import DataError
    from selfsort.photos import selection

    if nul and as_json:
        raise DataError("--json and -0 are two formats. Give one of them.")
    found = selection.select(run, unreadable=unreadable, groups=groups, kind=kind, before=before, after=after)
    if absolute and any(picture["absolute"] is None for picture in found):
        raise DataError("The pictures of this run are no files of their own, so they have no absolute paths.")
    exact = [picture["absolute"] if absolute else picture["path_bytes"] for picture in found]
    if nul:
        write_out(b"".join(path + b"\0" for path in exact))
        return
    lines = [told(picture, path) for picture, path in zip(found, exact, strict=True)]
    if not lines and not as_json:
        is_all = unreadable and not (groups or kind or before or after)
        click.echo("Every file could be read." if is_all else "There is no such picture in the run.", err=True)
        return
    paths = [{"absolute": shown(path)} if absolute else {} for path in exact]
    facts = [selection.as_json(of) | more for of, more in zip(found, paths, strict=True)]
    emit({"pictures": facts}, "\n".join(lines), as_json=as_json)


def told(picture: Mapping[str, Any], path: bytes | None = None) -> str:
    """Return the line of a picture: its path, and why it could not be read if so."""
    reason = "" if picture["status"] == "ok" else f": {shown(picture['status'])}"
    return shown(path if path is not None else picture["path_bytes"]) + reason
