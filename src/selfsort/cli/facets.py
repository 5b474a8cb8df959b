"""Commands on what is known of single pictures: ``text``, ``search``, ``people``, ``flaws``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from selfsort.cli.output import emit, json_option, progress_bar, run_argument, shown


@click.command()
@run_argument
@json_option
def text(run: Path, as_json: bool) -> None:
    """Read the text in the pictures of RUN, in Chinese and English, to search for it with selfsort search.

    It is kept in the catalog beside the run. Run the same command again to continue after an interruption: what was
    read is not read again. Nothing is downloaded, and nothing is sent anywhere. Needs: pip install 'selfsort[photos]'
    """
    from selfsort.photos.text import read_texts_of_run

    with progress_bar() as progress:
        facts = read_texts_of_run(run, progress=progress)
    lines = [f"{facts['n_with_text']:,} of {facts['n_pictures']:,} pictures have text."]
    lines += _lacking(facts)
    if facts["n_with_text"]:
        lines.append(f"Search it with: selfsort search {shown(str(run))} WORDS")
    emit(facts, "\n".join(lines), as_json=as_json)


@click.command()
@run_argument
@click.argument("words", nargs=-1, required=True, metavar="WORDS...")
@json_option
def search(run: Path, words: tuple[str, ...], as_json: bool) -> None:
    """List the pictures of RUN whose text holds all WORDS, also as parts of words, with the text around the first one.

    The text must have been read: with selfsort text RUN, or selfsort organize --text.
    """
    from selfsort.photos.text import search_run

    found = search_run(run, " ".join(words))
    lines = [f"{shown(picture['path'])}: {shown(picture['snippet'])}" for picture in found]
    emit({"pictures": found}, "\n".join(lines) or "No picture has all of these words in its text.", as_json=as_json)


@click.command()
@run_argument
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
    lines += _lacking(facts)
    emit(facts, "\n".join(lines), as_json=as_json)


@click.command()
@run_argument
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


def _lacking(facts: Mapping[str, Any]) -> list[str]:
    lacking = facts["n_pictures"] - facts["n_known"]
    return [f"{lacking:,} could not be read again: they are gone, or were changed since the run."] if lacking else []
