"""Corrections in words, for those who undo them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from selfsort.photos.state import Entry
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


def described(step: Sequence[Entry], called: Callable[[int], str], pictures: str) -> str:
    """Say what a step did.

    Parameters
    ----------
    step : sequence of Entry
        All of it.
    called : callable
        From a group's key to what it is called now.
    pictures : str
        See `pictures_of`.
    """
    entry = step[0]
    group = called(entry.body["group"]) if "group" in entry.body else ""
    name = entry.body.get("name")
    new = "a new group" if len(step) == 1 else f"{len(step)} new groups"
    return {
        "rename": f"name a group {name}" if name else "take away the name of a group",
        "move": f"move {pictures} to {group}",
        "split": f"make {new} of {pictures}",
        "merge": f"merge {len(entry.body.get('groups', ())) + 1} groups",
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
