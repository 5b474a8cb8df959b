"""Commands on a run and its catalog: ``correct``, ``catalog``, ``duplicates``, ``events``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfsort.cli.output import PATH, emit, json_option, run_argument, shown
from selfsort.errors import DataError
from selfsort.runtime import counted

if TYPE_CHECKING:
    from selfsort.photos.corrected import Corrected
    from selfsort.photos.state import Entry

#: What follows each action: so many groups (None: all the words are groups), then a name, or pictures.
_ACTIONS: Mapping[str, tuple[int | None, str]] = {
    "rename": (1, "name"),
    "merge": (None, ""),
    "move": (1, "paths"),
    "split": (0, "paths"),
    "lock": (0, "paths"),
    "unlock": (0, "paths"),
    "hide": (0, "paths"),
    "show": (0, "paths"),
    "not-this": (0, "paths"),
    "must-link": (0, "paths"),
    "cannot-link": (0, "paths"),
    "not-the-same": (0, "paths"),
}
#: What places other pictures too.
_TEACHING = ("merge", "move", "split", "lock", "not-this", "must-link", "cannot-link")
#: So many pictures of a correction are named.
_N_NAMED = 3


class _Words(click.Command):
    """A command whose words may begin with a dash, as numbers of groups and names of files do: after RUN and ACTION."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the options before the words, and what tells click that no more options follow."""
        places = [i for i, arg in enumerate(args) if not arg.startswith("-")]
        if len(places) >= 2:
            head, words = args[: places[1] + 1], args[places[1] + 1 :]
            end = words.index("--") if "--" in words else len(words)
            options = [word for word in words[:end] if word in ("--json", "--help", "-h")]
            words = [word for word in words[:end] if word not in options] + words[end + 1 :]
            args = [*head, *options, "--", *words]
        return super().parse_args(ctx, args)


@click.command(cls=_Words)
@run_argument
@click.argument("action", type=click.Choice([*_ACTIONS, "undo", "redo", "log"]), metavar="ACTION")
@click.argument("words", nargs=-1, metavar="[WORDS]...")
@json_option
def correct(run: Path, action: str, words: tuple[str, ...], as_json: bool) -> None:
    """Say what is wrong with the groups of RUN. The next `selfsort organize` goes by it, and places others by it too.

    \b
    rename GROUP NAME          merge GROUP GROUP...
    move GROUP PATH...         split PATH...          (into a new group)
    lock PATH...               unlock PATH...         (it stays where it is)
    hide PATH...               show PATH...           (no export has it)
    not-this PATH...           (it does not belong to its group)
    must-link PATH PATH...     cannot-link PATH PATH...
    not-the-same PATH PATH...  undo [N]   redo [N]   log

    Groups are numbers of the run's own level, pictures are paths as the run has them. Nothing is ever lost: corrections
    lie in the catalog beside the run and are only added to; undo and redo reach back to any of them.
    """  # noqa: D301  (click takes a backspace as: leave these lines as they are)
    from selfsort.photos.corrected import Corrected
    from selfsort.photos.state import own_key

    with Corrected(run) as corrected:
        if action == "log":
            _no_more(action, words)
            entries = corrected.log.entries()
            facts = [{"number": e.number, "at": e.at, "undone": e.undone, **e.body} for e in entries]
            said_of = _sayer(corrected)
            lines = [f"{e.number:>5}  {e.at}  {'(undone) ' if e.undone else ''}{said_of(e)}" for e in entries]
            emit({"corrections": facts}, "\n".join(lines) or "There are no corrections.", as_json=as_json)
            return
        if action in ("undo", "redo"):
            _no_more(action, words[1:])
            number = _number(words[0]) if words else None
            entry = corrected.log.undo(number) if action == "undo" else corrected.log.redo(number)
            text = f"{action}: {entry.number}, {_sayer(corrected)(entry)}"
            emit({action: entry.number, **entry.body}, text, as_json=as_json)
            return
        numbers = corrected.correct(action, **_parsed(action, words))
        groups, keys = corrected.labels()
        n_now = len(keys)
        facts_now = {"numbers": numbers, "n_groups": n_now, "n_nowhere": int((groups[corrected.clusters.ok] < 0).sum())}
        one = f"Correction {numbers[0]} is kept"
        several = f"Corrections {', '.join(map(str, numbers))} are kept, one for each group, as one step"
        said = [f"{one if len(numbers) == 1 else several}; {'there is' if n_now == 1 else 'there are'} "]
        said.append(f"{counted(n_now, 'group')} now")
        if action == "split":
            facts_now["group"] = own_key(numbers[0])
            said.append(f", the new one is {facts_now['group']}")
        it, teach = ("it", "it teaches") if len(numbers) == 1 else ("all of them", "they teach")
        said.append(f". Take {it} back with: selfsort correct {shown(str(run))} undo")
        if action in _TEACHING:
            said.append(f"\nGroup anew with what {teach}: give the same selfsort organize again.")
        emit(facts_now, "".join(said), as_json=as_json)


@click.command()
@run_argument
@click.option("--backup", type=PATH, metavar="FILE", help="Copy the catalog to a new file.")
@json_option
def catalog(run: Path, backup: Path | None, as_json: bool) -> None:
    """Check the catalog beside RUN: is it sound, what is in it; and make a backup of it.

    It holds what cannot be made again: corrections. To restore a backup, put it where the catalog was.
    """
    from selfsort.photos.catalog import Catalog, catalog_path
    from selfsort.photos.corrections import Log

    path = catalog_path(run.resolve())
    with Catalog(path, make=False) as opened:
        problems = opened.check()
        entries = Log(opened).entries()
        facts: dict[str, Any] = {
            "catalog": str(path),
            "problems": problems,
            "n_pictures": len(opened.numbers()),
            "n_corrections": sum(not entry.undone for entry in entries),
            "n_undone": sum(entry.undone for entry in entries),
        }
        if problems:
            raise DataError(
                f"The catalog {path} is damaged: {problems[0]}. Put a backup in its place; to begin anew without "
                "its corrections, move it and the run away."
            )
        if backup is not None:
            opened.backup(backup)
            facts["backup"] = str(backup)
    lines = [
        f"{shown(str(path))} is sound: {counted(facts['n_pictures'], 'picture')} seen so far, "
        + counted(facts["n_corrections"], "correction")
        + (f" and {facts['n_undone']:,} undone." if facts["n_undone"] else ".")
    ]
    if backup is not None:
        lines.append(f"Copied to {shown(str(backup))}.")
    emit(facts, "\n".join(lines), as_json=as_json)


@click.command()
@run_argument
@json_option
def duplicates(run: Path, as_json: bool) -> None:
    """List pictures of RUN that are the same: identical files, one shot resized or encoded anew, and bursts.

    The first of each set is the one of the most pixels. Nothing is deleted. If two are not the same however alike, say
    so with selfsort correct RUN not-the-same PATH PATH, and they do not come up again.
    """
    from selfsort.clusters import Clusters
    from selfsort.photos.catalog import Catalog, catalog_path
    from selfsort.photos.duplicates import LEVELS, NEEDED, described, find_same

    clusters = Clusters.load(run)
    with Catalog(catalog_path(run.resolve()), make=False) as opened:
        found, read = find_same(clusters, opened), opened.count_facts()
    sets = [(same.level, described(clusters, same)) for same in found]
    lines = []
    for level in LEVELS:
        of_level = [pictures for of, pictures in sets if of == level]
        if lacking := [facet for facet in NEEDED[level] if facet not in read]:
            without = " and ".join(f"--no-{facet}" for facet in lacking)
            lines.append(f"{level}: not looked for. Give selfsort organize again without {without}.")
            continue
        spare = sum(picture["size"] for pictures in of_level for picture in pictures[1:])
        lines.append(f"{level}: {counted(len(of_level), 'set')}, {spare / 1e6:.1f} MB beside the first of each")
        for pictures in of_level:
            shown_ = [f"{shown(p['path'])} ({p['width']}×{p['height']}, {p['size']:,} bytes)" for p in pictures]
            lines.append("  " + "\n    ".join(shown_))
    emit(
        {"sets": [{"level": level, "pictures": pictures} for level, pictures in sets]},
        "\n".join(lines),
        as_json=as_json,
    )


@click.command()
@run_argument
@json_option
def events(run: Path, as_json: bool) -> None:
    """List when and where the pictures of RUN were taken: events, divided by gaps in time, with the nearest towns.

    Times are from EXIF or from the files' names. A picture that does not say where it was taken is placed by the one
    nearest in time of its event, and that is marked as a guess. Nothing is sent anywhere.
    """
    from selfsort.clusters import Clusters
    from selfsort.photos.catalog import Catalog, catalog_path
    from selfsort.photos.places import are_known
    from selfsort.photos.timeline import timeline

    clusters = Clusters.load(run)
    with Catalog(catalog_path(run.resolve()), make=False) as opened:
        found, undated = timeline(clusters, opened)
        are_read = "metadata" in opened.count_facts()
    paths = clusters.items.column("path").to_pylist()
    facts = [
        {
            "start": event.start.isoformat(),
            "end": event.end.isoformat(),
            "places": [
                {"town": place.town, "region": place.region, "country": place.country} for place, _ in event.places()
            ],
            "pictures": [
                {
                    "path": paths[moment.row],
                    "taken": moment.taken.at.isoformat(),
                    "source": moment.taken.source,
                    "precision": moment.taken.precision,
                    "town": moment.place.town if moment.place else None,
                    "guessed": moment.guessed,
                }
                for moment in event.moments
            ],
        }
        for event in found
    ]
    lines = []
    for event in found:
        same_day = event.end.date() == event.start.date()
        until = f" – {event.end:%H:%M}" if same_day else f" – {event.end:%Y-%m-%d %H:%M}"
        until = until if event.end != event.start else ""
        towns = "; ".join(", ".join(filter(None, (place.town, place.country))) for place, _ in event.places()[:3])
        count = counted(len(event.moments), "picture")
        lines.append(f"{event.start:%Y-%m-%d %H:%M}{until}  {count}{'  ' + towns if towns else ''}")
    undated_ = counted(len(undated), "picture")
    lines.append(f"{counted(len(found), 'event')}; of {undated_} only the time of the file is known.")
    if not are_read:
        lines.append("What is in the files was not read. Give selfsort organize again without --no-metadata.")
    if not are_known():
        lines.append("Names of places are not installed: pip install 'selfsort[photos]'")
    emit({"events": facts, "undated": [paths[row] for row in undated]}, "\n".join(lines), as_json=as_json)


def _parsed(action: str, words: tuple[str, ...]) -> dict[str, Any]:
    n_groups, rest = _ACTIONS[action]
    if n_groups is None:
        n_groups = len(words)
    groups, others = words[:n_groups], words[n_groups:]
    if len(groups) < n_groups or not words or (rest == "paths" and not others):
        raise DataError(f"{action} needs more: see selfsort correct --help.")
    if rest == "name" and (not others or (any(others) and not "".join(others).strip())):
        raise DataError(f'{action} needs a name. An empty one in quotes, "", takes away the one that you gave.')
    parsed: dict[str, Any] = {"groups": [_number(word) for word in groups]}
    if rest == "name":
        parsed["name"] = " ".join(others)
    elif rest:
        parsed["paths"] = others
    return parsed


def _number(word: str) -> int:
    try:
        return int(word)
    except ValueError as error:
        raise DataError(f"{word!r} is not a number. Groups and corrections are given by their numbers.") from error


def _no_more(action: str, words: tuple[str, ...]) -> None:
    if words:
        raise DataError(f"{action} takes no {shown(words[0])!r}: see selfsort correct --help.")


def _sayer(corrected: Corrected) -> Callable[[Entry], str]:
    """Return what says a correction in words, with groups by number and name and the first pictures by path."""
    from selfsort.clusters import name_of
    from selfsort.photos.outcome import listed

    state = corrected.state()
    found, _ = listed(corrected.clusters, corrected, corrected.clusters.run["level"])
    called = {of.get("key", of["group"]): f"group {of['group']} ({shown(name_of(of))})" for of in found}
    columns = (corrected.clusters.items.column(name).to_pylist() for name in ("id", "path"))
    path_of = dict(reversed(list(zip(*columns, strict=True))))  # of copies the first

    def group(key: int) -> str:
        return called.get(state.resolve(key), "a group that is gone").removesuffix(" ()")

    def said(entry: Entry) -> str:
        body, parts = entry.body, [entry.do]
        if "into" in body:
            parts.append(f"{counted(len(body['groups']), 'group')} into {group(body['into'])}")
        if "pictures" in body:
            paths = [shown(path_of.get(content, "a picture that is gone")) for content in body["pictures"]]
            more = f" and {len(paths) - _N_NAMED:,} more" if len(paths) > _N_NAMED else ""
            parts.append(", ".join(paths[:_N_NAMED]) + more)
        if "group" in body:
            where = {"move": "to ", "not-this": "from ", "lock": "in "}.get(entry.do, "")
            parts.append(where + group(body["group"]))
        if "name" in body:
            parts.append(f"to {shown(body['name'])!r}" if body["name"] else "to no name")
        return " ".join(parts)

    return said
