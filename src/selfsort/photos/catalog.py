"""What is known of one library of pictures, and what people said of it: one SQLite file beside its run.

Unlike the cache, it holds what cannot be made again: people's corrections. It is safe against crashes and several
processes: every change is one transaction in a write-ahead log that is on the disk before the call returns.
"""

from __future__ import annotations

import json
import os
import sqlite3
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from selfsort.errors import DataError
from selfsort.photos.catalog_file import PRIVATE, CatalogFile
from selfsort.photos.changes import Changes, Scanned, compare
from selfsort.photos.state import own_key

#: From this version of the file on pictures have a former identity.
_FORMER = 3
#: The catalog knows this number of runs by the groups they found.
_N_GROUPINGS = 10


def catalog_path(run: Path) -> Path:
    """Return where the catalog of a run lies: beside it.

    >>> catalog_path(Path("photos.selfsort")).name
    'photos.selfsort.catalog'
    """
    return beside(run, ".catalog")


def beside(run: Path, ending: str) -> Path:
    """Return the file of a run that lies beside it, by the whole name of the run.

    Earlier versions left ``.selfsort`` out of the name, so that two runs could share a file: where there is only such a
    one, and no other run that it may be of, it is used on.
    """
    path = run.with_name(run.name + ending)
    short = run.name.removesuffix(".selfsort")
    earlier = run.with_name(short + ending)
    is_ours = short != run.name and earlier.exists() and not path.exists() and not run.with_name(short).exists()
    return earlier if is_ours else path


class Catalog(CatalogFile):
    """The catalog of one library; use it as a context manager, each from one thread.

    Parameters and errors are those of `CatalogFile`.
    """

    def scan(self, root: str, found: Iterable[Scanned]) -> Changes:
        """Note every file that is there now, and return what changed since the last scan.

        Of what is gone, content, facts and corrections are kept: it may come back.
        """
        with self._transaction():
            (scan,) = self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM scans").fetchone()
            now = {os.fsencode(item.path): item for item in found}
            self._identify_anew(now)
            before = dict(
                self._db.execute(
                    "SELECT path, id FROM paths LEFT JOIN pictures USING (number) WHERE scan = ?", (scan - 1,)
                )
            )
            self._note(item.id for item in now.values() if item.id)
            self._db.executemany(
                "INSERT OR REPLACE INTO paths VALUES (?, (SELECT number FROM pictures WHERE id = ?), ?, ?, ?, ?)",
                ((path, item.id, item.size, item.mtime_ns, item.status, scan) for path, item in now.items()),
            )
            changes = compare(before, {path: item.id or None for path, item in now.items()})
            self._db.execute(
                "INSERT INTO scans VALUES (?, ?, ?, ?)", (scan, _now(), os.fsencode(root), _json(changes.counts()))
            )
        return changes

    def _identify_anew(self, now: Mapping[bytes, Scanned]) -> None:
        """Give pictures with a former identity, of 32 digits, the one of now, by files that did not change since."""
        self._db.executemany(
            "UPDATE OR IGNORE pictures SET former = id, id = ? WHERE length(id) = 32 AND number = "
            "(SELECT number FROM paths WHERE path = ? AND size = ? AND mtime_ns IS ?)",
            ((item.id, path, item.size, item.mtime_ns) for path, item in now.items() if item.id),
        )

    def _note(self, contents: Iterable[str]) -> None:
        """Give a number to each content that has none."""
        self._db.executemany("INSERT OR IGNORE INTO pictures (id) VALUES (?)", ((content,) for content in contents))

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
        known = self.known(facet, version)
        return [content for content in contents if content not in known]

    def known(self, facet: str, version: int) -> set[str]:
        """Return the contents that have a fact of this facet and version."""
        with self._explained():
            rows = self._db.execute(
                "SELECT id FROM facts JOIN pictures USING (number) WHERE facet = ? AND version = ?", (facet, version)
            )
            return {content for (content,) in rows}

    def facts(self, facet: str, version: int | None = None) -> dict[str, Any]:
        """Return content -> what is known of it, of any version unless one is given."""
        with self._explained():
            rows = self._db.execute(
                "SELECT id, value FROM facts JOIN pictures USING (number) WHERE facet = ? AND version = "
                "coalesce(?, version)",
                (facet, version),
            )
            return {content: _parsed(value) for content, value in rows}

    def fact(self, facet: str, content: str) -> Any:
        """Return what is known of one content; None if nothing is."""
        with self._explained():
            row = self._db.execute(
                "SELECT value FROM facts WHERE facet = ? AND number = (SELECT number FROM pictures WHERE id = ?)",
                (facet, content),
            ).fetchone()
            return _parsed(row[0]) if row else None

    def count_facts(self) -> dict[str, tuple[int, int]]:
        """Return facet -> how many facts there are, and the highest of their versions."""
        with self._explained():
            rows = self._db.execute("SELECT facet, count(*), max(version) FROM facts GROUP BY facet ORDER BY facet")
            return {facet: (n, version) for facet, n, version in rows}

    def add_facts(self, facet: str, version: int, values: Mapping[str, Any]) -> None:
        """Keep facts of contents; they take the place of earlier ones."""
        rows = ((facet, version, _json(value), content) for content, value in values.items())
        if facet == PRIVATE:
            self._make_private()
        with self._transaction():
            self._note(values)
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
                self._vacuum()  # pages of what was deleted before may be there still
            busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise DataError(
                f"What was deleted ({facet}) can still be read in the file {self.path}, as another program is using "
                "it. Close the page of selfsort review, and what else uses the run, and call this again."
            )
        return rows.rowcount

    def _vacuum(self) -> None:
        """Write the file anew, which SQLite does in a database that it attaches for that time."""
        self._db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 1)
        try:
            self._db.execute("VACUUM")
        finally:
            self._db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)

    def person_names(self) -> dict[int, str]:
        """Return what people call the persons they named, by number."""
        if self._version < 2:  # an older file, opened only to be read
            return {}
        with self._explained():
            return dict(self._db.execute("SELECT person, name FROM person_names"))

    def name_persons(self, names: Mapping[int, str]) -> None:
        """Keep what persons are called, by number; where a name is empty, what the person was called is deleted."""
        with self._transaction():
            self._db.executemany("DELETE FROM person_names WHERE person = ?", ((person,) for person in names))
            given = ((person, name) for person, name in names.items() if name)
            self._db.executemany("INSERT INTO person_names VALUES (?, ?)", given)

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
                        (plain(text), content),
                    )

    def search(self, words: str) -> list[str]:
        """Return the contents whose text holds every one of the words, in any place and any language."""
        parts = [f"%{word.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%" for word in plain(words).split()]
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
                number = int(cursor.lastrowid or 0)
                first = first or number
                if body.get("do") == "split":
                    self._number([own_key(number)])
        return first

    def last_entry(self) -> int:
        """Return the number of the newest entry, 0 if there is none."""
        with self._explained():
            return int(self._db.execute("SELECT coalesce(max(number), 0) FROM entries").fetchone()[0])

    def entries(self, after: int = 0) -> list[tuple[int, str, dict[str, Any]]]:
        """Return the log of corrections as (number, time, entry), oldest first."""
        with self._explained():
            rows = self._db.execute("SELECT number, at, body FROM entries WHERE number > ? ORDER BY number", (after,))
            entries = [(number, at, _entry(body)) for number, at, body in rows]
            former = {}
            if self._version >= _FORMER:
                former = dict(self._db.execute("SELECT former, id FROM pictures WHERE former IS NOT NULL"))
        for _, _, body in entries if former else ():
            if "pictures" in body:
                body["pictures"] = [former.get(content, content) for content in body["pictures"]]
        return entries

    def group_numbers(self) -> dict[int, int]:
        """Return key -> number of each group that has a number; see `number_groups`."""
        if self._version < 4:  # an older file, opened only to be read
            return {}
        with self._explained():
            return dict(self._db.execute("SELECT key, number FROM group_numbers"))

    def number_groups(self, keys: Iterable[int]) -> None:
        """Give each group that has no number the next one, in this order. No number is ever used for another group."""
        with self._transaction():
            self._number(keys)

    def _number(self, keys: Iterable[int]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO group_numbers SELECT ?, coalesce(max(number), -1) + 1 FROM group_numbers",
            ((key,) for key in keys),
        )

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


def plain(text: str) -> str:
    """Return a text as it is searched: letters in one form, whatever their case and width."""
    return unicodedata.normalize("NFKC", text).casefold()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _parsed(text: str) -> Any:
    """Parse what a catalog holds; raise `ValueError` if it is not JSON."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deep") from error


def _entry(text: str) -> dict[str, Any]:
    """Return one entry of the log, whose values are of the kinds that corrections have."""
    body = _parsed(text)
    kinds = dict.fromkeys(("group", "into", "part", "undo", "redo"), int) | {"name": str, "do": str}
    lists = {"pictures": str, "groups": int}
    if not isinstance(body, dict) or len(body.keys() & {"do", "undo", "redo"}) != 1:
        raise ValueError("its log has an entry that is no correction")
    for name, value in body.items():
        one, many = kinds.get(name), lists.get(name)
        if not (
            (one is not None and type(value) is one)
            or (many is not None and isinstance(value, list) and all(type(part) is many for part in value))
        ):
            raise ValueError(f"its log has an entry with {name[:40]!r} of another kind")
    return body
