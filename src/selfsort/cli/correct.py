"""The command ``correct``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfsort.cli.output import emit, json_option, quoted, run_argument, shown
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
#: Why there is nothing to do.
_SO_ALREADY = {"show": "none of these pictures is hidden", "unlock": "none of these pictures is locked"}
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

    A group is its number, which selfsort groups lists; it stays the same in every run. A picture is its path: as the
    run has it, absolute, or from here. Corrections lie in the catalog beside the run and are only added to; undo and
    redo reach back to any of them.
    """  # noqa: D301  (click takes a backspace as: leave these lines as they are)
    from selfsort.dates import noted
    from selfsort.photos.corrected import Corrected
    from selfsort.photos.state import own_key

    with Corrected(run) as corrected:
        if action == "log":
            _no_more(action, words)
            entries = corrected.log.entries()
            facts = [{"number": e.number, "at": e.at, "undone": e.undone, **e.body} for e in entries]
            said_of = _sayer(corrected)
            lines = [f"{e.number:>5}  {noted(e.at)}  {'(undone) ' if e.undone else ''}{said_of(e)}" for e in entries]
            emit({"corrections": facts}, "\n".join(lines) or "There are no corrections.", as_json=as_json)
            return
        if action in ("undo", "redo"):
            _no_more(action, words[1:])
            number = _number(words[0]) if words else None
            entry = corrected.log.undo(number) if action == "undo" else corrected.redo(number)
            text = f"{action}: {entry.number}, {_sayer(corrected)(entry)}"
            if nameless := _without_suggestion(corrected):
                text += f"\nThe next selfsort organize suggests names for what was not in the run: {nameless}."
            emit({action: entry.number, **entry.body}, text, as_json=as_json)
            return
        numbers = corrected.correct(action, **_parsed(action, words))
        labels, keys = corrected.labels()
        n_nowhere = int((labels[corrected.clusters.ok] < 0).sum())
        new = corrected.numbers(corrected.state()).get(own_key(numbers[0])) if numbers else None
    result: dict[str, Any] = {"numbers": numbers, "n_groups": len(keys), "n_nowhere": n_nowhere}
    result |= {"group": new} if action == "split" else {}
    if numbers:
        text = _kept(run, action, numbers, len(keys), result.get("group"))
    else:
        text = f"Nothing to do: {_SO_ALREADY.get(action, 'that is so already')}. No correction is added."
    emit(result, text, as_json=as_json)


def _kept(run: Path, action: str, numbers: Sequence[int], n_groups: int, group: int | None) -> str:
    """Say that corrections are kept, what there is now, and what to do next."""
    one = f"Correction {numbers[0]} is kept"
    several = f"Corrections {', '.join(map(str, numbers))} are kept, one for each group, as one step"
    it, teach = ("it", "it teaches") if len(numbers) == 1 else ("all of them", "they teach")
    said = f"{one if len(numbers) == 1 else several}; {'there is' if n_groups == 1 else 'there are'} "
    said += f"{counted(n_groups, 'group')} now" + (f", the new one is {group}" if group is not None else "")
    said += f". Take {it} back with: selfsort correct {quoted(run)} undo"
    if action in _TEACHING:
        said += f"\nGroup anew with what {teach}: give the same selfsort organize again."
    return said


def _without_suggestion(corrected: Corrected) -> str:
    """Return the numbers of nameless groups that the run was made without, such as one that an undo brought back."""
    from selfsort.photos.outcome import listed

    found, _ = listed(corrected.clusters, corrected, corrected.clusters.run["level"])
    return ", ".join(f"group {of['group']}" for of in found if not of.get("name") and "suggested" not in of)


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
    called = {of["key"]: f"group {of['group']} ({shown(name_of(of))})" for of in found}
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
