"""Log of files of a run that were moved to the trash or restored; each step is logged before and after it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.files import open_regular, sync, sync_folder
from selfsort.photos.catalog import beside
from selfsort.photos.place import write_all

#: Log entries before and after a move to the trash, and before and after a restore.
TRASH, TRASHED, RESTORE, RESTORED, FAILED = "trash", "trashed", "restore", "restored", "failed"
_MAX_BYTES = 1 << 30


def trash_log(run: Path) -> Path:
    """Return the path of the trash log of a run, beside the run."""
    return beside(run, ".trashed.jsonl")


def note(log: Path, do: str, path: str, **facts: Any) -> None:
    """Add a line to the log. It is on disk before the call returns.

    Raises
    ------
    DataError
        If it cannot be written, or is not a regular file.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"at": at, "do": do, "path": path, **facts}).encode("ascii") + b"\n"
    try:
        is_new = not os.path.lexists(log)
        file = open_regular(log, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            end = os.lseek(file, 0, os.SEEK_END)
            if end:
                os.lseek(file, end - 1, os.SEEK_SET)
                if os.read(file, 1) != b"\n":  # a line truncated by a crash or a full disk
                    line = b"\n" + line
            write_all(file, line)
            sync(file)
        finally:
            os.close(file)
        if is_new:
            sync_folder(log.parent)
    except OSError as error:
        raise DataError(
            f"The journal {log} cannot be written: {error.strerror}. Nothing more is moved without it."
        ) from error


def noted(log: Path) -> dict[str, dict[str, Any]]:
    """Return the last entry of each path, with the facts from its move to the trash.

    Skips truncated lines. A missing or unreadable log counts as empty.
    """
    found: dict[str, dict[str, Any]] = {}
    for fact in _facts(log):
        found[fact["path"]] = found.get(fact["path"], {}) | fact
    return found


def _facts(log: Path) -> Iterator[dict[str, Any]]:
    try:
        with open(open_regular(log), "rb") as file:
            lines = file.read(_MAX_BYTES).split(b"\n")
    except OSError:
        return
    for line in lines:
        try:
            fact = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(fact, dict) and all(isinstance(fact.get(key), str) for key in ("path", "do")):
            yield fact


def in_trash(log: Path, root: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of `noted` for files that are in the trash and were not put back."""
    # a file that was only announced, by a killed call, has gone if it is missing
    gone = {path: fact for path, fact in noted(log).items() if fact["do"] in (TRASH, TRASHED, RESTORE)}
    return {path: fact for path, fact in gone.items() if "\0" not in path and not os.path.lexists(root / path)}


def trashed(run: Path, root: Path) -> set[str]:
    """Return the paths, as a run has them, of files that were moved to the trash and not put back."""
    return set(in_trash(trash_log(run), root))


def trashed_rows(clusters: Clusters) -> npt.NDArray[np.bool_]:
    """Return whether the file of each row of a run is in the trash, shape (n,)."""
    gone: set[str] = set()
    if clusters.path is not None and clusters.run.get("source") in ("folder", "list"):
        gone = trashed(clusters.path.resolve(), Path(clusters.run.get("root") or ""))
    if not gone:
        return np.zeros(len(clusters.ok), bool)
    return np.array([os.fsdecode(path) in gone for path in clusters.items.column("path_bytes").to_pylist()], bool)
