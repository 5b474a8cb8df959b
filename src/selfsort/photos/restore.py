"""Restore files from the system's trash to where they were. Replaces nothing.

Restores only files that `selfsort.photos.trash` moved, and only if the trash still has their content. Supports the
trash of the freedesktop.org specification, which Linux desktops share: one in the home folder, and one on each other
disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.files import atomic_write, hash_file, make_folders, open_regular, sync_folder
from selfsort.photos.names import is_path
from selfsort.photos.place import alone_in
from selfsort.photos.trash import check_files, is_inside
from selfsort.photos.trash_log import RESTORE, RESTORED, in_trash, note, noted, trash_log
from selfsort.runtime import Progress, silent

_MAX_INFO_BYTES = 1 << 16


@dataclass(frozen=True)
class Found:
    """A file in the trash that can be restored.

    Attributes
    ----------
    path : str
        As the run has it.
    file : Path
        Original location, to which it returns.
    kept : Path
        Location in the trash.
    info : Path
        Its ``.trashinfo`` file.
    size : int
        Size in bytes; 0 for a link.
    content : str
        `content_id`, or the target of a link.
    """

    path: str
    file: Path
    kept: Path
    info: Path
    size: int
    content: str


@dataclass
class RestoreResult:
    """Files that were restored, or are planned to be.

    Attributes
    ----------
    files : list of Found
        The whole plan.
    refused : list of (str, str)
        Paths of files that stay in the trash or are not in it, with the reason.
    log : Path
        Path of the log of moves.
    done : list of str
        Paths of restored files.
    """

    files: list[Found]
    refused: list[tuple[str, str]]
    log: Path
    done: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(found.size for found in self.files)


def plan_restore(clusters: Clusters, paths: Sequence[str] = ()) -> RestoreResult:
    """Find the files that can be restored from the trash. Moves nothing yet.

    Parameters
    ----------
    clusters : Clusters
        A saved run.
    paths : sequence of str
        As the run has them; companion files are included. By default, everything that was moved.

    Raises
    ------
    DataError
        If the pictures are not separate files, selfsort did not move such a file to the trash, or programs cannot read
        the trash of this system.
    """
    run, root = check_files(clusters), Path(clusters.run["root"])
    log = trash_log(run)
    if sys.platform in ("win32", "darwin"):
        how = "choose Put Back in the Trash" if sys.platform == "darwin" else "choose Restore in the Recycle Bin"
        raise DataError(f"On this system only you can take files out of the trash: {how}. {log} lists what was moved.")
    known, gone = noted(log), in_trash(log, root)
    unknown = [path for path in paths if path not in known]
    if unknown:
        raise DataError(f"{unknown[0]!r} was not moved to the trash by selfsort. {log} lists what was.")
    wanted = dict.fromkeys(paths or gone)
    wanted |= {path: None for path, facts in gone.items() if wanted.keys() & set(_texts(facts.get("pictures")))}
    result = RestoreResult([], [], log)
    trash = _contents(root / path for path in wanted if is_path(path))
    for path in wanted:
        found = _find(path, root, known[path], trash, is_gone=path in gone)
        if isinstance(found, str):
            result.refused.append((path, found))
        else:
            result.files.append(found)
    return result


def restore(clusters: Clusters, plan: RestoreResult, *, progress: Progress = silent) -> RestoreResult:
    """Restore the files of a plan, each if the trash still has its content.

    Parameters
    ----------
    clusters : Clusters
    plan : RestoreResult
        From `plan_restore`; updated and returned.
    progress : callable
        Stage "restore".

    Raises
    ------
    DataError
        If another caller is changing the library, or the log cannot be written. Then nothing more is moved.
    """
    if not plan.files:
        return plan
    root = Path(clusters.run["root"])
    try:
        with alone_in(root):
            for i, found in enumerate(plan.files):
                progress("restore", i, len(plan.files))
                note(plan.log, RESTORE, found.path)
                try:
                    _bring_back(found, root)
                except OSError as error:
                    plan.refused.append((found.path, f"it stays in the trash: {error.strerror or error}"))
                    continue
                plan.done.append(found.path)
                note(plan.log, RESTORED, found.path)
    except FileNotFoundError as error:
        raise DataError(f"The folder {root} is not there. Connect its disk.") from error
    progress("restore", len(plan.files), len(plan.files))
    return plan


def _find(
    path: str, root: Path, facts: dict[str, Any], trash: dict[str, list[tuple[str, Path, Path]]], *, is_gone: bool
) -> Found | str:
    """Return a file of the run in the trash, or the reason why it cannot be restored."""
    file = root / path
    if not is_path(path) or not is_inside(file, root):
        return "it lies outside the library"
    if not is_gone:
        return "a file of that name is there, and is not replaced"
    kept = sorted(trash.get(_real(file), ()), reverse=True)
    for _, place, info in kept:
        with suppress(OSError):
            state = place.lstat()
            if stat.S_ISLNK(state.st_mode):
                content, size = str(place.readlink()), 0
                if content != facts.get("link_to"):
                    continue
            else:
                content, size = hash_file(open_regular(place)), state.st_size
                if content != facts.get("id") or facts.get("link_to") is not None:
                    continue
            return Found(path, file, place, info, size, content)
    return "the trash has another file of that name" if kept else "it is not in the trash any more"


def _contents(files: Iterator[Path]) -> dict[str, list[tuple[str, Path, Path]]]:
    """Return candidates in the trash: original path -> (time of deletion, path in the trash, ``.trashinfo`` file)."""
    found: dict[str, list[tuple[str, Path, Path]]] = {}
    for trash, top in _trashes(files):
        try:
            names = sorted(path.name for path in (trash / "info").iterdir())
        except OSError:
            continue
        for name in names:
            if name.endswith(".trashinfo"):
                info = trash / "info" / name
                where, when = _read_info(info)
                if where:
                    kept = trash / "files" / name.removesuffix(".trashinfo")
                    found.setdefault(_real(top / where), []).append((when, kept, info))
    return found


def _trashes(files: Iterator[Path]) -> list[tuple[Path, Path]]:
    """Return the trash folders that may contain these files, and the folder that their paths are relative to."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    found = {Path(home).expanduser() / "Trash": Path("/")}
    for folder in {Path(os.path.realpath(file.parent)) for file in files}:
        top = next(place for place in (folder, *folder.parents) if place.exists())
        while not top.is_mount():
            top = top.parent
        shared = top / ".Trash"
        with suppress(OSError):
            state = shared.lstat()
            if stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX:  # else another user may have made it
                found.setdefault(shared / str(os.getuid()), top)
        found.setdefault(top / f".Trash-{os.getuid()}", top)
    return list(found.items())


def _read_info(info: Path) -> tuple[str, str]:
    """Return the original path of a file in the trash and its time of deletion; empty if unknown."""
    facts: dict[bytes, bytes] = {}
    with suppress(OSError), open(open_regular(info), "rb") as file:
        for line in file.read(_MAX_INFO_BYTES).splitlines():
            key, equals, value = line.partition(b"=")
            if equals:
                facts.setdefault(key.strip(), value.strip())
    where = os.fsdecode(unquote_to_bytes(facts.get(b"Path", b"")))
    usable = where and "\0" not in where and ".." not in where.split("/")
    return (where if usable else ""), facts.get(b"DeletionDate", b"").decode("ascii", "replace")


def _bring_back(found: Found, root: Path) -> None:
    """Move a file out of the trash. A file that took its place meanwhile stays."""
    folder = found.file.parent
    make_folders(folder)
    if not is_inside(found.file, root):
        raise OSError(errno.EXDEV, "its folder leads out of the library now")
    if found.kept.is_symlink():
        found.file.symlink_to(found.kept.readlink())
    else:
        if hash_file(open_regular(found.kept)) != found.content:
            raise OSError(errno.EBUSY, "it was changed in the trash")
        try:
            os.link(found.kept, found.file, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:  # another disk, or one without hard links
            with atomic_write(found.file, new=True) as temporary:
                shutil.copyfile(found.kept, temporary)
                shutil.copystat(found.kept, temporary)
    sync_folder(folder)  # before it leaves the trash
    found.kept.unlink()
    found.info.unlink(missing_ok=True)


def _real(file: Path) -> str:
    """Return the canonical path of a file, or of a link itself."""
    return str(Path(os.path.realpath(file.parent), file.name))


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
