"""What people say of the groups, as a log that is only added to; what the groups are after it is in `state`.

Every entry names pictures by the hash of their content and groups by keys, which a new run hands on to the groups that
have most of the same pictures (`selfsort.photos.teaching.hand_on`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfsort.errors import DataError
from selfsort.photos.catalog import Catalog
from selfsort.photos.state import NOWHERE, Entry, apply, connected
from selfsort.runtime import counted

_MAX_NAME = 200
#: What an entry must hold beside what is done.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "rename": ("group", "name"),
    "move": ("pictures", "group"),
    "split": ("pictures",),
    "merge": ("groups", "into"),
    "lock": ("pictures", "group"),
    "unlock": ("pictures",),
    "hide": ("pictures",),
    "show": ("pictures",),
    "not-this": ("pictures", "group"),
    "must-link": ("pictures",),
    "cannot-link": ("pictures",),
    "not-the-same": ("pictures",),
}
#: What it may hold besides.
_OPTIONAL: Mapping[str, tuple[str, ...]] = {"split": ("name",)}


class Log:
    """The corrections of one library.

    Parameters
    ----------
    catalog : Catalog
        Keeps them.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def add(self, do: str, **body: Any) -> int:
        """Add a correction and return its number.

        Parameters
        ----------
        do : str
            ``rename`` (group, name), ``move`` (pictures, group), ``split`` (pictures, which become a new group of the
            key `own_key`; optionally its name), ``merge`` (groups, into), ``lock`` (pictures, group), ``unlock``,
            ``hide``, ``show`` (pictures), ``not-this`` (pictures, group), ``must-link``, ``cannot-link`` (pictures: the
            first, and those that belong or do not belong with it), ``not-the-same`` (pictures: the same).
        **body
            ``pictures`` are content hashes, ``group``, ``into`` and ``groups`` keys.

        Raises
        ------
        DataError
            If the correction is not complete, or its values are not of these kinds.
        """
        return self.add_together([{"do": do, **body}])[0]

    def add_together(self, corrections: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add corrections that are one step for those who undo it; return their numbers.

        Parameters
        ----------
        corrections : sequence of mapping
            ``do`` and what `add` takes, of each.
        """
        bodies = _complete(corrections)
        first = self._catalog.append(*bodies)
        return [first + place for place in range(len(bodies))]

    def planned(self, corrections: Sequence[Mapping[str, Any]]) -> list[Entry]:
        """Return the entries that `add_together` would add now."""
        first = self._catalog.last_entry() + 1
        bodies = enumerate(_complete(corrections))
        return [Entry(first + place, "", body["do"], body, first) for place, body in bodies]

    def undo(self, number: int | None = None) -> Entry:
        """Undo a correction, by default the last that is not undone, with all of its step; return the step's first."""
        entries = self.entries()
        live = [entry for entry in entries if not entry.undone and number in (None, entry.number)]
        if not live:
            undone = any(entry.number == number for entry in entries)
            raise DataError(
                "There is no correction to undo."
                if number is None
                else f"Correction {number} is undone already."
                if undone
                else f"There is no correction {number}."
            )
        return self._turn("undo", [entry for entry in entries if entry.step == live[-1].step and not entry.undone])

    def redo(self, number: int | None = None) -> Entry:
        """Do again what was undone, by default what was undone last if nothing was corrected since.

        It is done with all of its step; the step's first is returned.
        """
        return self._turn("redo", self.redone(number))

    def redone(self, number: int | None = None) -> list[Entry]:
        """Return the step that `redo` would do again; raise `DataError` if there is none."""
        entries = {entry.number: entry for entry in self.entries() if entry.undone}
        wanted = number if number is not None else self._last_undone()
        if wanted not in entries:
            raise DataError(
                "There is nothing to do again." if number is None else f"There is no undone correction {number}."
            )
        return [entry for entry in entries.values() if entry.step == entries[wanted].step]

    def redoable(self) -> Entry | None:
        """Return what `redo` would do again, None if there is nothing."""
        entries = {entry.number: entry for entry in self.entries()}
        last = self._last_undone()
        return entries[entries[last].step] if last is not None else None

    def _last_undone(self) -> int | None:
        undone: list[int] = []
        for _, _, body in self._catalog.entries():
            if "do" in body:
                undone.clear()
            elif "undo" in body:
                undone.append(body["undo"])
            elif body["redo"] in undone:
                undone.remove(body["redo"])
        return undone[-1] if undone else None

    def _turn(self, how: str, step: Sequence[Entry]) -> Entry:
        self._catalog.append(*({how: entry.number} for entry in step))
        return step[0]

    def entries(self) -> list[Entry]:
        """Return all corrections, oldest first."""
        found: dict[int, Entry] = {}
        undone: set[int] = set()
        for number, at, body in self._catalog.entries():
            if "do" in body:
                found[number] = Entry(number, at, body["do"], body, number - body.get("part", 0))
            elif "undo" in body:
                undone.add(body["undo"])
            else:
                undone.discard(body["redo"])
        return [replace(entry, undone=entry.number in undone) for entry in found.values()]


def as_name(text: str) -> str:
    """Return what somebody typed as a name: one line, without what cannot be seen, with accents in one form.

    Raises
    ------
    DataError
        If it is too long.
    """
    name = unicodedata.normalize("NFC", " ".join("".join(c if c.isprintable() else " " for c in text).split()))
    if len(name) > _MAX_NAME:
        raise DataError(f"A name has at most {_MAX_NAME} characters: got {len(name)}.")
    return name


def opposite(entries: Sequence[Entry], link: Entry) -> tuple[str, str, list[int]] | None:
    """Find earlier corrections that say the opposite of a ``must-link`` or ``cannot-link``.

    Pictures belong together also through others that both are linked to.

    Parameters
    ----------
    entries : sequence of Entry
    link : Entry

    Returns
    -------
    (str, str, list of int) or None
        Contents of two pictures, and the numbers of the corrections: one that says that the two do not belong together,
        or those that link them.
    """
    state, live = apply({}, entries), [entry for entry in entries if not entry.undone]
    if link.do == "must-link":
        linked = tuple(link.body["pictures"])
        joined = next(set(of) for of in connected([*state.together, linked]) if linked[0] in of)
        for first, other in state.apart:
            if {first, other} <= joined:
                said = [e.number for e in live if e.do == "cannot-link" and _parts(e, first, other)]
                return first, other, said[-1:]
        return None
    first, *others = link.body["pictures"]
    for other in others:
        if numbers := _chain([e for e in live if e.do == "must-link"], state.together, first, other):
            return first, other, numbers
    return None


def _parts(entry: Entry, first: str, other: str) -> bool:
    one, *others = entry.body["pictures"]
    return (one == first and other in others) or (one == other and first in others)


def _chain(links: Sequence[Entry], together: Sequence[tuple[str, ...]], first: str, other: str) -> list[int]:
    """Return the fewest corrections that link one picture to the other; empty if they are not linked."""
    if not any({first, other} <= set(of) for of in connected(together)):
        return []
    reached, ways = {first}, [(first, list[int]())]
    for content, way in ways:  # grows: breadth first
        if content == other:
            return sorted(way)
        for link in links:
            if content in link.body["pictures"]:
                new = [c for c in link.body["pictures"] if c not in reached]
                reached.update(new)
                ways += [(c, [*way, link.number]) for c in new]
    return []


def _complete(corrections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the bodies of the entries of one step."""
    bodies = []
    for place, correction in enumerate(corrections):
        body = dict(correction)
        do = str(body.pop("do"))
        bodies.append({"do": do, **_checked(do, body), **({"part": place} if place else {})})
    return bodies


def _checked(do: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of an entry in plain types; say what is wrong with it before anything is written."""
    if do not in _FIELDS:
        raise DataError(f"There is no correction {do!r}. There are: {', '.join(_FIELDS)}.")
    if set(body) - set(_OPTIONAL.get(do, ())) != set(_FIELDS[do]):
        raise DataError(f"{do} needs {' and '.join(_FIELDS[do])}: got {', '.join(sorted(body)) or 'nothing'}.")
    entry: dict[str, Any] = {}
    for name, value in body.items():
        if name == "pictures":
            entry[name] = list(dict.fromkeys(str(content) for content in value))
        elif name == "name":
            entry[name] = as_name(str(value))
        else:
            entry[name] = sorted({int(key) for key in value}) if name == "groups" else int(value)
    n_least = 2 if do in ("must-link", "cannot-link", "not-the-same") else 1
    if len(entry.get("pictures", [""] * n_least)) < n_least:
        which = "of different content (copies of a file are one)" if n_least > 1 else "or more"
        raise DataError(f"{do} needs {counted(n_least, 'picture')} {which}: got {len(entry['pictures'])}.")
    if do == "merge" and not set(entry["groups"]) - {entry["into"]}:
        raise DataError("merge needs two different groups or more.")
    if NOWHERE in {entry.get("group"), entry.get("into"), *entry.get("groups", ())}:
        raise DataError(f"{do} needs a group: what belongs nowhere is none.")
    return entry
