"""Get the groups out of a run, as folders of pictures, as tables or as tags in sidecars; every step can be taken back.

Originals are only read, and compared with the content that the run saw. No existing file is ever replaced, but for
sidecars, into which tags are put while the journal keeps what was there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from selfsort.arguments import CALL, FLAG, PATH, TEXT, WHOLE, checked, of, optional
from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.files import check_path, make_folders
from selfsort.images import Unreadable
from selfsort.photos import tables
from selfsort.photos.belonging import SIDECAR_NAMES, SidecarNames
from selfsort.photos.corrected import Corrected, opened
from selfsort.photos.export_plan import Operation, plan_folders, plan_sidecars, plan_tables
from selfsort.photos.journal import FOLDERS, JOURNAL, SIDECARS, Journal
from selfsort.photos.originals import Originals, check_there
from selfsort.photos.outcome import Outcome, outcome
from selfsort.photos.place import alone_in
from selfsort.photos.sidecars import Sidecars
from selfsort.photos.undo import UndoResult, undo
from selfsort.photos.writer import Writer
from selfsort.runtime import Progress, silent

__all__ = ["JOURNAL", "MODES", "ExportResult", "Mode", "Operation", "UndoResult", "export", "undo"]

Mode = Literal["copy", "hardlink", "symlink", "csv", "parquet", "json", "fiftyone", "xmp"]
MODES = (*FOLDERS, *tables.TABLES, SIDECARS)


@dataclass
class ExportResult:
    """What an export did, or in a dry run would do.

    Attributes
    ----------
    operations : list of Operation
        The whole plan, in order; a dry run and the real one have the same.
    done, already_done : list of str
        Targets made by this call, and by an earlier one that was interrupted.
    skipped : list of (str, str)
        Pictures that were not exported, with the reason.
    journal : Path
        What `undo` reads; a dry run does not write it.
    """

    destination: Path
    mode: str
    dry_run: bool
    operations: list[Operation]
    journal: Path
    done: list[str] = field(default_factory=list)
    already_done: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


@checked(
    run=of((str, os.PathLike, Clusters, Corrected), "the path of a run folder, or a Clusters"),
    destination=optional(PATH),
    mode=TEXT,
    level=optional(WHOLE),
    hidden=FLAG,
    dry_run=FLAG,
    progress=CALL,
)
def export(
    run: str | Path | Clusters | Corrected,
    destination: Path | None,
    *,
    mode: Mode,
    level: int | None = None,
    hidden: bool = False,
    sidecar_names: SidecarNames = "full",
    dry_run: bool = False,
    progress: Progress = silent,
) -> ExportResult:
    """Write the groups of a run into folders, tables or sidecars.

    Parameters
    ----------
    run : path, Clusters or Corrected
        By its path, or as `Corrected`, with the corrections made since, where there is a catalog; as `Clusters` just as
        it is.
    destination : Path, optional
        For folders, one that is absent or empty, or that holds this same export, interrupted: then it is continued. It
        must not lie inside the scanned folder or the run folder. For tables any folder that lacks them will do, for
        sidecars any at all; without one, they go beside the originals.
    mode : {"copy", "hardlink", "symlink", "csv", "parquet", "json", "fiftyone", "xmp"}
        Folders of copies or links; tables, see `selfsort.photos.tables`; or XMP sidecars, which are merged into those
        that are there. In CSV a path that a spreadsheet would take for a formula begins with ``./``.
    level : int, optional
        0 is the coarsest; the run's default level if not given. Corrections are about the default level: others are as
        the run has them.
    hidden : bool
        Whether pictures are exported too that people hid.
    sidecar_names : {"full", "stem"}
        ``img.jpg.xmp`` as digiKam and darktable have it, or ``img.xmp`` as Lightroom does.
    dry_run : bool
        Only plan: writes nothing at all and does not compare the originals.
    progress : callable
        Stage "export".

    Returns
    -------
    ExportResult
        Pictures that are unreadable, missing or changed since the run are listed there and not exported.

    Raises
    ------
    DataError
        If the destination cannot be used or lacks space, or if the mode does not fit the source.
    """
    if mode not in MODES or sidecar_names not in SIDECAR_NAMES:
        raise DataError(
            f"mode must be one of {', '.join(MODES)}, and sidecar_names one of {', '.join(SIDECAR_NAMES)}: got "
            f"{mode!r} and {sidecar_names!r}."
        )
    if destination is not None:
        check_path(destination, "Give another folder.")
    with contextlib.ExitStack() as stack:
        corrected: Corrected | None = None
        if isinstance(run, (str, Path)):
            clusters, corrected = stack.enter_context(opened(run))
        elif isinstance(run, Corrected):
            clusters, corrected = run.clusters, run
        else:
            clusters = run
        groups = outcome(clusters, corrected, level)
        _check_mode(clusters, mode, beside=destination is None)
        if mode not in tables.TABLES:
            check_there(clusters)
        place = Path(clusters.run["root"] if destination is None else destination).resolve()
        if destination is None and not place.is_dir():
            raise DataError(f"The folder {place} of the pictures is not there. Connect its disk, or give a folder.")
        job = _Job(clusters, groups, corrected, mode, hidden, sidecar_names, place, beside=destination is None)
        return job.do(dry_run=dry_run, progress=progress)


@dataclass(frozen=True)
class _Job:
    """What is exported, and where."""

    clusters: Clusters
    outcome: Outcome
    corrected: Corrected | None
    mode: Mode
    hidden: bool
    names: SidecarNames
    destination: Path
    beside: bool

    def do(self, *, dry_run: bool, progress: Progress) -> ExportResult:
        if dry_run:
            return self._check(dry_run=True)[0]
        if not self.destination.is_dir():
            self._check(dry_run=False)  # before a folder is made
        with _made(self.destination) as made:
            result, journal = self._check(dry_run=False)  # now that nobody else writes there
            plan = result.operations
            with (
                Originals(self.clusters) as originals,
                Writer(self.destination, self.identity(), journal, made) as writer,
            ):
                for i, operation in enumerate(plan):
                    progress("export", i, len(plan))
                    self._carry_out(operation, writer, originals, result)
                progress("export", len(plan), len(plan))
        return result

    def _check(self, *, dry_run: bool) -> tuple[ExportResult, Journal]:
        """Return the plan, if it can be carried out here, and what an earlier call left."""
        journal = Journal.read(self.destination / JOURNAL)
        _check_journal(self.destination, self.identity(), journal)
        if not self.beside:
            _check_destination(self.clusters, self.destination, self.mode, new=not journal.header)
        plan = self.plan()
        if self.mode == "copy":
            done = {target for target, entry in journal.files.items() if entry.done}
            _check_space(self.destination, [operation for operation in plan if operation.target not in done])
        result = ExportResult(self.destination, self.mode, dry_run, plan, self.destination / JOURNAL)
        result.skipped = self.left_out(plan)
        return result, journal

    def identity(self) -> dict[str, object]:
        """Return what tells this export from others, as the journal keeps it."""
        run = str(self.clusters.path.resolve()) if self.clusters.path else None
        facts = {"run": run, "fingerprint": self.clusters.run.get("fingerprint"), "mode": self.mode}
        facts |= {"level": self.outcome.level, "hidden": self.hidden, "groups": self.outcome.digest()}
        return facts | ({"sidecar_names": self.names} if self.mode == SIDECARS else {})

    def plan(self) -> list[Operation]:
        if self.mode in tables.TABLES:
            return plan_tables(tables.TABLES[self.mode])
        if self.mode == SIDECARS:
            return plan_sidecars(self.clusters, self.outcome, self.destination, self.names, hidden=self.hidden)
        return plan_folders(self.clusters, self.outcome, hidden=self.hidden, reserved=(tables.CSV,))

    def left_out(self, plan: list[Operation]) -> list[tuple[str, str]]:
        """Return the files that are not in the plan, with the reason."""
        columns = (self.clusters.items.column(name).to_pylist() for name in ("path", "path_bytes", "status"))
        found, planned = [], {operation.row for operation in plan}
        rows = zip(*columns, self.outcome.hidden.tolist(), strict=True)
        for row, (path, exact, status, hidden) in enumerate(rows):
            if status != "ok":
                if row not in planned:
                    found.append((path, f"not readable: {status}"))
            elif hidden and not self.hidden:
                found.append((path, "hidden"))
            elif self.mode == "fiftyone" and not tables.is_text(tables.absolute_path(self.clusters, exact)):
                found.append((path, "its path is no UTF-8, which FiftyOne cannot hold"))
        return found

    @cached_property
    def _tables(self) -> dict[str, bytes]:
        """The tables by the names of their files."""
        catalog = self.corrected.catalog if self.corrected else None
        pictures = tables.table(self.clusters, self.outcome, catalog, hidden=self.hidden)
        return tables.written(self.mode, pictures, self.clusters, self.outcome)

    @cached_property
    def _sidecars(self) -> Sidecars:
        return Sidecars(self.clusters, self.outcome, hidden=self.hidden)

    def _carry_out(self, operation: Operation, writer: Writer, originals: Originals, result: ExportResult) -> None:
        """Make one file, or say why not; only a full disk ends the export."""
        try:
            if writer.finished_earlier(operation.target):
                result.already_done.append(operation.target)
                return
            if self.mode in tables.TABLES:
                writer.make(operation.target, "table", result.destination, self._tables[operation.target])
            elif self.mode == SIDECARS:
                if not self._sidecars.make(operation, result.destination, writer, originals):
                    result.already_done.append(operation.target)
                    return
            else:
                if originals.archive:
                    original, content, mtime_ns = originals.read(operation.row)
                    writer.make(operation.target, "member", original, content, mtime_ns)
                else:
                    original, _ = originals.check(operation.row)
                    writer.copy(operation.target, result.mode, original, originals.digest(operation.row))
            result.done.append(operation.target)
        except Unreadable as error:
            result.skipped.append((operation.source, str(error)))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DataError(
                    f"The disk is full after {len(result.done)} files in {result.destination}. Make room and give the "
                    "same command again to continue, or undo the export."
                ) from error
            result.skipped.append((operation.source, f"cannot be written: {error.strerror or error}"))


@contextlib.contextmanager
def _made(destination: Path) -> Iterator[list[Path]]:
    """Make the destination, hold it for the block, and yield which folders were made; remove them if nothing came."""
    with contextlib.ExitStack() as stack:
        try:
            made = make_folders(destination)
            try:
                stack.enter_context(alone_in(destination))
            except FileNotFoundError:  # an undo, which held it, has just removed it
                made = make_folders(destination)
                stack.enter_context(alone_in(destination))
        except OSError as error:
            raise DataError(f"Nothing can be written in {destination}: {error.strerror}.") from error
        try:
            yield made
        except BaseException:
            for folder in made:
                with contextlib.suppress(OSError):
                    folder.rmdir()  # only while there is nothing in it, not even a journal
            raise


def _check_mode(clusters: Clusters, mode: Mode, *, beside: bool) -> None:
    source = clusters.run.get("source")
    if beside and (mode != SIDECARS or source not in ("folder", "list")):
        raise DataError("Only xmp sidecars go beside originals, and only beside those that are files. Give a folder.")
    if mode in ("csv", "parquet", "json"):
        return
    if source == "array" or not clusters.run.get("root"):
        raise DataError(
            "This run was made of arrays, not of files, so there is nothing to copy, link or tag. Use mode csv."
        )
    if source in ("tar", "zip") and mode not in ("copy", SIDECARS):
        raise DataError(f"The pictures of this run are inside a {source} archive, which {mode} cannot reach. Use copy.")


def _check_journal(destination: Path, identity: dict[str, object], journal: Journal) -> None:
    """Refuse to mix this export with another."""
    header, mode = journal.header, identity["mode"]
    if not header or (mode == header.get("mode") == SIDECARS and journal.ended):
        return
    different = {key for key in identity if header.get(key) != identity[key]}
    if different == {"groups"}:
        raise DataError(
            f"{destination} holds the groups as they were before they were corrected, and cannot be continued with "
            f"those of now. Undo it first (selfsort undo {destination}), or give another folder."
        )
    if different:
        raise DataError(
            f"{destination} holds another export: of {header.get('run')}, {header.get('mode')}, level "
            f"{header.get('level')}. Undo that one first (selfsort undo {destination}), or give another folder."
        )


def _check_destination(clusters: Clusters, destination: Path, mode: Mode, *, new: bool) -> None:
    """Refuse a place where an export would mix with other things, be scanned next time, or could not be undone."""
    if destination.exists() and not destination.is_dir():
        raise DataError(f"The destination {destination} is a file. Give a folder.")
    for table in tables.TABLES.get(mode, ()) if new else ():
        if os.path.lexists(destination / table):
            raise DataError(f"{destination / table} exists and is never replaced. Move it away or give another folder.")
    if mode in tables.TABLES:
        return
    occupied = new and any(path.name != JOURNAL for path in _inside(destination))
    if mode in FOLDERS and occupied:
        raise DataError(f"The destination {destination} is not empty. Give a folder that is empty or does not exist.")
    root = Path(clusters.run.get("root") or "")
    if clusters.run.get("source") == "folder" and _lies_in(destination, root):
        beside = " or, for sidecars, --beside-originals" if mode == SIDECARS else ""
        raise DataError(
            f"The destination {destination} lies inside the scanned folder {root}. Give one outside it{beside}."
        )
    if clusters.path is not None and _lies_in(destination, clusters.path):
        raise DataError(
            f"The destination {destination} lies inside the run folder {clusters.path}. Give one outside it."
        )
    if mode == "hardlink" and root.exists() and root.stat().st_dev != _existing(destination).stat().st_dev:
        raise DataError(f"Hard links cannot lead from {destination} to {root}, which is on another disk. Use copy.")


def _check_space(destination: Path, operations: list[Operation]) -> None:
    needed = sum(operation.size + 4096 for operation in operations)  # a file takes whole blocks
    free = shutil.disk_usage(_existing(destination)).free
    if operations and needed > free:
        raise DataError(
            f"The copies need {needed / 1e9:.2f} GB and the disk of {destination} has {free / 1e9:.2f} GB free. "
            "Make room, choose another disk, or use hardlink or symlink."
        )


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:  # an undo has just removed it
        return []


def _existing(path: Path) -> Path:
    """Return the path or the nearest of its parents that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _lies_in(path: Path, folder: Path) -> bool:
    """Compare places rather than spellings: links, and letters in upper or lower case, lead to the same folder."""
    return folder.exists() and any(place.exists() and place.samefile(folder) for place in (path, *path.parents))
