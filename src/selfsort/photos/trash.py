"""Move originals to the system's trash: the only thing that selfsort does to them, and only when it is told to.

Nothing is deleted, and `selfsort.photos.restore` puts files back. Each file is compared with what the run saw, once for
the plan that a person confirms and once right before it is moved, and every move is noted in a journal beside the run.
What is of no use without a picture goes after it: a live photo's film, a sidecar; but not while any other file is there
that has its name, such as a raw file.
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
    log : Path
        Where it is noted what moves.
    already : list of str
        Paths of pictures that an earlier call moved. What they left behind is in the plan.
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
    """Find the files to move to the trash, and what belongs to them; nothing is moved yet.

    Parameters
    ----------
    clusters : Clusters
        A saved run.
    paths : sequence of str
        See `selfsort.photos.locate.Locator`.

    Raises
    ------
    DataError
        If the pictures are no files of their own, or the run has no such picture.
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
    for path in result.already:  # a call that was killed may have left behind what belongs to it
        file = originals.root / path
        if is_inside(file, originals.root):
            going.setdefault(file.parent, {})[file.name] = path
    for folder, names in going.items():
        for name, of in _owners(folder, names).items():
            if of and name not in names and names.keys() >= set(of):
                path, pictures = names[of[0]].removesuffix(of[0]) + name, tuple(names[owner] for owner in of)
                with contextlib.suppress(OSError):  # it went away just now
                    state = _state(folder / name)
                    result.files.append(Doomed(-1, path, folder / name, state[0], False, None, pictures, state))
    return result


def move_to_trash(clusters: Clusters, plan: TrashResult, *, progress: Progress = silent) -> TrashResult:
    """Move the files of a plan to the trash, each if it still is what the run, or the plan, saw.

    One caller at a time changes a library, see `selfsort.photos.place.alone_in`.

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
        If another caller is changing the library, or the journal cannot be written: then nothing more is moved.
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
        if doomed.pictures and folder not in left:  # all pictures were seen to by now
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
    """Return where a run lies whose pictures are files of their own. Raises `DataError` if they are not."""
    source = clusters.run.get("source")
    if source not in ("folder", "list") or clusters.path is None or not clusters.run.get("root"):
        where = f"inside a {source}" if source in ("tar", "zip") else "no files"
        raise DataError(f"The pictures of this run are {where}, so none can be moved to the trash.")
    return clusters.path.resolve()


def is_inside(file: Path, root: Path) -> bool:
    """Tell whether a file, or a link itself, really lies in the library, and not behind a link that leads out of it."""
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


def _owners(folder: Path, gone: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return what in a folder belongs to what; nothing if it cannot be listed: then what belongs to others stays."""
    try:
        return owners(folder, gone)
    except OSError:
        return {}


def _is_link(originals: Originals, row: int) -> bool:
    return (originals.root / originals.paths[row]).is_symlink()
