"""Files that outlive a crash: what identifies them, how they are written, and who may write.

A write is durable once two things are on the disk: the content of the file, and the entry of its name in the folder.
A program that syncs only the first can lose a file that it has just renamed into place.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from selfsort.errors import DataError
from selfsort.runtime import cache_dir

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BLOCK = 1 << 20
#: The longest name in bytes that any file system of today takes, and how much of a path a message shows.
_MAX_NAME, _SHOWN = 255, 100


def content_id(data: bytes | bytearray | memoryview) -> str:
    """Return the identity of a content: its SHA-256, 64 hexadecimal digits, as ``sha256sum`` prints it.

    Nobody can make two contents with one identity, so equal identities are reason enough to skip, replace or trash a
    file. Fast hashes do not give that: two pictures with one xxHash are made in a second.

    >>> content_id(b"abc")[:16]
    'ba7816bf8f01cfea'
    """
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path | int) -> str:
    """Return the `content_id` of a file, which is read as a stream; an open file is closed."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def open_regular(path: str | Path, flags: int = os.O_RDONLY, folder: int | None = None) -> int:
    """Open a file only if it is one: no link is followed, no pipe is waited for, no device is touched.

    Parameters
    ----------
    path : str or Path
    flags : int
        Of `os.open`; a new file gets the mode 0o666 less the umask.
    folder : int, optional
        An open folder that `path` is relative to.

    Raises
    ------
    OSError
        With a reason in words if it is a link, a folder, a pipe, or anything else that is no regular file.
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
    """Refuse a path that no file can have on this system: with a NUL, a name that is too long, or half a character.

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
    """Put an open file or folder on the disk, where the system lets programs ask for that."""
    try:
        if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync leaves data in the memory of the drive
            with contextlib.suppress(OSError):
                fcntl.fcntl(file, fcntl.F_FULLFSYNC)
                return
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # network file systems that cannot
            raise


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk."""
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
    """Put a folder with all that is in it on the disk, but for the name of the folder itself."""
    for place, _, names in os.walk(folder):
        for name in names:
            file = os.open(Path(place, name), os.O_RDONLY if os.name == "posix" else os.O_RDWR)
            try:
                sync(file)
            finally:
                os.close(file)
        sync_folder(Path(place))


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it that are absent, durably; return those that were made, the deepest first.

    Raises
    ------
    OSError
        If it cannot be made; then none is left behind.
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
    """Move a file to a name that is free in the same folder; unlike a rename, this never replaces a file.

    Parameters
    ----------
    temporary, path : str or Path
    folder : int, optional
        An open folder that both are relative to.

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
            os.replace(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)  # only what we have just made
        except OSError:
            os.unlink(path, dir_fd=folder)
            raise
    else:
        os.unlink(temporary, dir_fd=folder)


@contextlib.contextmanager
def atomic_write(path: Path, *, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    A reader sees the old file or the new one, never a part, also after a crash. Both content and name are on the disk
    when the block ends. With `new`, an existing file is not replaced: `FileExistsError`.
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
        if error.errno is not None:  # none: of a connection, say
            error.filename = error.filename or str(path)  # of a full disk it is not known which file did not fit
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path, refusal: str) -> Iterator[None]:
    """Hold a folder for the block, against other processes and other threads; nothing is written into it.

    Parameters
    ----------
    folder : Path
        It exists. Every spelling of its path leads to the same lock.
    refusal : str
        What the second caller is told: who holds the folder, and what to do.

    Raises
    ------
    DataError
        If another caller holds the folder; it does not wait.
    """
    file = _open_lock(folder, refusal)
    try:
        yield
    finally:
        os.close(file)


def _open_lock(folder: Path, refusal: str) -> int:
    """Lock the folder itself; where the system cannot, a file in the cache folder that stands for it."""
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
    """Open and lock; the lock ends when the file is closed. `OSError` where it cannot be locked."""
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
    """Lock an open file; `BlockingIOError` if another holds it."""
    if os.name == "posix":
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError as error:
        raise BlockingIOError(errno.EWOULDBLOCK, error.strerror) from error
