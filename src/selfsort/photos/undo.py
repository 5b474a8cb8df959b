"""Undo an export: remove the files that it made and restore those that it changed, unless they changed since."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from selfsort.arguments import CALL, FLAG, PATH, checked
from selfsort.errors import DataError
from selfsort.files import check_path, content_id, hash_file, sync_folder
from selfsort.photos.journal import CHANGED, FOLDERS, GONE, JOURNAL, Entry, Journal, difference, unpacked
from selfsort.photos.place import Place, alone_in
from selfsort.runtime import Progress, silent


@dataclass
class UndoResult:
    """Files that were removed, or would be in a dry run.

    Attributes
    ----------
    removed, restored : list of str
        Files, relative to the destination. Restored files are sidecars with their previous content.
    kept : list of (str, str)
        Files of the export that stay, with the reason.
    added : list of str
        Other files in the folders of the export; they stay.
    folders_removed : list of str
    finished : bool
        False if something could not be removed. Then the journal stays, and `undo` can be called again.
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
    folder = _folder_of(destination)
    if dry_run:
        return _undo(folder, dry_run=True, progress=progress)
    with alone_in(folder):
        return _undo(folder, dry_run=False, progress=progress)


def _folder_of(destination: Path) -> Path:
    """Return the folder of an export, which must contain a file named like a journal."""
    check_path(destination, "Give the folder that was exported to.")
    path = Path(destination)
    if path.name == JOURNAL and not path.is_dir():
        path = path.parent
    path = path.resolve()
    if path.exists() and not path.is_dir():
        raise DataError(f"{path} is a file, and no export. Give the folder that was exported to.")
    if not os.path.lexists(path / JOURNAL):
        raise DataError(
            f"There is nothing to undo in {path}: it holds no {JOURNAL}. "
            "Either it was undone already, or no export was made there."
        )
    return path


def _undo(folder: Path, *, dry_run: bool, progress: Progress) -> UndoResult:
    _folder_of(folder)  # another undo may just have finished
    journal = Journal.read(folder / JOURNAL)
    result = UndoResult(folder, dry_run)
    with Place(folder) as place:
        result.added = _foreign(place, journal)
        for i, entry in enumerate(reversed(journal.files.values())):
            progress("undo", i, len(journal.files))
            _take_back(place, entry, journal, result)
        progress("undo", len(journal.files), len(journal.files))
        for name in reversed(journal.folders):
            if place.is_folder(name) and _remove_folder(place, name, result):
                result.folders_removed.append(name)
        place.sync()  # before the journal is removed: no file that it names may reappear after a crash
        if dry_run or not result.finished:
            return result
        place.unlink(JOURNAL)
        if not _remove_made(folder, journal):
            place.sync()
    return result


def _remove_made(folder: Path, journal: Journal) -> bool:
    """Remove the destination and its parents that were made for it, if empty; tell whether any was removed."""
    removed = False
    for made in map(Path, journal.header.get("made", ())):
        if made == folder or made in folder.parents:
            with suppress(OSError):
                made.rmdir()
                sync_folder(made.parent)
                removed = True
    return removed


def _take_back(place: Place, entry: Entry, journal: Journal, result: UndoResult) -> None:
    target = entry.target
    if place.is_behind_link(target):  # a file there is not ours, whatever its content
        result.kept.append((target, "its folder was replaced by a link or a file"))
        return
    try:
        if not result.dry_run:
            place.discard(journal.temporary(target))
        reason = difference(place, entry)
        if entry.kind == "sidecar":
            reason = _take_sidecar_back(place, entry, journal, reason, result)
            if reason not in (None, GONE):
                result.kept.append((target, str(reason)))
            return
        if reason is None and not _original_is_safe(place, entry):
            reason = "its original is gone or changed, so this is the last copy"
        if reason is None and not result.dry_run:
            if os.name == "nt" and entry.kind in ("copy", "member"):
                (place.root / target).chmod(stat.S_IWRITE)  # a copy of a write-protected file is write-protected
            place.unlink(target)
    except OSError as error:
        reason, result.finished = f"it cannot be removed: {error.strerror}", False
    if reason is None:
        result.removed.append(target)
    elif reason != GONE:
        result.kept.append((target, reason))


def _take_sidecar_back(
    place: Place, entry: Entry, journal: Journal, reason: str | None, result: UndoResult
) -> str | None:
    """Remove or restore a sidecar. Return the reason if that is not possible."""
    target = entry.target
    before = unpacked(entry.before) if entry.before is not None else None
    now = entry.hash if reason is None else ""
    if reason == CHANGED:
        now = place.hash(target)
        if before is not None and now == content_id(before):
            return None  # it was never changed, or is restored already
        if not entry.done and now == entry.replaces:  # an earlier version of ours
            reason = None
    if reason is not None:
        return reason
    if before is None:
        if not result.dry_run:
            place.unlink(target)
        result.removed.append(target)
        return None
    if not result.dry_run:
        place.exchange(target, journal.temporary(target), before, now, entry.mtime_ns)
    result.restored.append(target)
    return None


def _original_is_safe(place: Place, entry: Entry) -> bool:
    """Tell whether the picture exists elsewhere, so that removing the target loses nothing."""
    if entry.kind in ("table", "symlink"):
        return True
    if entry.kind == "hardlink":
        return place.lstat(entry.target).st_nlink > 1
    original = Path(entry.original)
    try:
        found = original.stat()
        if entry.kind == "member":
            return (found.st_size, found.st_mtime_ns) == (entry.size, entry.mtime_ns)
        is_same_file = os.path.samestat(found, place.lstat(entry.target))  # for a forged journal
        return found.st_size == entry.size and not is_same_file and hash_file(original) == entry.hash
    except OSError:
        return False


def _foreign(place: Place, journal: Journal) -> list[str]:
    """List files in the folders of an export that do not belong to it."""
    ours = {*journal.files, *journal.folders, JOURNAL, *map(journal.temporary, journal.files)}
    folders = [(name, f"{name}/") for name in journal.folders]
    if journal.header.get("mode") in FOLDERS:  # other exports share their folder with other files
        folders.append(("", ""))
    found = (prefix + name for folder, prefix in folders for name in place.names(folder))
    return sorted(name for name in found if name not in ours)


def _remove_folder(place: Place, name: str, result: UndoResult) -> bool:
    """Remove a folder if it is empty; in a dry run tell whether it would be empty."""
    if result.dry_run:
        gone = {*result.removed, *result.folders_removed}
        return all(f"{name}/{inner}" in gone for inner in place.names(name))
    with suppress(OSError):
        place.rmdir(name)
        return True
    return False
