"""Corrections in words, for those who undo them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from selfsort.photos.state import Entry, State, apply
from selfsort.runtime import counted


def last_step(entries: Sequence[Entry]) -> Entry | None:
    """Return the first entry of the last step that is not undone, None if there is none."""
    live = [entry for entry in entries if not entry.undone]
    return next((entry for entry in live if entry.step == live[-1].step), None)


def pictures_of(step: Sequence[Entry], copies: Mapping[str, int]) -> str:
    """Say what a step is about: pictures, and copies of their files, for which it holds too.

    Parameters
    ----------
    step : sequence of Entry
    copies : mapping of str to int
        Content -> how many files have it.
    """
    contents = [content for part in step for content in part.body.get("pictures", ())]
    more = sum(copies.get(content, 1) - 1 for content in contents if copies.get(content))
    said = counted(len(contents), "picture")
    return f"{said} and {more:,} {'copy' if more == 1 else 'copies'}" if more else said


def described(
    step: Sequence[Entry], entries: Sequence[Entry], state: State, called: Callable[[int, State], str], pictures: str
) -> str:
    """Say what a step did.

    Parameters
    ----------
    step : sequence of Entry
        All of it.
    entries : sequence of Entry
        All corrections, oldest first.
    state : State
        What they make of the groups.
    called : callable
        From a group's key and a state to what it is called then.
    pictures : str
        See `pictures_of`.
    """
    entry = step[0]
    if entry.do == "merge":
        gone, kept = merged(entry, entries, called)
        return f"merge {gone[0] if len(gone) == 1 else f'{len(gone)} groups'} into {kept}"
    group = called(entry.body["group"], state) if "group" in entry.body else ""
    name = entry.body.get("name")
    new = "a new group" if len(step) == 1 else f"{len(step)} new groups"
    return {
        "rename": f"name a group {name}" if name else "take away the name of a group",
        "move": f"move {pictures} to {group}",
        "split": f"make {new}{f' {name}' if name else ''} of {pictures}",
        "lock": f"lock {pictures}",
        "unlock": f"unlock {pictures}",
        "hide": f"hide {pictures}",
        "show": f"show {pictures} again",
        "not-this": f"take {pictures} out of its group"
        if pictures.startswith("1 ")
        else f"take {pictures} out of their groups",
        "must-link": f"keep {pictures} together",
        "cannot-link": f"keep {pictures} apart",
        "not-the-same": f"tell {pictures} apart",
    }[entry.do]


def merged(entry: Entry, entries: Sequence[Entry], called: Callable[[int, State], str]) -> tuple[list[str], str]:
    """Return what the groups that a merge did away with were called, and what the one that is left was called after it.

    That is not always the name of the group that the others were put into: a name that a person gave a part goes on.
    """
    earlier = [other for other in entries if other.number < entry.number]
    before, after = _names(earlier), _names([*earlier, replace(entry, undone=False)])
    keys = dict.fromkeys(map(before.resolve, (entry.body["into"], *entry.body["groups"])))
    names, kept = [called(key, before) for key in keys], called(entry.body["into"], after)
    names.pop(names.index(kept) if kept in names else 0)
    return names, kept


def _names(entries: Sequence[Entry]) -> State:
    """Return the names of groups, and what was merged, after some corrections; nothing of pictures."""
    return apply({}, [entry for entry in entries if entry.do in ("rename", "merge", "split")])
