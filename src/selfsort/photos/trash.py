"""Move originals to the system's trash: the only thing that selfsort does to them, and only when it is told to.

Nothing is deleted. Each file is compared with what the run saw, once for the plan that a person confirms and once right
before it is moved, and every move is noted in a journal beside the run. What belongs to a picture goes with it: a live
photo's film, a raw file that cannot be read, a sidecar, but not before all pictures are gone that it belongs to.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.images import Unreadable
from selfsort.photos.belonging import SIDECAR, by_name, companions, stem
from selfsort.photos.originals import Originals
from selfsort.runtime import Progress, silent


@dataclass(frozen=True)
class Doomed:
    """One file to move to the trash.

    Attributes
    ----------
    row : int
        Of the run; -1 for a sidecar, which no run reads.
    path : str
        As the run has it.
    file : Path
        Where it is. Of a symbolic link, the link.
    size : int
        Bytes that it takes; of a link none.
    link : bool
        Whether it is a link: what it leads to stays.
    only_copy : bool
        Whether no other file of the run will have this content any more; of a sidecar it is not known.
    pictures : tuple of str
        Paths of the pictures that it belongs to; of a picture none.
    """

    row: int
    path: str
    file: Path
    size: int
    link: bool
    only_copy: bool
    pictures: tuple[str, ...] = ()


@dataclass
class TrashResult:
    """What was moved, or is to be.

    Attributes
    ----------
    files : list of Doomed
        The whole plan.
    refused : list of (str, str)
        Paths of pictures that stay, with the reason.
    done : list of str
        Paths of those that are in the trash now.
    log : Path
        Where that is noted.
    """

    files: list[Doomed]
    refused: list[tuple[str, str]]
    log: Path
    done: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(doomed.size for doomed in self.files)


def trash_log(run: Path) -> Path:
    """Return where it is noted what of a run was moved to the trash: beside the run."""
    return run.with_name(run.name.removesuffix(".selfsort") + ".trashed.jsonl")


def trashed(run: Path) -> set[str]:
    """Return the paths, as the run has them, of files that were moved to the trash and were not put back since."""
    gone: dict[str, str] = {}
    files: dict[str, str] = {}
    try:
        lines = trash_log(run).read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that a full disk cut off
            fact = json.loads(line)
            gone[fact["path"]] = fact["do"]
            files.setdefault(fact["path"], fact.get("file", ""))
    return {path for path, do in gone.items() if do == "trashed" and not os.path.lexists(files[path])}


def plan_trash(clusters: Clusters, paths: Sequence[str]) -> TrashResult:
    """Find the files to move to the trash, and what belongs to them; nothing is moved yet.

    Parameters
    ----------
    clusters : Clusters
        A saved run.
    paths : sequence of str
        As the run has them.

    Raises
    ------
    DataError
        If the pictures are no files of their own, or the run has no such picture.
    """
    source = clusters.run.get("source")
    if source not in ("folder", "list") or clusters.path is None:
        where = f"inside a {source}" if source in ("tar", "zip") else "no files"
        raise DataError(f"The pictures of this run are {where}, so none can be moved to the trash.")
    originals = Originals(clusters)
    rows = {path: row for row, path in enumerate(originals.paths)}
    unknown = [path for path in paths if path not in rows]
    if unknown:
        raise DataError(f"The run has no picture {unknown[0]!r}. Paths are as `selfsort export --mode csv` gives them.")
    result = TrashResult([], [], trash_log(clusters.path.resolve()))
    wanted = dict.fromkeys(rows[path] for path in paths)
    sound = [row for row in wanted if _is_sound(originals, row, result)]
    readable = np.flatnonzero(clusters.ok).tolist()
    gone = {*sound, *(row for row in readable if not _is_there(originals, row))}
    pictures: dict[int, tuple[str, ...]] = dict.fromkeys(sound, ())
    for companion in companions(clusters, readable):
        others = set(companion.pictures)
        if companion.row in pictures or others.isdisjoint(sound) or not others <= gone:
            continue
        if _is_there(originals, companion.row) and _is_sound(originals, companion.row, result):
            pictures[companion.row] = tuple(originals.paths[row] for row in companion.pictures)
    left = _left(clusters, originals, list(pictures))
    ids = clusters.items.column("id").to_pylist()
    for row, of in pictures.items():
        file = originals.root / originals.paths[row]
        link = file.is_symlink()
        size = 0 if link else file.lstat().st_size
        result.files.append(Doomed(row, originals.paths[row], file, size, link, not link and ids[row] not in left, of))
    result.files += _sidecars(clusters, originals, sound, gone)
    return result


def _sidecars(clusters: Clusters, originals: Originals, sound: Sequence[int], gone: Set[int]) -> list[Doomed]:
    """Return the sidecars of pictures that go, by both ways to name them, that no other picture has."""
    called = by_name(originals.paths, np.flatnonzero(clusters.ok).tolist())
    found: dict[str, Doomed] = {}
    for row in sound:
        for name in (originals.paths[row], stem(originals.paths[row])):
            path, rows = name + SIDECAR, called.get(name.casefold(), {})
            file = originals.root / path
            if gone >= rows.keys() and os.path.lexists(file) and stat.S_ISREG(file.lstat().st_mode):
                of = tuple(originals.paths[other] for other in rows)
                found.setdefault(path, Doomed(-1, path, file, file.stat().st_size, False, False, of))
    return list(found.values())


def move_to_trash(clusters: Clusters, plan: TrashResult, *, progress: Progress = silent) -> TrashResult:
    """Move the files of a plan to the trash, each if it still is what the run saw.

    Parameters
    ----------
    clusters : Clusters
    plan : TrashResult
        From `plan_trash`; it is completed and returned.
    progress : callable
        Stage "trash".

    Raises
    ------
    DataError
        If the journal cannot be written: then nothing more is moved.
    """
    from send2trash import send2trash

    originals = Originals(clusters)
    for i, doomed in enumerate(plan.files):
        progress("trash", i, len(plan.files))
        if any(os.path.lexists(originals.root / path) for path in doomed.pictures):
            plan.refused.append((doomed.path, "a picture that it belongs to stays"))
            continue
        if not (_is_sound(originals, doomed.row, plan) if doomed.row >= 0 else os.path.lexists(doomed.file)):
            continue
        facts = {
            "path": doomed.path,
            "file": str(doomed.file),
            "id": clusters.items.column("id")[doomed.row].as_py() if doomed.row >= 0 else None,
            "size": doomed.size,
            "link_to": str(doomed.file.readlink()) if doomed.link else None,
            "only_copy": doomed.only_copy,
            "pictures": list(doomed.pictures),
        }
        _note(plan.log, {"do": "trash", **facts})
        try:
            send2trash(str(doomed.file))
        except OSError as error:
            reason = f"the trash does not take it: {error.strerror or error}"
            plan.refused.append((doomed.path, reason))
            _note(plan.log, {"do": "failed", "path": doomed.path, "reason": reason})
            continue
        plan.done.append(doomed.path)
        _note(plan.log, {"do": "trashed", "path": doomed.path})
    progress("trash", len(plan.files), len(plan.files))
    return plan


def _is_sound(originals: Originals, row: int, result: TrashResult) -> bool:
    try:
        originals.read(row)
    except Unreadable as error:
        result.refused.append((originals.paths[row], str(error)))
        return False
    return True


def _left(clusters: Clusters, originals: Originals, doomed: Sequence[int]) -> set[str]:
    """Return the contents that files still have after others are gone. A link to one that goes holds nothing."""
    ids = clusters.items.column("id").to_pylist()
    wanted, going = {ids[row] for row in doomed}, set(doomed)
    gone = {os.path.realpath(originals.root / originals.paths[row]) for row in doomed if not _is_link(originals, row)}
    left: set[str] = set()
    for row, content in enumerate(ids):
        if content in wanted and content not in left and row not in going:
            if os.path.realpath(originals.root / originals.paths[row]) in gone:
                continue
            try:
                originals.read(row)
            except Unreadable:
                continue
            left.add(content)
    return left


def _is_there(originals: Originals, row: int) -> bool:
    return os.path.lexists(originals.root / originals.paths[row])


def _is_link(originals: Originals, row: int) -> bool:
    return (originals.root / originals.paths[row]).is_symlink()


def _note(log: Path, facts: dict[str, Any]) -> None:
    """Add a line to the journal, on the disk before the call returns."""
    line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **facts}).encode("ascii") + b"\n"
    try:
        with open(log, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DataError(
            f"The journal {log} cannot be written: {error.strerror}. Nothing more is moved to the trash without it."
        ) from error
