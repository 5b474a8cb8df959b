"""The journal of an export: announce, do, confirm; and take it all back.

One JSON line per step, on disk before the step happens. A line that a crash cut off is ignored: it had not begun.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import xxhash

from selfsort.errors import DataError

JOURNAL = "selfsort-export.jsonl"
GONE, REPLACED = "it is not there any more", "it was replaced since"


@dataclass
class Journal:
    """What a journal file says.

    Attributes
    ----------
    header : dict
        Empty if there is no journal, or one that was cut off before anything was done.
    files : dict of str to dict
        What each target was made from, with ``done``; in the order they were announced.
    folders : list of str
        Folders made in the destination.
    length : int
        Bytes up to the end of the last whole line.
    """

    header: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    length: int = 0

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Read a journal; an absent one is empty."""
        journal = cls()
        try:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                journal._add(json.loads(line))
                journal.length += len(line)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"The journal {path} is damaged: {error}. Remove what it lists by hand, then it."
            ) from error
        return journal

    def _add(self, step: dict[str, Any]) -> None:
        if not self.header:
            self.header = {"token": step["token"], "made": step["made"], **step}
            return
        target = step["target"]
        if not all(part not in ("", ".", "..") for part in target.split("/")) or target.count("/") > 1:
            raise ValueError(f"{target!r} is no place in the destination")  # never remove anything outside
        if step["do"] == "folder":
            self.folders.append(target)
        elif step["do"] == "plan":
            self.files.pop(target, None)
            self.files[target] = step | {"done": False}
        else:
            self.files[target]["done"] = True


class Writer:
    """Makes files in a destination, each announced and confirmed in its journal.

    Parameters
    ----------
    destination : Path
        Made if absent.
    identity : dict
        Says in the journal which export this is.
    earlier : Journal
        What an interrupted call left there; it is continued.
    """

    def __init__(self, destination: Path, identity: Mapping[str, Any], earlier: Journal) -> None:
        self._destination = destination
        self._identity = identity
        self._earlier = earlier
        self._token = earlier.header.get("token") or secrets.token_hex(4)
        self._folders = set(earlier.folders)
        self._file: IO[bytes]

    def __enter__(self) -> Writer:
        destination = self._destination
        made = [str(path) for path in (destination, *destination.parents) if not path.exists()]
        try:
            destination.mkdir(parents=True, exist_ok=True)
            self._file = open(destination / JOURNAL, "ab")
        except OSError as error:
            raise DataError(f"Nothing can be written in {destination}: {error.strerror}.") from error
        self._file.truncate(self._earlier.length)
        if not self._earlier.header:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._write({**self._identity, "do": "export", "token": self._token, "made": made, "created": now})
        return self

    def __exit__(self, *exc: object) -> None:
        os.fsync(self._file.fileno())
        self._file.close()

    def _write(self, step: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(step).encode("ascii") + b"\n")  # escapes keep names that are not UTF-8
        self._file.flush()
        if (
            step["do"] != "done"
        ):  # what was announced can be recognized without it, so it goes to disk with the next line
            os.fsync(self._file.fileno())

    def finished_earlier(self, target: str) -> bool:
        """Say whether an interrupted call made this target; clear away what it left half made."""
        entry = self._earlier.files.get(target)
        path = self._destination / target
        if entry is None:
            return False
        if entry["done"]:
            return os.path.lexists(path)
        path.with_name(entry["temporary"]).unlink(missing_ok=True)
        if difference(path, entry) is not None:
            return False
        if _is_placeholder(path, entry):
            path.unlink()
            return False
        self._write({"do": "done", "target": target, "hash": entry["hash"]})
        return True

    def make(self, target: str, kind: str, original: Path, content: bytes, mtime_ns: int | None = None) -> None:
        """Make one file.

        Parameters
        ----------
        target : str
            Relative to the destination.
        kind : str
            "copy", "member" (of an archive), "hardlink", "symlink" or "csv".
        original : Path
            The file on disk that it is made from; for a member, the archive.
        content : bytes
            What the file has to hold.
        mtime_ns : int, optional
            Its time of modification; that of the original if not given.

        Raises
        ------
        OSError
            If it cannot be made, among others because there is something at the target already.
        """
        path = self._destination / target
        self._make_folder(target)
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "something of that name is there already, and it is not replaced")
        temporary = path.with_name(f".selfsort-{self._token}-{xxhash.xxh3_64_hexdigest(os.fsencode(target))}.tmp")
        digest = xxhash.xxh3_128_hexdigest(content)
        step: dict[str, Any] = {
            "do": "plan",
            "kind": kind,
            "target": target,
            "temporary": temporary.name,
            "hash": digest,
        }
        if kind != "csv":
            found = original.stat()
            step |= {
                "original": str(original),
                "size": found.st_size,
                "mtime_ns": found.st_mtime_ns,
                "inode": found.st_ino,
            }
        self._write(step)
        if kind == "symlink":
            path.symlink_to(original)
        elif kind == "hardlink":
            os.link(os.path.realpath(original), path)
        else:
            try:
                _write_whole(temporary, content, digest)
                if kind == "copy":
                    shutil.copystat(original, temporary)
                elif mtime_ns is not None:
                    os.utime(temporary, ns=(mtime_ns, mtime_ns))
                _move_without_replacing(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        self._write({"do": "done", "target": target, "hash": digest})

    def _make_folder(self, target: str) -> None:
        name = target.rpartition("/")[0]
        folder = self._destination / name
        if not os.path.lexists(folder):
            if name not in self._folders:
                self._write({"do": "folder", "target": name})
                self._folders.add(name)
            folder.mkdir()
        elif folder.is_symlink() or not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{name} in the destination is a link or a file, not a folder")


@dataclass
class UndoResult:
    """What was removed, or in a dry run would be.

    Attributes
    ----------
    removed : list of str
        Files, relative to the destination.
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
    kept: list[tuple[str, str]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    folders_removed: list[str] = field(default_factory=list)
    finished: bool = True


def undo(destination: Path, *, dry_run: bool = False) -> UndoResult:
    """Take an export back: remove what it made, as far as it is still as it was made.

    A file stays if it was changed or replaced since, and also if its original is gone: then it is the last copy.

    Parameters
    ----------
    destination : Path
        The folder of the export, or the journal in it.
    dry_run : bool
        Only say what would be removed.

    Returns
    -------
    UndoResult

    Raises
    ------
    DataError
        If there is no journal (nothing was exported here, or it was undone already), or it is damaged.
    """
    path = Path(destination).resolve()
    path = path if path.is_file() else path / JOURNAL
    if not path.is_file():
        raise DataError(
            f"There is nothing to undo in {path.parent}: it holds no {JOURNAL}. "
            "Either it was undone already, or no export was made there."
        )
    journal = Journal.read(path)
    result = UndoResult(path.parent, dry_run)
    result.added = _foreign(path.parent, journal)
    for target, entry in reversed(journal.files.items()):
        _take_back(target, entry, result)
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


def difference(path: Path, entry: Mapping[str, Any]) -> str | None:
    """Return in words why `path` is not, or not any more, the file that a journal entry announced; None if it is."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    if entry["kind"] == "symlink":
        same = stat.S_ISLNK(found.st_mode) and str(path.readlink()) == entry["original"]
        return None if same else REPLACED
    if not stat.S_ISREG(found.st_mode):
        return REPLACED
    if entry["kind"] == "hardlink":
        return None if found.st_ino == entry["inode"] else REPLACED
    return None if _is_placeholder(path, entry) or hash_file(path) == entry["hash"] else "it was changed since"


def hash_file(path: Path) -> str:
    """Return the content hash of a file, as in the items table."""
    digest = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _take_back(target: str, entry: Mapping[str, Any], result: UndoResult) -> None:
    path = result.destination / target
    if path.parent.is_symlink():  # what lies behind a link is not ours, whatever its content
        result.kept.append((target, "its folder was replaced by a link"))
        return
    try:
        if not result.dry_run:
            path.with_name(entry["temporary"]).unlink(missing_ok=True)
        reason = difference(path, entry)
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


def _original_is_safe(path: Path, entry: Mapping[str, Any]) -> bool:
    """Say whether the picture exists elsewhere, so that removing `path` loses nothing."""
    if entry["kind"] in ("csv", "symlink"):
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
    if journal.header.get("mode") != "csv":  # a table may lie among other things
        places.append((destination, ""))
    found = []
    for folder, prefix in places:
        if folder.is_dir() and not folder.is_symlink():
            found += [prefix + path.name for path in folder.iterdir() if prefix + path.name not in ours]
    return sorted(found)


def _remove_folder(folder: Path, result: UndoResult) -> bool:
    """Remove a folder if it is empty; in a dry run say whether it would be."""
    if result.dry_run:
        gone = {result.destination / target for target in result.removed}
        return all(path in gone for path in folder.iterdir())
    with suppress(OSError):
        folder.rmdir()
        return True
    return False


def _is_placeholder(path: Path, entry: Mapping[str, Any]) -> bool:
    """Say whether this is the empty file that `_move_without_replacing` left when it was killed."""
    return not entry["done"] and entry["kind"] in ("copy", "member", "csv") and path.lstat().st_size == 0


def _write_whole(path: Path, content: bytes, digest: str) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if hash_file(path) != digest:
        raise OSError(errno.EIO, "what was written reads back differently; check the disk")


def _move_without_replacing(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, such as a memory card's
        path.touch(exist_ok=False)  # ours now, so that the next line replaces nothing of anybody else's
        temporary.replace(path)
