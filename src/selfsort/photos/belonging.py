"""What lies beside pictures and belongs to them: the film of a live photo, what a phone notes of it, a sidecar."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from selfsort.clusters import Clusters
from selfsort.formats import NOT_AN_IMAGE
from selfsort.runtime import folded

SidecarNames = Literal["full", "stem"]
SIDECAR_NAMES = ("full", "stem")
SIDECAR = ".xmp"
#: Endings of what is of no use without a picture: after its whole name (Google's), and in the place of its ending.
AFTER_NAME = (SIDECAR, ".aae", ".json")
FOR_ENDING = (SIDECAR, ".aae", ".thm", ".mov", ".mp4")
#: A longer film is one by itself, whatever its name is.
FILMS, MAX_FILM_BYTES = (".mov", ".mp4"), 32 << 20
_ENDINGS = AFTER_NAME + FOR_ENDING


class Companion(NamedTuple):
    """A file of a run that is no picture and has the name of one.

    Attributes
    ----------
    row, picture : int
        Of the run.
    whole : bool
        Whether its name begins with the whole name of the picture, or with that without its ending.
    ending : str
        What comes after.
    """

    row: int
    picture: int
    whole: bool
    ending: str


def companions(clusters: Clusters, rows: Iterable[int]) -> list[Companion]:
    """Return the files of a run that have the name of one of these pictures, of the first of them, and are no pictures.

    More than what `owners` finds: a text with the name of a picture is fine beside its copy.
    """
    names = [os.fsdecode(path) for path in clusters.items.column("path_bytes").to_pylist()]
    status, ids = (clusters.items.column(name).to_pylist() for name in ("status", "id"))
    first: dict[str, tuple[int, bool]] = {}
    for row in rows:
        first.setdefault(names[row].casefold(), (row, True))
        first.setdefault(stem(names[row]).casefold(), (row, False))
    found = []
    for row, name in enumerate(names):
        start = stem(name)
        if ids[row] and status[row].startswith(NOT_AN_IMAGE) and start != name and start.casefold() in first:
            picture, whole = first[start.casefold()]
            found.append(Companion(row, picture, whole, name[len(start) :]))
    return found


def owners(folder: Path, gone: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return what in a folder is of no use without other files, and which of these are there.

    Such a file is small and has the name of others, which may be anything: pictures, raw files, texts, folders.

    Parameters
    ----------
    folder : Path
        As it is on the disk now.
    gone : iterable of str
        Names of pictures that count as if they were still there.

    Returns
    -------
    dict of str to tuple of str
        Name -> names of the files that it belongs to; of a film that is alone, none.
    """
    with os.scandir(folder) as entries:
        there = {entry.name: _size(entry) if entry.name.lower().endswith(_ENDINGS) else -1 for entry in entries}
    sizes = dict.fromkeys(gone, -1) | there
    whole: dict[str, list[str]] = {}
    begun: dict[str, list[str]] = {}
    for name, size in sizes.items():
        whole.setdefault(folded(name), []).append(name)
        if not _follows(name, size, _ENDINGS):
            begun.setdefault(folded(stem(name)), []).append(name)
    found = {}
    for name, size in sizes.items():
        start, after, instead = folded(stem(name)), _follows(name, size, AFTER_NAME), _follows(name, size, FOR_ENDING)
        if after or instead:
            others = (whole.get(start, []) if after else []) + (begun.get(start, []) if instead else [])
            found[name] = tuple(sorted(set(others)))
    return found


def _follows(name: str, size: int, endings: tuple[str, ...]) -> bool:
    ending = name[len(stem(name)) :].lower()
    return size >= 0 and ending in endings and (ending not in FILMS or size <= MAX_FILM_BYTES)


def _size(entry: os.DirEntry[str]) -> int:
    """Return the bytes of a file, -1 of what is none or gone."""
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


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
