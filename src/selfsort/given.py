"""Read files that the user names: checks their type and size, and detects the encoding of text."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from selfsort.errors import DataError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its byte order mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Legacy encodings of other systems; a file does not say which one it has.
_LEGACY = ("cp1252", "gb18030", "cp932", "cp950", "cp949", "cp1251", "cp866", "cp850")


def read_given(path: Path, what: str, *, most: int = 1 << 30) -> bytes:
    """Return the bytes of a file.

    Parameters
    ----------
    path : Path
    what : str
        What the file is for, such as "label file", for messages.
    most : int
        A file with more bytes is refused.

    Raises
    ------
    DataError
        If there is no such file, or it is a folder, a device or a pipe, or cannot be read, or is too large.
    """
    try:
        # O_NONBLOCK: opening a pipe must not wait until somebody writes to it
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"The {what} {path} is no regular file, but a folder, device or pipe. Give a file.")
            data = file.read(min(status.st_size, most) + 1)
    except ValueError as error:  # a path with NUL
        raise DataError(f"The {what} {str(path)!r} cannot be read: {error}. Give another path.") from error
    except OSError as error:
        raise DataError(f"The {what} {path} cannot be read: {error.strerror}. Give another file.") from error
    if len(data) > most:
        raise DataError(f"The {what} {path} has more than {most:,} bytes. Check that it is the right file.")
    return data


def decodings(data: bytes) -> Iterator[str]:
    r"""Yield the possible texts of a file, most likely first; several only if its encoding is ambiguous.

    There is always a first: bytes that are not UTF-8 become surrogate escapes, as in `os.fsdecode`.

    >>> list(decodings("\ufeffé".encode("utf-16-le"))), next(decodings(b"caf\xe9"))
    (['é'], 'caf\udce9')
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            yield data[len(bom) :].decode(encoding, "surrogateescape" if encoding == "utf-8" else "replace")
            return
    yield data.decode("utf-8", "surrogateescape")
    n_zeros = [data[start::2].count(0) for start in (0, 1)]
    if min(n_zeros) * 3 < max(n_zeros) and len(data) % 2 == 0:  # Latin text in UTF-16: every other byte is zero
        yield data.decode("utf-16-be" if n_zeros[0] > n_zeros[1] else "utf-16-le", "replace")
    if is_utf8(data):
        return
    for encoding in _LEGACY:
        try:
            yield data.decode(encoding)
        except UnicodeDecodeError:
            continue


def is_utf8(data: bytes) -> bool:
    """Tell whether bytes are valid UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
