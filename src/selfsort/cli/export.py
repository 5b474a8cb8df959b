"""Commands that hand out what a run found, and take it back: ``export``, ``undo``, ``trash``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfsort.cli.output import PATH, emit, json_option, progress_bar, quoted, run_argument, shown
from selfsort.errors import DataError
from selfsort.runtime import counted

if TYPE_CHECKING:
    from selfsort.clusters import Clusters

_MODES = ("copy", "hardlink", "symlink", "csv", "parquet", "json", "fiftyone", "xmp")


@click.command()
@run_argument
@click.argument("destination", type=PATH, metavar="[DIR]", required=False)
@click.option(
    "--mode",
    type=click.Choice(_MODES),
    required=True,
    help="Folders of copies or links; one table; a dataset for FiftyOne; or keywords in XMP sidecars.",
)
@click.option(
    "--level",
    type=int,
    help="Level of the groups, 0 is the coarsest. Corrections change the default level only; others are as the run "
    "has them.  [default: the run's own]",
)
@click.option("--hidden", is_flag=True, help="Pictures that you hid, too.")
@click.option(
    "--sidecar-names",
    type=click.Choice(["full", "stem"]),
    default="full",
    show_default=True,
    help="img.jpg.xmp (digiKam, darktable) or img.xmp (Lightroom).",
)
@click.option("--beside-originals", is_flag=True, help="Put sidecars beside the pictures instead of into DIR.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done; write nothing.")
@json_option
def export(
    run: Path,
    destination: Path | None,
    mode: Any,
    level: int | None,
    hidden: bool,
    sidecar_names: Any,
    beside_originals: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Get the groups of RUN out into DIR, as they are after your corrections. Originals are only read.

    copy, hardlink and symlink make one folder per group. csv, parquet and json write one table, and fiftyone what
    fiftyone.types.FiftyOneImageClassificationDataset reads. xmp puts the groups as keywords into sidecars: what is in
    a sidecar already stays. selfsort undo takes any of it back.
    """
    from selfsort.photos.corrected import lacks_catalog
    from selfsort.photos.export import export as run_export

    if (destination is None) != beside_originals:
        raise DataError("Say where to export to: either a folder DIR, or --beside-originals for sidecars.")
    options = {"level": level, "hidden": hidden, "sidecar_names": sidecar_names, "dry_run": dry_run}
    with progress_bar() as progress:
        result = run_export(run, destination, mode=mode, progress=progress, **options)
    lacking = lacks_catalog(run)
    skipped = [{"path": str(path), "reason": reason} for path, reason in result.skipped]
    planned: list[dict[str, Any]] = [
        {"source": operation.source, "target": str(operation.target), "group": operation.group}
        for operation in result.operations
    ]
    facts: dict[str, Any] = {
        "destination": str(result.destination),
        "mode": mode,
        "dry_run": dry_run,
        "planned": len(planned),
        "done": len(result.done),
        "already_done": len(result.already_done),
        "skipped": skipped,
        "journal": str(result.journal),
        "lacking": lacking,
    }

    def text() -> str:
        lines = []
        if dry_run:
            lines += [f"{shown(o['source'])} -> {shown(o['target'])}" for o in planned]
            lines.append(f"{counted(len(planned), 'file')} would be written; nothing was.")
        else:
            n_there = len(result.already_done)
            again = f", {n_there:,} {'was' if n_there == 1 else 'were'} there already" if n_there else ""
            lines.append(f"{counted(len(result.done), 'file')} written to {shown(str(result.destination))}{again}.")
            lines.append(f"To take it back: selfsort undo {quoted(destination or result.destination)}")
        lines += [f"left out: {shown(o['path'])}: {shown(o['reason'])}" for o in skipped]
        lines += [lacking] if lacking else []
        return "\n".join(lines)

    emit(facts | ({"operations": planned} if dry_run else {}), text, as_json=as_json)
    if skipped and not (dry_run or result.done or result.already_done):
        sys.exit(1)  # nothing at all could be exported


@click.command()
@click.argument("destination", type=PATH, metavar="DIR")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed and restored.")
@json_option
def undo(destination: Path, dry_run: bool, as_json: bool) -> None:
    """Take an export back: remove what it wrote to DIR and restore the sidecars it changed, and nothing else.

    Files changed since are kept and named. For sidecars beside the originals, DIR is the folder that was scanned.
    """
    from selfsort.photos.undo import undo as run_undo

    with progress_bar() as progress:
        result = run_undo(destination, dry_run=dry_run, progress=progress)
    facts: dict[str, Any] = {
        "destination": str(result.destination),
        "dry_run": dry_run,
        "removed": [str(p) for p in result.removed],
        "restored": [str(p) for p in result.restored],
        "kept": [{"path": str(path), "reason": str(reason)} for path, reason in result.kept],
        "added": [str(p) for p in result.added],
        "finished": result.finished,
    }

    def text() -> str:
        verb = "to be " if dry_run else ""
        lines = [f"{counted(len(facts['removed']), 'file')} {verb}removed from {shown(str(result.destination))}."]
        if result.restored:
            lines.append(f"{counted(len(result.restored), 'sidecar')} {verb}restored.")
        lines += [f"kept: {shown(k['path'])}: {shown(k['reason'])}" for k in facts["kept"]]
        lines += [f"not ours, kept: {shown(path)}" for path in facts["added"]]
        return "\n".join(lines)

    emit(facts, text, as_json=as_json)


@click.command()
@run_argument
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--restore", is_flag=True, help="Bring back PATH..., or all that was moved, from the trash.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be moved.")
@json_option
def trash(run: Path, paths: tuple[str, ...], restore: bool, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Move pictures of RUN to the system's trash, where you can get them back (--restore).

    PATH is as the run has it (selfsort export --mode csv lists them). Only a file that still is what the run saw is
    moved; of a symbolic link the link, not what it leads to. What is of no use without a picture goes with it: a live
    photo's film, a sidecar, unless a raw or another file of that name stays. What was moved is noted beside the run.
    """
    from selfsort.clusters import Clusters

    clusters = Clusters.load(run)
    if restore:
        _restore(clusters, paths, yes, dry_run, as_json)
    elif paths:
        _trash(clusters, paths, yes, dry_run, as_json)
    else:
        raise click.UsageError("Missing argument 'PATH...'.")


def _agreed(question: str, lines: list[str], *, yes: bool, as_json: bool) -> None:
    """Ask, if nobody has said yes; ends the command if the answer is no."""
    if not yes and as_json:
        raise DataError("With --json nobody is asked. Give --yes if you are sure.")
    if not yes:
        for line in lines:
            click.echo(line, err=True)
        click.confirm(f"{question}?", abort=True, err=True)


def _trash(clusters: Clusters, paths: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    from selfsort.photos.trash import Doomed, move_to_trash, plan_trash

    plan = plan_trash(clusters, paths)
    n_last = sum(bool(doomed.only_copy) for doomed in plan.files)
    question = f"Move {counted(len(plan.files), 'file')} ({plan.size:,} bytes) to the trash"
    question += f"; {n_last:,} of them the only copy that the run knows" if n_last else ""

    def told(doomed: Doomed) -> str:
        with_ = f"  (belongs to {shown(doomed.pictures[0])})" if doomed.pictures else ""
        return f"{shown(doomed.path)}{with_}{'  (the only copy)' if doomed.only_copy else ''}"

    if plan.files and not dry_run:
        _agreed(question, [told(doomed) for doomed in plan.files], yes=yes, as_json=as_json)
        with progress_bar() as progress:
            move_to_trash(clusters, plan, progress=progress)
    facts = {
        "dry_run": dry_run,
        "planned": [
            {
                "path": of.path,
                "bytes": of.size,
                "link": of.link,
                "only_copy": of.only_copy,
                "belongs_to": list(of.pictures),
            }
            for of in plan.files
        ],
        "done": plan.done,
        "already": plan.already,
        "refused": [{"path": path, "reason": reason} for path, reason in plan.refused],
        "log": str(plan.log),
    }
    if dry_run:
        lines = [told(doomed) for doomed in plan.files]
        lines.append(f"{question.replace('Move ', '', 1)}; nothing was moved.")
    else:
        lines = [f"{counted(len(plan.done), 'file')} moved to the trash; {shown(str(plan.log))} lists them."]
    lines += [f"in the trash already: {shown(path)}" for path in plan.already]
    lines += [f"stays: {shown(path)}: {shown(reason)}" for path, reason in plan.refused]
    emit(facts, "\n".join(lines), as_json=as_json)
    if not dry_run and (plan.refused or not plan.done):
        sys.exit(1)  # not all that was asked for


def _restore(clusters: Clusters, paths: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    from selfsort.photos.restore import plan_restore, restore

    plan = plan_restore(clusters, paths)
    count = f"{counted(len(plan.files), 'file')} ({plan.size:,} bytes)"
    names = [shown(found.path) for found in plan.files]
    if plan.files and not dry_run:
        _agreed(f"Bring {count} back from the trash", names, yes=yes, as_json=as_json)
        with progress_bar() as progress:
            restore(clusters, plan, progress=progress)
    facts = {
        "dry_run": dry_run,
        "planned": [{"path": found.path, "bytes": found.size, "kept": str(found.kept)} for found in plan.files],
        "done": plan.done,
        "refused": [{"path": path, "reason": reason} for path, reason in plan.refused],
        "log": str(plan.log),
    }
    if dry_run:
        lines = [*names, f"{count} can be brought back; nothing was moved."]
    else:
        lines = [f"{counted(len(plan.done), 'file')} brought back from the trash."]
    lines += [f"not brought back: {shown(path)}: {shown(reason)}" for path, reason in plan.refused]
    emit(facts, "\n".join(lines), as_json=as_json)
    if not dry_run and (plan.refused or not plan.done):
        sys.exit(1)
