"""The write-ahead journal of an export. It announces every step and limits what undo may touch.

The journal has one JSON line per step. An announcement is on disk before its step begins, and ``done`` confirms only
files that are on disk. So a truncated or lost line belongs to a step that had not begun, or whose result is
recognizable.

A journal may come from anybody. It is validated against one schema before anything is touched: it can name only what
an export of its mode makes, in its own folder. Names of temporary files are computed, never read.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfsort.errors import DataError
from selfsort.files import content_id, open_regular
from selfsort.photos.names import is_path, portable
from selfsort.photos.place import Place
from selfsort.photos.tables import TABLES
from selfsort.photos.xmp_text import MAX_BYTES

JOURNAL = "selfsort-export.jsonl"
#: Increase this when an earlier version would misread a journal.
FORMAT = 2
GONE, REPLACED, CHANGED = "it is not there any more", "it was replaced since", "it was changed since"
#: The only mode that may change existing files, write into any folder, and be repeated.
SIDECARS = "xmp"
#: Modes that make one folder for each group.
FOLDERS = ("copy", "hardlink", "symlink")
#: Kinds of files that each mode makes.
KINDS: dict[str, tuple[str, ...]] = {
    "copy": ("copy", "member"),
    "hardlink": ("hardlink",),
    "symlink": ("symlink",),
    SIDECARS: ("sidecar",),
    **dict.fromkeys(TABLES, ("table",)),
}
_LINE, _JOURNAL_BYTES = 2 * MAX_BYTES, 4 << 30
_HASH, _TOKEN = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{8}")
_BEGIN = b'{"do": "export", '


class _OtherFormatError(Exception):
    """A journal of another format."""


@dataclass
class Entry:
    """An announced file.

    Attributes
    ----------
    kind : str
        "copy", "member" (of an archive), "hardlink", "symlink", "table" or "sidecar".
    target : str
        Relative to the destination.
    hash : str
        `content_id` of its content; for a link, of its target.
    original : str
        Source file on disk; for a member, the archive. Empty for tables and sidecars.
    size, inode : int
        Size in bytes and inode of the original.
    mtime_ns : int
        Modification time of the original, or of the first version of a sidecar.
    before, replaces : str, optional
        For a sidecar, the first version, `packed`; and `content_id` of the version that this step replaces.
    done : bool
        Whether it is confirmed to be on disk.
    round : int
        Number of the export into this place that announced it last.
    """

    kind: str
    target: str
    hash: str
    original: str = ""
    size: int = 0
    inode: int = 0
    mtime_ns: int = 0
    before: str | None = None
    replaces: str | None = None
    done: bool = False
    round: int = 1

    @classmethod
    def read(cls, step: dict[str, Any], mode: str) -> Entry:
        """Validate a step of a journal. Raises `ValueError`."""
        entry = cls(**{key: value for key, value in step.items() if key not in ("do", "done", "round")})
        if entry.kind not in KINDS[mode]:
            raise ValueError(f"an export of mode {mode} makes no {_shown(entry.kind)}")
        _check_target(entry.target, mode)
        if mode in TABLES:
            fits = entry.target in TABLES[mode]
        else:
            fits = entry.target.lower().endswith(".xmp") if mode == SIDECARS else entry.target.count("/") == 1
        if not fits:
            raise ValueError(f"an export of mode {mode} makes no file {_shown(entry.target)}")
        hashes = (entry.hash, *(() if entry.replaces is None else (entry.replaces,)))
        numbers = (entry.size, entry.inode, entry.mtime_ns)
        sound = all(isinstance(value, str) and _HASH.fullmatch(value) for value in hashes)
        sound = sound and all(type(value) is int and -(1 << 63) <= value < 1 << 64 for value in numbers)
        sound = sound and abs(entry.mtime_ns) < 1 << 63 and isinstance(entry.original, str)
        sound = sound and "\0" not in entry.original and isinstance(entry.before, str | None)
        if not sound:
            raise ValueError(f"the entry of {_shown(entry.target)} has values of other types")
        if entry.before is not None:
            unpacked(entry.before)
        return entry

    def step(self) -> dict[str, Any]:
        """Return the journal line that announces it."""
        facts = {name: getattr(self, name) for name in ("kind", "target", "hash")}
        names = ("original", "size", "inode") if self.original else ("before", "replaces")
        if self.kind != "table":
            facts |= {name: getattr(self, name) for name in (*names, "mtime_ns")}
        return {"do": "plan", **facts}


@dataclass
class Journal:
    """Content of a journal file.

    Attributes
    ----------
    header : dict
        Header of the last export into this place. Empty if there is no journal, or it was truncated before anything was
        done.
    files : dict of str to Entry
        By target, in order of announcement.
    folders : list of str
        Folders made in the destination.
    length : int
        Offset of the end of the last complete line.
    rounds : int
        Number of exports into this place; only sidecars may have several.
    ended : bool
        Whether the last of them finished.
    """

    header: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Entry] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    length: int = 0
    rounds: int = 0
    ended: bool = False

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Read a journal. A missing one is empty.

        Raises
        ------
        DataError
            If it is a link or not a regular file, is unreadable or damaged, or has another version.
        """
        journal = cls()
        try:
            for line in _lines(path):
                journal._add(line)
                journal.length += len(line)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except _OtherFormatError as error:
            raise DataError(
                f"The journal {path} is of {error} version of selfsort, and this one cannot take its export back. Call "
                "undo of that version; or keep the files that were exported, and remove only the journal."
            ) from error
        except OSError as error:
            raise DataError(
                f"{path} cannot be read as a journal: {error.strerror}. Give another folder, or move it away."
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"The journal {path} is damaged or not made by selfsort, so nothing was touched: {_reason(error)}. "
                "Remove by hand what it lists, then the journal."
            ) from error
        return journal

    def temporary(self, target: str) -> str:
        """Return the temporary path of a file."""
        return temporary(self.header["token"], target)

    def _add(self, line: bytes) -> None:
        step = json.loads(line)
        do = step["do"]
        if not self.header and do != "export":
            raise ValueError("it does not begin with an export")
        if do == "export":
            self._begin(step)
        elif do == "end":
            self.ended = True
        elif do == "folder":
            _check_target(step["target"], self.header["mode"], is_folder=True)
            self.folders.append(step["target"])
        elif do == "plan":
            entry = Entry.read(step, self.header["mode"])
            self.files.pop(entry.target, None)
            entry.round = self.rounds
            self.files[entry.target] = entry
        elif do == "done":
            self.files[step["target"]].done = True
        else:
            raise ValueError(f"there is no step {_shown(do)}")

    def _begin(self, step: dict[str, Any]) -> None:
        if step.get("format", 1) != FORMAT:
            raise _OtherFormatError("an earlier" if step.get("format", 1) == 1 else "a newer")
        first = self.header or step
        mode, token, made = step["mode"], first["token"], first["made"]
        if mode not in KINDS or (self.header and not mode == first["mode"] == SIDECARS):
            raise ValueError(f"there cannot be an export of mode {_shown(mode)}")
        are_paths = isinstance(made, list) and all(isinstance(path, str) and "\0" not in path for path in made)
        if not _TOKEN.fullmatch(token) or not are_paths:
            raise ValueError("its first line has values of other types")
        self.header = {**step, "token": token, "made": made}
        self.rounds, self.ended = self.rounds + 1, False


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a journal up to where a crash truncated it."""
    with open(open_regular(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > _JOURNAL_BYTES:
            raise ValueError(f"it is larger than {_JOURNAL_BYTES >> 30} GiB")
        first = file.readline(_LINE)
        is_ours = first.startswith(_BEGIN) or _BEGIN.startswith(first) or not first.strip(b"\0")
        if not first.endswith(b"\n") and not is_ours:
            raise ValueError("it does not begin as a journal")
        cut = False
        line = first
        while line:
            is_whole = line.endswith(b"\n")
            if len(line) == _LINE and not is_whole:
                raise ValueError(f"it has a line of more than {_LINE >> 20} MiB")
            is_lost = b"\0" in line or not is_whole
            if cut and not is_lost and json.loads(line)["do"] != "done":  # it was synced after the lost lines
                raise ValueError("a part in the middle is lost")
            cut = cut or is_lost
            if not cut:
                yield line
            line = file.readline(_LINE)


def temporary(token: str, target: str) -> str:
    """Return the temporary path of a file: beside it, under a name that only exports use."""
    folder, slash, _ = target.rpartition("/")
    return f"{folder}{slash}.selfsort-{token}-{content_id(os.fsencode(target))[:16]}.tmp"


def _check_target(target: Any, mode: str, *, is_folder: bool = False) -> None:
    """Refuse targets that no export of this mode makes, and targets outside the destination."""
    if not isinstance(target, str) or not is_path(target):
        raise ValueError(f"{_shown(target)} is no place in the destination")
    first = target.split("/")[0]
    if is_folder and (mode in TABLES or (mode in FOLDERS and "/" in target)):
        raise ValueError(f"an export of mode {mode} makes no folder {_shown(target)}")
    if mode in FOLDERS and (portable(first) != first or first == JOURNAL):
        raise ValueError(f"an export of mode {mode} makes no folder {_shown(first)}")


def difference(place: Place, entry: Entry) -> str | None:
    """Return why the present file is not, or no longer, the announced file; None if it is."""
    try:
        found = place.lstat(entry.target)
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    if entry.kind == "symlink":
        same = stat.S_ISLNK(found.st_mode) and place.link_target(entry.target) == entry.original
        return None if same else REPLACED
    if not stat.S_ISREG(found.st_mode):
        return REPLACED
    if entry.kind == "hardlink":
        return None if found.st_ino == entry.inode else REPLACED
    return None if is_placeholder(found, entry) or place.hash(entry.target) == entry.hash else CHANGED


def is_placeholder(found: os.stat_result, entry: Entry) -> bool:
    """Tell whether this is the empty file that a killed `selfsort.files.move_new` leaves."""
    new = entry.kind in ("copy", "member", "table") or (entry.kind == "sidecar" and entry.replaces is None)
    return not entry.done and new and stat.S_ISREG(found.st_mode) and found.st_size == 0


def packed(content: bytes) -> str:
    """Encode bytes for a journal."""
    return base64.b64encode(zlib.compress(content)).decode("ascii")


def unpacked(text: str) -> bytes:
    """Decode bytes from a journal. Raises `ValueError` if they are invalid, or larger than a sidecar may be."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(base64.b64decode(text, validate=True), MAX_BYTES + 1)
    except zlib.error as error:
        raise ValueError("a sidecar that it keeps is damaged") from error
    if len(content) > MAX_BYTES or not unpacker.eof:
        raise ValueError("a sidecar that it keeps is damaged")
    return content


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"{_shown(error.args[0])} is missing"
    if isinstance(error, RecursionError):
        return "a line is nested too deeply"
    with suppress(IndexError):
        return str(error.args[0]).splitlines()[0][:200]
    return type(error).__name__
