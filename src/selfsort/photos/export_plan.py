"""Which files an export makes, and how they are called; the same run always gives the same plan."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import numpy as np

from selfsort.clusters import Clusters
from selfsort.images import NOT_AN_IMAGE
from selfsort.photos.journal import JOURNAL
from selfsort.photos.outcome import Outcome

SidecarNames = Literal["full", "stem"]
SIDECAR_NAMES = ("full", "stem")
SIDECAR = ".xmp"
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
    """Give every readable picture a place in the folder of its group, and those that belong to it one beside it.

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
    belonging = _companions(clusters, rows)
    plan = []
    for row in rows:
        folder = folders[labels[row]]
        name = _free_name(_file_name(os.fsdecode(exact[row])), taken[folder], MAX_FILE_NAME)
        plan.append(Operation(row, paths[row], f"{folder}/{name}", labels[row], sizes[row]))
        for other, whole, ending in belonging.get(row, ()):
            beside = (name if whole else _stem(name)) + ending
            beside = _free_name(beside, taken[folder], MAX_FILE_NAME)
            plan.append(Operation(other, paths[other], f"{folder}/{beside}", labels[row], sizes[other]))
    return plan


def _companions(clusters: Clusters, rows: list[int]) -> dict[int, list[tuple[int, bool, str]]]:
    """Return for these rows of pictures what belongs to them: other rows, how their names begin, and how they end.

    That is what is no picture and lies beside one whose name it has, or whose name without its ending: the film of a
    live photo. It belongs to the first such picture. Names begin as the picture's whole name (True), or as
    that without its ending.
    """
    names = [os.fsdecode(path) for path in clusters.items.column("path_bytes").to_pylist()]
    first: dict[str, tuple[int, bool]] = {}
    for row in rows:
        first.setdefault(names[row].casefold(), (row, True))
        first.setdefault(_stem(names[row]).casefold(), (row, False))
    found: dict[int, list[tuple[int, bool, str]]] = {}
    status, ids = (clusters.items.column(name).to_pylist() for name in ("status", "id"))
    for other, name in enumerate(names):
        start = _stem(name)
        if ids[other] and status[other].startswith(NOT_AN_IMAGE) and start != name and start.casefold() in first:
            picture, whole = first[start.casefold()]
            found.setdefault(picture, []).append((other, whole, _file_name(name)[len(_file_name(start)) :]))
    return found


def _stem(path: str) -> str:
    """Return a path without the ending of its name, which a name that begins with its only dot has not.

    >>> _stem("a.b/img.jpg"), _stem("a.b/img"), _stem("a.b/.img")
    ('a.b/img', 'a.b/img', 'a.b/.img')
    """
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def plan_sidecars(clusters: Clusters, outcome: Outcome, destination: Path, names: SidecarNames) -> list[Operation]:
    """Give every readable picture of a group a sidecar, and every other the one that it has: there may be old tags."""
    labels = outcome.labels.tolist()
    paths, exact = (clusters.items.column(name).to_pylist() for name in ("path", "path_bytes"))
    rows_of: dict[str, list[int]] = {}
    for row in np.flatnonzero(clusters.ok).tolist():
        rows_of.setdefault(sidecar_of(os.fsdecode(exact[row]), names), []).append(row)
    plan = []
    for target, (row, *others) in rows_of.items():
        if any(labels[of] >= 0 for of in (row, *others)) or os.path.lexists(destination / target):
            plan.append(Operation(row, paths[row], target, labels[row], 0, tuple(others)))
    return plan


def sidecar_of(path: str, names: SidecarNames) -> str:
    """Return where the sidecar of a picture lies.

    >>> sidecar_of("a/b.c/img.jpg", "full"), sidecar_of("a/b.c/img.jpg", "stem"), sidecar_of("b.c/img", "stem")
    ('a/b.c/img.jpg.xmp', 'a/b.c/img.xmp', 'b.c/img.xmp')
    """
    parts = [part if part not in ("", ".", "..") else "_" for part in path.lstrip("/").split("/")]
    if names == "stem":
        parts[-1] = _stem(parts[-1])
    return "/".join(parts) + SIDECAR


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
    number = taken.get(_fold(name), 0)
    while True:
        number += 1
        ending = suffix if number == 1 else f" ({number}){suffix}"
        start = stem
        while len(os.fsencode(start + ending)) > limit:
            start = start[:-1]
        candidate = start + ending if has_suffix else (start + ending).rstrip(". ")
        if _fold(candidate) not in taken:
            taken[_fold(name)] = number  # where to go on counting
            taken.setdefault(_fold(candidate), 1)
            return candidate


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
