"""Write the files of an export. The journal announces each before and confirms it once it is on disk."""

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

#: Number of files after which folders are synced. After a kill, unconfirmed files are recognized by content.
_BATCH = 64


class Writer:
    """Makes files in a locked destination; a context manager.

    Parameters
    ----------
    destination : Path
        An existing folder, see `selfsort.photos.place.alone_in`.
    identity : dict
        Identifies this export in the journal.
    earlier : Journal
        Journal of an earlier call. An interrupted export is continued; a finished one is followed by another.
    made : list of Path
        The destination and its parents, if this call made them.
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
        """Add a line to the journal and sync it to disk with all earlier lines."""
        write_all(self._file, json.dumps(step).encode("ascii") + b"\n")  # escapes preserve names that are not UTF-8
        sync(self._file)

    def _done(self, target: str) -> None:
        self._unconfirmed.append(target)
        if len(self._unconfirmed) >= _BATCH:
            self._confirm()

    def _confirm(self) -> None:
        """Sync the names of files to disk and confirm them. Confirmed files are not checked again."""
        self._place.sync()
        lines = (json.dumps({"do": "done", "target": target}) + "\n" for target in self._unconfirmed)
        write_all(self._file, "".join(lines).encode("ascii"))  # synced with the next announcement
        self._unconfirmed = []

    def finished_earlier(self, target: str) -> bool:
        """Tell whether an interrupted call made this target; remove what it left incomplete."""
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
            Content of the file.
        mtime_ns : int, optional
            Modification time; by default that of the original.

        Raises
        ------
        OSError
            If it cannot be made, for example because the target exists.
        """
        self._make(target, kind, original, (content,), content_id(content), mtime_ns)

    def copy(self, target: str, kind: str, original: Path, digest: str) -> None:
        """Copy or link one file. It is read in chunks.

        Parameters
        ----------
        target : str
            Relative to the destination.
        kind : str
            "copy", "hardlink" or "symlink".
        original : Path
        digest : str
            `content_id` of the original, against which the copy is verified.

        Raises
        ------
        OSError
            As for `make`, and if the original changes during reading.
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
        """Make or replace a sidecar. The journal keeps the first version.

        Parameters
        ----------
        target : str
            Relative to the destination.
        before : bytes, optional
            Present content; None if there is no file.
        content : bytes
            New content.

        Raises
        ------
        OSError
            If it cannot be written, for example because the present content is no longer `before`.
        """
        self._make_folder(target)
        entry = Entry("sidecar", target, content_id(content))
        if before is not None:
            entry.replaces = content_id(before)
            earlier = self._earlier.files.get(target)
            ours = {earlier.hash, None if earlier.done else earlier.replaces} if earlier else set()
            if earlier and entry.replaces in ours:  # undo restores the version before all exports
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
