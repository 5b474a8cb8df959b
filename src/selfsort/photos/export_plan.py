"""Which files an export makes, and how they are called; the same run always gives the same plan."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selfsort.clusters import Clusters
from selfsort.photos.belonging import Companion, KnownSidecars, SidecarNames, companions, sidecar_of, stem
from selfsort.photos.journal import JOURNAL
from selfsort.photos.names import MAX_FILE_NAME, MAX_FOLDER_NAME, file_name, free_name, portable
from selfsort.photos.outcome import Outcome
from selfsort.photos.trash_log import trashed_rows

UNGROUPED = "ungrouped"


@dataclass(frozen=True)
class Operation:
    """One file to make.

    Attributes
    ----------
    row : int
        Of the run; -1 for a table.
    source : str
        Path for people, relative to the scanned root.
    target : str
        Relative to the destination, with ``/``; bytes that are not UTF-8 are surrogate escapes.
    group : int
        -1 for pictures that belong nowhere.
    size : int
        Bytes.
    others : tuple of int
        Further rows that have the same sidecar.
    """

    row: int
    source: str
    target: str
    group: int
    size: int
    others: tuple[int, ...] = ()


def plan_tables(names: tuple[str, ...]) -> list[Operation]:
    """Return the plan for files that hold all the pictures."""
    return [Operation(-1, name, name, -1, 0) for name in names]


def plan_folders(clusters: Clusters, outcome: Outcome, *, hidden: bool, reserved: tuple[str, ...]) -> list[Operation]:
    """Give every readable picture a place in the folder of its group, and what belongs to it one beside it.

    Pictures that were moved to the trash have none. What has the name of several pictures goes with the first of them.

    Parameters
    ----------
    clusters, outcome
    hidden : bool
        Whether hidden pictures have one too.
    reserved : tuple of str
        Names that no folder may have.
    """
    labels = outcome.labels.tolist()
    folders = _folder_names(outcome, reserved)
    taken: dict[str, dict[str, int]] = {name: {} for name in folders.values()}
    paths, exact, sizes = (clusters.items.column(name).to_pylist() for name in ("path", "path_bytes", "size"))
    rows = np.flatnonzero(clusters.ok & ~trashed_rows(clusters) & (hidden | ~outcome.hidden)).tolist()
    belonging: dict[int, list[Companion]] = {}
    for companion in companions(clusters, rows):
        belonging.setdefault(companion.picture, []).append(companion)
    plan = []
    for row in rows:
        folder = folders[labels[row]]
        name = free_name(file_name(os.fsdecode(exact[row])), taken[folder], MAX_FILE_NAME)
        plan.append(Operation(row, paths[row], f"{folder}/{name}", labels[row], sizes[row]))
        for other, _, whole, ending, by_rule in belonging.get(row, ()):
            beside = file_name((name if whole else stem(name)) + ending)
            if by_rule and name == file_name(os.fsdecode(exact[row])):
                beside = file_name(os.fsdecode(exact[other]))
            beside = free_name(beside, taken[folder], MAX_FILE_NAME)
            plan.append(Operation(other, paths[other], f"{folder}/{beside}", labels[row], sizes[other]))
    return plan


def plan_sidecars(
    clusters: Clusters, outcome: Outcome, destination: Path, names: SidecarNames, *, hidden: bool
) -> list[Operation]:
    """Give every readable picture of a group a sidecar, and every other the one that it has: there may be old tags."""
    labels = outcome.labels.tolist()
    there = clusters.ok & ~trashed_rows(clusters)
    told = (outcome.labels >= 0) & (hidden | ~outcome.hidden)
    paths, exact = (clusters.items.column(name).to_pylist() for name in ("path", "path_bytes"))
    rows_of: dict[str, list[int]] = {}
    known = KnownSidecars(destination, map(os.fsdecode, exact))
    for row in np.flatnonzero(there).tolist():
        rows_of.setdefault(known.find(sidecar_of(os.fsdecode(exact[row]), names)), []).append(row)
    plan = []
    for target, (row, *others) in rows_of.items():
        if told[[row, *others]].any() or os.path.lexists(destination / target):
            plan.append(Operation(row, paths[row], target, labels[row], 0, tuple(others)))
    return plan


def _folder_names(outcome: Outcome, reserved: tuple[str, ...]) -> dict[int, str]:
    """Name the folder of each group: by the group's own name if it has one, otherwise by its number."""
    taken = dict.fromkeys((UNGROUPED, JOURNAL, *reserved), 1)
    names = {-1: UNGROUPED}
    for group in outcome.groups:
        names[group] = free_name(portable(outcome.name(group)), taken, MAX_FOLDER_NAME, has_suffix=False)
    return names
