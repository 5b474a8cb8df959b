"""How phones, cameras and services name what belongs to a picture: by the picture's name, or by a rule of their own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from selfsort.runtime import folded

#: By what of a picture's name a file belongs to it: all of it, that without its ending, or how it begins.
Part = Literal["whole", "stem", "start"]
FILMS = (".mov", ".mp4", ".mp", ".mv")

_NOTE = "supplemental-metadata"
#: Google's notes of a picture: today's, of which names that are too long keep the beginning, and the older ones. A
#: number stands behind the note where the picture has it before its ending.
_TODAY = re.compile(r"(?P<start>.+)\.(?P<note>[a-z-]*)(?P<number>\(\d+\))?", re.IGNORECASE | re.DOTALL)
_OLDER = re.compile(r"(?P<start>.+\.\w+)(?P<number>\(\d+\))", re.DOTALL)
#: Names of notes of the older kind, without their ending, have so many characters at most.
_LONGEST_NOTE = 46
#: How Google names what was edited, in some of its languages: it shares the notes of the picture that it was made from.
_EDITED = (
    "edited", "bearbeitet", "modifié", "modifie", "editado", "editada", "modificato", "bewerkt", "edytowane",
    "redigerad", "redigert", "redigeret", "muokattu", "upraveno", "szerkesztett", "düzenlendi", "изменено",
    "編集済み", "已修改", "수정됨",
)  # fmt: skip
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
#: The film of a live photo, converted by the phone; the one in the library of macOS.
_CONVERTED = re.compile(r"(.+)_HEVC", re.IGNORECASE | re.DOTALL)
_IN_LIBRARY = re.compile(rf"({_UUID})_3", re.IGNORECASE)
#: What was done to the original of a picture: IMG_O1234.AAE beside IMG_1234.HEIC.
_ORIGINAL = re.compile(r"(\w{3}_)O(\d{4,})", re.IGNORECASE)
#: The film of a Pixel's picture, X.MP of X.MP.jpg or X.jpg, and of a copy of it, X.MP~2.
_PIXEL = re.compile(r"(?P<base>.+)(?P<ending>\.(?:mp|mv))(?P<copy>~\d+)?", re.IGNORECASE | re.DOTALL)


class Claim(NamedTuple):
    """A picture to which a file may belong, by a part of its name; and what the file's name has behind that part."""

    start: str
    part: Part
    ending: str
    #: Whether a rule of a phone or service says so, and not the names alone.
    is_special: bool = True


def claims(name: str) -> Iterator[Claim]:
    """Yield the pictures to which a file may belong by its name, the likeliest first.

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
    """Yield how Google would name an edited copy of a picture.

    >>> next(edited("IMG_1.jpg"))
    'IMG_1-edited.jpg'
    """
    base, ending = split(name)
    for word in _EDITED:
        yield f"{base}-{word}{ending}"


def is_film(name: str) -> bool:
    """Tell whether a name is one of a film that may belong to a picture."""
    return name.lower().endswith(FILMS) or _PIXEL.fullmatch(name) is not None


def split(name: str) -> tuple[str, str]:
    """Return a file's name without its ending, and that; a name that begins with its only dot has none."""
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
    """The names of the files of one folder, to be found by what belongs to them, in upper or lower case.

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
        """Return the files to which another lays a claim."""
        if claim.part == "start":
            return [name for name in self._names if folded(name).startswith(folded(claim.start))]
        return self._by_part[claim.part].get(folded(claim.start), [])
