"""People in pictures as a facet: how many faces, and where. Whose they are: `selfsort.photos.persons`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from selfsort.images import PictureFile
from selfsort.photos.faces import check_installed, find_faces
from selfsort.photos.facets import Facet, read_facet_of_run
from selfsort.photos.looks import upright
from selfsort.runtime import Progress, silent

#: Raise when the same picture would give other faces.
VERSION = 2
FACET = "people"
#: The longer side in pixels at which faces are looked for: most that have a thirty-eighth of it are still found.
SIDE = 512
MAX_FACES = 50
#: Pictures are counted by how many faces they have; the last of these is "so many or more".
COUNTS = (0, 1, 2, 3)


def people_facet() -> Facet:
    """Return the facet for `read_facets`; raises `DataError` if what faces are found with is not installed."""
    check_installed()
    return Facet(VERSION, read_people)


def read_people(data: bytes | PictureFile) -> dict[str, Any]:
    """Return the faces in a picture file, as JSON's types; may be called from several threads.

    Parameters
    ----------
    data : bytes or PictureFile

    Returns
    -------
    dict
        ``faces``: for each, left, top, width and height relative to the upright picture, 0 to 1, and the score, 0 to 1;
        the strongest first, at most 50. ``points``: for each, x and y of eyes, nose and corners of the mouth, likewise.

    Raises
    ------
    Unreadable
        If it is no picture.
    """
    pixels = upright(data, SIDE)
    height, width, _ = pixels.shape
    faces, places = [], []
    for left, top, right, bottom, score, *points in find_faces(pixels)[:MAX_FACES].tolist():
        box = (left / width, top / height, (right - left) / width, (bottom - top) / height)
        faces.append([round(value, 4) for value in (*box, score)])
        places.append([round(value / (height if i % 2 else width), 4) for i, value in enumerate(points)])
    return {"faces": faces, "points": places}


def read_people_of_run(run: str | Path, *, progress: Progress = silent) -> dict[str, Any]:
    """Find faces in the pictures of a finished run; a call that was stopped goes on.

    Parameters
    ----------
    run : path
        See `selfsort.photos.facets.read_facet_of_run`.
    progress : callable
        Stage "people"; counts pictures.

    Returns
    -------
    dict
        ``n_pictures`` different ones in the run, ``n_read`` those that were tried now, ``n_known`` those that were ever
        tried, ``n_by_faces`` how many have "0", "1", "2" and "3+" faces, ``pictures``: of every path that was read, the
        ``faces`` as `read_people` has them.

    Raises
    ------
    DataError
        If there is no run, no catalog, no pictures, or what faces are found with is not installed.
    """
    found = read_facet_of_run(run, FACET, people_facet(), progress=progress)
    numbers = Counter(min(len(fact["faces"]), COUNTS[-1]) for fact in found.facts.values())
    items = found.clusters.items
    paths = zip(items.column("path").to_pylist(), items.column("id").to_pylist(), strict=True)
    return {
        "n_pictures": len(found.contents),
        "n_read": found.n_read,
        "n_known": found.n_known,
        "n_by_faces": {f"{count}{'+' * (count == COUNTS[-1])}": numbers[count] for count in COUNTS},
        "pictures": [
            {"path": path, "faces": found.facts[content]["faces"]} for path, content in paths if content in found.facts
        ],
    }
