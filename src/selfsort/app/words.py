"""Corrections in words, for those who undo them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfsort.photos.corrections import Entry


def last_step(entries: Sequence[Entry]) -> Entry | None:
    """Return the first entry of the last step that is not undone, None if there is none."""
    live = [entry for entry in entries if not entry.undone]
    return next((entry for entry in live if entry.step == live[-1].step), None)


def described(entries: Sequence[Entry], entry: Entry, called: Callable[[int], str]) -> str:
    """Say what a step did.

    Parameters
    ----------
    entries : sequence of Entry
        All of the log.
    entry : Entry
        The first of the step.
    called : callable
        From a group's key to what it is called.
    """
    n = sum(len(part.body.get("pictures", ())) for part in entries if part.step == entry.step)
    pictures = f"{n:,} picture{'s' if n != 1 else ''}"
    group = called(entry.body["group"]) if "group" in entry.body else ""
    name = entry.body.get("name")
    return {
        "rename": f"name {group} {name}" if name else f"take away the name of {group}",
        "move": f"move {pictures} to {group}",
        "split": f"make {_new(entries, entry)} of {pictures}",
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


def _new(entries: Sequence[Entry], entry: Entry) -> str:
    n = sum(part.step == entry.step for part in entries)
    return "a new group" if n == 1 else f"{n} new groups"
