"""The journal of an export: announce, do, confirm. `selfsort.photos.undo` takes it all back.

One JSON line per step, on disk before the step happens. A line that a crash cut off is ignored: it had not begun.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import secrets
import shutil
import stat
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfsort.errors import DataError
from selfsort.files import content_id, hash_file

JOURNAL = "selfsort-export.jsonl"
GONE, REPLACED, CHANGED = "it is not there any more", "it was replaced since", "it was changed since"
#: The one mode that may change files that were there, write into any folder, and be repeated.
SIDECARS = "xmp"
#: Those that make one folder for each group.
FOLDERS = ("copy", "hardlink", "symlink")


@dataclass
class Journal:
    """What a journal file says.

    Attributes
    ----------
    header : dict
        Of the last export into this place. Empty if there is no journal, or one that was cut off before anything was
        done.
    files : dict of str to dict
        What each target was made from, with ``done`` and ``round``; in the order they were announced.
    folders : list of str
        Folders made in the destination.
    length : int
        Bytes up to the end of the last whole line.
    rounds : int
        How many exports were made into this place, which only sidecars may be.
    ended : bool
        Whether the last of them came to its end.
    """

    header: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    length: int = 0
    rounds: int = 0
    ended: bool = False

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
        except OSError as error:
            raise DataError(
                f"{path} cannot be read: {error.strerror}. Give another folder, or mend this one."
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"The journal {path} is damaged: {error}. Remove what it lists by hand, then it."
            ) from error
        return journal

    def _add(self, step: dict[str, Any]) -> None:
        if not self.header or step["do"] == "export":
            first = self.header or step
            self.header = {**step, "token": first["token"], "made": first["made"]}
            self.rounds, self.ended = self.rounds + 1, False
            return
        if step["do"] == "end":
            self.ended = True
            return
        target = step["target"]
        deepest = 1 if self.header.get("mode") != SIDECARS else len(target)
        if not all(part not in ("", ".", "..") for part in target.split("/")) or target.count("/") > deepest:
            raise ValueError(f"{target!r} is no place in the destination")  # never remove anything outside
        if step["do"] == "folder":
            self.folders.append(target)
        elif step["do"] == "plan":
            self.files.pop(target, None)
            self.files[target] = step | {"done": False, "round": self.rounds}
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
        What an interrupted call left there; it is continued. One that had ended is followed by another.
    """

    def __init__(self, destination: Path, identity: Mapping[str, Any], earlier: Journal) -> None:
        self._destination = destination
        self._identity = identity
        self._earlier = earlier
        self._token = earlier.header.get("token") or secrets.token_hex(4)
        self._folders = set(earlier.folders)
        self._again = earlier.ended and identity["mode"] == SIDECARS
        self._file = -1

    def __enter__(self) -> Writer:
        destination = self._destination
        made = [str(path) for path in (destination, *destination.parents) if not path.exists()]
        try:
            destination.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._file = os.open(destination / JOURNAL, flags, 0o666)
            os.ftruncate(self._file, self._earlier.length)
            os.lseek(self._file, 0, os.SEEK_END)
            if not self._earlier.header or self._again:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self._write({**self._identity, "do": "export", "token": self._token, "made": made, "created": now})
        except OSError as error:
            if self._file >= 0:
                os.close(self._file)
            raise DataError(f"Nothing can be written in {destination}: {error.strerror}.") from error
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if exc[0] is None:
                self._write({"do": "end"})
        except OSError as error:
            raise DataError(
                f"All is done in {self._destination}, but the end of its journal cannot be written: {error.strerror}. "
                "Give the same command again."
            ) from error
        finally:
            os.close(self._file)

    def _write(self, step: Mapping[str, Any]) -> None:
        line = json.dumps(step).encode("ascii") + b"\n"  # escapes keep names that are not UTF-8
        _write_all(self._file, line)
        if step["do"] != "done":  # what was announced can be recognized without it, so it goes to disk with the next
            os.fsync(self._file)

    def finished_earlier(self, target: str) -> bool:
        """Say whether an interrupted call made this target; clear away what it left half made."""
        entry = self._earlier.files.get(target)
        path = self._destination / target
        if entry is None or self._again or entry["round"] < self._earlier.rounds:
            return False
        if entry["done"]:
            return os.path.lexists(path)
        path.with_name(entry["temporary"]).unlink(missing_ok=True)
        if difference(path, entry) is not None:
            return False
        if is_placeholder(path, entry):
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
            "copy", "member" (of an archive), "hardlink", "symlink" or "table".
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
        temporary, digest = self._temporary(path, target), content_id(content)
        step: dict[str, Any] = {"do": "plan", "kind": kind, "target": target, "temporary": temporary.name}
        step["hash"] = digest
        if kind != "table":
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
                write_whole(temporary, content, digest)
                if kind == "copy":
                    shutil.copystat(original, temporary)
                elif mtime_ns is not None:
                    os.utime(temporary, ns=(mtime_ns, mtime_ns))
                _move_without_replacing(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        self._write({"do": "done", "target": target, "hash": digest})

    def put(self, target: str, before: bytes | None, content: bytes) -> None:
        """Make a sidecar, or put another in its place; the journal keeps the one that was there first.

        Parameters
        ----------
        target : str
            Relative to the destination.
        before : bytes, optional
            What is there now, None if nothing is.
        content : bytes
            What is to be there.

        Raises
        ------
        OSError
            If it cannot be written, among others because what is there is not `before` any more.
        """
        path = self._destination / target
        self._make_folder(target)
        temporary, digest = self._temporary(path, target), content_id(content)
        step: dict[str, Any] = {"do": "plan", "kind": "sidecar", "target": target, "temporary": temporary.name}
        step |= {"hash": digest, "before": None}
        if before is not None:
            step["replaces"] = content_id(before)
            earlier = self._earlier.files.get(target, {})
            ours = {earlier.get("hash"), None if earlier.get("done") else earlier.get("replaces")}
            if step["replaces"] in ours:  # what was there before us is what undo restores
                step |= {key: earlier[key] for key in ("before", "mtime_ns") if key in earlier}
            else:
                step |= {"before": packed(before), "mtime_ns": path.stat().st_mtime_ns}
        self._write(step)
        try:
            write_whole(temporary, content, digest)
            if before is None:
                _move_without_replacing(temporary, path)
            else:
                replace_if_same(temporary, path, step["replaces"])
        finally:
            temporary.unlink(missing_ok=True)
        self._write({"do": "done", "target": target, "hash": digest})

    def _temporary(self, path: Path, target: str) -> Path:
        return path.with_name(f".selfsort-{self._token}-{content_id(os.fsencode(target))[:16]}.tmp")

    def _make_folder(self, target: str) -> None:
        parts = target.split("/")[:-1]
        for n in range(1, len(parts) + 1):
            name = "/".join(parts[:n])
            folder = self._destination / name
            if not os.path.lexists(folder):
                if name not in self._folders:
                    self._write({"do": "folder", "target": name})
                    self._folders.add(name)
                folder.mkdir()
            elif folder.is_symlink() or not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{name} in the destination is a link or a file, not a folder")


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
    return None if is_placeholder(path, entry) or hash_file(path) == entry["hash"] else CHANGED


def is_placeholder(path: Path, entry: Mapping[str, Any]) -> bool:
    """Say whether this is the empty file that `_move_without_replacing` left when it was killed."""
    new = entry["kind"] in ("copy", "member", "table") or (entry["kind"] == "sidecar" and "replaces" not in entry)
    return not entry["done"] and new and path.lstat().st_size == 0


def packed(content: bytes) -> str:
    """Return bytes as a journal keeps them."""
    return base64.b64encode(zlib.compress(content)).decode("ascii")


def unpacked(text: str) -> bytes:
    """Return the bytes that a journal keeps."""
    return zlib.decompress(base64.b64decode(text))


def replace_if_same(temporary: Path, path: Path, digest: str) -> None:
    """Put a file in the place of another, with its permissions, if the other still has the content that is known."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a link, not a file")
    if not found.st_mode & 0o222:
        raise PermissionError(errno.EACCES, "it is write-protected")
    if hash_file(path) != digest:
        raise OSError(errno.EBUSY, "another program is changing it")
    temporary.chmod(stat.S_IMODE(found.st_mode))
    temporary.replace(path)


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def write_whole(path: Path, content: bytes, digest: str) -> None:
    """Write a new file to the disk, and read it back."""
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
