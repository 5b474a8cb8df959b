"""Makes the files of an export, each announced in the journal before, and confirmed once it is on the disk."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from selfsort.errors import DataError
from selfsort.files import content_id, sync
from selfsort.photos.journal import (
    FORMAT,
    JOURNAL,
    SIDECARS,
    Entry,
    Journal,
    difference,
    is_placeholder,
    packed,
    temporary,
)
from selfsort.photos.place import Place, write_all
from selfsort.sources.disk import pieces

#: Files after which folders are put on the disk. After a kill, these are recognized by their content.
_BATCH = 64


class Writer:
    """Makes files in a destination that nobody else writes to; a context manager.

    Parameters
    ----------
    destination : Path
        An existing folder, see `selfsort.photos.place.alone_in`.
    identity : dict
        Says in the journal which export this is.
    earlier : Journal
        What an interrupted call left there; it is continued. One that had ended is followed by another.
    made : list of Path
        The destination and the folders above it, as far as they were made for it.
    """

    def __init__(
        self, destination: Path, identity: Mapping[str, Any], earlier: Journal, made: list[Path] | None = None
    ) -> None:
        self._destination = destination
        self._identity = identity
        self._earlier = earlier
        self._made = [str(path) for path in made or ()]
        self._token = earlier.header.get("token") or secrets.token_hex(4)
        self._folders = set(earlier.folders)
        self._again = earlier.ended and identity["mode"] == SIDECARS
        self._file = -1
        self._unconfirmed: list[str] = []

    def __enter__(self) -> Writer:
        destination = self._destination
        try:
            with ExitStack() as stack:
                self._place = stack.enter_context(Place(destination))
                self._file = self._place.open(JOURNAL, os.O_RDWR | os.O_CREAT)
                stack.callback(os.close, self._file)
                if os.fstat(self._file).st_nlink > 1:
                    raise OSError(errno.EMLINK, "its journal has a second name, as whose it would be changed, too")
                os.ftruncate(self._file, self._earlier.length)
                os.lseek(self._file, 0, os.SEEK_END)
                if not self._earlier.header or self._again:
                    now = datetime.now(UTC).isoformat(timespec="seconds")
                    facts = {"token": self._token, "made": self._made, "created": now}
                    self._write({"do": "export", "format": FORMAT, **self._identity, **facts})
                self._place.sync()
                self._open = stack.pop_all()
        except OSError as error:
            raise DataError(f"Nothing can be written in {destination}: {error.strerror}.") from error
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if exc[0] is None:
                self._confirm()
                self._write({"do": "end"})
        except OSError as error:
            raise DataError(
                f"All is done in {self._destination}, but the end of its journal cannot be written: {error.strerror}. "
                "Give the same command again."
            ) from error
        finally:
            self._open.close()

    def _write(self, step: Mapping[str, Any]) -> None:
        """Add a line to the journal, which is then on the disk with all before it."""
        write_all(self._file, json.dumps(step).encode("ascii") + b"\n")  # escapes keep names that are not UTF-8
        sync(self._file)

    def _done(self, target: str) -> None:
        self._unconfirmed.append(target)
        if len(self._unconfirmed) >= _BATCH:
            self._confirm()

    def _confirm(self) -> None:
        """Put the names of files on the disk, and say so: what is confirmed is not looked at again."""
        self._place.sync()
        lines = (json.dumps({"do": "done", "target": target}) + "\n" for target in self._unconfirmed)
        write_all(self._file, "".join(lines).encode("ascii"))  # to the disk with the next announcement
        self._unconfirmed = []

    def finished_earlier(self, target: str) -> bool:
        """Say whether an interrupted call made this target; clear away what it left half made."""
        entry = self._earlier.files.get(target)
        if entry is None or self._again or entry.round < self._earlier.rounds:
            return False
        if entry.done:
            return self._place.is_taken(target)
        self._place.discard(self._temporary(target))
        if difference(self._place, entry) is not None:
            return False
        if is_placeholder(self._place.lstat(target), entry):
            self._place.unlink(target)
            return False
        self._done(target)
        return True

    def make(self, target: str, kind: str, original: Path, content: bytes, mtime_ns: int | None = None) -> None:
        """Make one file.

        Parameters
        ----------
        target : str
            Relative to the destination.
        kind : str
            "member" (of an archive) or "table".
        original : Path
            For a member, the archive.
        content : bytes
            What the file has to hold.
        mtime_ns : int, optional
            Its time of modification; that of the original if not given.

        Raises
        ------
        OSError
            If it cannot be made, among others because there is something at the target already.
        """
        self._make(target, kind, original, (content,), content_id(content), mtime_ns)

    def copy(self, target: str, kind: str, original: Path, digest: str) -> None:
        """Make one file of another, which is read piece by piece.

        Parameters
        ----------
        target : str
            Relative to the destination.
        kind : str
            "copy", "hardlink" or "symlink".
        original : Path
        digest : str
            `content_id` of the original; what is written is compared with it.

        Raises
        ------
        OSError
            As `make` does, and if the original changes while it is read.
        """
        self._make(target, kind, original, pieces(original) if kind == "copy" else (), digest)

    def _make(
        self, target: str, kind: str, original: Path, content: Iterable[bytes], digest: str, mtime_ns: int | None = None
    ) -> None:
        self._make_folder(target)
        if self._place.is_taken(target):
            raise FileExistsError(errno.EEXIST, "something of that name is there already, and it is not replaced")
        entry = Entry(kind, target, digest)
        if kind != "table":
            found = original.stat()
            entry.original = str(original)
            entry.size, entry.mtime_ns, entry.inode = found.st_size, found.st_mtime_ns, found.st_ino
        self._write(entry.step())
        if kind == "symlink":
            self._place.symlink(original, target)
        elif kind == "hardlink":
            self._place.hardlink(original, target)
        else:
            finish: Callable[[Path], object] | None = None
            if kind == "copy":
                finish = partial(shutil.copystat, original)
            elif mtime_ns is not None:
                finish = partial(os.utime, ns=(mtime_ns, mtime_ns))
            self._place.create(target, self._temporary(target), content, digest, finish)
        self._done(target)

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
        self._make_folder(target)
        entry = Entry("sidecar", target, content_id(content))
        if before is not None:
            entry.replaces = content_id(before)
            earlier = self._earlier.files.get(target)
            ours = {earlier.hash, None if earlier.done else earlier.replaces} if earlier else set()
            if earlier and entry.replaces in ours:  # what was there before us is what undo restores
                entry.before, entry.mtime_ns = earlier.before, earlier.mtime_ns
            else:
                entry.before, entry.mtime_ns = packed(before), self._place.lstat(target).st_mtime_ns
        self._write(entry.step())
        if entry.replaces is None:
            self._place.create(target, self._temporary(target), (content,), entry.hash)
        else:
            self._place.exchange(target, self._temporary(target), content, entry.replaces)
        self._done(target)

    def _temporary(self, target: str) -> str:
        return temporary(self._token, target)

    def _make_folder(self, target: str) -> None:
        parts = target.split("/")[:-1]
        for n in range(1, len(parts) + 1):
            name = "/".join(parts[:n])
            if not self._place.is_taken(name):
                if name not in self._folders:
                    self._write({"do": "folder", "target": name})
                    self._folders.add(name)
                self._place.mkdir(name)
            elif not self._place.is_folder(name):
                raise NotADirectoryError(errno.ENOTDIR, f"{name} in the destination is a link or a file, not a folder")
