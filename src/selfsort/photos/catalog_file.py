"""The file of a catalog: one SQLite file beside its run, safe against crashes and several processes."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from selfsort.errors import DataError
from selfsort.files import atomic_write, check_path, sync_folder
from selfsort.runtime import guard, write_ahead

#: What makes each version of the file of the one before; a file of an older version gets what it lacks.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE pictures (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)",
        "CREATE TABLE paths (path BLOB PRIMARY KEY, number INTEGER REFERENCES pictures, size INTEGER NOT NULL, "
        "mtime_ns INTEGER, status TEXT NOT NULL, scan INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE INDEX paths_of_picture ON paths (number)",
        "CREATE TABLE scans (number INTEGER PRIMARY KEY, at TEXT NOT NULL, root BLOB NOT NULL, changes TEXT NOT NULL)",
        "CREATE TABLE facts (facet TEXT NOT NULL, number INTEGER NOT NULL REFERENCES pictures, version INTEGER NOT "
        "NULL, value TEXT NOT NULL, PRIMARY KEY (facet, number)) WITHOUT ROWID",
        "CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize = 'trigram')",
        "CREATE TABLE entries (number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, body TEXT NOT NULL)",
        "CREATE TRIGGER entries_stay_the_same BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'only added'); END",
        "CREATE TRIGGER entries_stay BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'only added'); END",
        "CREATE TABLE groupings (number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, fingerprint TEXT NOT NULL "
        "UNIQUE)",
        "CREATE TABLE members (grouping INTEGER NOT NULL REFERENCES groupings ON DELETE CASCADE, number INTEGER NOT "
        "NULL REFERENCES pictures, found INTEGER NOT NULL, taught INTEGER NOT NULL, PRIMARY KEY (grouping, number)) "
        "WITHOUT ROWID",
        "CREATE TABLE last_keys (number INTEGER PRIMARY KEY REFERENCES pictures, key INTEGER NOT NULL)",
    ),
    ("CREATE TABLE person_names (person INTEGER PRIMARY KEY, name TEXT NOT NULL)",),
    ("ALTER TABLE pictures ADD COLUMN former TEXT",),  # the identity before contents were identified by SHA-256
    ("CREATE TABLE group_numbers (key INTEGER PRIMARY KEY, number INTEGER NOT NULL UNIQUE)",),
)
#: From this version on a file holds all that is needed to read it.
_READABLE = 1
#: How a file says that it is a catalog of selfsort: "sels".
_APPLICATION = 0x73656C73
_STATEMENTS = frozenset(statement for script in _MIGRATIONS for statement in script)
_TABLES = frozenset(
    words[3 if words[1] == "VIRTUAL" else 2]
    for words in map(str.split, _STATEMENTS)
    if words[:2] in (["CREATE", "TABLE"], ["CREATE", "VIRTUAL"])
)
#: The facet whose facts nobody but the owner of the file may read.
PRIVATE = "face vectors"


def _is_ours(kind: str, name: str, sql: str | None) -> bool:
    """Tell whether something in the schema of a file was made by `_MIGRATIONS`, or by SQLite for it."""
    if sql in _STATEMENTS or (kind == "index" and sql is None):
        return True
    if kind != "table" or sql is None or sql.upper().startswith("CREATE VIRTUAL"):
        return False
    return name in _TABLES or name.startswith(("texts_", "sqlite_"))  # what an index of texts is kept in


class CatalogFile:
    """What `selfsort.photos.catalog.Catalog` is kept in; a context manager, each for one thread.

    Parameters
    ----------
    path : Path
        Made if it does not exist; see `selfsort.photos.catalog.catalog_path`.
    make : bool
        Whether it may be made.
    read_only : bool
        Whether nothing is written, not even beside the file; also where nothing can be.

    Raises
    ------
    DataError
        If the file is none, is damaged, cannot be written, or is of a newer selfsort.
    """

    def __init__(self, path: Path, *, make: bool = True, read_only: bool = False) -> None:
        self.path, self._make = path, make and not read_only
        if (read_only or not make) and not path.exists():
            raise DataError(f"There is no catalog at {path}. `selfsort organize` makes it beside the run.")
        with self._explained():
            name: str | bytes = os.fsencode(path)
            if read_only:
                log = path.with_name(path.name + "-wal")  # others write, or were killed: it belongs to the file
                used = log.exists() and log.stat().st_size > 0
                name = path.absolute().as_uri() + ("?mode=ro" if used else "?mode=ro&immutable=1")
            self._db = sqlite3.connect(name, timeout=60, isolation_level=None, uri=read_only)
            try:
                guard(self._db)
                self._open(read_only)
            except BaseException:
                self._db.close()
                raise

    def _open(self, read_only: bool) -> None:
        self._db.execute("BEGIN")  # all three of one moment: another process may be making it just now
        (n_tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        schema = self._db.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        self._db.execute("COMMIT")
        if application != _APPLICATION and n_tables:
            raise DataError(f"{self.path} is a database of something else. Move it away, or give another folder.")
        if not (n_tables or self._make):
            raise DataError(
                f"The catalog {self.path} is empty: what was in it is lost. Put a backup in its place, or give "
                "selfsort organize again to begin anew."
            )
        if version > len(_MIGRATIONS):
            raise DataError(
                f"The catalog {self.path} has format {version}, this selfsort reads up to {len(_MIGRATIONS)}. "
                "Update selfsort."
            )
        for kind, name, sql in schema:
            if not _is_ours(kind, name, sql):
                raise DataError(
                    f"The catalog {self.path} has a {kind} {name!r} that selfsort did not make and that may alter "
                    "what is read. Put a backup in its place, or move it and the run away."
                )
        self._version = version
        if read_only:
            if version < _READABLE:
                raise DataError(f"The catalog {self.path} is of an older selfsort. Run selfsort organize again.")
            return
        write_ahead(self._db)
        self._db.execute("PRAGMA synchronous=FULL")  # what a person said is on the disk before the call returns
        self._db.execute("PRAGMA foreign_keys=ON")
        if version < len(_MIGRATIONS):
            with self._transaction():
                (version,) = self._db.execute("PRAGMA user_version").fetchone()  # another process may have been first
                for script in _MIGRATIONS[version:]:
                    for statement in script:
                        self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id={_APPLICATION}")
                self._db.execute(f"PRAGMA user_version={len(_MIGRATIONS)}")
            self._version = len(_MIGRATIONS)
            sync_folder(self.path.parent)  # SQLite does so for its logs, but not for a new database
        self._db.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
        if self._db.execute("SELECT 1 FROM facts WHERE facet = ? LIMIT 1", (PRIVATE,)).fetchone():
            self._make_private()

    def _make_private(self) -> None:
        """Let only the owner read the file and what SQLite has beside it, where the file system knows of owners."""
        for end in ("", "-wal", "-shm") if os.name == "posix" else ():
            with suppress(OSError):
                self.path.with_name(self.path.name + end).chmod(0o600)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite says into what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:  # disk full, no permission, or locked for a minute
            raise DataError(
                f"The catalog {self.path} cannot be used: {error}. Nothing in it is lost. Check the disk's space and "
                "permissions, and try again."
            ) from error
        except DataError:
            raise
        except (sqlite3.DatabaseError, ValueError) as error:  # the latter: of JSON in it
            raise DataError(
                f"The catalog {self.path} is damaged: {error}. Put a backup in its place (`selfsort catalog RUN "
                "--backup FILE` makes them); to begin anew without the corrections in it, move it and the run away."
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; other processes wait."""
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def check(self) -> list[str]:
        """Return what is wrong with the file, one line each; an empty list means that it is sound."""
        with self._explained():
            problems = [row[0] for row in self._db.execute("PRAGMA integrity_check") if row[0] != "ok"]
            for table, _, parent, _ in self._db.execute("PRAGMA foreign_key_check"):
                problems.append(f"a row of {table} points to a row of {parent} that is not there")
            try:
                self._db.execute("INSERT INTO texts (texts) VALUES ('integrity-check')")
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):  # nothing is known of the index, so nothing is wrong
                    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
                        return problems
                    raise
                problems.append(f"the index of texts: {error}")
        return problems

    def backup(self, path: Path) -> None:
        """Copy the catalog to a file that does not exist yet, also while others write to it."""
        refusal = f"{path} exists, and a backup replaces nothing. Give another name."
        check_path(path, "Give another name.")
        if os.path.lexists(path):
            raise DataError(refusal)
        try:
            with atomic_write(path, new=True) as temporary:
                temporary.chmod(stat.S_IMODE(temporary.stat().st_mode) & self.path.stat().st_mode)  # as private
                target = sqlite3.connect(os.fsencode(temporary))
                try:
                    self._db.backup(target)
                    target.execute("PRAGMA journal_mode=DELETE")  # one file, that can be carried away
                finally:
                    target.close()
        except FileExistsError as error:  # somebody made it just now
            raise DataError(refusal) from error
        except (sqlite3.Error, OSError) as error:
            raise DataError(
                f"The backup {path} cannot be written: {error}. Give another place; the catalog is as it was."
            ) from error
