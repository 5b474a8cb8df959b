"""Commands on a run and its catalog: ``catalog``, ``duplicates``, ``events``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from selfsort.cli.output import PATH, emit, json_option, run_argument, shown
from selfsort.errors import DataError
from selfsort.runtime import counted


@click.command()
@run_argument
@click.option("--backup", type=PATH, metavar="FILE", help="Copy the catalog to a new file.")
@json_option
def catalog(run: Path, backup: Path | None, as_json: bool) -> None:
    """Check the catalog beside RUN: is it sound, what is in it; and make a backup of it.

    It holds what cannot be made again: corrections. To restore a backup, put it where the catalog was.
    """
    from selfsort.photos.catalog import Catalog, catalog_path
    from selfsort.photos.corrections import Log

    path = catalog_path(run.resolve())
    with Catalog(path, read_only=True) as opened:
        problems = opened.check()
        entries = Log(opened).entries()
        facts: dict[str, Any] = {
            "catalog": str(path),
            "problems": problems,
            "n_pictures": len(opened.numbers()),
            "n_corrections": sum(not entry.undone for entry in entries),
            "n_undone": sum(entry.undone for entry in entries),
        }
        if problems:
            raise DataError(
                f"The catalog {path} is damaged: {problems[0]}. Put a backup in its place; to begin anew without "
                "its corrections, move it and the run away."
            )
        if backup is not None:
            opened.backup(backup)
            facts["backup"] = str(backup)
    lines = [
        f"{shown(str(path))} is sound: {counted(facts['n_pictures'], 'picture')} seen so far, "
        + counted(facts["n_corrections"], "correction")
        + (f" and {facts['n_undone']:,} undone." if facts["n_undone"] else ".")
    ]
    if backup is not None:
        lines.append(f"Copied to {shown(str(backup))}.")
    emit(facts, "\n".join(lines), as_json=as_json)


@click.command()
@run_argument
@json_option
def duplicates(run: Path, as_json: bool) -> None:
    """List pictures of RUN that are the same: identical files, one shot resized or encoded anew, and bursts.

    The first of each set is the one of the most pixels. Nothing is deleted. If two are not the same however alike, say
    so with selfsort correct RUN not-the-same PATH PATH, and they do not come up again.
    """
    from selfsort.clusters import Clusters
    from selfsort.photos.catalog import Catalog, catalog_path
    from selfsort.photos.duplicates import LEVELS, NEEDED, described, find_same

    clusters = Clusters.load(run)
    with Catalog(catalog_path(run.resolve()), read_only=True) as opened:
        found, read = find_same(clusters, opened), opened.count_facts()
    sets = [(same.level, described(clusters, same)) for same in found]
    lines = []
    for level in LEVELS:
        of_level = [pictures for of, pictures in sets if of == level]
        if lacking := [facet for facet in NEEDED[level] if facet not in read]:
            without = " and ".join(f"--no-{facet}" for facet in lacking)
            lines.append(f"{level}: not looked for. Give selfsort organize again without {without}.")
            continue
        spare = sum(picture["size"] for pictures in of_level for picture in pictures[1:])
        lines.append(f"{level}: {counted(len(of_level), 'set')}, {spare / 1e6:.1f} MB beside the first of each")
        for pictures in of_level:
            shown_ = [f"{shown(p['path'])} ({p['width']}×{p['height']}, {p['size']:,} bytes)" for p in pictures]
            lines.append("  " + "\n    ".join(shown_))
    emit(
        {"sets": [{"level": level, "pictures": pictures} for level, pictures in sets]},
        "\n".join(lines),
        as_json=as_json,
    )


@click.command()
@run_argument
@json_option
def events(run: Path, as_json: bool) -> None:
    """List when and where the pictures of RUN were taken: events, divided by gaps in time, with the nearest towns.

    Times are from the files' metadata or from their names. A picture that does not say where it was taken is placed by
    the one nearest in time of its event, and that is marked as a guess. Nothing is sent anywhere.
    """
    from selfsort.clusters import Clusters
    from selfsort.dates import moments_of
    from selfsort.photos.catalog import Catalog, catalog_path
    from selfsort.photos.places import are_known
    from selfsort.photos.timeline import timeline

    clusters = Clusters.load(run)
    with Catalog(catalog_path(run.resolve()), read_only=True) as opened:
        found, undated = timeline(clusters, opened)
        are_read = "metadata" in opened.count_facts()
    paths = clusters.items.column("path").to_pylist()
    facts = [
        {
            "start": event.start.isoformat(),
            "end": event.end.isoformat(),
            "places": [
                {"town": place.town, "region": place.region, "country": place.country} for place, _ in event.places()
            ],
            "pictures": [
                {
                    "path": paths[moment.row],
                    "taken": moment.taken.at.isoformat(),
                    "source": moment.taken.source,
                    "precision": moment.taken.precision,
                    "town": moment.place.town if moment.place else None,
                    "guessed": moment.guessed,
                }
                for moment in event.moments
            ],
        }
        for event in found
    ]
    lines = []
    for event in found:
        towns = "; ".join(", ".join(filter(None, (place.town, place.country))) for place, _ in event.places()[:3])
        count = counted(len(event.moments), "picture")
        lines.append(f"{moments_of(event.start, event.end)}  {count}{'  ' + towns if towns else ''}")
    undated_ = counted(len(undated), "picture")
    lines.append(f"{counted(len(found), 'event')}; of {undated_} only the time of the file is known.")
    if not are_read:
        lines.append("What is in the files was not read. Give selfsort organize again without --no-metadata.")
    if not are_known():
        lines.append("Names of places are not installed: pip install 'selfsort[photos]'")
    emit({"events": facts, "undated": [paths[row] for row in undated]}, "\n".join(lines), as_json=as_json)
