"""Safe access to a folder that exports, undo and the trash change: one caller at a time, no links."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from selfsort.files import content_id, hash_file, locked, move_new, open_regular, sync

#: Whether paths can be relative to an open folder, so that nobody can replace the folder by a link meanwhile.
_RELATIVE = os.open in os.supports_dir_fd


def alone_in(folder: Path) -> AbstractContextManager[None]:
    """Lock a destination or a library for a block. A second caller gets `DataError`."""
    return locked(
        folder,
        f"Another selfsort is at work in {folder}: an export, an undo or the trash. Wait until it has ended, or stop "
        "it, and give the same command again.",
    )


class Place:
    """The files of a folder, by relative paths through real folders only; a context manager.

    Every method raises `OSError`, such as `NotADirectoryError` if a folder of the path is a link or a file.

    Parameters
    ----------
    root : Path
        An existing folder. It stays open, so a folder that later takes its name is not touched.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._unsynced: set[str] = set()
        self._file = os.open(root, os.O_RDONLY | os.O_DIRECTORY) if _RELATIVE else -1

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file >= 0:
            os.close(self._file)

    @contextmanager
    def _folder(self, folder: str) -> Iterator[int | None]:
        """Yield the file descriptor of a folder; None if the system does not support relative lookups."""
        if not _RELATIVE:
            for n in range(len(folder.split("/")) if folder else 0):
                found = os.lstat(self.root.joinpath(*folder.split("/")[: n + 1]))
                is_link = stat.S_ISLNK(found.st_mode) or getattr(found, "st_reparse_tag", False)
                if is_link or not stat.S_ISDIR(found.st_mode):
                    raise NotADirectoryError(errno.ENOTDIR, "its folder is a link or a file")
            yield None
            return
        file = os.dup(self._file)
        try:
            for part in folder.split("/") if folder else ():
                try:
                    inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=file)
                except OSError as error:
                    if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.EMLINK):
                        raise
                    raise NotADirectoryError(errno.ENOTDIR, "its folder is a link or a file") from error
                os.close(file)
                file = inner
            yield file
        finally:
            os.close(file)

    @contextmanager
    def _at(self, target: str, *, change: bool = False) -> Iterator[tuple[str, int | None]]:
        """Yield a path and the file descriptor of the folder that it is relative to."""
        folder, _, name = target.rpartition("/")
        with self._folder(folder) as file:
            yield (str(self.root / target) if file is None else name), file
            if change:
                self._unsynced.add(folder)

    def lstat(self, target: str) -> os.stat_result:
        """Return the status of a path without following a link."""
        with self._at(target) as (name, folder):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def is_taken(self, target: str) -> bool:
        """Tell whether the path exists."""
        try:
            self.lstat(target)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def is_folder(self, target: str) -> bool:
        """Tell whether it is a real folder below real folders."""
        try:
            with self._folder(target):
                return True
        except (FileNotFoundError, NotADirectoryError):
            return False

    def is_behind_link(self, target: str) -> bool:
        """Tell whether one of its parent folders is a link or a file."""
        try:
            with self._folder(target.rpartition("/")[0]):
                return False
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            return True

    def names(self, target: str) -> list[str]:
        """Return the names in a folder ("" is the root); empty if it is not a folder."""
        try:
            with (
                self._folder(target) as folder,
                os.scandir(self.root / target if folder is None else folder) as entries,
            ):
                return [entry.name for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def open(self, target: str, flags: int = os.O_RDONLY) -> int:
        """Open a regular file. `sync` makes the name of a new file durable."""
        with self._at(target, change=bool(flags & os.O_CREAT)) as (name, folder):
            return open_regular(name, flags, folder)

    def hash(self, target: str) -> str:
        """Return the `content_id` of a regular file."""
        return hash_file(self.open(target))

    def link_target(self, target: str) -> str:
        """Return the target of a symbolic link."""
        with self._at(target) as (name, folder):
            return os.readlink(name, dir_fd=folder)

    def write(
        self, target: str, content: Iterable[bytes], digest: str, finish: Callable[[Path], object] | None = None
    ) -> None:
        """Write a new file, sync it, and read it back.

        Parameters
        ----------
        target : str
            A free name.
        content : iterable of bytes
            Consecutive chunks.
        digest : str
            `content_id` of the whole content.
        finish : callable, optional
            Sets times and permissions before the file is synced.
        """
        file = self.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        with open(file, "rb+", buffering=0) as raw:
            for piece in content:
                write_all(file, piece)
            if finish is not None:
                finish(self.root / target)
            sync(file)
            raw.seek(0)
            if hash_file(os.dup(file)) != digest:
                raise OSError(errno.EIO, "what was written reads back differently; check the disk")

    def create(
        self,
        target: str,
        temporary: str,
        content: Iterable[bytes],
        digest: str,
        finish: Callable[[Path], object] | None = None,
    ) -> None:
        """Make a file atomically through `temporary` in the same folder. For other parameters see `write`."""
        try:
            self.write(temporary, content, digest, finish)
            with self._at(target, change=True) as (name, folder):
                move_new(self._beside(temporary, folder), name, folder)
        finally:
            self.discard(temporary)

    def exchange(self, target: str, temporary: str, content: bytes, expected: str, mtime_ns: int | None = None) -> None:
        """Replace the content of a file, keeping its permissions, if it still has the expected content.

        Parameters
        ----------
        target, temporary : str
            In the same folder.
        content : bytes
        expected : str
            `content_id` of the present content.
        mtime_ns : int, optional
            Modification time; by default now.
        """
        found = self.lstat(target)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is a link, not a file")
        if not found.st_mode & 0o222:
            raise PermissionError(errno.EACCES, "it is write-protected")

        def finish(path: Path) -> None:
            path.chmod(stat.S_IMODE(found.st_mode))
            if mtime_ns is not None:
                os.utime(path, ns=(mtime_ns, mtime_ns))

        try:
            self.write(temporary, (content,), content_id(content), finish)
            if self.hash(target) != expected:
                raise OSError(errno.EBUSY, "another program is changing it")
            with self._at(target, change=True) as (name, folder):
                os.replace(self._beside(temporary, folder), name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            self.discard(temporary)

    def _beside(self, temporary: str, folder: int | None) -> str:
        return str(self.root / temporary) if folder is None else temporary.rpartition("/")[2]

    def symlink(self, original: Path, target: str) -> None:
        """Make a symbolic link."""
        with self._at(target, change=True) as (name, folder):
            os.symlink(original, name, dir_fd=folder)

    def hardlink(self, original: Path, target: str) -> None:
        """Make a hard link to a file elsewhere."""
        with self._at(target, change=True) as (name, folder):
            os.link(os.path.realpath(original), name, dst_dir_fd=folder)

    def unlink(self, target: str) -> None:
        """Remove a name."""
        with self._at(target, change=True) as (name, folder):
            os.unlink(name, dir_fd=folder)

    def discard(self, target: str) -> None:
        """Remove a regular file if it is there."""
        with suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISREG(self.lstat(target).st_mode):
                self.unlink(target)

    def mkdir(self, target: str) -> None:
        """Make a folder."""
        with self._at(target, change=True) as (name, folder):
            os.mkdir(name, dir_fd=folder)

    def rmdir(self, target: str) -> None:
        """Remove an empty folder."""
        with self._at(target, change=True) as (name, folder):
            os.rmdir(name, dir_fd=folder)

    def sync(self) -> None:
        """Sync to disk all names that were made or removed since the last call."""
        for folder in sorted(self._unsynced) if os.name == "posix" else ():
            with suppress(FileNotFoundError, NotADirectoryError), self._folder(folder) as file:  # removed since
                if file is not None:
                    sync(file)
        self._unsynced.clear()


def write_all(file: int, data: bytes) -> None:
    """Write all bytes to an open file, in as many calls as needed."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]
