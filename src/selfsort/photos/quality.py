"""Which pictures of a run have flaws: blurred, dark, empty, cut short."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.looks import FLAWS, flaws


def flawed(clusters: Clusters, looks: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the rows that have each flaw, by the facts "looks" of the catalog."""
    found: dict[str, list[int]] = {name: [] for name in FLAWS}
    for row, item in enumerate(clusters.items.select(["id", "width", "height"]).to_pylist()):
        if numbers := looks.get(item["id"]):
            for name in flaws(numbers, max(item["width"], item["height"])):
                found[name].append(row)
    return found


def flaws_of_run(run: str | Path) -> dict[str, Any]:
    """List the pictures of a run by flaw.

    Parameters
    ----------
    run : path

    Returns
    -------
    dict
        ``n_pictures`` that were looked at; ``flaws``: "blurred", "dark", "empty" and "cut" -> paths; ``rows_there``:
        path -> the share of its rows that a picture cut short has.

    Raises
    ------
    DataError
        If there is no run or no catalog, or the pictures were not looked at.
    """
    clusters = Clusters.load(run)
    with Catalog(catalog_path(Path(run).resolve()), read_only=True) as catalog:
        looks = catalog.facts("looks")
    found = flawed(clusters, looks)
    n_seen = sum(bool(looks.get(content)) for content in clusters.items.column("id").to_pylist())
    if not n_seen:
        raise DataError(f"The pictures of {run} were not looked at. Give selfsort organize again without --no-looks.")
    paths = clusters.items.column("path").to_pylist()
    ids = clusters.items.column("id").to_pylist()
    return {
        "n_pictures": n_seen,
        "flaws": {name: [paths[row] for row in rows] for name, rows in found.items()},
        "rows_there": {paths[row]: looks[ids[row]]["cut"] for row in found["cut"]},
    }
