"""Crash-consistent files: content hashes, atomic durable writes, checksums and locks.

A write is durable once two things are on disk: the content of the file and its directory entry. A program that syncs
only the first can lose a file that it has just renamed into place.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from selfsort.errors import DataError
from selfsort.runtime import cache_dir

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BLOCK = 1 << 20
#: Longest name in bytes that current file systems accept, and the number of characters of a path that messages show.
_MAX_NAME, _SHOWN = 255, 100


def content_id(data: bytes | bytearray | memoryview) -> str:
    """Return the SHA-256 of a content, 64 hexadecimal digits, as ``sha256sum`` prints it.

    SHA-256 is collision-resistant, so equal hashes are reason enough to skip, replace or trash a file. Fast hashes are
    not: making two pictures with the same xxHash takes a second.

    >>> content_id(b"abc")[:16]
    'ba7816bf8f01cfea'
    """
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path | int) -> str:
    """Return the `content_id` of a file, read as a stream. Closes an open file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def open_regular(path: str | Path, flags: int = os.O_RDONLY, folder: int | None = None) -> int:
    """Open a regular file. Follows no link, waits for no pipe and touches no device.

    Parameters
    ----------
    path : str or Path
    flags : int
        For `os.open`. A new file gets the mode 0o666 minus the umask.
    folder : int, optional
        File descriptor of the folder that `path` is relative to.

    Raises
    ------
    OSError
        If it is a link, a folder, a pipe, or anything else that is not a regular file; the message says so.
    """
    careful = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
    try:
        if not hasattr(os, "O_NOFOLLOW") and Path(path).is_symlink():
            raise OSError(errno.ELOOP, "")
        file = os.open(path, flags | careful, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise OSError(errno.ELOOP, "it is a link, not a file", str(path)) from error
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise OSError(errno.EINVAL, "it is no regular file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return file


def check_path(path: str | Path, hint: str) -> None:
    """Refuse a path that is invalid on this system: with a NUL, a lone surrogate, or a name that is too long.

    Parameters
    ----------
    path : str or Path
    hint : str
        What to do instead.

    Raises
    ------
    DataError
    """
    shown = ascii(str(path))
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    try:
        for place in (Path(path), *Path(path).parents):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                os.lstat(place)
            if len(os.fsencode(place.name)) > _MAX_NAME:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    except ValueError as error:  # a NUL, or a lone surrogate
        reason = "it holds a NUL" if "\0" in str(path) else "it holds half of a character"
        raise DataError(f"There can be no file or folder {shown}: {reason}. {hint}") from error
    except OSError as error:
        raise DataError(f"There can be no file or folder {shown}: {error.strerror}. {hint}") from error


def sync(file: int) -> None:
    """Sync an open file or folder to disk, if the system supports it."""
    try:
        if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync leaves data in the memory of the drive
            with contextlib.suppress(OSError):
                fcntl.fcntl(file, fcntl.F_FULLFSYNC)
                return
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # network file systems without fsync
            raise


def sync_folder(folder: Path) -> None:
    """Sync the directory entries of a folder to disk."""
    if os.name != "posix":
        return  # Windows has no such call; NTFS journals its names
    try:
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # a folder that may be written but not listed
        return
    try:
        sync(file)
    finally:
        os.close(file)


def sync_tree(folder: Path) -> None:
    """Sync a folder and its whole content to disk, except the name of the folder itself."""
    for place, _, names in os.walk(folder):
        for name in names:
            file = os.open(Path(place, name), os.O_RDONLY if os.name == "posix" else os.O_RDWR)
            try:
                sync(file)
            finally:
                os.close(file)
        sync_folder(Path(place))


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and its missing parents durably. Return the new folders, deepest first.

    Raises
    ------
    OSError
        If it cannot be made. No new folder is left behind.
    """
    absent = []
    for place in (folder, *folder.parents):
        if place.is_dir():
            break
        absent.append(place)
    made: list[Path] = []
    try:
        for place in reversed(absent):
            with contextlib.suppress(FileExistsError):  # another program made it just now
                place.mkdir()
                made.insert(0, place)
                sync_folder(place.parent)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    except OSError:
        for place in made:
            with contextlib.suppress(OSError):
                place.rmdir()
        raise
    return made


def move_new(temporary: str | Path, path: str | Path, folder: int | None = None) -> None:
    """Move a file to a free name in the same folder. Unlike a rename, this never replaces a file.

    Parameters
    ----------
    temporary, path : str or Path
    folder : int, optional
        File descriptor of the folder that both are relative to.

    Raises
    ------
    FileExistsError
        If the name is taken.
    """
    try:
        os.link(temporary, path, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system without hard links, such as a memory card's
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=folder))
        try:
            os.replace(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)  # replaces only the empty file made above
        except OSError:
            os.unlink(path, dir_fd=folder)
            raise
    else:
        os.unlink(temporary, dir_fd=folder)


@contextlib.contextmanager
def atomic_write(path: Path, *, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`. It replaces `path` on success and is removed on failure.

    Readers see the old file or the new one, never a partial one, even after a crash. Content and name are on disk when
    the block ends. With `new`, an existing file is not replaced: `FileExistsError`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            sync(file.fileno())
        if new:
            move_new(temporary, path)
        else:
            temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno is not None:  # None if, say, a connection failed
            error.filename = error.filename or str(path)  # a full disk does not name the file
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path, refusal: str) -> Iterator[None]:
    """Lock a folder for the block, against other processes and threads. Writes nothing into it.

    Parameters
    ----------
    folder : Path
        An existing folder. Every spelling of its path leads to the same lock.
    refusal : str
        Error message for a second caller: who holds the folder, and what to do.

    Raises
    ------
    DataError
        If another caller holds the folder. The call does not wait.
    """
    file = _open_lock(folder, refusal)
    try:
        yield
    finally:
        os.close(file)


def _open_lock(folder: Path, refusal: str) -> int:
    """Lock the folder itself, or if the system cannot, a lock file for it in the cache folder."""
    while os.name == "posix":
        try:
            file = _held(folder, os.O_RDONLY | os.O_DIRECTORY, refusal)
        except FileNotFoundError:
            raise
        except OSError:  # a network drive that locks only files, or a folder that may not be listed
            break
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), folder.stat()):
                return file
        os.close(file)  # the holder before us removed the folder, and somebody may have made another
    locks = cache_dir() / "locks"
    locks.mkdir(exist_ok=True)
    name = content_id(os.fsencode(os.path.realpath(folder)))
    return _held(locks / name, os.O_RDWR | os.O_CREAT, refusal)


def _held(path: Path, flags: int, refusal: str) -> int:
    """Open and lock; closing the file releases the lock. Raises `OSError` if it cannot be locked."""
    file = os.open(path, flags, 0o600)
    try:
        _lock(file)
    except BlockingIOError as error:
        os.close(file)
        raise DataError(refusal) from error
    except BaseException:
        os.close(file)
        raise
    return file


def _lock(file: int) -> None:
    """Lock an open file. Raises `BlockingIOError` if another caller holds it."""
    if os.name == "posix":
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError as error:
        raise BlockingIOError(errno.EWOULDBLOCK, error.strerror) from error


#: Checksums of the files of a folder, in the format of ``sha256sum``.
SUMS = "SHA256SUMS"
_SUM = re.compile(r"([0-9a-f]{64}) [ *]([^/\\\0].*)")
_SEAL = b"selfsort sha256 "


def write_sums(folder: Path, names: Iterable[str]) -> None:
    """Write the checksums of files of a folder to `SUMS`. Call it last: a folder that has `SUMS` is complete."""
    lines = [f"{hash_file(folder / name)}  {name}\n" for name in sorted(names)]
    with atomic_write(folder / SUMS) as path:
        path.write_text("".join(lines), encoding="utf-8")


def read_sums(folder: Path) -> dict[str, str]:
    """Return the checksums that `write_sums` wrote: file -> `content_id`.

    Raises
    ------
    FileNotFoundError
        If there are none.
    ValueError
        If they are damaged, or name a file outside the folder.
    """
    sums = {}
    for line in (folder / SUMS).read_text(encoding="utf-8").splitlines():
        found = _SUM.fullmatch(line)
        if found is None or ".." in found[2].split("/") or found[2] in sums:
            raise ValueError(f"{SUMS} has a line that is none of it: {line[:100]!r}")
        sums[found[2]] = found[1]
    return sums


def write_sealed(path: Path, content: bytes | memoryview) -> None:
    """Write one file atomically, headed by a checksum of its name and content for `read_sealed`."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(_SEAL + _seal(path, content) + b"\n")
        file.write(content)


def read_sealed(path: Path) -> bytes:
    """Return the content that `write_sealed` wrote. Raises `ValueError` if the file or its name has changed."""
    data = path.read_bytes()
    start, end = len(_SEAL), len(_SEAL) + 64
    content = data[end + 1 :]
    if data[:start] != _SEAL or data[start : end + 1] != _seal(path, content) + b"\n":
        raise ValueError(f"{path.name} is not as it was written")
    return content


def _seal(path: Path, content: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape") + b"\0")
    digest.update(content)
    return digest.hexdigest().encode()
