"""The groups of a run as they are to be handed out: at one level, after the corrections made since."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from selfsort.clusters import Clusters, name_of
from selfsort.errors import DataError
from selfsort.photos.corrected import Corrected
from selfsort.photos.state import NOWHERE, State
from selfsort.photos.trash_log import trashed_rows

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """Groups and what people said of them.

    Attributes
    ----------
    level : int
    labels : ndarray of int64, shape (n,)
        Number of each picture's group, -1 for none. At the run's default level a group keeps its number in every run
        of the library; at other levels it is the group's label in this run.
    found : ndarray of int64, shape (n,)
        The same as the run has it.
    keys : dict of int to int
        Number -> what names the group in every run of the library, where there is a catalog.
    names : dict of int to str
        Of the groups that have one.
    merged : dict of int to list of int
        Number -> numbers that groups had in the run which are now a part of it.
    placed, locked, hidden : ndarray of bool, shape (n,)
        What people said of each picture.
    n_corrections : int
        That count.
    """

    level: int
    labels: IntArray
    found: IntArray
    placed: npt.NDArray[np.bool_]
    locked: npt.NDArray[np.bool_]
    hidden: npt.NDArray[np.bool_]
    keys: dict[int, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    merged: dict[int, list[int]] = field(default_factory=dict)
    n_corrections: int = 0

    @cached_property
    def groups(self) -> list[int]:
        """Numbers of the groups that have pictures."""
        return [int(group) for group in np.unique(self.labels) if group != NOWHERE]

    def name(self, group: int) -> str:
        """Return the name of a group; made of its number where it has none of its own."""
        return self.names.get(group) or unnamed(group, max(self.groups, default=0))

    def digest(self) -> str:
        """Return a hash of all of it."""
        facts = [self.level, self.n_corrections, *(sorted(d.items()) for d in (self.keys, self.names, self.merged))]
        digest = xxhash.xxh3_64(json.dumps(facts).encode("ascii"))
        for array in (self.labels, self.placed, self.locked, self.hidden):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def unnamed(group: int, largest: int) -> str:
    """Return what a group without a name is called by its number, as wide as that of the largest.

    >>> unnamed(8, 13), unnamed(8, 2000)
    ('group-008', 'group-0008')
    """
    return f"group-{group:0{max(3, len(str(largest)))}d}"


def outcome(clusters: Clusters, corrected: Corrected | None = None, level: int | None = None) -> Outcome:
    """Return the groups of a run at one level.

    Parameters
    ----------
    clusters : Clusters
    corrected : Corrected, optional
        The same run with its catalog. Corrections change the groups of the run's default level; what they say of single
        pictures holds at every level.
    level : int, optional
        0 is the coarsest; the run's default level if not given.

    Raises
    ------
    DataError
        If there is no such level.
    """
    default = int(clusters.run["level"])
    level = default if level is None else level
    if not 0 <= level < clusters.levels.shape[1]:
        raise DataError(f"The run has levels 0 to {clusters.levels.shape[1] - 1}: got level {level}.")
    found = np.where(clusters.ok, clusters.levels[:, level], NOWHERE).astype(np.int64)
    described = {int(g["group"]): g for g in clusters.groups if g["level"] == level}
    numbers = {label: int(of.get("number", label)) for label, of in described.items()}
    keys = {label: int(of["key"]) for label, of in described.items() if "key" in of}
    names = {numbers[label]: name for label, of in described.items() if (name := name_of(of))}
    if corrected is None:
        none, found = np.zeros(len(found), bool), _numbered(found, numbers)
        return Outcome(level, found, found, none, none, none, {numbers[label]: keys[label] for label in keys}, names)
    entries = corrected.log.entries()
    n_live = sum(not entry.undone for entry in entries)
    state = corrected.state()
    ids = clusters.items.column("id").to_pylist()
    placed, locked, hidden = (
        np.array([content in of for content in ids], bool) for of in (state.placed, state.locked, state.hidden)
    )
    if level != default:
        return Outcome(level, found, found, placed, locked, hidden, {}, names, n_corrections=n_live)
    number_of = corrected.numbers(state)
    now = [state.groups.get(content, NOWHERE) for content in ids]
    there = set(now) - {NOWHERE}
    suggested = {keys[label]: name_of(described[label], own=False) for label in keys}
    given = {key: state.names.get(key) or suggested.get(key, "") for key in there}
    return Outcome(
        level,
        _numbered(np.array(now, np.int64), number_of),
        _numbered(found, {label: number_of[key] for label, key in keys.items()}),
        placed,
        locked,
        hidden,
        keys={number_of[key]: key for key in sorted(there, key=number_of.__getitem__)},
        names={number_of[key]: name for key, name in given.items() if name},
        merged=_merged(state, keys.values(), number_of, there),
        n_corrections=n_live,
    )


def listed(clusters: Clusters, corrected: Corrected | None, level: int) -> tuple[list[dict[str, Any]], int]:
    """Return the groups of a level after corrections, the largest first, and how many pictures are in none.

    Each group is as in `Clusters.groups`, but ``group`` is its number as `Corrected.group` takes it. A group that is
    not in the run, such as one that a person made since, has no more than its key, size and name. Pictures that were
    moved to the trash are not counted.
    """
    now = outcome(clusters, corrected, level)
    own = corrected.state().names if corrected is not None else {}
    described = {of["key"] if "key" in of else int(of["group"]): of for of in clusters.groups if of["level"] == level}
    there = ~trashed_rows(clusters)
    groups = []
    numbers, sizes = np.unique(now.labels[there & (now.labels != NOWHERE)], return_counts=True)
    for place in np.argsort(-sizes, kind="stable"):
        number, size = int(numbers[place]), int(sizes[place])
        key = now.keys.get(number, number)
        group = {"level": level, "key": now.keys.get(number)} | described.get(key, {})
        if corrected is not None and number in now.keys:
            group["name"] = own.get(key)
        groups.append(group | {"group": number, "size": size})
    return groups, int((now.labels[clusters.ok & there] == NOWHERE).sum())


def _numbered(labels: IntArray, numbers: Mapping[int, int]) -> IntArray:
    """Return the number of each label or key, -1 for none."""
    known, place = np.unique(labels, return_inverse=True)
    return np.array([numbers.get(label, NOWHERE) for label in known.tolist()], np.int64)[place.reshape(-1)]


def _merged(state: State, keys: Iterable[int], numbers: Mapping[int, int], there: set[int]) -> dict[int, list[int]]:
    merged: dict[int, list[int]] = {}
    for key in sorted(keys, key=numbers.__getitem__):
        into = state.resolve(key)
        if into != key and into in there:
            merged.setdefault(numbers[into], []).append(numbers[key])
    return merged
