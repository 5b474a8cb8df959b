"""What is known of each picture in single words: kind, text, objects, faces, place and time; what names are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort.clusters import Clusters
from selfsort.dates import MONTHS, days_of
from selfsort.photos import kind, objects
from selfsort.photos.catalog import Catalog
from selfsort.photos.seen import features_of, kinds_of, large_enough
from selfsort.photos.text import tokens
from selfsort.photos.timeline import Event, timeline

SOURCES = ("kind", "people", "object", "text", "place", "time")
KIND, PEOPLE, OBJECT, TEXT, PLACE, TIME = range(len(SOURCES))
PEOPLE_TERMS = ("people", "portraits", "groups of people")
#: So probable an object must be; a broader one is as probable as all that it covers.
_PROBABLE = 0.3
#: A word is a term if so many pictures have it; of each picture the rarest so many count.
_MIN_PICTURES, _MAX_WORDS = 3, 40
_MAX_LETTERS = 30
#: Of a portrait the one face takes so much of the area.
_PORTRAIT = 0.04


@dataclass(frozen=True)
class Terms:
    """The terms of every picture of a run.

    Attributes
    ----------
    has : csr_matrix of int32, shape (n, t)
        1 where a picture has a term.
    words : tuple of str, length t
    sources : ndarray of int64, shape (t,)
        Where each term is from: an index into `SOURCES`.
    known : ndarray of bool, shape (n, n_sources)
        Whether anything is known of a picture from each source.
    broad : ndarray of bool, shape (t,)
        Whether a term is an object that covers others.
    readable : ndarray of bool, shape (n,)
    months : ndarray of int64, shape (n,)
        When each picture was taken: 12 times the year, plus the month from 0; -1 if it is not known.
    """

    has: sparse.csr_matrix
    words: tuple[str, ...]
    sources: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    broad: npt.NDArray[np.bool_]
    readable: npt.NDArray[np.bool_]
    months: npt.NDArray[np.int64]

    #: What `selfsort.photos.naming` found for groups of these pictures, by a hash of their rows.
    proposals: dict[bytes, Any] = field(default_factory=dict, repr=False, compare=False)

    def share_of_any(self, rows: npt.NDArray[np.int64], source: int, words: Iterable[str]) -> float:
        """Return the share of some pictures that has any of some terms."""
        part = self.has[rows]
        wanted = np.isin(part.indices, [self._numbers[source, word] for word in words])
        return float(np.mean(np.diff(np.concatenate([[0], wanted.cumsum()])[part.indptr]) > 0))

    @cached_property
    def _numbers(self) -> dict[tuple[int, str], int]:
        return {key: i for i, key in enumerate(zip(self.sources.tolist(), self.words, strict=True))}

    @cached_property
    def totals(self) -> npt.NDArray[np.int64]:
        """How many pictures have each term, shape (t,)."""
        return np.bincount(self.has.indices, minlength=self.has.shape[1])


class _Builder:
    """Collects which rows have which terms."""

    def __init__(self, n: int) -> None:
        self.known = np.zeros((n, len(SOURCES)), bool)
        self.broad: frozenset[str] = frozenset()
        self._numbers: dict[tuple[int, str], int] = {}
        self._rows: list[int] = []
        self._terms: list[int] = []

    def add(self, row: int, source: int, words: Iterable[str]) -> None:
        """Note that one more source knows a picture, by these words."""
        self.known[row, source] = True
        for word in map(_clean, words):
            if word:
                self._rows.append(row)
                self._terms.append(self._numbers.setdefault((source, word), len(self._numbers)))

    def build(self, readable: npt.NDArray[np.bool_], months: npt.NDArray[np.int64]) -> Terms:
        """Return all that was noted."""
        shape = (len(readable), len(self._numbers))
        has = sparse.csr_matrix((np.ones(len(self._rows), np.int32), (self._rows, self._terms)), shape=shape)
        has.data[:] = 1  # added twice is had once
        sources = np.array([source for source, _ in self._numbers], np.int64)
        broad = np.array([source == OBJECT and word in self.broad for source, word in self._numbers], bool)
        return Terms(has, tuple(word for _, word in self._numbers), sources, self.known, broad, readable, months)


def terms_of(clusters: Clusters, catalog: Catalog) -> Terms:
    """Collect the terms of every picture from what the catalog knows of it and the encoder saw in it.

    Every part is optional: what was not read, or needs an extra that is not installed, gives no terms.

    Parameters
    ----------
    clusters : Clusters
        A run of `selfsort.organize`.
    catalog : Catalog
        Its catalog.
    """
    ids = clusters.items.column("id").to_pylist()
    rows = np.flatnonzero(clusters.ok).tolist()
    builder = _Builder(len(ids))
    photos = _add_kinds(builder, clusters, catalog.facts("looks"), rows)
    _add_objects(builder, clusters, photos)
    _add_people(builder, clusters, catalog.facts("people"), ids, rows)
    _add_texts(builder, catalog.facts("text"), ids, rows)
    found, _ = timeline(clusters, catalog)
    return builder.build(np.asarray(clusters.ok), _add_events(builder, found, len(ids)))


def _add_kinds(builder: _Builder, clusters: Clusters, looks: Mapping[str, Any], rows: Sequence[int]) -> list[int]:
    """Add kinds; return the rows of photographs."""
    found = kinds_of(clusters, looks, rows)
    for row, (name, _) in found.items():
        builder.add(row, KIND, [f"{name}s"])
    return [row for row, (name, _) in found.items() if name == kind.PHOTO]


def _add_objects(builder: _Builder, clusters: Clusters, photos: list[int]) -> None:
    """Add what is in photographs; what the classifier makes of drawings, texts and icons is not to be believed."""
    photos, features = large_enough(clusters, photos), features_of(clusters)
    if not photos or features is None:
        return
    for row, words in zip(photos, objects.probable(features[photos], _PROBABLE), strict=True):
        builder.add(row, OBJECT, words)
    builder.broad = frozenset(name for above in objects.broader() for name in above)


def _add_people(
    builder: _Builder, clusters: Clusters, facts: Mapping[str, Any], ids: Sequence[str], rows: Sequence[int]
) -> None:
    widths, heights = (clusters.items.column(name).to_pylist() for name in ("width", "height"))
    everybody, one, many = PEOPLE_TERMS
    for row in rows:
        if (fact := facts.get(ids[row])) is None:
            continue
        sizes = [face[2] * face[3] for face in fact["faces"]]
        in_pixels = any(max(face[2:4]) > 1 for face in fact["faces"])
        least = _PORTRAIT * (widths[row] * heights[row] if in_pixels else 1)
        is_portrait = len(sizes) == 1 and sizes[0] >= least
        builder.add(row, PEOPLE, [everybody] * bool(sizes) + [one] * is_portrait + [many] * (len(sizes) > 2))


def _add_texts(builder: _Builder, facts: Mapping[str, Any], ids: Sequence[str], rows: Sequence[int]) -> None:
    with_text = [row for row in rows if (facts.get(ids[row]) or {}).get("text")]
    if not with_text:
        return
    found = {row: set(filter(_is_telling, map(_clean, tokens(facts[ids[row]]["text"])))) for row in with_text}
    counts = Counter(word for words in found.values() for word in words)
    for row, words in found.items():
        kept = sorted((counts[word], word) for word in words if counts[word] >= _MIN_PICTURES)
        builder.add(row, TEXT, [word for _, word in kept[:_MAX_WORDS]])


def _clean(word: str) -> str:
    """Return a word without what does not show, or turns the direction of what follows."""
    return "".join(c for c in word if c.isprintable()).strip()


def _is_telling(word: str) -> bool:
    """Tell whether a word can stand in a name: numbers and the short words of the Latin script say nothing alone."""
    if len(word) > _MAX_LETTERS or not any(c.isalpha() for c in word):
        return False
    return len(word) >= 4 or not word.isascii()


def _add_events(builder: _Builder, found: Sequence[Event], n: int) -> npt.NDArray[np.int64]:
    """Add towns, regions, countries and the days of events; return the month of each row."""
    months = np.full(n, -1, np.int64)
    for event in found:
        days = _days(event)
        for moment in event.moments:
            if moment.taken.precision != "year":
                months[moment.row] = 12 * moment.taken.at.year + moment.taken.at.month - 1
            builder.add(moment.row, TIME, [days] if days else [])
            place = None if moment.guessed else moment.place
            if place is not None:
                builder.add(moment.row, PLACE, dict.fromkeys((place.town, place.region, place.country)))
    return months


def _days(event: Event) -> str:
    """Return the day or the days of an event, empty if there are too many of them for one.

    >>> from datetime import datetime
    >>> from selfsort.photos.metadata import Taken
    >>> from selfsort.photos.timeline import Moment
    >>> days = [Moment(row, Taken(datetime(2026, 3, day), "exif", "second")) for row, day in enumerate((5, 7))]
    >>> _days(Event(tuple(days)))
    '5–7 March 2026'
    """
    start, end = event.start, event.end
    if (end - start).days > 30 or any(moment.taken.precision in ("month", "year") for moment in event.moments):
        return ""
    return days_of(start, end)


def months_named(first: int, n: int) -> str:
    """Return the name of months in a row, or of years where they begin with January and are twelve or more.

    >>> months_named(12 * 2026 + 2, 1), months_named(12 * 2026 + 2, 3), months_named(12 * 2026 + 11, 2)
    ('March 2026', 'March–May 2026', 'December 2026 – January 2027')
    >>> months_named(12 * 2019, 12), months_named(12 * 2019, 36)
    ('2019', '2019–2021')
    """
    (year, month), (last_year, last_month) = divmod(first, 12), divmod(first + n - 1, 12)
    if n % 12 == 0 and month == 0:
        return f"{year}" if n == 12 else f"{year}–{last_year}"
    if n == 1:
        return f"{MONTHS[month]} {year}"
    if year == last_year:
        return f"{MONTHS[month]}–{MONTHS[last_month]} {year}"
    return f"{MONTHS[month]} {year} – {MONTHS[last_month]} {last_year}"


def spans(months: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield spans of time as (first month, number of months), the shortest first, that hold any of the months."""
    known = np.unique(months[months >= 0])
    if not len(known):
        return
    for n in (1, 2, 3):
        firsts = np.unique(np.concatenate([known - i for i in range(n)]))
        yield from ((int(first), n) for first in firsts if n == 1 or {first, first + n - 1} <= set(known.tolist()))
    years = np.unique(known // 12)
    for n in (1, 2, 3):
        for year in years.tolist():
            if n == 1 or year + n - 1 in years:
                yield 12 * year, 12 * n
