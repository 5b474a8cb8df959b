"""What every part shares: the cache folder, threads, progress, names of files, numbers of things."""

from __future__ import annotations

import os
import sqlite3
import time
import unicodedata
from pathlib import Path
from typing import Protocol

from selfsort.errors import DataError


class Progress(Protocol):
    """Called as work goes on: the stage's name, how much is done, and how much there is (None: not known yet)."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Report that `done` of `total` is done in `stage`."""


def silent(stage: str, done: int, total: int | None) -> None:
    """Report no progress."""


def cache_path() -> Path:
    """Return where that folder is: ``SELFSORT_CACHE``, or the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("SELFSORT_CACHE") or platformdirs.user_cache_dir("selfsort", appauthor=False))


def cache_dir() -> Path:
    """Return the folder for what can be made again, see `cache_path`; it is there."""
    path = cache_path()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"The cache folder {path} cannot be made: {error.strerror}. Set SELFSORT_CACHE to another folder."
        ) from error
    return path


def n_threads() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


class Clock:
    """Seconds per stage: each call names the stage that just ended."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def __call__(self, stage: str) -> None:
        """Add the time since the last call to `stage`."""
        now = time.perf_counter()
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + now - self._last, 3)
        self._last = now


def write_ahead(db: sqlite3.Connection, seconds: float = 60.0) -> None:
    """Let readers of a database go on while another process writes.

    SQLite waits for others when it reads and writes, but not when two processes switch to this mode at once.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def guard(db: sqlite3.Connection) -> None:
    """Let a database that somebody else may have made do nothing by itself, and open no other file."""
    db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    db.execute("PRAGMA trusted_schema=OFF")
    db.execute("PRAGMA cell_size_check=ON")


def display_path(path: str) -> str:
    r"""Return a path as valid Unicode for people; bytes that are not UTF-8 read ``\xNN``.

    >>> display_path(os.fsdecode(b"caf\xe9.jpg"))
    'caf\\xe9.jpg'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def printable(path: str | bytes) -> str:
    r"""Return a path, or another text of one line, so that any terminal can print it.

    What would move the cursor, change colors or turn the direction of writing is escaped, and so is what is not UTF-8.

    >>> printable("line\nend.jpg")
    'line\\nend.jpg'
    """
    try:
        text = display_path(os.fsdecode(path))
    except UnicodeEncodeError:  # half a character, which no path holds but JSON may
        text = str(path).encode("utf-8", "backslashreplace").decode()
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" else c.encode("unicode_escape").decode() for c in text
    )


def folded(name: str) -> str:
    """Return what names have in common that differ in case or in the coding of accents.

    >>> folded("Caf\u00e9") == folded("CAFE\u0301")
    True
    """
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def counted(n: int, thing: str) -> str:
    """Return how many there are of something in words.

    >>> counted(1, "group"), counted(1_200, "group")
    ('1 group', '1,200 groups')
    """
    return f"{n:,} {thing}{'' if n == 1 else 's'}"
