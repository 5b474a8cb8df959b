"""The groups of a run as they are to be handed out: at one level, after the corrections made since."""

from __future__ import annotations

import json
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
        Number of each picture's group, -1 for none. Groups that the run has keep the numbers they have there; those
        that people made since follow.
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
        digits = max(3, len(str(max(self.groups, default=0))))
        return self.names.get(group) or f"group-{group:0{digits}d}"

    def digest(self) -> str:
        """Return a hash of all of it."""
        facts = [self.level, self.n_corrections, *(sorted(d.items()) for d in (self.keys, self.names, self.merged))]
        digest = xxhash.xxh3_64(json.dumps(facts).encode("ascii"))
        for array in (self.labels, self.placed, self.locked, self.hidden):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


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
    names = {group: name for group, of in described.items() if (name := name_of(of))}
    keys = {group: int(of["key"]) for group, of in described.items() if "key" in of}
    none = np.zeros(len(found), bool)
    if corrected is None:
        return Outcome(level, found, found, none, none, none, keys, names)
    entries = corrected.log.entries()
    n_live = sum(not entry.undone for entry in entries)
    state = corrected.state()
    ids = clusters.items.column("id").to_pylist()
    placed, locked, hidden = (
        np.array([content in of for content in ids], bool) for of in (state.placed, state.locked, state.hidden)
    )
    if level != default:
        return Outcome(level, found, found, placed, locked, hidden, keys, names, n_corrections=n_live)
    labels, numbers = _numbered([state.groups.get(content, NOWHERE) for content in ids], keys)
    renamed = {state.resolve(entry.body["group"]) for entry in entries if entry.do == "rename"}
    given = {
        number: state.names.get(key) or name_of(described.get(number, {}), own=key not in renamed)
        for key, number in numbers.items()
    }
    return Outcome(
        level,
        labels,
        found,
        placed,
        locked,
        hidden,
        keys={number: key for key, number in numbers.items()},
        names={number: name for number, name in given.items() if name},
        merged=_merged(state, keys, numbers),
        n_corrections=n_live,
    )


def listed(clusters: Clusters, corrected: Corrected | None, level: int) -> tuple[list[dict[str, Any]], int]:
    """Return the groups of a level as `Clusters.groups` has them, after corrections, and how many pictures are in none.

    Pictures that were moved to the trash are not counted. The number of a group that people made is its key, as
    `Corrected.group` takes it.
    `Corrected.group` takes it.
    """
    now = outcome(clusters, corrected, level)
    described = {int(group["group"]): group for group in clusters.groups if group["level"] == level}
    there = ~trashed_rows(clusters)
    groups = []
    for number, size in zip(*np.unique(now.labels[there & (now.labels != NOWHERE)], return_counts=True), strict=True):
        group = dict(described.get(int(number), {"group": now.keys.get(int(number)), "level": level}))
        name = now.names.get(int(number), "")
        if name != name_of(group):  # it was given, or taken away, since
            group["name"] = name if name != name_of(group, own=False) else None
        groups.append(group | {"size": int(size)})
    return groups, int((now.labels[clusters.ok & there] == NOWHERE).sum())


def _numbered(now: list[int], keys: dict[int, int]) -> tuple[IntArray, dict[int, int]]:
    """Return the number of each key's group, and key -> number: the run's own, and behind them those of new groups."""
    numbers: dict[int, Any] = {key: number for number, key in keys.items()}
    new = sorted(set(now) - {NOWHERE, *numbers}, key=abs)  # people's own by when they were made
    numbers |= {key: max(keys, default=-1) + 1 + i for i, key in enumerate(new)}
    labels = np.array([numbers.get(key, NOWHERE) for key in now], np.int64)
    there = set(now)
    return labels, {key: number for key, number in numbers.items() if key in there}


def _merged(state: State, keys: dict[int, int], numbers: dict[int, int]) -> dict[int, list[int]]:
    merged: dict[int, list[int]] = {}
    for number, key in sorted(keys.items()):
        into = state.resolve(key)
        if into != key and into in numbers:
            merged.setdefault(numbers[into], []).append(number)
    return merged
