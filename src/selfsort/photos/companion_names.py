"""Naming rules of phones, cameras and services for the companion files of a picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from selfsort.runtime import folded

#: Part of a picture's name that a companion's name repeats: all, without the extension, or the beginning.
Part = Literal["whole", "stem", "start"]
FILMS = (".mov", ".mp4", ".mp", ".mv")

_NOTE = "supplemental-metadata"
#: Google's JSON files for a picture: the current ones, whose long names are truncated, and the older ones. The number
#: of a copy follows the suffix; in the picture's name it precedes the extension.
_TODAY = re.compile(r"(?P<start>.+)\.(?P<note>[a-z-]*)(?P<number>\(\d+\))?", re.IGNORECASE | re.DOTALL)
_OLDER = re.compile(r"(?P<start>.+\.\w+)(?P<number>\(\d+\))", re.DOTALL)
#: Maximum number of characters of older names, without the extension.
_LONGEST_NOTE = 46
#: Google's suffixes of edited copies in some languages. A copy shares the JSON file of its original.
_EDITED = (
    "edited", "bearbeitet", "modifié", "modifie", "editado", "editada", "modificato", "bewerkt", "edytowane",
    "redigerad", "redigert", "redigeret", "muokattu", "upraveno", "szerkesztett", "düzenlendi", "изменено",
    "編集済み", "已修改", "수정됨",
)  # fmt: skip
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: The video of a live photo, converted by the phone; the one in the macOS library.
_CONVERTED = re.compile(r"(.+)_HEVC", re.IGNORECASE | re.DOTALL)
_IN_LIBRARY = re.compile(rf"({_UUID})_3", re.IGNORECASE)
#: Edits of the original of a picture: IMG_O1234.AAE beside IMG_1234.HEIC.
_ORIGINAL = re.compile(r"(\w{3}_)O(\d{4,})", re.IGNORECASE)
#: The video of a Pixel's picture, X.MP of X.MP.jpg or X.jpg, and of its copy, X.MP~2.
_PIXEL = re.compile(r"(?P<base>.+)(?P<ending>\.(?:mp|mv))(?P<copy>~\d+)?", re.IGNORECASE | re.DOTALL)


class Claim(NamedTuple):
    """A picture to which a file may belong, by part of its name, and the rest of the file's name."""

    start: str
    part: Part
    ending: str
    #: Whether a rule of a phone or service applies, rather than equal names alone.
    is_special: bool = True


def claims(name: str) -> Iterator[Claim]:
    """Yield the pictures to which a file may belong by its name, most likely first.

    >>> [claim.start for claim in claims("IMG_1.jpg.supplemental-meta(2).json") if claim.is_special]
    ['IMG_1(2).jpg']
    >>> [claim.start for claim in claims("IMG_0108_HEVC.MOV") if claim.is_special]
    ['IMG_0108']
    """
    base, ending = split(name)
    if base != name:
        yield Claim(base, "whole", ending, is_special=False)
        yield Claim(base, "stem", ending, is_special=False)
    kind = ending.lower()
    if kind == ".json":
        yield from _notes(base, ending)
    elif kind == ".aae" and (match := _ORIGINAL.fullmatch(base)):
        yield Claim(match[1] + match[2], "stem", ending)
    elif kind in (".mov", ".mp4"):
        if match := _CONVERTED.fullmatch(base):
            yield Claim(match[1], "stem", base[len(match[1]) :] + ending)
        if match := _IN_LIBRARY.fullmatch(base):
            yield Claim(match[1], "stem", base[len(match[1]) :] + ending)
            yield Claim(match[1] + "_", "start", base[len(match[1]) :] + ending)
    if match := _PIXEL.fullmatch(name):
        yield Claim(name, "stem", "")
        if match["copy"]:
            yield Claim(match["base"] + match["copy"], "stem", match["ending"])
            yield Claim(match["base"] + match["ending"], "stem", match["copy"])
        yield Claim(match["base"], "stem", match["ending"] + (match["copy"] or ""))
    elif kind in FILMS and (match := _PIXEL.fullmatch(base)):
        yield Claim(match["base"] + (match["copy"] or ""), "stem", match["ending"] + ending)


def edited(name: str) -> Iterator[str]:
    """Yield Google's possible names of an edited copy of a picture.

    >>> next(edited("IMG_1.jpg"))
    'IMG_1-edited.jpg'
    """
    base, ending = split(name)
    for word in _EDITED:
        yield f"{base}-{word}{ending}"


def is_film(name: str) -> bool:
    """Tell whether a name is that of a video that may belong to a picture."""
    return name.lower().endswith(FILMS) or _PIXEL.fullmatch(name) is not None


def split(name: str) -> tuple[str, str]:
    """Split a file's name into stem and extension. A name that begins with its only dot has no extension."""
    base = name.rpartition(".")[0] or name
    return base, name[len(base) :]


def _notes(base: str, ending: str) -> Iterator[Claim]:
    match = _TODAY.fullmatch(base)
    if match and _NOTE.startswith(match["note"].lower()):
        yield _numbered(match["start"], match["number"], base, ending)
    if match := _OLDER.fullmatch(base):
        yield _numbered(match["start"], match["number"], base, ending)
    if len(base) >= _LONGEST_NOTE:
        yield Claim(base, "start", ending)


def _numbered(start: str, number: str | None, base: str, ending: str) -> Claim:
    if number:
        front, behind = split(start)
        return Claim(front + number + behind, "whole", base[len(start) : -len(number)] + ending)
    return Claim(start, "whole", base[len(start) :] + ending)


class Names:
    """The names of the files of one folder, for case-insensitive lookup by their companions.

    Parameters
    ----------
    names : iterable of str
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._by_part: dict[Part, dict[str, list[str]]] = {"whole": {}, "stem": {}}
        for name in self._names:
            self._by_part["whole"].setdefault(folded(name), []).append(name)
            self._by_part["stem"].setdefault(folded(split(name)[0]), []).append(name)

    def of(self, claim: Claim) -> list[str]:
        """Return the files that match a claim."""
        if claim.part == "start":
            return [name for name in self._names if folded(name).startswith(folded(claim.start))]
        return self._by_part[claim.part].get(folded(claim.start), [])
