"""Move originals to the system's trash: the only change that selfsort makes to them, and only on request.

Nothing is deleted, and `selfsort.photos.restore` puts files back. Each file is compared with what the run saw, once for
the plan that a person confirms and again right before the move. A log beside the run records every move. Companion
files that are useless without a picture follow it, such as a live photo's video or a sidecar, unless another file of
that name remains, such as a raw file.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.files import hash_file
from selfsort.images import Unreadable
from selfsort.photos.belonging import owners
from selfsort.photos.locate import Locator
from selfsort.photos.originals import Originals, check_there
from selfsort.photos.place import alone_in
from selfsort.photos.trash_log import FAILED, TRASH, TRASHED, note, trash_log, trashed
from selfsort.runtime import Progress, silent


@dataclass(frozen=True)
class Doomed:
    """One file to move to the trash.

    Attributes
    ----------
    row : int
        Row of the run; -1 for a companion file.
    path : str
        As the run has it.
    file : Path
        Its location; the link itself for a symbolic link.
    size : int
        Size in bytes; 0 for a link.
    link : bool
        Whether it is a link. Its target stays.
    only_copy : bool or None
        Whether no other file of the run will have this content afterwards. None: unknown, for companion files.
    pictures : tuple of str
        For a companion file, paths of its pictures, which are moved first.
    state : tuple of int
        For a companion file, values that change with the file.
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
    """Files that were moved, or are planned to be.

    Attributes
    ----------
    files : list of Doomed
        The whole plan.
    refused : list of (str, str)
        Paths of files that stay, with the reason.
    log : Path
        Path of the log of moves.
    already : list of str
        Paths of pictures that an earlier call moved. The companion files that they left behind are in the plan.
    done : list of str
        Paths of the files that were moved.
    """

    files: list[Doomed]
    refused: list[tuple[str, str]]
    log: Path
    already: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(doomed.size for doomed in self.files)


def plan_trash(clusters: Clusters, paths: Sequence[str]) -> TrashResult:
    """Find the files to move to the trash, and their companion files. Moves nothing yet.

    Parameters
    ----------
    clusters : Clusters
        A saved run.
    paths : sequence of str
        See `selfsort.photos.locate.Locator`.

    Raises
    ------
    DataError
        If the pictures are not separate files, or the run has no such picture.
    """
    run = check_files(clusters)
    rows = Locator(clusters).rows(paths)
    check_there(clusters)
    originals = Originals(clusters)
    result = TrashResult([], [], trash_log(run))
    gone = trashed(run, originals.root) if rows else set()
    result.already = [originals.paths[row] for row in dict.fromkeys(rows) if originals.paths[row] in gone]
    wanted = [row for row in dict.fromkeys(rows) if originals.paths[row] not in gone]
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
    for path in result.already:  # a killed call may have left companion files behind
        file = originals.root / path
        if is_inside(file, originals.root):
            going.setdefault(file.parent, {})[file.name] = path
    for folder, names in going.items():
        for name, of in _owners(folder, names).items():
            if of and name not in names and names.keys() >= set(of):
                path, pictures = names[of[0]].removesuffix(of[0]) + name, tuple(names[owner] for owner in of)
                with contextlib.suppress(OSError):  # it was removed just now
                    state = _state(folder / name)
                    result.files.append(Doomed(-1, path, folder / name, state[0], False, None, pictures, state))
    return result


def move_to_trash(clusters: Clusters, plan: TrashResult, *, progress: Progress = silent) -> TrashResult:
    """Move the files of a plan to the trash, each if it has not changed since the run or the plan.

    Only one caller at a time can change a library, see `selfsort.photos.place.alone_in`.

    Parameters
    ----------
    clusters : Clusters
    plan : TrashResult
        From `plan_trash`; updated and returned.
    progress : callable
        Stage "trash".

    Raises
    ------
    DataError
        If another caller is changing the library, or the log cannot be written. Then nothing more is moved.
    """
    if not plan.files:
        return plan
    try:
        with alone_in(Path(clusters.run["root"])):
            return _move_all(clusters, plan, progress)
    except FileNotFoundError as error:
        raise DataError(f"The folder {clusters.run['root']} is not there. Connect its disk.") from error


def _move_all(clusters: Clusters, plan: TrashResult, progress: Progress) -> TrashResult:
    from send2trash import send2trash

    originals = Originals(clusters)
    left: dict[Path, dict[str, tuple[str, ...]]] = {}
    for i, doomed in enumerate(plan.files):
        progress("trash", i, len(plan.files))
        folder = doomed.file.parent
        if doomed.pictures and folder not in left:  # all pictures have been processed by now
            left[folder] = _owners(folder)
        if doomed.pictures and (left[folder].get(doomed.file.name) != () or not _is_same(doomed)):
            plan.refused.append((doomed.path, "it has changed, or something that it belongs to stays"))
            continue
        if doomed.row >= 0 and not _is_sound(originals, doomed.row, plan):
            continue
        try:
            content = clusters.items.column("id")[doomed.row].as_py() if doomed.row >= 0 else hash_file(doomed.file)
        except OSError as error:
            plan.refused.append((doomed.path, f"it cannot be read: {error.strerror}"))
            continue
        facts = {
            "file": str(doomed.file),
            "id": content,
            "size": doomed.size,
            "link_to": str(doomed.file.readlink()) if doomed.link else None,
            "only_copy": doomed.only_copy,
            "pictures": list(doomed.pictures),
        }
        note(plan.log, TRASH, doomed.path, **facts)
        try:
            send2trash(str(doomed.file))
        except OSError as error:
            reason = f"the trash does not take it: {error.strerror or error}"
            plan.refused.append((doomed.path, reason))
            note(plan.log, FAILED, doomed.path, reason=reason)
            continue
        plan.done.append(doomed.path)
        note(plan.log, TRASHED, doomed.path)
    progress("trash", len(plan.files), len(plan.files))
    return plan


def check_files(clusters: Clusters) -> Path:
    """Return the folder of a run. Raises `DataError` if its pictures are not separate files."""
    source = clusters.run.get("source")
    if source not in ("folder", "list") or clusters.path is None or not clusters.run.get("root"):
        where = f"inside a {source}" if source in ("tar", "zip") else "no files"
        raise DataError(f"The pictures of this run are {where}, so none can be moved to the trash.")
    return clusters.path.resolve()


def is_inside(file: Path, root: Path) -> bool:
    """Tell whether a file, or a link itself, is inside the library and not behind a link out of it."""
    return Path(os.path.realpath(file.parent)).is_relative_to(os.path.realpath(root))


def _is_sound(originals: Originals, row: int, result: TrashResult) -> bool:
    try:
        if not is_inside(originals.root / originals.paths[row], originals.root):
            raise Unreadable("it lies outside the library, behind a link")
        originals.check(row)
    except Unreadable as error:
        result.refused.append((originals.paths[row], str(error)))
        return False
    return True


def _left(clusters: Clusters, originals: Originals, doomed: Sequence[int]) -> set[str]:
    """Return the contents that remain after the doomed files are gone. A link to a doomed file does not count."""
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
    """Return values that change when a file changes."""
    found = file.lstat()
    return found.st_size, found.st_mtime_ns, found.st_ino, stat.S_IFMT(found.st_mode)


def _is_same(doomed: Doomed) -> bool:
    try:
        return _state(doomed.file) == doomed.state
    except OSError:
        return False


def _owners(folder: Path, gone: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return the pictures of each companion file in a folder; empty if unreadable, so that companions stay."""
    try:
        return owners(folder, gone)
    except OSError:
        return {}


def _is_link(originals: Originals, row: int) -> bool:
    return (originals.root / originals.paths[row]).is_symlink()
