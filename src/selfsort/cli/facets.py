"""Commands on what is known of single pictures: ``people``, ``flaws``."""

from __future__ import annotations

from pathlib import Path

import click

from selfsort.cli.output import emit, json_option, progress_bar, shown

_RUN = click.argument("run", type=click.Path(path_type=Path), metavar="RUN")


@click.command()
@_RUN
@json_option
def people(run: Path, as_json: bool) -> None:
    """Count the faces in the pictures of RUN; with --json also where they are.

    They are kept in the catalog beside the run, and names of groups use them. Run the same command again to continue
    after an interruption: what was looked at is not looked at again. It is not told whose faces they are. Nothing is
    downloaded, and nothing is sent anywhere. Needs: pip install 'selfsort[photos]'
    """
    from selfsort.photos.people import read_people_of_run

    with progress_bar() as progress:
        facts = read_people_of_run(run, progress=progress)
    words = {"0": "no faces", "1": "one face", "2": "two faces", "3+": "three faces or more"}
    lines = [f"{number:>9,} with {words[faces]}" for faces, number in facts["n_by_faces"].items()]
    lines[0] += f", of {facts['n_pictures']:,} pictures"
    lacking = facts["n_pictures"] - facts["n_known"]
    if lacking:
        lines.append(f"{lacking:,} could not be read again: they are gone, or were changed since the run.")
    emit(facts, "\n".join(lines), as_json=as_json)


@click.command()
@_RUN
@json_option
def flaws(run: Path, as_json: bool) -> None:
    """List pictures of RUN that seem blurred, dark or empty.

    Nothing is done to them. Photographs at night, or of fog, may be meant to look so.
    """
    from selfsort.photos.quality import flaws_of_run

    facts = flaws_of_run(run)
    lines = []
    for name, paths in facts["flaws"].items():
        lines.append(f"{name}: {len(paths):,} of {facts['n_pictures']:,} pictures")
        lines += [f"  {shown(path)}" for path in paths]
    emit(facts, "\n".join(lines), as_json=as_json)
