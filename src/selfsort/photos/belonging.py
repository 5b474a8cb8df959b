"""What lies beside pictures and belongs to them: the film of a live photo, what a phone notes of it, a sidecar."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from selfsort.clusters import Clusters
from selfsort.formats import NOT_AN_IMAGE
from selfsort.photos.companion_names import FILMS, Claim, Names, claims, edited, is_film, split
from selfsort.runtime import folded

SidecarNames = Literal["full", "stem"]
SIDECAR_NAMES = ("full", "stem")
SIDECAR = ".xmp"
#: Endings of what is of no use without a picture: after its whole name (Google's), and in the place of its ending.
AFTER_NAME = (SIDECAR, ".aae", ".json")
FOR_ENDING = (SIDECAR, ".aae", ".thm", *FILMS)
#: A longer film is one by itself, whatever its name is.
MAX_FILM_BYTES = 32 << 20


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
    by_rule : bool
        Whether its name follows the rule of a phone or service: beside the picture it keeps it, as long as the picture
        keeps its own.
    """

    row: int
    picture: int
    whole: bool
    ending: str
    by_rule: bool


def companions(clusters: Clusters, rows: Iterable[int]) -> list[Companion]:
    """Return the files of a run that have the name of one of these pictures, of the first of them, and are no pictures.

    More than what `owners` finds: a text with the name of a picture is fine beside its copy.
    """
    paths = [os.fsdecode(path) for path in clusters.items.column("path_bytes").to_pylist()]
    status, ids = (clusters.items.column(name).to_pylist() for name in ("status", "id"))
    pictures: dict[str, dict[str, int]] = {}
    for row in rows:
        folder, _, name = paths[row].rpartition("/")
        pictures.setdefault(folded(folder), {}).setdefault(name, row)
    names = {folder: Names(rows_of) for folder, rows_of in pictures.items()}
    found = []
    for row, path in enumerate(paths):
        folder, _, name = path.rpartition("/")
        folder = folded(folder)
        if ids[row] and status[row].startswith(NOT_AN_IMAGE) and folder in names:
            owned = ((claim, names[folder].of(claim)) for claim in claims(name))
            claim, others = next(((claim, others) for claim, others in owned if others), (None, []))
            if claim is not None:
                picture = min(pictures[folder][other] for other in others)
                found.append(Companion(row, picture, claim.part == "whole", claim.ending, claim.is_special))
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
        there = {entry.name: _size(entry) if _may_follow(entry.name) else -1 for entry in entries}
    sizes = dict.fromkeys(gone, -1) | there
    everything = Names(sizes)
    alone = Names(name for name, size in sizes.items() if not _follows(name, size, (*AFTER_NAME, *FOR_ENDING)))
    found = {}
    for name, size in sizes.items():
        natural = {"whole": _follows(name, size, AFTER_NAME), "stem": _follows(name, size, FOR_ENDING), "start": False}
        others: set[str] = set()
        for claim in claims(name):
            if natural[claim.part] if not claim.is_special else _is_small(name, size):
                named = everything if claim.part == "whole" else alone
                others |= {*named.of(claim)}
                if claim.part != "stem" and name.lower().endswith(".json"):
                    copies = (copy for other in named.of(claim) for copy in edited(other))
                    others |= {one for copy in copies for one in alone.of(Claim(copy, "whole", ""))}
        if others - {name} or natural["whole"] or natural["stem"]:
            found[name] = tuple(sorted(others - {name}))
    return found


def _may_follow(name: str) -> bool:
    return name.lower().endswith((*AFTER_NAME, *FOR_ENDING)) or is_film(name)


def _follows(name: str, size: int, endings: tuple[str, ...]) -> bool:
    return _is_small(name, size) and split(name)[1].lower() in endings


def _is_small(name: str, size: int) -> bool:
    return size >= 0 and (size <= MAX_FILM_BYTES or not is_film(name))


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
    return folder + slash + split(name)[0]


def sidecar_of(path: str, names: SidecarNames) -> str:
    """Return where the sidecar of a picture lies.

    >>> sidecar_of("a/b.c/img.jpg", "full"), sidecar_of("a/b.c/img.jpg", "stem"), sidecar_of("b.c/img", "stem")
    ('a/b.c/img.jpg.xmp', 'a/b.c/img.xmp', 'b.c/img.xmp')
    """
    parts = [part if part not in ("", ".", "..") else "_" for part in path.lstrip("/").split("/")]
    if names == "stem":
        parts[-1] = stem(parts[-1])
    return "/".join(parts) + SIDECAR


class KnownSidecars:
    """The sidecars that are there, found also if their names are in upper case; folders are listed once.

    Parameters
    ----------
    root : Path
        Of the folder where sidecars lie.
    paths : iterable of str
        Of all pictures, relative to the root: none gets the sidecar of another.
    """

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self._root = root
        names: tuple[SidecarNames, ...] = ("full", "stem")
        self._wanted = {sidecar_of(path, kind) for path in paths for kind in names}
        self._listed: dict[str, dict[str, list[str]]] = {}

    def find(self, target: str) -> str:
        """Return the place of a sidecar as the disk has it, or as it is given if there is none."""
        folder, slash, name = target.rpartition("/")
        found = self._names(folder).get(folded(name), [])
        if name in found:
            return target
        for other in sorted(found, key=lambda one: one[: -len(SIDECAR)] != name[: -len(SIDECAR)]):
            its_own = folder + slash + other[: -len(SIDECAR)] + SIDECAR
            if its_own == target or its_own not in self._wanted:
                return folder + slash + other
        return target

    def _names(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            with contextlib.suppress(OSError):  # there is none
                for path in sorted((self._root / folder).iterdir()):
                    if path.name.lower().endswith(SIDECAR):
                        names.setdefault(folded(path.name), []).append(path.name)
            self._listed[folder] = names
        return self._listed[folder]
