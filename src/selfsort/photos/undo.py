"""Take an export back: remove what it made and restore what it changed, as far as that is still as it left it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from selfsort.arguments import CALL, FLAG, PATH, checked
from selfsort.errors import DataError
from selfsort.photos.journal import (
    CHANGED,
    FOLDERS,
    GONE,
    JOURNAL,
    Journal,
    difference,
    hash_file,
    replace_if_same,
    unpacked,
    write_whole,
)
from selfsort.runtime import Progress, silent


@dataclass
class UndoResult:
    """What was removed, or in a dry run would be.

    Attributes
    ----------
    removed, restored : list of str
        Files, relative to the destination; restored are sidecars that are again what they were before.
    kept : list of (str, str)
        Files that the export made and that stay, with the reason.
    added : list of str
        Files in the folders of the export that it did not make; they stay.
    folders_removed : list of str
    finished : bool
        False if something could not be removed; the journal then stays and `undo` can be called again.
    """

    destination: Path
    dry_run: bool
    removed: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    folders_removed: list[str] = field(default_factory=list)
    finished: bool = True


@checked(destination=PATH, dry_run=FLAG, progress=CALL)
def undo(destination: Path, *, dry_run: bool = False, progress: Progress = silent) -> UndoResult:
    """Take an export back: remove what it made and restore what it changed, as far as it is still as it was left.

    A file stays if it was changed or replaced since, and a copy also if its original is gone: then it is the last one.

    Parameters
    ----------
    destination : Path
        The folder of the export, or the journal in it.
    dry_run : bool
        Only say what would be done.
    progress : callable, optional

    Returns
    -------
    UndoResult

    Raises
    ------
    DataError
        If there is no journal (nothing was exported here, or it was undone already), or it is damaged.
    """
    path = Path(destination).resolve()
    if path.is_file() and path.name != JOURNAL:
        raise DataError(f"{path} is a file, and no export. Give the folder that was exported to.")
    path = path if path.is_file() else path / JOURNAL
    if not path.is_file():
        raise DataError(
            f"There is nothing to undo in {path.parent}: it holds no {JOURNAL}. "
            "Either it was undone already, or no export was made there."
        )
    journal = Journal.read(path)
    result = UndoResult(path.parent, dry_run)
    result.added = _foreign(path.parent, journal)
    for i, (target, entry) in enumerate(reversed(journal.files.items())):
        progress("undo", i, len(journal.files))
        _take_back(target, entry, result)
    progress("undo", len(journal.files), len(journal.files))
    for name in reversed(journal.folders):
        folder = path.parent / name
        if folder.is_dir() and not folder.is_symlink() and _remove_folder(folder, result):
            result.folders_removed.append(name)
    if result.finished and not dry_run:
        path.unlink()
        for made in map(Path, journal.header.get("made", ())):
            if made == path.parent or made in path.parent.parents:
                _remove_folder(made, result)
    return result


def _take_back(target: str, entry: Mapping[str, Any], result: UndoResult) -> None:
    path = result.destination / target
    folders = path.parents[: target.count("/")]
    if any(folder.is_symlink() for folder in folders):  # what lies behind a link is not ours, whatever its content
        result.kept.append((target, "its folder was replaced by a link"))
        return
    try:
        if not result.dry_run:
            path.with_name(entry["temporary"]).unlink(missing_ok=True)
        reason = difference(path, entry)
        if entry["kind"] == "sidecar":
            reason = _take_sidecar_back(path, target, entry, reason, result)
            if reason not in (None, GONE):
                result.kept.append((target, str(reason)))
            return
        if reason is None and not _original_is_safe(path, entry):
            reason = "its original is gone or changed, so this is the last copy"
        if reason is None and not result.dry_run:
            if os.name == "nt" and entry["kind"] in ("copy", "member"):
                path.chmod(stat.S_IWRITE)  # a copy of a write-protected file is one itself
            path.unlink()
    except OSError as error:
        reason, result.finished = f"it cannot be removed: {error.strerror}", False
    if reason is None:
        result.removed.append(target)
    elif reason != GONE:
        result.kept.append((target, reason))


def _take_sidecar_back(
    path: Path, target: str, entry: Mapping[str, Any], reason: str | None, result: UndoResult
) -> str | None:
    """Remove or restore a sidecar; return why not."""
    before = unpacked(entry["before"]) if entry["before"] is not None else None
    now = entry["hash"] if reason is None else ""
    if reason == CHANGED:
        now = hash_file(path)
        if before is not None and now == xxhash.xxh3_128_hexdigest(before):
            return None  # it was never changed, or is restored already
        if not entry["done"] and now == entry.get("replaces"):  # an earlier one of ours
            reason = None
    if reason is not None:
        return reason
    if before is None:
        if not result.dry_run:
            path.unlink()
        result.removed.append(target)
        return None
    if not result.dry_run:
        temporary = path.with_name(entry["temporary"])
        try:
            write_whole(temporary, before, xxhash.xxh3_128_hexdigest(before))
            os.utime(temporary, ns=(entry["mtime_ns"], entry["mtime_ns"]))
            replace_if_same(temporary, path, now)
        finally:
            temporary.unlink(missing_ok=True)
    result.restored.append(target)
    return None


def _original_is_safe(path: Path, entry: Mapping[str, Any]) -> bool:
    """Say whether the picture exists elsewhere, so that removing `path` loses nothing."""
    if entry["kind"] in ("table", "symlink"):
        return True
    if entry["kind"] == "hardlink":
        return path.lstat().st_nlink > 1
    original = Path(entry["original"])
    try:
        found = original.stat()
        if (found.st_size, found.st_mtime_ns) == (entry["size"], entry["mtime_ns"]):
            return True
        return bool(entry["kind"] == "copy" and hash_file(original) == entry["hash"])
    except OSError:
        return False


def _foreign(destination: Path, journal: Journal) -> list[str]:
    """List what lies in the folders of an export without being of it."""
    ours = {*journal.files, *journal.folders, JOURNAL}
    ours |= {f"{target.rpartition('/')[0]}/{entry['temporary']}" for target, entry in journal.files.items()}
    places = [(destination / name, f"{name}/") for name in journal.folders]
    if journal.header.get("mode") in FOLDERS:  # others may lie among other things
        places.append((destination, ""))
    found = []
    for folder, prefix in places:
        if folder.is_dir() and not folder.is_symlink():
            found += [prefix + path.name for path in folder.iterdir() if prefix + path.name not in ours]
    return sorted(found)


def _remove_folder(folder: Path, result: UndoResult) -> bool:
    """Remove a folder if it is empty; in a dry run say whether it would be."""
    if result.dry_run:
        gone = {result.destination / target for target in (*result.removed, *result.folders_removed)}
        return all(path in gone for path in folder.iterdir())
    with suppress(OSError):
        folder.rmdir()
        return True
    return False
