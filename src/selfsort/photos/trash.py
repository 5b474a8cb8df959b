"""Move originals to the system's trash: the only thing that selfsort does to them, and only when it is told to.

Nothing is deleted. Each file is compared with what the run saw, once for the plan that a person confirms and once right
before it is moved, and every move is noted in a journal beside the run. What is of no use without a picture goes after
it: a live photo's film, a sidecar; but not while any other file is there that has its name, such as a raw file.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.images import Unreadable
from selfsort.photos.belonging import owners
from selfsort.photos.catalog import beside
from selfsort.photos.originals import Originals
from selfsort.runtime import Progress, silent


@dataclass(frozen=True)
class Doomed:
    """One file to move to the trash.

    Attributes
    ----------
    row : int
        Of the run; -1 for what only belongs to others.
    path : str
        As the run has it.
    file : Path
        Where it is. Of a symbolic link, the link.
    size : int
        Bytes that it takes; of a link none.
    link : bool
        Whether it is a link: what it leads to stays.
    only_copy : bool or None
        Whether no other file of the run will have this content any more. None: not known, of what belongs to others.
    pictures : tuple of str
        Paths of those that it belongs to and that go before it.
    state : tuple of int
        Of what belongs to others: what is another when it changes.
    """

    row: int
    path: str
    file: Path
    size: int
    link: bool
    only_copy: bool | None
    pictures: tuple[str, ...] = ()
    state: tuple[int, ...] = ()


@dataclass
class TrashResult:
    """What was moved, or is to be.

    Attributes
    ----------
    files : list of Doomed
        The whole plan.
    refused : list of (str, str)
        Paths of files that stay, with the reason.
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
    return beside(run, ".trashed.jsonl")


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
    left = _left(clusters, originals, sound)
    ids = clusters.items.column("id").to_pylist()
    going: dict[Path, dict[str, str]] = {}
    for row in sound:
        path = originals.paths[row]
        file = originals.root / path
        found = file.lstat()
        link = stat.S_ISLNK(found.st_mode)
        only_copy = not link and ids[row] not in left
        result.files.append(Doomed(row, path, file, 0 if link else found.st_size, link, only_copy))
        going.setdefault(file.parent, {})[file.name] = path
    for folder, names in going.items():
        for name, of in _owners(folder).items():
            if of and name not in names and names.keys() >= set(of):
                path, pictures = names[of[0]].removesuffix(of[0]) + name, tuple(names[owner] for owner in of)
                with contextlib.suppress(OSError):  # it went away just now
                    state = _state(folder / name)
                    result.files.append(Doomed(-1, path, folder / name, state[0], False, None, pictures, state))
    return result


def move_to_trash(clusters: Clusters, plan: TrashResult, *, progress: Progress = silent) -> TrashResult:
    """Move the files of a plan to the trash, each if it still is what the run, or the plan, saw.

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
    left: dict[Path, dict[str, tuple[str, ...]]] = {}
    for i, doomed in enumerate(plan.files):
        progress("trash", i, len(plan.files))
        folder = doomed.file.parent
        if doomed.pictures and folder not in left:  # all pictures were seen to by now
            left[folder] = _owners(folder)
        if doomed.pictures and (left[folder].get(doomed.file.name) != () or not _is_same(doomed)):
            plan.refused.append((doomed.path, "it has changed, or something that it belongs to stays"))
            continue
        if doomed.row >= 0 and not _is_sound(originals, doomed.row, plan):
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
        originals.check(row)
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
                originals.check(row)
            except Unreadable:
                continue
            left.add(content)
    return left


def _state(file: Path) -> tuple[int, ...]:
    """Return what is another when a file is."""
    found = file.lstat()
    return found.st_size, found.st_mtime_ns, found.st_ino, stat.S_IFMT(found.st_mode)


def _is_same(doomed: Doomed) -> bool:
    try:
        return _state(doomed.file) == doomed.state
    except OSError:
        return False


def _owners(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return what in a folder belongs to what; nothing if it cannot be listed: then what belongs to others stays."""
    try:
        return owners(folder)
    except OSError:
        return {}


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
