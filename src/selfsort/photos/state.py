"""What the groups are when corrections are taken into account: the rules, one for each thing that can be said.

The state is always made anew, from a run's groups and the entries that are not undone; so the whole log can be applied
to any later run, and what an entry did can be undone at any time, also in the middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

#: The key of no group.
NOWHERE = -1


@dataclass(frozen=True)
class Entry:
    """One correction of the log.

    Attributes
    ----------
    number : int
        Its place in the log.
    at : str
        When it was made, ISO 8601 in UTC.
    do : str
        See `Log.add`.
    body : mapping
        All of it.
    step : int
        Number of the first entry of those that a person made at once; they are undone at once.
    undone : bool
    """

    number: int
    at: str
    do: str
    body: Mapping[str, Any]
    step: int = 0
    undone: bool = False


@dataclass
class State:
    """Groups as they are after corrections.

    Attributes
    ----------
    groups : dict of str to int
        Content -> key of its group, `NOWHERE` for none.
    names : dict of int to str
        Of the groups that a person named.
    placed : dict of str to int
        The pictures that a person put into their group, or locked there.
    locked, hidden : set of str
    rejected : dict of str to set of int
        The groups that a picture does not belong to.
    together, apart : list of tuple of str
        Pictures that belong together, and pairs that do not.
    different : set of frozenset of str
        Pairs that are not the same picture, however alike.
    merged : dict of int to int
        Key of a group -> key of the one that it is a part of.
    """

    groups: dict[str, int]
    names: dict[int, str] = field(default_factory=dict)
    placed: dict[str, int] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    rejected: dict[str, set[int]] = field(default_factory=dict)
    together: list[tuple[str, ...]] = field(default_factory=list)
    apart: list[tuple[str, str]] = field(default_factory=list)
    different: set[frozenset[str]] = field(default_factory=set)
    merged: dict[int, int] = field(default_factory=dict)

    def resolve(self, key: int) -> int:
        """Return the key of the group that the group of this key is now a part of."""
        while key in self.merged:
            key = self.merged[key]
        return key

    def same(self, other: State) -> bool:
        """Tell whether two states mean the same, however often and in which order it was said."""
        return self._meaning() == other._meaning()

    def _meaning(self) -> tuple[Any, ...]:
        rejected = {content: keys for content, keys in self.rejected.items() if keys}
        together = {frozenset(linked) for linked in connected(self.together)}
        apart = {frozenset(pair) for pair in self.apart}
        said = (self.names, self.placed, self.locked, self.hidden, self.different, self.merged)
        return (self.groups, *said, rejected, together, apart)

    def members(self, key: int) -> list[str]:
        """Return the pictures of a group."""
        return [content for content, group in self.groups.items() if group == key]


def own_key(number: int) -> int:
    """Return the key of the group that the correction of this number makes."""
    return NOWHERE - number


def apply(groups: Mapping[str, int], entries: Iterable[Entry]) -> State:
    """Return the state that corrections make of a run's groups.

    Parameters
    ----------
    groups : mapping of str to int
        Content -> key of its group.
    entries : iterable of Entry
        In order; those that are undone count for nothing. Pictures and groups that are not there are passed over, or
        there again: a correction never fails.
    """
    state = State(dict(groups))
    for entry in entries:
        if not entry.undone:
            _RULES[entry.do](state, entry)
    _settle_links(state)
    state.groups = {content: key for content, key in state.groups.items() if content in groups}
    return state


def _put(state: State, pictures: Sequence[str], key: int) -> None:
    for content in pictures:
        state.placed.pop(content, None)  # the newest stands last
        state.groups[content] = state.placed[content] = key
        state.rejected.get(content, set()).discard(key)


def _rename(state: State, entry: Entry) -> None:
    key, name = state.resolve(entry.body["group"]), entry.body["name"]
    if name:
        state.names[key] = name
    else:
        state.names.pop(key, None)


def _move(state: State, entry: Entry) -> None:
    _put(state, entry.body["pictures"], state.resolve(entry.body["group"]))


def _split(state: State, entry: Entry) -> None:
    key = own_key(entry.number)
    _put(state, entry.body["pictures"], key)
    if entry.body.get("name"):
        state.names[key] = entry.body["name"]


def _merge(state: State, entry: Entry) -> None:
    into = state.resolve(entry.body["into"])
    parts = {state.resolve(key) for key in entry.body["groups"]} - {into}
    for part in sorted(parts):
        state.merged[part] = into
        name = state.names.pop(part, None)
        if name is not None:
            state.names.setdefault(into, name)
    for place in (state.groups, state.placed):
        for content, key in place.items():
            if key in parts:
                place[content] = into


def _lock(state: State, entry: Entry) -> None:
    _move(state, entry)
    state.locked.update(entry.body["pictures"])


def _unlock(state: State, entry: Entry) -> None:
    for content in state.locked.intersection(entry.body["pictures"]):
        state.locked.discard(content)
        state.placed.pop(content, None)


def _reject(state: State, entry: Entry) -> None:
    key = state.resolve(entry.body["group"])
    for content in entry.body["pictures"]:
        state.rejected.setdefault(content, set()).add(key)
        if state.groups.get(content) == key:
            state.groups[content] = NOWHERE
        if state.placed.get(content) == key:
            del state.placed[content]
        state.locked.discard(content)


def _link(state: State, entry: Entry) -> None:
    linked = entry.body["pictures"]
    state.together.append(tuple(linked))
    state.apart = [pair for pair in state.apart if not set(pair) <= set(linked)]  # the newest word counts


def _part(state: State, entry: Entry) -> None:
    first, *others = entry.body["pictures"]
    state.apart += [(first, other) for other in others]
    left = [tuple(c for c in link if first not in link or c not in others) for link in state.together]
    state.together = [link for link in left if len(link) > 1]


def _tell_apart(state: State, entry: Entry) -> None:
    state.different.update(frozenset(pair) for pair in combinations(entry.body["pictures"], 2))


def _settle_links(state: State) -> None:
    """Put linked pictures together, and those that do not belong together apart, whatever came before or after.

    Linked pictures go where a person placed one of them last, else where the first of them is that is in a group; but
    none that is locked, and none to a group that it was said not to belong to. Of two that do not belong together one
    leaves with those that it is linked to: one that nobody placed, the second rather than the first, else the one that
    was placed earlier; never one that is locked. It goes where one of those linked to it was, else nowhere.
    """
    before = dict(state.groups)
    linked_to: dict[str, tuple[str, ...]] = {content: (content,) for pair in state.apart for content in pair}
    last = {content: number for number, content in enumerate(state.placed)}
    for linked in connected(state.together):
        linked_to.update(dict.fromkeys(linked, tuple(linked)))
        grouped = [content for content in linked if state.groups.get(content, NOWHERE) != NOWHERE]
        placed = [content for content in grouped if content in last]
        if not grouped:
            continue
        key = state.groups[max(placed, key=last.__getitem__) if placed else grouped[0]]
        for content in linked:
            if content not in state.locked and key not in state.rejected.get(content, ()):
                state.groups[content] = key
                if content in state.placed:
                    state.placed[content] = key
    for first, other in state.apart:
        key = state.groups.get(first, NOWHERE)
        free = [content for content in (other, first) if content not in state.locked]
        if key != NOWHERE and key == state.groups.get(other) and free:
            leaving = min(free, key=lambda content: last.get(content, -1))
            together = [c for c in linked_to[leaving] if c not in state.locked and state.groups.get(c) == key]
            if {first, other} <= set(together):
                together = [leaving]
            taken = {state.groups.get(b) for pair in state.apart for a, b in (pair, pair[::-1]) if a in together}
            into = next((before[c] for c in together if before.get(c, key) not in (key, *taken)), NOWHERE)
            for content in together:
                state.groups[content] = into if into not in state.rejected.get(content, ()) else NOWHERE
                state.placed.pop(content, None)


def connected(links: Iterable[tuple[str, ...]]) -> list[list[str]]:
    """Return the pictures that links connect, in the order in which they were named."""
    found: list[list[str]] = []
    for link in links:
        touched = [group for group in found if not set(group).isdisjoint(link)]
        found = [group for group in found if group not in touched]
        found.append(list(dict.fromkeys([content for group in (*touched, link) for content in group])))
    return found


_RULES = {
    "rename": _rename,
    "move": _move,
    "split": _split,
    "merge": _merge,
    "lock": _lock,
    "unlock": _unlock,
    "hide": lambda state, entry: state.hidden.update(entry.body["pictures"]),
    "show": lambda state, entry: state.hidden.difference_update(entry.body["pictures"]),
    "not-this": _reject,
    "must-link": _link,
    "cannot-link": _part,
    "not-the-same": _tell_apart,
}
