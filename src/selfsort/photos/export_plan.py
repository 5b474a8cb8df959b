"""Which files an export makes, and how they are called; the same run always gives the same plan."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from selfsort.clusters import Clusters
from selfsort.photos.belonging import Companion, KnownSidecars, SidecarNames, companions, sidecar_of, stem
from selfsort.photos.journal import JOURNAL
from selfsort.photos.outcome import Outcome
from selfsort.runtime import folded

UNGROUPED = "ungrouped"
MAX_FOLDER_NAME, MAX_FILE_NAME = 80, 255  # bytes
# Not allowed in names on Windows, or not to be seen: control characters and those that turn the direction of text.
ILLEGAL = re.compile('[\x00-\x1f\x7f-\x9f<>:"/\\\\|?*\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[\d¹²³])(\..*)?", re.IGNORECASE)  # Windows keeps these for devices


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

    What has the name of several pictures goes with the first of them.

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
    rows = np.flatnonzero(clusters.ok & (hidden | ~outcome.hidden)).tolist()
    belonging: dict[int, list[Companion]] = {}
    for companion in companions(clusters, rows):
        belonging.setdefault(companion.picture, []).append(companion)
    plan = []
    for row in rows:
        folder = folders[labels[row]]
        name = _free_name(_file_name(os.fsdecode(exact[row])), taken[folder], MAX_FILE_NAME)
        plan.append(Operation(row, paths[row], f"{folder}/{name}", labels[row], sizes[row]))
        for other, _, whole, ending, by_rule in belonging.get(row, ()):
            beside = _file_name((name if whole else stem(name)) + ending)
            if by_rule and name == _file_name(os.fsdecode(exact[row])):
                beside = _file_name(os.fsdecode(exact[other]))
            beside = _free_name(beside, taken[folder], MAX_FILE_NAME)
            plan.append(Operation(other, paths[other], f"{folder}/{beside}", labels[row], sizes[other]))
    return plan


def plan_sidecars(
    clusters: Clusters, outcome: Outcome, destination: Path, names: SidecarNames, *, hidden: bool
) -> list[Operation]:
    """Give every readable picture of a group a sidecar, and every other the one that it has: there may be old tags."""
    labels = outcome.labels.tolist()
    told = (outcome.labels >= 0) & (hidden | ~outcome.hidden)
    paths, exact = (clusters.items.column(name).to_pylist() for name in ("path", "path_bytes"))
    rows_of: dict[str, list[int]] = {}
    known = KnownSidecars(destination, map(os.fsdecode, exact))
    for row in np.flatnonzero(clusters.ok).tolist():
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
        names[group] = _free_name(_portable(outcome.name(group)), taken, MAX_FOLDER_NAME, has_suffix=False)
    return names


def _file_name(path: str) -> str:
    """Return the name of the original, changed only where it is not allowed here."""
    name = path.rpartition("/")[2].replace("\0", "_")
    if os.name == "nt":
        return _portable(name)
    return name if name not in ("", ".", "..") else "_"


def _portable(name: str) -> str:
    """Return a name that every file system takes."""
    name = ILLEGAL.sub("_", name).strip(". ")
    return f"_{name}" if not name or RESERVED.fullmatch(name) else name


def _free_name(name: str, taken: dict[str, int], limit: int, *, has_suffix: bool = True) -> str:
    """Return the name, with a number where it is taken, also by one that differs only in case or coding of accents."""
    suffix = PurePath(name).suffix if has_suffix else ""
    if len(os.fsencode(suffix)) > 32:  # a dot in a long name
        suffix = ""
    stem = name.removesuffix(suffix)
    number = taken.get(folded(name), 0)
    while True:
        number += 1
        ending = suffix if number == 1 else f" ({number}){suffix}"
        start = stem
        while len(os.fsencode(start + ending)) > limit:
            start = start[:-1]
        candidate = start + ending if has_suffix else (start + ending).rstrip(". ")
        if folded(candidate) not in taken:
            taken[folded(name)] = number  # where to go on counting
            taken.setdefault(folded(candidate), 1)
            return candidate
