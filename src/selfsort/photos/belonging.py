"""What lies beside pictures and belongs to them: the film of a live photo, what a phone notes of it, a sidecar."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from selfsort.clusters import Clusters
from selfsort.images import NOT_AN_IMAGE

SidecarNames = Literal["full", "stem"]
SIDECAR_NAMES = ("full", "stem")
SIDECAR = ".xmp"


class Companion(NamedTuple):
    """A file of a run that is no picture and belongs to some.

    Attributes
    ----------
    row : int
        Of the run.
    pictures : list of int
        Rows of those whose whole name, or name without its ending, it has.
    whole : bool
        Whether its name begins with the whole name of the first of them.
    ending : str
        What comes after.
    """

    row: int
    pictures: list[int]
    whole: bool
    ending: str


def companions(clusters: Clusters, rows: Iterable[int]) -> list[Companion]:
    """Return what belongs to these rows of pictures, in the order of the run."""
    names = [os.fsdecode(path) for path in clusters.items.column("path_bytes").to_pylist()]
    status, ids = (clusters.items.column(name).to_pylist() for name in ("status", "id"))
    called = by_name(names, rows)
    found = []
    for row, name in enumerate(names):
        start = stem(name)
        pictures = called.get(start.casefold())
        if pictures and ids[row] and status[row].startswith(NOT_AN_IMAGE) and start != name:
            found.append(Companion(row, list(pictures), next(iter(pictures.values())), name[len(start) :]))
    return found


def by_name(names: Sequence[str], rows: Iterable[int]) -> dict[str, dict[int, bool]]:
    """Return which of these rows have a name, each whole or without its ending, in lower case: row -> whether whole."""
    called: dict[str, dict[int, bool]] = {}
    for row in rows:
        for name, whole in ((names[row], True), (stem(names[row]), False)):
            called.setdefault(name.casefold(), {}).setdefault(row, whole)
    return called


def stem(path: str) -> str:
    """Return a path without the ending of its name, which a name that begins with its only dot has not.

    >>> stem("a.b/img.jpg"), stem("a.b/img"), stem("a.b/.img")
    ('a.b/img', 'a.b/img', 'a.b/.img')
    """
    folder, slash, name = path.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)


def sidecar_of(path: str, names: SidecarNames) -> str:
    """Return where the sidecar of a picture lies.

    >>> sidecar_of("a/b.c/img.jpg", "full"), sidecar_of("a/b.c/img.jpg", "stem"), sidecar_of("b.c/img", "stem")
    ('a/b.c/img.jpg.xmp', 'a/b.c/img.xmp', 'b.c/img.xmp')
    """
    parts = [part if part not in ("", ".", "..") else "_" for part in path.lstrip("/").split("/")]
    if names == "stem":
        parts[-1] = stem(parts[-1])
    return "/".join(parts) + SIDECAR
