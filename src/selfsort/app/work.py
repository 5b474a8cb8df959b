"""The long work that the page starts, each a function at the top of a module so that another process can run it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.photos.belonging import SidecarNames
from selfsort.photos.export import Mode, export
from selfsort.photos.organize import organize
from selfsort.photos.settings import Settings
from selfsort.photos.text import read_texts_of_run
from selfsort.runtime import Progress
from selfsort.sources import display_path


def group_again(progress: Progress, *, run: str, n_groups: int | None, find: bool) -> dict[str, Any]:
    """Make a run again, with what corrections say and teach; return what moved.

    Parameters
    ----------
    progress : Progress
    run : str
        Path of the run folder.
    n_groups : int, optional
        So many groups; as many as were asked for last if not given.
    find : bool
        Whether to find the number of groups, whatever was asked for last.
    """
    clusters = Clusters.load(run)
    settings = Settings.of_run(clusters.run)
    if n_groups is not None or find:
        settings = dataclasses.replace(settings, groups=n_groups)
    made = organize(pictures_of(clusters), run, settings=settings, progress=progress)
    return {"moved": made.run.get("moved") or {}, "changes": made.run.get("changes") or {}}


def read_text(progress: Progress, *, run: str) -> dict[str, int]:
    """Read the text in the pictures of a run, see `selfsort.photos.text.read_texts_of_run`."""
    return read_texts_of_run(run, progress=progress)


def export_groups(
    progress: Progress, *, run: str, destination: str | None, mode: Mode, names: SidecarNames, dry_run: bool
) -> dict[str, Any]:
    """Export a run, see `selfsort.photos.export.export`; return how many files of which, and what was left out."""
    result = export(
        run,
        Path(destination) if destination is not None else None,
        mode=mode,
        sidecar_names=names,
        dry_run=dry_run,
        progress=progress,
    )
    skipped = [f"{path}: {reason}" for path, reason in result.skipped]
    return {
        "destination": str(result.destination),
        "planned": len(result.operations),
        "done": len(result.done) + len(result.already_done),
        "skipped": list(map(display_path, skipped[:20])),
        "n_skipped": len(skipped),
    }


def pictures_of(clusters: Clusters) -> Any:
    """Return what `selfsort.organize` was given for a run."""
    root, source = clusters.run.get("root"), clusters.run.get("source")
    if not root or source == "array":
        raise DataError("This run was made of arrays, which are not there any more: it cannot be made again here.")
    if source == "list":
        return [Path(root, os.fsdecode(path)) for path in clusters.items.column("path_bytes").to_pylist()]
    return root
