"""Commands on what is known of single pictures: ``text``, ``search``, ``people``, ``flaws``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from selfsort.cli.output import PATH, emit, json_option, progress_bar, quoted, run_argument, shown
from selfsort.errors import DataError
from selfsort.runtime import counted

#: So many persons are listed, those with most faces.
_N_PERSONS = 20


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
    lines = [f"{facts['n_with_text']:,} of {counted(facts['n_pictures'], 'picture')} have text."]
    lines += _lacking(facts)
    if facts["n_with_text"]:
        lines.append(f"Search it with: selfsort search {quoted(run)} WORDS")
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
@click.option(
    "--face-model",
    type=PATH,
    metavar="FILE",
    help="Also group faces of the same person, by this recognizer: an ONNX file of yours, none comes with selfsort.",
)
@click.option(
    "--face-colors", type=click.Choice(["rgb", "bgr"]), help="The order that the recognizer takes.  [default: rgb]"
)
@click.option(
    "--face-threshold",
    type=float,
    metavar="COSINE",
    help="From which similarity on faces are one person's.  [default: found from your faces]",
)
@click.option(
    "--name",
    "called",
    type=(int, str),
    multiple=True,
    metavar="N NAME",
    help="Call person N so, or with an empty NAME nothing, and look at no picture.",
)
@click.option("--forget", is_flag=True, help="Delete what --face-model stored, and names, and do nothing else.")
@json_option
def people(
    run: Path,
    face_model: Path | None,
    face_colors: str | None,
    face_threshold: float | None,
    called: tuple[tuple[int, str], ...],
    forget: bool,
    as_json: bool,
) -> None:
    """Count the faces in the pictures of RUN; with --json also where they are.

    They are kept in the catalog beside the run, and names of groups use them. Run the same command again to continue
    after an interruption: what was looked at is not looked at again. Whose faces they are is not told, unless you bring
    a recognizer: then faces of the same person are grouped, as "person 1" and so on, until you name them. Nothing is
    downloaded, and nothing is sent anywhere. Needs: pip install 'selfsort[photos]'
    """
    from selfsort.photos.people import read_people_of_run
    from selfsort.photos.persons import find_persons, forget_persons, name_persons, persons_of_run
    from selfsort.photos.recognizer import FaceModel

    given = {"--face-model": face_model, "--face-colors": face_colors, "--face-threshold": face_threshold}
    names = [name for name, value in given.items() if value is not None]
    if called and (names or forget):
        raise DataError(f"--name names and does nothing else: leave out {' and '.join(names or ['--forget'])}.")
    if forget and names:
        raise DataError(f"--forget deletes and does nothing else: leave out {' and '.join(names)}.")
    if names and face_model is None:
        raise DataError(f"Without a recognizer there is no use for {' and '.join(names)}: give --face-model too.")
    if forget:
        n = forget_persons(run)
        emit({"n_forgotten": n}, f"Forgot whose faces are in {counted(n, 'picture')}.", as_json=as_json)
        return
    if called:
        numbers = [person for person, _ in called]
        if len(set(numbers)) < len(numbers):
            raise DataError(f"Each person takes one --name: got {', '.join(map(str, numbers))}.")
        name_persons(run, dict(called))
        known = persons_of_run(run)
        emit({"persons": known}, "\n".join(_table(known)), as_json=as_json)
        return
    found: dict[str, Any] = {}
    with progress_bar() as progress:
        if face_model is not None:
            model = FaceModel(face_model, face_colors or "rgb")
            found = find_persons(run, model, least=face_threshold, progress=progress)
        facts = read_people_of_run(run, progress=progress)
    facts |= found | {"persons": persons_of_run(run)}
    words = {"0": "no faces", "1": "one face", "2": "two faces", "3+": "three faces or more"}
    lines = [f"{number:>9,} with {words[faces]}" for faces, number in facts["n_by_faces"].items()]
    lines[0] += f", of {counted(facts['n_pictures'], 'picture')}"
    lines += _lacking(facts) + _persons(facts)
    emit(facts, "\n".join(lines), as_json=as_json)


@click.command()
@run_argument
@json_option
def flaws(run: Path, as_json: bool) -> None:
    """List pictures of RUN that seem blurred, dark or empty, or that are cut short.

    Nothing is done to them. Photographs at night, or of fog, may be meant to look so. A picture is cut short if its
    file ends early.
    """
    from selfsort.photos.quality import flaws_of_run

    facts = flaws_of_run(run)
    lines = []
    for name, paths in facts["flaws"].items():
        lines.append(f"{name}: {len(paths):,} of {counted(facts['n_pictures'], 'picture')}")
        for path in paths:
            there = f" ({facts['rows_there'][path]:.0%} of its rows are there)" if name == "cut" else ""
            lines.append(f"  {shown(path)}{there}")
    emit(facts, "\n".join(lines), as_json=as_json)


def _lacking(facts: Mapping[str, Any]) -> list[str]:
    lacking = facts["n_pictures"] - facts["n_known"]
    return [f"{lacking:,} could not be read again: they are gone, or were changed since the run."] if lacking else []


def _persons(facts: Mapping[str, Any]) -> list[str]:
    """Say who was found, as a short table."""
    lines = []
    if "n_compared" in facts:
        lines.append(f"{facts['n_compared']:,} of {facts['n_faces']:,} faces are large enough to compare.")
        if facts["least"] is None:
            lines.append(
                "These are too few to find out how alike different people are: give --face-threshold. "
                "Persons stay as they were."
            )
        else:
            lines.append(f"From a similarity of {facts['least']:.2f} on they are one person's.")
    return lines + (["", *_table(facts["persons"])] if facts["persons"] else [])


def _table(known: list[dict[str, Any]]) -> list[str]:
    width = max([0, *(len(shown(person["name"])) + 2 for person in known if person["name"])])
    lines = [f"{'':<{12 + width}}{'faces':>7}{'pictures':>10}  largest in"]
    for person in known[:_N_PERSONS]:
        paths = dict.fromkeys(shown(face["path"]) for face in person["largest"])
        lines.append(
            f"person {person['person']:<5}{shown(person['name'] or ''):<{width}}{person['n_faces']:>7,}"
            f"{person['n_pictures']:>10,}  {', '.join(paths)}"
        )
    if len(known) > _N_PERSONS:
        lines.append(f"... and {len(known) - _N_PERSONS:,} more; --json has all.")
    return lines
