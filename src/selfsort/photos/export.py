"""Get the groups out of a run, as folders of pictures or as a table, so that every step can be taken back.

Originals are only read, and compared with the content that the run saw. No existing file is ever replaced.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import shutil
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal

import numpy as np
import xxhash

from selfsort.clusters import Clusters, name_of
from selfsort.errors import DataError
from selfsort.images import Unreadable
from selfsort.photos.journal import JOURNAL, Journal, UndoResult, Writer, undo
from selfsort.runtime import Progress, silent
from selfsort.sources import Source, open_source

__all__ = ["JOURNAL", "MODES", "ExportResult", "Mode", "Operation", "UndoResult", "export", "undo"]

Mode = Literal["copy", "hardlink", "symlink", "csv"]
MODES = ("copy", "hardlink", "symlink", "csv")
TABLE = "groups.csv"
UNGROUPED = "ungrouped"
CHANGED = "the original has changed since the run"
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
        Of the run; -1 for the table.
    source : str
        Path for people, relative to the scanned root.
    target : str
        Relative to the destination, with ``/``; bytes that are not UTF-8 are surrogate escapes.
    group : int
        -1 for pictures that belong nowhere.
    size : int
        Bytes.
    """

    row: int
    source: str
    target: str
    group: int
    size: int


@dataclass
class ExportResult:
    """What an export did, or in a dry run would do.

    Attributes
    ----------
    operations : list of Operation
        The whole plan, in order; a dry run and the real one have the same.
    done, already_done : list of str
        Targets made by this call, and by an earlier one that was interrupted.
    skipped : list of (str, str)
        Pictures that were not exported, with the reason.
    journal : Path
        What `undo` reads; a dry run does not write it.
    """

    destination: Path
    mode: str
    dry_run: bool
    operations: list[Operation]
    journal: Path
    done: list[str] = field(default_factory=list)
    already_done: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def export(
    clusters: Clusters,
    destination: Path,
    *,
    mode: Mode,
    level: int | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> ExportResult:
    """Write the groups of a run into folders, or into one table.

    Parameters
    ----------
    clusters : Clusters
    destination : Path
        A folder that is absent or empty, or that holds this same export, interrupted: then it is continued. It must not
        lie inside the scanned folder or the run folder. For "csv" any folder without a ``groups.csv`` will do.
    mode : {"copy", "hardlink", "symlink", "csv"}
        "csv" writes ``groups.csv``: path, group, group at each level, confidence, rank among the prototypes of its
        group. Paths stand there exactly as they are, also one that a spreadsheet would take for a formula.
    level : int, optional
        0 is the coarsest; the run's default level if not given.
    dry_run : bool
        Only plan: writes nothing at all and does not compare the originals.
    progress : Progress

    Returns
    -------
    ExportResult
        Pictures that are unreadable, missing or changed since the run are listed there and not exported.

    Raises
    ------
    DataError
        If the destination cannot be used or lacks space, or if the mode does not fit the source.
    """
    if mode not in MODES:
        raise DataError(f"mode must be one of {', '.join(MODES)}: got {mode!r}.")
    level = int(clusters.run["level"]) if level is None else level
    if not 0 <= level < clusters.levels.shape[1]:
        raise DataError(f"The run has levels 0 to {clusters.levels.shape[1] - 1}: got level {level}.")
    destination = Path(destination).resolve()
    journal = Journal.read(destination / JOURNAL)
    run = str(clusters.path.resolve()) if clusters.path else None
    identity = {"run": run, "fingerprint": clusters.run.get("fingerprint"), "mode": mode, "level": level}
    _check_mode(clusters, mode)
    _check_destination(clusters, destination, identity, journal)
    plan = [Operation(-1, TABLE, TABLE, -1, 0)] if mode == "csv" else _plan(clusters, level)
    if mode == "copy":
        _check_space(destination, [o for o in plan if not journal.files.get(o.target, {}).get("done")])
    result = ExportResult(destination, mode, dry_run, plan, destination / JOURNAL)
    statuses = zip(clusters.items.column("path").to_pylist(), clusters.items.column("status").to_pylist(), strict=True)
    result.skipped = [(path, f"not readable: {status}") for path, status in statuses if status != "ok"]
    if dry_run:
        return result
    table = _table(clusters, level) if mode == "csv" else b""
    with _Originals(clusters) as originals, Writer(destination, identity, journal) as writer:
        for i, operation in enumerate(plan):
            progress("export", i, len(plan))
            _carry_out(operation, writer, originals, table, result)
        progress("export", len(plan), len(plan))
    return result


def _carry_out(operation: Operation, writer: Writer, originals: _Originals, table: bytes, result: ExportResult) -> None:
    """Make one file, or say why not; only a full disk ends the export."""
    try:
        if writer.finished_earlier(operation.target):
            result.already_done.append(operation.target)
            return
        if result.mode == "csv":
            writer.make(operation.target, "csv", result.destination, table)
        else:
            original, content, mtime_ns = originals.read(operation.row)
            kind = "member" if originals.archive else result.mode
            writer.make(operation.target, kind, original, content, mtime_ns)
        result.done.append(operation.target)
    except Unreadable as error:
        result.skipped.append((operation.source, str(error)))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"The disk is full after {len(result.done)} files in {result.destination}. Make room and give the same "
                "command again to continue, or undo the export."
            ) from error
        result.skipped.append((operation.source, f"cannot be written: {error.strerror or error}"))


class _Originals:
    """Reads the pictures of a run again, each only if it still is what the run saw."""

    def __init__(self, clusters: Clusters) -> None:
        self.archive: Source | None = None
        self._root = Path(clusters.run.get("root") or "")
        self._ids = clusters.items.column("id").to_pylist()
        self._sizes = clusters.items.column("size").to_pylist()
        self._paths = [os.fsdecode(path) for path in clusters.items.column("path_bytes").to_pylist()]
        self._indices: dict[str, int] = {}
        if clusters.run.get("source") in ("tar", "zip"):
            self.archive = open_source(self._root)
            self._indices = {item.path: i for i, item in enumerate(self.archive.items)}

    def __enter__(self) -> _Originals:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.archive:
            self.archive.close()

    def read(self, row: int) -> tuple[Path, bytes, int | None]:
        """Return the file on disk, the picture's bytes, and for a member of an archive its time. Raises Unreadable."""
        path, mtime_ns = self._root / self._paths[row], None
        if self.archive is not None:
            i = self._indices.get(self._paths[row])
            if i is None:
                raise Unreadable("it is not in the archive any more")
            path, content, mtime_ns = self._root, self.archive.read(i), self.archive.items[i].mtime_ns
        else:
            try:
                found = path.stat()
                if not stat.S_ISREG(found.st_mode) or found.st_size != self._sizes[row]:  # do not wait for a pipe
                    raise Unreadable(CHANGED)
                content = path.read_bytes()
            except OSError as error:
                raise Unreadable(f"the original cannot be read: {error.strerror}") from error
        if xxhash.xxh3_128_hexdigest(content) != self._ids[row]:
            raise Unreadable(CHANGED)
        return path, content, mtime_ns


def _check_mode(clusters: Clusters, mode: Mode) -> None:
    source = clusters.run.get("source")
    if mode == "csv":
        return
    if source == "array" or not clusters.run.get("root"):
        raise DataError("This run was made of arrays, not of files, so there is nothing to copy or link. Use mode csv.")
    if source in ("tar", "zip") and mode != "copy":
        raise DataError(f"The pictures of this run are inside a {source} archive, which {mode} cannot reach. Use copy.")


def _check_destination(clusters: Clusters, destination: Path, identity: dict[str, object], journal: Journal) -> None:
    """Refuse a place where an export would mix with other things, be scanned next time, or could not be undone."""
    mode = identity["mode"]
    if destination.exists() and not destination.is_dir():
        raise DataError(f"The destination {destination} is a file. Give a folder.")
    if journal.header:
        if {key: journal.header.get(key) for key in identity} != identity:
            raise DataError(
                f"{destination} holds another export: of {journal.header.get('run')}, {journal.header.get('mode')}, "
                f"level {journal.header.get('level')}. Undo that one first, or give another folder."
            )
    elif mode == "csv":
        if os.path.lexists(destination / TABLE):
            raise DataError(f"{destination / TABLE} exists and is never replaced. Move it away or give another folder.")
    elif destination.exists() and any(path.name != JOURNAL for path in destination.iterdir()):
        raise DataError(f"The destination {destination} is not empty. Give a folder that is empty or does not exist.")
    if mode == "csv":
        return
    root = Path(clusters.run.get("root") or "")
    if clusters.run.get("source") == "folder" and _lies_in(destination, root):
        raise DataError(f"The destination {destination} lies inside the scanned folder {root}. Give one outside it.")
    if clusters.path is not None and _lies_in(destination, clusters.path):
        raise DataError(
            f"The destination {destination} lies inside the run folder {clusters.path}. Give one outside it."
        )
    if mode == "hardlink" and root.exists() and root.stat().st_dev != _existing(destination).stat().st_dev:
        raise DataError(f"Hard links cannot lead from {destination} to {root}, which is on another disk. Use copy.")


def _check_space(destination: Path, operations: list[Operation]) -> None:
    needed = sum(operation.size + 4096 for operation in operations)  # a file takes whole blocks
    free = shutil.disk_usage(_existing(destination)).free
    if operations and needed > free:
        raise DataError(
            f"The copies need {needed / 1e9:.2f} GB and the disk of {destination} has {free / 1e9:.2f} GB free. "
            "Make room, choose another disk, or use hardlink or symlink."
        )


def _existing(path: Path) -> Path:
    """Return the path or the nearest of its parents that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _lies_in(path: Path, folder: Path) -> bool:
    """Compare places rather than spellings: links, and letters in upper or lower case, lead to the same folder."""
    return folder.exists() and any(place.exists() and place.samefile(folder) for place in (path, *path.parents))


def _plan(clusters: Clusters, level: int) -> list[Operation]:
    """Give every readable picture a place; the same run always gives the same plan."""
    labels = np.asarray(clusters.levels[:, level]).tolist()
    folders = _folder_names(clusters, level, sorted({label for label in labels if label >= 0}))
    taken: dict[str, dict[str, int]] = {name: {} for name in folders.values()}
    columns = (clusters.items.column(name).to_pylist() for name in ("path", "path_bytes", "size", "status"))
    plan = []
    for row, (path, exact, size, status) in enumerate(zip(*columns, strict=True)):
        if status == "ok":
            folder = folders[max(labels[row], -1)]
            name = _free_name(_file_name(os.fsdecode(exact)), taken[folder], MAX_FILE_NAME)
            plan.append(Operation(row, path, f"{folder}/{name}", max(labels[row], -1), size))
    return plan


def _folder_names(clusters: Clusters, level: int, groups: list[int]) -> dict[int, str]:
    """Name the folder of each group: by `name_of` the group if it has one, otherwise by its number."""
    given = {g["group"]: name for g in clusters.groups if g["level"] == level and (name := name_of(g))}
    digits = max(3, len(str(max(groups, default=0))))
    taken = {UNGROUPED: 1, JOURNAL: 1, TABLE: 1}
    names = {-1: UNGROUPED}
    for group in groups:
        name = _portable(given.get(group, f"group-{group:0{digits}d}"))
        names[group] = _free_name(name, taken, MAX_FOLDER_NAME, has_suffix=False)
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


def _table(clusters: Clusters, level: int) -> bytes:
    """Return the groups as CSV; exact paths, so bytes that are not UTF-8 stay what they are."""
    n_levels = clusters.levels.shape[1]
    ranks = {
        row: rank for g in clusters.groups if g["level"] == level for rank, row in enumerate(g.get("prototypes", ()))
    }
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "group", *(f"level_{i}" for i in range(n_levels)), "confidence", "prototype_rank"])
    paths = clusters.items.column("path_bytes").to_pylist()
    for row in np.flatnonzero(clusters.ok).tolist():
        groups = clusters.levels[row].tolist()
        sure = f"{float(clusters.confidence[row]):.4g}"
        writer.writerow([os.fsdecode(paths[row]), groups[level], *groups, sure, ranks.get(row, "")])
    return os.fsencode(text.getvalue())
