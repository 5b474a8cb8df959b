"""What the page shows of pictures beside their groups: when and where they were taken, their flaws, which are the same.

All of it is read once per run, in a thread of its own, because it can take seconds of a large library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.clusters import Clusters
from selfsort.dates import days_of
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.duplicates import find_same
from selfsort.photos.looks import FLAWS
from selfsort.photos.quality import flawed
from selfsort.photos.seen import kinds_of, objects_of
from selfsort.photos.terms import Terms, terms_of
from selfsort.photos.timeline import Event, timeline

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Facts:
    """What is known of the pictures of a run, by row.

    Attributes
    ----------
    time : ndarray of float64, shape (n,)
        Seconds since 1970 of the local time; NaN where it is not known.
    latitude, longitude : ndarray of float32, shape (n,)
        In degrees, of the pictures that say so; NaN for the others.
    flaws : ndarray of uint8, shape (n,)
        Bit i stands for ``FLAWS[i]``.
    event : ndarray of int32, shape (n,)
        Number of the event, -1 for none.
    events : list of dict
        ``start``, ``end`` (ISO 8601), ``days`` (in words), ``size``, ``places`` (names, the most frequent first).
    details : dict of int to dict
        Row -> ``taken``, ``source``, ``precision``, ``place`` and whether that is ``guessed``.
    cameras, texts, faces : dict of str to dict
        Content -> what its file says, the text in it, the faces in it; as far as they were read.
    """

    time: npt.NDArray[np.float64]
    latitude: npt.NDArray[np.float32]
    longitude: npt.NDArray[np.float32]
    flaws: npt.NDArray[np.uint8]
    event: npt.NDArray[np.int32]
    events: list[dict[str, Any]]
    details: dict[int, dict[str, Any]]
    cameras: dict[str, Any]
    texts: dict[str, Any]
    faces: dict[str, Any]


def read(clusters: Clusters, run: Path) -> Facts:
    """Read what the catalog of a run knows."""
    n = len(clusters.ok)
    ids = clusters.items.column("id").to_pylist()
    time, event = np.full(n, np.nan), np.full(n, -1, np.int32)
    latitude, longitude = np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32)
    flaws = np.zeros(n, np.uint8)
    details: dict[int, dict[str, Any]] = {}
    with Catalog(catalog_path(run), make=False) as catalog:
        found, _ = timeline(clusters, catalog)
        looks, cameras, texts, faces = map(catalog.facts, ("looks", "metadata", "text", "people"))
    for name, rows in flawed(clusters, looks).items():
        flaws[rows] |= np.uint8(1 << FLAWS.index(name))
    for number, one in enumerate(found):
        for moment in one.moments:
            at = moment.taken.at.replace(tzinfo=None)
            time[moment.row], event[moment.row] = (at - _EPOCH).total_seconds(), number
            details[moment.row] = {
                "taken": moment.taken.at.isoformat(),
                "source": moment.taken.source,
                "precision": moment.taken.precision,
            }
            if moment.place is not None:
                names = (moment.place.town, moment.place.region, moment.place.country)
                details[moment.row] |= {"place": ", ".join(filter(None, names)), "guessed": moment.guessed}
    for row, content in enumerate(ids):
        said = cameras.get(content) or {}
        if "latitude" in said and "longitude" in said:
            latitude[row], longitude[row] = said["latitude"], said["longitude"]
    events = [_event(one) for one in found]
    return Facts(time, latitude, longitude, flaws, event, events, details, cameras, texts, faces)


def terms(clusters: Clusters, run: Path) -> Terms:
    """Return what is known of the pictures of a run in words, for naming groups."""
    with Catalog(catalog_path(run), make=False) as catalog:
        return terms_of(clusters, catalog)


def duplicates(clusters: Clusters, run: Path) -> list[dict[str, Any]]:
    """Return the sets of pictures that are the same: ``level``, ``rows`` (the one to keep first)."""
    with Catalog(catalog_path(run), make=False) as catalog:
        return [{"level": same.level, "rows": list(same.rows)} for same in find_same(clusters, catalog)]


def _event(event: Event) -> dict[str, Any]:
    return {
        "start": event.start.isoformat(),
        "end": event.end.isoformat(),
        "days": days_of(event.start, event.end),
        "size": len(event.moments),
        "places": [", ".join(filter(None, (place.town, place.country))) for place, _ in event.places()[:3]],
    }


def kind_told(clusters: Clusters, row: int, look: Mapping[str, Any] | None) -> str:
    """Return of what kind a picture is by itself, whatever its neighbors are; empty if it was not looked at."""
    content = clusters.items.column("id")[row].as_py()
    found = kinds_of(clusters, {content: look}, [row])
    return _shares([found[row]]) if found else ""


def shown_in(clusters: Clusters, row: int) -> str:
    """Return what a picture may show, unless it is an icon."""
    return _shares(objects_of(clusters, [row]).get(row, []))


def _shares(found: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{term} ({share:.0%})" for term, share in found)
