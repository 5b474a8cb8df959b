"""Groups of the same face in a run, by a recognizer that the user brings: "person 1", until somebody names it.

Vectors of faces, the persons that come of them, and their names stay in the catalog beside the run until they are to be
forgotten.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from selfsort.clusters import Clusters
from selfsort.errors import DataError
from selfsort.files import content_id
from selfsort.images import PictureFile
from selfsort.photos import people
from selfsort.photos.catalog import Catalog, catalog_path
from selfsort.photos.catalog_file import PRIVATE
from selfsort.photos.corrections import as_name
from selfsort.photos.facets import Facet, OfRun, read_facet_of_run
from selfsort.photos.looks import upright
from selfsort.photos.recognizer import FaceModel, aligned
from selfsort.photos.same_face import least_similarity, same_face
from selfsort.photos.teaching import hand_on
from selfsort.runtime import Progress, silent

#: Raise when the same face and recognizer would give another vector.
VERSION = 1
#: Names in the catalog: of vectors, and of the persons of each picture. The version of these is the highest number that
#: any person had so far.
VECTORS, PERSONS = PRIVATE, "persons"
#: Smaller faces, by the longer side in pixels of their file, are too blurred to tell people apart.
MIN_PIXELS = 36
#: Pictures are read so large that the smallest face has so many pixels, but no larger than that.
_FACE, _LARGEST = 112, 2048
#: So many of the largest faces of a person are named.
_N_SHOWN = 3


def find_persons(
    run: str | Path, model: FaceModel, *, least: float | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Find faces of the same person in a run; a call that was stopped goes on.

    Persons keep their numbers from one call to the next, and those of persons that vanished do not come again. Vectors
    of another recognizer are deleted once pictures were read with this one.

    Parameters
    ----------
    run : path
    model : FaceModel
    least : float, optional
        The similarity (cosine) that faces of one person have in the mean, or more; otherwise it is found.
    progress : callable
        Stages "people" and "same face"; count pictures.

    Returns
    -------
    dict
        ``n_faces`` in all, ``n_compared`` that are large enough, ``least`` (None if too few to find it: then persons
        stay as they were).

    Raises
    ------
    DataError
        As `selfsort.photos.people.read_people_of_run`; and if `least` is no cosine.
    ModelError
        If the recognizer fails.
    """
    if least is not None and not -1 < least <= 1:
        raise DataError(f"The similarity of faces is a cosine, above -1 and up to 1: got {least}.")
    known = read_facet_of_run(run, people.FACET, people.people_facet(), progress=progress)
    large = _large_faces(known)
    facet = Facet(_version(model), lambda file: _read_vectors(file, large, model))
    path = catalog_path(Path(run).resolve())
    found = read_facet_of_run(run, VECTORS, facet, among=large, stage="same face", progress=progress)
    rows = {content: _vectors(fact) for content, fact in found.facts.items()}
    faces = [(content, i) for content, of in rows.items() for i in large[content]]
    vectors = np.concatenate(list(rows.values())) if rows else np.zeros((0, 1), np.float32)
    least = least_similarity(vectors) if least is None else least
    with Catalog(path, make=False) as catalog:
        if rows:
            catalog.forget(VECTORS, but=facet.version)
        if least is not None:
            labels = same_face(vectors, least)
            numbers = {content: [0] * len(known.facts[content]["faces"]) for content in rows}
            known_as = {content: list(map(abs, of)) for content, of in persons(catalog).items()}
            before = {f"{content} {i}": n for content, of in known_as.items() for i, n in enumerate(of) if n}
            _, given = catalog.count_facts().get(PERSONS, (0, 0))
            given = max(given, *before.values(), 0)
            keys = hand_on(labels, [f"{content} {i}" for content, i in faces], before, given + 1)
            for (content, i), key in zip(faces, keys.tolist(), strict=True):
                numbers[content][i] = key if key > 0 else -before.get(f"{content} {i}", 0)
            catalog.add_facts(PERSONS, max(given, int(keys.max(initial=0))), numbers)
    return {
        "n_faces": sum(len(fact["faces"]) for fact in known.facts.values()),
        "n_compared": len(faces),
        "least": None if least is None else round(least, 4),
    }


def persons(catalog: Catalog) -> dict[str, list[int]]:
    """Return content -> the person of each of its faces, by number from 1; 0 for those of nobody that is known.

    Below 0: of nobody now, but the last time it was somebody, of the person of that number.
    """
    return catalog.facts(PERSONS)


def named(numbers: Iterable[int] | None, names: Mapping[int, str]) -> list[str]:
    """Return what the persons of one picture are called, each once; those with one name are one.

    >>> named([3, 0, 1, 3], {3: "Ann"}), named(None, {})
    (['person 1', 'Ann'], [])
    """
    return list(dict.fromkeys(names.get(number, f"person {number}") for number in in_order(numbers)))


def in_order(numbers: Iterable[int] | None) -> list[int]:
    """Return the persons of one picture, each once."""
    return sorted({number for number in numbers or () if number > 0})


def name_persons(run: str | Path, names: Mapping[int, str]) -> None:
    """Give persons names, which stay when faces are compared again: all of them, or none if one cannot be given.

    Parameters
    ----------
    run : path
    names : mapping of int to str
        By the numbers of persons, see `persons_of_run`. Several may have one name; an empty one takes a name away.

    Raises
    ------
    DataError
        If there is no run, no catalog or no such person, or a name is too long or that of another person's number.
    """
    Clusters.load(run)
    with Catalog(catalog_path(Path(run).resolve()), make=False) as catalog:
        name_persons_in(catalog, names)


def name_persons_in(catalog: Catalog, names: Mapping[int, str]) -> None:
    """See `name_persons`."""
    known = {number for numbers in persons(catalog).values() for number in numbers if number > 0}
    known |= catalog.person_names().keys()
    given = {person: as_name(name) for person, name in names.items()}
    for person, name in given.items():
        if person not in known:
            raise DataError(f"There is no person {person} in this run. `selfsort people RUN` lists them.")
        if re.fullmatch(r"person \d+", name, re.IGNORECASE):
            raise DataError(f"{name!r} is what a person without a name is called. Give another name.")
    catalog.name_persons(given)


def persons_of_run(run: str | Path) -> list[dict[str, Any]]:
    """Return the persons that were found in the pictures of a run, those with most faces first.

    Returns
    -------
    list of dict
        ``person`` (number), ``name`` (None if it has none), ``n_faces``, ``n_pictures``, and of the three largest
        faces ``largest``: ``path`` and ``face`` as `selfsort.photos.people.read_people` has it. Copies of one file
        are one picture.

    Raises
    ------
    DataError
        If there is no run or no catalog.
    """
    items = Clusters.load(run).items.select(["id", "path", "width", "height"]).to_pylist()
    with Catalog(catalog_path(Path(run).resolve()), make=False, read_only=True) as catalog:
        known, places, names = persons(catalog), catalog.facts(people.FACET), catalog.person_names()
    found: dict[int, list[tuple[float, dict[str, Any]]]] = {}
    pictures: dict[int, set[str]] = {}
    for item in {item["id"]: item for item in reversed(items) if item["id"] in known}.values():
        faces = (places.get(item["id"]) or {}).get("faces", ())
        for number, face in zip(known[item["id"]], faces, strict=False):
            if number > 0:
                area = face[2] * item["width"] * face[3] * item["height"]
                found.setdefault(number, []).append((area, {"path": item["path"], "face": face}))
                pictures.setdefault(number, set()).add(item["id"])
    return [
        {
            "person": number,
            "name": names.get(number),
            "n_faces": len(of),
            "n_pictures": len(pictures[number]),
            "largest": [face for _, face in sorted(of, key=lambda pair: -pair[0])[:_N_SHOWN]],
        }
        for number, of in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    ]


def forget_persons(run: str | Path) -> int:
    """Delete the vectors of faces, the persons and their names from a run's catalog; where faces are is kept.

    Returns
    -------
    int
        How many pictures had any.

    Raises
    ------
    DataError
        If there is no catalog, or others are using it for a minute.
    """
    with Catalog(catalog_path(Path(run).resolve()), make=False) as catalog:
        catalog.name_persons(dict.fromkeys(catalog.person_names(), ""))
        return max(catalog.forget(VECTORS), catalog.forget(PERSONS))


def _large_faces(known: OfRun) -> dict[str, dict[int, npt.NDArray[np.float64]]]:
    """Return content -> place of each face that is large enough -> its points relative to the picture, (5, 2)."""
    sizes = {item["id"]: item for item in known.clusters.items.select(["id", "width", "height"]).to_pylist()}
    large: dict[str, dict[int, npt.NDArray[np.float64]]] = {}
    for content, fact in known.facts.items():
        width, height = sizes[content]["width"], sizes[content]["height"]
        for i, (face, points) in enumerate(zip(fact["faces"], fact.get("points", ()), strict=False)):
            if max(face[2] * width, face[3] * height) >= MIN_PIXELS:
                large.setdefault(content, {})[i] = np.array(points).reshape(-1, 2)
    return large


def _read_vectors(
    file: PictureFile, large: Mapping[str, Mapping[int, npt.NDArray[np.float64]]], model: FaceModel
) -> dict[str, Any]:
    """Return ``vectors`` of the large faces of a picture file: float16 in base64, and ``n`` of them."""
    points = large[content_id(file.data)]
    # from eyes to mouth it is a third of the square that the recognizer sees
    heights = [float(np.ptp(of[:, 1])) for of in points.values()]
    side = int(np.clip(_FACE / 3 / max(min(heights), 1e-3), people.SIDE, _LARGEST))
    pixels = upright(file, side)
    size = np.array(pixels.shape[1::-1])
    vectors = [model.vector(aligned(pixels, of * size, model.side)) for of in points.values()]
    packed = np.stack(vectors).astype("<f2").tobytes()
    return {"n": len(vectors), "vectors": base64.b64encode(packed).decode("ascii")}


def _vectors(fact: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Return what `_read_vectors` packed, of length 1 again, shape (n, d)."""
    vectors = np.frombuffer(base64.b64decode(fact["vectors"]), "<f2").reshape(fact["n"], -1).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _version(model: FaceModel) -> int:
    """Return a number that changes with the recognizer, and with how faces are found and cut out."""
    return xxhash.xxh3_64_intdigest(f"{VERSION} {people.VERSION} {model.key}".encode()) >> 1
