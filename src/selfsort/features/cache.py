"""What has been read and encoded before: one SQLite file, safe against crashes and several processes.

Two tables. ``files`` remembers the content hash of a path as long as its stamp (size, time) is unchanged, so nothing is
read twice. ``pictures`` holds what one encoder made of one content: its features, size and thumbnail, or the reason
why it cannot be decoded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from selfsort.errors import DataError
from selfsort.runtime import cache_dir, guard, write_ahead

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, stamp TEXT NOT NULL, id TEXT NOT NULL, sum TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures (
    encoder TEXT NOT NULL, id TEXT NOT NULL, status TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    format TEXT NOT NULL, features BLOB, thumbnail BLOB, sum TEXT NOT NULL, PRIMARY KEY (encoder, id));
"""
#: Raise when the tables change, or contents get other identities: what is kept is then given up.
_VERSION = 2
_IDS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """What one encoder made of one content; `features` (float16) and `thumbnail` (JPEG) are None unless "ok"."""

    id: str
    status: str
    width: int = 0
    height: int = 0
    format: str = ""
    features: npt.NDArray[np.float16] | None = None
    thumbnail: bytes | None = None


class Cache:
    """The cache file of this user; use it as a context manager, from one thread.

    Parameters
    ----------
    path : Path, optional
        By default ``cache.sqlite`` in the cache folder (`selfsort.runtime.cache_dir`).
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_dir() / "cache.sqlite"
        self._damaged: list[tuple[str, str]] = []
        with self._explained():
            self._open()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite says into what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:  # disk full, no permission, or locked for a minute
            raise DataError(
                f"The cache {self.path} cannot be used: {error}. Free some space, or set SELFSORT_CACHE to a folder "
                "with room, and run the same command again: what is done is kept."
            ) from error
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"The cache {self.path} is damaged: {error}. It holds nothing that cannot be made again: delete it and "
                "run the same command again."
            ) from error

    def _open(self) -> None:
        self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        guard(self._db)
        write_ahead(self._db)
        self._db.execute("PRAGMA synchronous=NORMAL")  # a power cut may lose the last pictures, never harm the file
        if self._db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            self._db.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} SELECT path, stamp, id FROM files; SELECT encoder, id FROM pictures;"
                f"DROP TABLE files; DROP TABLE pictures; {_SCHEMA} PRAGMA user_version={_VERSION}; COMMIT;"
            )
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *exc: object) -> None:
        self._db.close()

    def known_files(self, paths: Sequence[bytes]) -> dict[bytes, tuple[str, str]]:
        """Return path -> (stamp, id) of the paths seen before."""
        rows = self._select("SELECT path, stamp, id, sum FROM files WHERE path IN ({})", [], paths)
        return {path: (stamp, content) for path, stamp, content, known in rows if _sum(path, stamp, content) == known}

    def known_ids(self, encoder: str) -> set[str]:
        """Return the contents that this encoder has seen."""
        with self._explained():
            return {row[0] for row in self._db.execute("SELECT id FROM pictures WHERE encoder = ?", (encoder,))}

    def entries(self, encoder: str, ids: Sequence[str]) -> Iterator[Entry]:
        """Yield what is known of these contents, in no particular order; what is damaged is noted for `forget`."""
        query = (
            "SELECT id, status, width, height, format, features, thumbnail, sum FROM pictures "
            "WHERE encoder = ? AND id IN ({})"
        )
        for *row, known in self._select(query, [encoder], ids):
            if _sum(encoder, *row) != known:
                self._damaged.append((encoder, row[0]))
                continue
            content, status, width, height, kind, features, thumbnail = row
            vector = None if features is None else np.frombuffer(features, np.float16)
            yield Entry(content, status, width, height, kind, vector, thumbnail)

    def forget_damaged(self) -> int:
        """Remove what `entries` found to be damaged, so that it is made again; return how many there were."""
        damaged, self._damaged = self._damaged, []
        if damaged:
            with self._explained(), self._db:
                self._db.executemany("DELETE FROM pictures WHERE encoder = ? AND id = ?", damaged)
        return len(damaged)

    def _select(
        self, query: str, first: list[str], values: Sequence[str] | Sequence[bytes]
    ) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(values), _IDS_PER_QUERY):
            part = values[start : start + _IDS_PER_QUERY]
            with self._explained():
                rows = self._db.execute(query.format(",".join("?" * len(part))), [*first, *part]).fetchall()
            yield from rows

    def add(self, encoder: str, entries: Iterable[Entry], files: Iterable[tuple[bytes, str, str]]) -> None:
        """Store contents and the (path, stamp, id) of files in one transaction."""
        rows = []
        for e in entries:
            features = None if e.features is None else e.features.tobytes()
            row = (encoder, e.id, e.status, e.width, e.height, e.format, features, e.thumbnail)
            rows.append((*row, _sum(*row)))
        with self._explained(), self._db:  # one transaction, rolled back if anything fails
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO pictures VALUES (?,?,?,?,?,?,?,?,?)", rows)
            stamped = ((*file, _sum(*file)) for file in files)
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?,?,?,?)", stamped)


def _sum(*values: str | int | bytes | None) -> str:
    """Return the checksum of a row: a disk that forgets a bit must not change anybody's groups."""
    digest = xxhash.xxh3_64()
    for value in values:
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()
