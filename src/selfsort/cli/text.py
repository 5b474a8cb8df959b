"""``selfsort text`` and ``selfsort search``."""

from __future__ import annotations

from pathlib import Path

import click

from selfsort.cli.output import emit, json_option, progress_bar, shown

_RUN = click.argument("run", type=click.Path(path_type=Path), metavar="RUN")


@click.command()
@_RUN
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
    lacking = facts["n_pictures"] - facts["n_known"]
    if lacking:
        lines.append(f"{lacking:,} could not be read again: they are gone, or were changed since the run.")
    if facts["n_with_text"]:
        lines.append(f"Search it with: selfsort search {shown(str(run))} WORDS")
    emit(facts, "\n".join(lines), as_json=as_json)


@click.command()
@_RUN
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
