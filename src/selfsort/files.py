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
from collections.abc import Iterator
from pathlib import Path

from selfsort.errors import DataError
from selfsort.runtime import cache_dir

_BLOCK = 1 << 20


def content_id(data: bytes | bytearray | memoryview) -> str:
    """Return the identity of a content: its SHA-256, 64 hexadecimal digits, as ``sha256sum`` prints it.

    Nobody can make two contents with one identity, so equal identities are reason enough to skip, replace or trash a
    file. Fast hashes do not give that: two pictures with one xxHash are made in a second.

    >>> content_id(b"abc")[:16]
    'ba7816bf8f01cfea'
    """
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path) -> str:
    """Return the `content_id` of a file, which is read as a stream."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system lets programs ask for that."""
    if os.name != "posix":
        return  # Windows has no such call; NTFS journals its names
    try:
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # a folder that may be written but not listed
        return
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # network file systems that cannot
            raise
    finally:
        os.close(file)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    A reader sees the old file or the new one, never a part, also after a crash. Both content and name are on the disk
    when the block ends.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
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
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError as error:
        raise BlockingIOError(errno.EWOULDBLOCK, error.strerror) from error
