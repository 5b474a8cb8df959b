"""What is known of one library of pictures, and what people said of it: one SQLite file beside its run.

Unlike the cache, it holds what cannot be made again: people's corrections. It is safe against crashes and several
processes: every change is one transaction in a write-ahead log that is on the disk before the call returns.
"""

from __future__ import annotations

import json
import os
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfsort.errors import DataError
from selfsort.photos.changes import Changes, Scanned, compare
from selfsort.runtime import write_ahead

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
)
#: How a file says that it is a catalog of selfsort: "sels".
_APPLICATION = 0x73656C73
#: The facet whose facts nobody but the owner of the file may read.
PRIVATE = "face vectors"
#: So many runs are known by the groups they found.
_N_GROUPINGS = 10


def catalog_path(run: Path) -> Path:
    """Return where the catalog of a run lies: beside it.

    >>> catalog_path(Path("photos.selfsort")).name
    'photos.selfsort.catalog'
    """
    return run.with_name(run.name + ".catalog")


class Catalog:
    """The catalog of one library; use it as a context manager, each from one thread.

    Parameters
    ----------
    path : Path
        Made if it does not exist; see `catalog_path`.
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
        self.path = path
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
                self._open(read_only)
            except BaseException:
                self._db.close()
                raise

    def _open(self, read_only: bool) -> None:
        self._db.execute("BEGIN")  # all three of one moment: another process may be making it just now
        (n_tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        self._db.execute("COMMIT")
        if application != _APPLICATION and n_tables:
            raise DataError(f"{self.path} is a database of something else. Move it away, or give another folder.")
        if version > len(_MIGRATIONS):
            raise DataError(
                f"The catalog {self.path} has format {version}, this selfsort reads up to {len(_MIGRATIONS)}. "
                "Update selfsort."
            )
        if read_only:
            if version < len(_MIGRATIONS):
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
        except sqlite3.DatabaseError as error:
            raise DataError(
                f"The catalog {self.path} is damaged: {error}. Put a backup in its place (`selfsort catalog RUN "
                "--backup FILE` makes them), or move it away to begin anew: the corrections in it are then not used."
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

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def scan(self, root: str, found: Iterable[Scanned]) -> Changes:
        """Note every file that is there now, and return what changed since the last scan.

        Of what is gone, content, facts and corrections are kept: it may come back.
        """
        with self._transaction():
            (scan,) = self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM scans").fetchone()
            before = dict(
                self._db.execute(
                    "SELECT path, id FROM paths LEFT JOIN pictures USING (number) WHERE scan = ?", (scan - 1,)
                )
            )
            seen = {row[0] for row in self._db.execute("SELECT id FROM pictures")}
            now = {os.fsencode(item.path): item for item in found}
            fresh = dict.fromkeys(item.id for item in now.values() if item.id and item.id not in seen)
            self._db.executemany("INSERT INTO pictures (id) VALUES (?)", ((content,) for content in fresh))
            self._db.executemany(
                "INSERT OR REPLACE INTO paths VALUES (?, (SELECT number FROM pictures WHERE id = ?), ?, ?, ?, ?)",
                ((path, item.id, item.size, item.mtime_ns, item.status, scan) for path, item in now.items()),
            )
            changes = compare(before, {path: item.id or None for path, item in now.items()})
            self._db.execute(
                "INSERT INTO scans VALUES (?, ?, ?, ?)", (scan, _now(), os.fsencode(root), _json(changes.counts()))
            )
        return changes

    def numbers(self) -> dict[str, int]:
        """Return content -> the number it has in this catalog."""
        with self._explained():
            return dict(self._db.execute("SELECT id, number FROM pictures"))

    def paths(self, content: str) -> list[str]:
        """Return where this content lay when the last scan was made."""
        with self._explained():
            rows = self._db.execute(
                "SELECT path FROM paths JOIN pictures USING (number) WHERE id = ? AND scan = "
                "(SELECT max(number) FROM scans) ORDER BY path",
                (content,),
            )
            return [os.fsdecode(path) for (path,) in rows]

    def mtimes(self) -> dict[bytes, int]:
        """Return path -> nanoseconds since 1970 at which the file was last changed, by the last scan, where known."""
        with self._explained():
            return dict(
                self._db.execute(
                    "SELECT path, mtime_ns FROM paths WHERE mtime_ns IS NOT NULL AND scan = "
                    "(SELECT max(number) FROM scans)"
                )
            )

    def lacking(self, facet: str, version: int, contents: Iterable[str]) -> list[str]:
        """Return those of the contents that have no fact of this facet and version."""
        with self._explained():
            rows = self._db.execute(
                "SELECT id FROM facts JOIN pictures USING (number) WHERE facet = ? AND version = ?", (facet, version)
            )
            known = {content for (content,) in rows}
        return [content for content in contents if content not in known]

    def facts(self, facet: str, version: int | None = None) -> dict[str, Any]:
        """Return content -> what is known of it, of any version unless one is given."""
        with self._explained():
            rows = self._db.execute(
                "SELECT id, value FROM facts JOIN pictures USING (number) WHERE facet = ? AND version = "
                "coalesce(?, version)",
                (facet, version),
            )
            return {content: json.loads(value) for content, value in rows}

    def fact(self, facet: str, content: str) -> Any:
        """Return what is known of one content; None if nothing is."""
        with self._explained():
            row = self._db.execute(
                "SELECT value FROM facts WHERE facet = ? AND number = (SELECT number FROM pictures WHERE id = ?)",
                (facet, content),
            ).fetchone()
            return json.loads(row[0]) if row else None

    def count_facts(self) -> dict[str, tuple[int, int]]:
        """Return facet -> how many facts there are, and the highest of their versions."""
        with self._explained():
            rows = self._db.execute("SELECT facet, count(*), max(version) FROM facts GROUP BY facet ORDER BY facet")
            return {facet: (n, version) for facet, n, version in rows}

    def add_facts(self, facet: str, version: int, values: Mapping[str, Any]) -> None:
        """Keep facts of contents that a scan has seen; they take the place of earlier ones."""
        rows = ((facet, version, _json(value), content) for content, value in values.items())
        if facet == PRIVATE:
            self._make_private()
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO facts (facet, version, value, number) "
                "SELECT ?, ?, ?, number FROM pictures WHERE id = ?",
                rows,
            )

    def forget(self, facet: str, *, but: int = -1) -> int:
        """Delete the facts of a facet, but for those of one version, and leave nothing of them in the file.

        Returns how many there were. Backups have them still. Raises `DataError` if another program reads the catalog
        for a minute, as the file has them then, too; a second call removes them.
        """
        with self._transaction():
            rows = self._db.execute("DELETE FROM facts WHERE facet = ? AND version <> ?", (facet, but))
        with self._explained():
            if rows.rowcount or self._db.execute("PRAGMA freelist_count").fetchone()[0]:
                self._db.execute("VACUUM")  # pages of what was deleted before may be there still
            busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise DataError(
                f"What was deleted ({facet}) can still be read in the file {self.path}, as another program is using "
                "it. Close the page of selfsort review, and what else uses the run, and call this again."
            )
        return rows.rowcount

    def add_texts(self, texts: Mapping[str, str]) -> None:
        """Make texts of contents that a scan has seen findable; they take the place of earlier ones."""
        with self._transaction():
            for content, text in texts.items():
                self._db.execute(
                    "DELETE FROM texts WHERE rowid = (SELECT number FROM pictures WHERE id = ?)", (content,)
                )
                if text:
                    self._db.execute(
                        "INSERT INTO texts (rowid, text) SELECT number, ? FROM pictures WHERE id = ?",
                        (_plain(text), content),
                    )

    def search(self, words: str) -> list[str]:
        """Return the contents whose text holds every one of the words, in any place and any language."""
        parts = [f"%{word.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%" for word in _plain(words).split()]
        if not parts:
            return []
        where = " AND ".join("text LIKE ? ESCAPE '!'" for _ in parts)
        with self._explained():
            rows = self._db.execute(
                f"SELECT id FROM texts JOIN pictures ON number = texts.rowid WHERE {where} ORDER BY number", parts
            )
            return [content for (content,) in rows]

    def append(self, *bodies: Mapping[str, Any]) -> int:
        """Add entries to the log of corrections, all or none; return the number of the first, the others follow it."""
        first = 0
        with self._transaction():
            for body in bodies:
                cursor = self._db.execute("INSERT INTO entries (at, body) VALUES (?, ?)", (_now(), _json(body)))
                first = first or int(cursor.lastrowid or 0)
        return first

    def last_entry(self) -> int:
        """Return the number of the newest entry, 0 if there is none."""
        with self._explained():
            return int(self._db.execute("SELECT coalesce(max(number), 0) FROM entries").fetchone()[0])

    def entries(self, after: int = 0) -> list[tuple[int, str, dict[str, Any]]]:
        """Return the log of corrections as (number, time, entry), oldest first."""
        with self._explained():
            rows = self._db.execute("SELECT number, at, body FROM entries WHERE number > ? ORDER BY number", (after,))
            return [(number, at, json.loads(body)) for number, at, body in rows]

    def add_grouping(self, fingerprint: str, members: Mapping[str, tuple[int, int]]) -> None:
        """Keep the keys of each content's group in the run of this fingerprint, which is then the newest."""
        with self._transaction():
            self._db.execute("DELETE FROM groupings WHERE fingerprint = ?", (fingerprint,))
            grouping = self._db.execute(
                "INSERT INTO groupings (at, fingerprint) VALUES (?, ?)", (_now(), fingerprint)
            ).lastrowid
            self._db.executemany(
                "INSERT INTO members SELECT ?, number, ?, ? FROM pictures WHERE id = ?",
                ((grouping, found, taught, content) for content, (found, taught) in members.items()),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO last_keys SELECT number, ? FROM pictures WHERE id = ?",
                ((found, content) for content, (found, _) in members.items() if found != -1),
            )
            self._db.execute(
                "DELETE FROM groupings WHERE number NOT IN (SELECT number FROM groupings ORDER BY number DESC LIMIT ?)",
                (_N_GROUPINGS,),
            )

    def grouping(self, fingerprint: str | None = None) -> dict[str, tuple[int, int]]:
        """Return content -> keys of its group in the run of this fingerprint, by default the newest; empty if none.

        The first key is of the group that was found from the pictures alone, the second of the one it has after what
        corrections of other pictures teach; -1 for none.
        """
        which = "fingerprint = ?" if fingerprint else "number = (SELECT max(number) FROM groupings)"
        with self._explained():
            rows = self._db.execute(
                "SELECT id, found, taught FROM members JOIN pictures USING (number) WHERE grouping = "
                f"(SELECT number FROM groupings WHERE {which})",
                (fingerprint,) if fingerprint else (),
            )
            return {content: (found, taught) for content, found, taught in rows}

    def last_keys(self) -> dict[str, int]:
        """Return content -> key of the group that was found for it last, also of pictures that are gone now."""
        with self._explained():
            return dict(self._db.execute("SELECT id, key FROM last_keys JOIN pictures USING (number)"))

    def first_key(self) -> int:
        """Return a number from which on no key of a group of any run so far lies."""
        with self._explained():
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'groupings'").fetchone()
            return ((row[0] if row else 0) + 1) << 20

    def check(self) -> list[str]:
        """Return what is wrong with the file, one line each; an empty list means that it is sound."""
        with self._explained():
            problems = [row[0] for row in self._db.execute("PRAGMA integrity_check") if row[0] != "ok"]
            for table, _, parent, _ in self._db.execute("PRAGMA foreign_key_check"):
                problems.append(f"a row of {table} points to a row of {parent} that is not there")
            try:
                self._db.execute("INSERT INTO texts (texts) VALUES ('integrity-check')")
            except sqlite3.DatabaseError as error:
                problems.append(f"the index of texts: {error}")
        return problems

    def backup(self, path: Path) -> None:
        """Copy the catalog to a file that does not exist yet, also while others write to it."""
        if path.exists():
            raise DataError(f"{path} exists, and a backup replaces nothing. Give another name.")
        try:
            path.touch(self.path.stat().st_mode & 0o666)  # as private as the catalog is
            target = sqlite3.connect(os.fsencode(path))
            try:
                self._db.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")  # one file, that can be carried away
            finally:
                target.close()
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, sqlite3.Error | OSError):
                raise DataError(
                    f"The backup {path} cannot be written: {error}. Give another place; the catalog is as it was."
                ) from error
            raise


def _plain(text: str) -> str:
    """Return a text as it is searched: letters in one form, whatever their case and width."""
    return unicodedata.normalize("NFKC", text).casefold()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
