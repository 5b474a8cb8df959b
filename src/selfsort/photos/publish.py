"""Put a finished run in its place, and nothing in it before.

Stages are kept in a hidden folder beside the run. The run is written there, and moved as a whole when it is complete.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from selfsort.clusters import ARRAYS, Clusters
from selfsort.errors import DataError
from selfsort.report import write_report
from selfsort.runtime import Clock

RUN_FILES = {"run.json", "items.parquet", "groups.json", "thumbnails.parquet", "report.html", "confusion.png"} | {
    f"{name}.npy" for name in ARRAYS
}


def check_target(target: Path, shown: Path | None = None) -> None:
    """Refuse a folder that holds anything but a run of ours; `shown` is its name for people, if it has another."""
    shown = shown or target
    if target.is_symlink() and not target.exists():
        raise DataError(f"{shown} is a link to nowhere. Give another folder with -o.")
    names = {path.name for path in target.iterdir()} if target.is_dir() else set()
    if foreign := sorted(names - RUN_FILES):
        raise DataError(
            f"{shown} holds {foreign[0]!r}, which no run does, so it is not replaced. "
            "Move it away, or give a new folder with -o."
        )
    if names and not _is_ours(target):
        raise DataError(
            f"{shown} holds files and is not a run folder, so it is not replaced. Give a new folder with -o."
        )
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file. Give a folder with -o.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{target.parent} cannot be made: {error.strerror}. Give another folder with -o.") from error


def _is_ours(folder: Path) -> bool:
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(run, dict) and {"schema", "selfsort", "fingerprint"} <= run.keys()


def unchanged(target: Path, fingerprint: str) -> Clusters | None:
    """Return the run at `target` if it is complete and depends on just the same things."""
    if not (target / "report.html").exists():
        return None
    with contextlib.suppress(DataError):
        clusters = Clusters.load(target)
        if clusters.run.get("fingerprint") == fingerprint:
            return clusters
    return None


@contextlib.contextmanager
def workplace(target: Path | None) -> Iterator[Path | None]:
    """Yield the folder beside the target where stages are kept until the run is whole; one process at a time."""
    if target is None:
        yield None
        return
    work = target.with_name(f".{target.name}.partial")
    try:
        work.mkdir(exist_ok=True)
        lock = (work / "lock").open("w")
    except OSError as error:
        raise DataError(f"{target.parent} cannot be written: {error.strerror}. Give another folder with -o.") from error
    with lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"Another selfsort is writing {target} now. Wait for it, or give another folder."
            ) from error
        except (ImportError, OSError):  # Windows, or a network drive without locks
            pass
        try:
            yield work
        except BaseException:
            if not any(work.glob("*.npy")):  # nothing worth keeping for the next attempt
                shutil.rmtree(work, ignore_errors=True)
            raise
        shutil.rmtree(work, ignore_errors=True)


def publish(clusters: Clusters, figure: bytes | None, work: Path, target: Path, clock: Clock) -> None:
    """Write the run and its page in the workplace, then move them to the target; an earlier run there goes."""
    fresh, old = work / "run", work / "old"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    write_report(clusters, fresh / "report.html", figure=figure)
    clock("report")
    clusters.save(fresh)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        try:
            check_target(old, shown=target)  # again: hours may have passed, and somebody may have put something there
            fresh.rename(target)
        except BaseException:
            old.rename(target)
            raise
    else:
        fresh.rename(target)
    clusters.path = target
