"""When and where the pictures of a run were taken, event by event."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from selfsort.clusters import Clusters
from selfsort.photos.catalog import Catalog
from selfsort.photos.metadata import Taken, events, taken
from selfsort.photos.places import Place, are_known, find_places

_EPOCH = datetime(1800, 1, 1)


@dataclass(frozen=True)
class Moment:
    """When and where one picture was taken.

    Attributes
    ----------
    row : int
        Of the run.
    taken : Taken
    place : Place, optional
    guessed : bool
        Whether the place is that of the picture nearest in time of the same event.
    """

    row: int
    taken: Taken
    place: Place | None = None
    guessed: bool = False


@dataclass(frozen=True)
class Event:
    """Pictures without a long gap in time between them, in the order of time.

    Attributes
    ----------
    moments : tuple of Moment
    """

    moments: tuple[Moment, ...]

    @property
    def start(self) -> datetime:
        """Local time of the first picture."""
        return self.moments[0].taken.at.replace(tzinfo=None)

    @property
    def end(self) -> datetime:
        """Local time of the last picture."""
        return self.moments[-1].taken.at.replace(tzinfo=None)

    def places(self) -> list[tuple[Place, int]]:
        """Return the towns and how many pictures are of each for certain, the most frequent first."""
        known = [moment.place for moment in self.moments if moment.place is not None and not moment.guessed]
        first = {(place.town, place.code): place for place in reversed(known)}
        counts = Counter((place.town, place.code) for place in known)
        return [(first[key], n) for key, n in counts.most_common()]


def timeline(clusters: Clusters, catalog: Catalog) -> tuple[list[Event], list[int]]:
    """Divide the pictures of a run into events.

    Parameters
    ----------
    clusters : Clusters
        A run of `selfsort.organize`.
    catalog : Catalog
        Its catalog.

    Returns
    -------
    events : list of Event
        From the earliest. Names of places are left out where the extra ``photos`` is not installed.
    undated : list of int
        Rows of pictures of which only the time of the file is known, which tells when it was copied.
    """
    facts, mtimes = catalog.facts("metadata"), catalog.mtimes()
    ids = clusters.items.column("id").to_pylist()
    paths = clusters.items.column("path_bytes").to_pylist()
    dated: list[tuple[int, Taken]] = []
    undated: list[int] = []
    for row in np.flatnonzero(clusters.ok).tolist():
        moment = taken(facts.get(ids[row]) or {}, os.fsdecode(paths[row]), mtimes.get(paths[row]))
        if moment is None or moment.source == "file":
            undated.append(row)
        else:
            dated.append((row, moment))
    seconds = np.array([(moment.at.replace(tzinfo=None) - _EPOCH).total_seconds() for _, moment in dated])
    placed = _placed([facts.get(ids[row]) or {} for row, _ in dated])
    numbers = events(seconds)
    found = []
    for number in range(int(numbers.max(initial=-1)) + 1):
        members = np.flatnonzero(numbers == number)
        members = members[np.argsort(seconds[members], kind="stable")].tolist()
        found.append(Event(tuple(_with_guesses(members, dated, placed, seconds))))
    return found, undated


def _placed(facts: Sequence[dict[str, float]]) -> list[Place | None]:
    """Return the place of each picture that says where it was taken."""
    places: list[Place | None] = [None] * len(facts)
    known = [i for i, of in enumerate(facts) if "latitude" in of and "longitude" in of]
    if known and are_known():
        found = find_places([facts[i]["latitude"] for i in known], [facts[i]["longitude"] for i in known])
        for i, place in zip(known, found, strict=True):
            places[i] = place
    return places


def _with_guesses(
    members: list[int], dated: list[tuple[int, Taken]], placed: list[Place | None], seconds: np.ndarray
) -> list[Moment]:
    known = [i for i in members if placed[i] is not None]  # in the order of time
    times = seconds[known]
    moments = []
    for i in members:
        place, guessed = placed[i], False
        if place is None and known:
            after = int(np.searchsorted(times, seconds[i]))
            near = [n for n in (after - 1, after) if 0 <= n < len(known)]
            place, guessed = placed[known[min(near, key=lambda n: abs(times[n] - seconds[i]))]], True
        moments.append(Moment(dated[i][0], dated[i][1], place, guessed))
    return moments
