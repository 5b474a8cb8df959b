"""Corrections in words, for those who undo them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfsort.photos.state import Entry
from selfsort.runtime import counted


def last_step(entries: Sequence[Entry]) -> Entry | None:
    """Return the first entry of the last step that is not undone, None if there is none."""
    live = [entry for entry in entries if not entry.undone]
    return next((entry for entry in live if entry.step == live[-1].step), None)


def described(step: Sequence[Entry], called: Callable[[int], str]) -> str:
    """Say what a step did.

    Parameters
    ----------
    step : sequence of Entry
        All of it.
    called : callable
        From a group's key to what it is called now.
    """
    entry = step[0]
    n = sum(len(part.body.get("pictures", ())) for part in step)
    pictures = counted(n, "picture")
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
        "not-this": f"take {pictures} out of their group",
        "must-link": f"keep {pictures} together",
        "cannot-link": f"keep {pictures} apart",
        "not-the-same": f"tell {pictures} apart",
    }[entry.do]
