"""What all sources share: the items they find, the limits they keep, and what they say about both."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from selfsort.errors import DataError
from selfsort.images import Unreadable
from selfsort.runtime import display_path

_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx"}
#: How our own files are called that lie beside runs, and what lies beside pictures without being one.
_OWN = (".catalog", ".catalog-wal", ".catalog-shm", ".trashed.jsonl", ".left-out.txt", "selfsort-export.jsonl")
_SIDECAR = ".xmp"


@dataclass(frozen=True, slots=True)
class Item:
    """One file that was found.

    Parameters
    ----------
    path : str
        Relative to the source's root, with ``/``; bytes that are not UTF-8 are surrogate escapes, as in `os.fsdecode`.
    size : int
        Bytes.
    mtime_ns : int or None
        When it was last changed, in nanoseconds since 1970; None where the source does not know.
    problem : str
        One line that says why it cannot be read; empty when it can.
    """

    path: str
    size: int
    mtime_ns: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file and one archive may hold at most."""

    max_file_bytes: int = 1 << 30
    max_archive_bytes: int = 256 << 30
    max_archive_members: int = 5_000_000

    def problem(self, size: int) -> str:
        """Return why a file of `size` bytes is not read, or an empty string."""
        return "" if size <= self.max_file_bytes else f"larger than {readable(self.max_file_bytes)}"


class Source(ABC):
    """Where pictures are; a context manager.

    Attributes
    ----------
    kind : str
        ``"folder"``, ``"list"``, ``"tar"``, ``"zip"`` or ``"array"``.
    root : str
        Absolute path of the folder or archive that the items' paths start from; empty for arrays.
    items : list of Item
        Sorted by the bytes of their paths; arrays keep their order.
    warnings : list of str
        What is wrong with the source as a whole, such as an archive that ends early.
    """

    kind: str

    def __init__(self, root: str, items: list[Item], limits: Limits) -> None:
        if not items:
            raise DataError(
                f"There are no files in {display_path(root)}. "
                "Pass a folder, list or archive of pictures; hidden files (.name) are left out."
            )
        self.root, self.limits, self.warnings = root, limits, list[str]()
        self.items = items

    def read(self, index: int) -> bytes:
        """Return the bytes of one item; may be called from many threads. Raises `Unreadable`."""
        item = self.items[index]
        if item.problem:
            raise Unreadable(item.problem)
        try:
            data = self._read(index)
        except OSError as error:
            raise Unreadable(reason(error)) from error
        if len(data) > self.limits.max_file_bytes:  # it grew since it was found
            raise Unreadable(f"larger than {readable(self.limits.max_file_bytes)}")
        return data

    def stream(self, index: int) -> Iterator[bytes]:
        """Yield the bytes of one item; those of a file piece by piece, in little memory. Raises `Unreadable`."""
        yield self.read(index)

    @abstractmethod
    def _read(self, index: int) -> bytes: ...

    def load(self, index: int) -> bytes | NDArray[Any]:
        """Return what is to be decoded: bytes for `images.decode`, or pixels for `images.from_array`."""
        return self.read(index)

    def original(self, index: int) -> Path | None:
        """Return the absolute path of an item that is a file of its own on disk, otherwise None."""
        return None

    def close(self) -> None:  # noqa: B027  (most sources hold nothing open)
        """Let go of open files."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.items)


def path_bytes(item: Item) -> bytes:
    """Return what items are sorted by; raises `DataError` if this Python cannot write their names."""
    try:
        return os.fsencode(item.path)
    except UnicodeEncodeError as error:
        raise DataError(
            f"The name {item.path!a} cannot be written in this locale's encoding, {error.encoding}. "
            "Start Python with -X utf8, or set PYTHONUTF8=1."
        ) from error


def is_clutter(name: str) -> bool:
    """Tell whether a file or folder is hidden, or one that a system leaves behind."""
    return name.startswith(".") or name.lower() in _CLUTTER


def is_own(name: str) -> bool:
    """Tell whether a file is one that selfsort writes beside runs, or the sidecar of a picture."""
    return name.endswith(_OWN) or name.lower().endswith(_SIDECAR)


def reason(error: OSError) -> str:
    """Return what the system says is wrong, without number and path."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def readable(size: int) -> str:
    """Return a number of bytes for people, exactly.

    >>> readable(1000), readable(3 << 30)
    ('1,000 bytes', '3 GiB')
    """
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024 or size % 1024:
            return f"{size:,} {unit}"
        size //= 1024
    return f"{size:,} GiB"
