"""Names for groups, with the evidence for them: "Screenshots · “error” · March 2026", and why.

A term is fit for a name if many pictures of the group have it and few others: by the log-odds ratio with an informative
Dirichlet prior (Monroe, Colaresi & Quinn, "Fightin' words", 2008), less its uncertainty.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort.clusters import Clusters
from selfsort.photos.catalog import Catalog
from selfsort.photos.places import are_known
from selfsort.photos.terms import (
    KIND,
    OBJECT,
    PEOPLE,
    PLACE,
    SOURCES,
    TEXT,
    TIME,
    Terms,
    months_named,
    spans,
    terms_of,
)

__all__ = ["Evidence", "Naming", "Terms", "digest", "name_groups", "suggest", "terms_of"]

#: Raise when the same groups would get other names.
VERSION = 1
#: Share of a group's pictures that a term of each of `SOURCES` needs to be in its name; and as a way out where two
#: groups would have the same name.
_SHARE = np.array([0.8, 0.6, 0.5, 0.25, 0.5, 0.7])
_SHARE_OTHERWISE = np.array([0.8, 0.4, 0.25, 0.2, 0.25, 0.35])
_MIN_COUNT = 3
#: What nearly all of a group's pictures are or show may name it even if the same is true elsewhere.
_NEARLY_ALL = 0.8
#: The classifier misses many objects: less is enough of one that covers others and is hardly ever found elsewhere; and
#: two or three such objects name a group together.
_SHARE_OF_RARE, _TOGETHER = 0.33, 0.5
#: The prior is a half and the library's share of so many pictures; a term must be so many times likelier inside, with so
#: many standard deviations to spare.
_PRIOR, _LEAST_RATIO, _RARE_RATIO, _DEVIATIONS = 4.0, 2.0, 6.0, 1.645
_MAX_PARTS, _MAX_EVIDENCE, _MAX_ALTERNATIVES = 3, 8, 5
_PHOTOS = "photos"

IntArray = npt.NDArray[np.int64]


class Evidence(NamedTuple):
    """One reason for a name.

    Attributes
    ----------
    source : str
        One of `selfsort.photos.terms.SOURCES`.
    term : str
    share : float
        Of the group's pictures that have it.
    elsewhere : float
        Share of all other pictures that have it.
    """

    source: str
    term: str
    share: float
    elsewhere: float


@dataclass(frozen=True)
class Naming:
    """A name for one group.

    Attributes
    ----------
    name : str
        Empty if nothing is sure.
    evidence : tuple of Evidence
        Why: first what is in the name.
    alternatives : tuple of str
        Other names that no group has, up to five.
    """

    name: str
    evidence: tuple[Evidence, ...] = ()
    alternatives: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return JSON's types, for ``groups.json``."""
        reasons = [
            reason._asdict() | {"share": round(reason.share, 4), "elsewhere": round(reason.elsewhere, 4)}
            for reason in self.evidence
        ]
        return asdict(self) | {"evidence": reasons, "alternatives": list(self.alternatives)}


class _Found(NamedTuple):
    """A term of a group, as `Evidence` has it, and what it is good for.

    Attributes
    ----------
    strength : float
        How fit it is for a name.
    sure : bool
        Whether it may be in the name for its own sake, and not only to tell two groups apart.
    rare : bool
        Whether it is an object that covers others and is hardly ever found elsewhere.
    most : bool
        Whether most pictures that have it are in this group.
    """

    source: int
    term: str
    share: float
    elsewhere: float
    strength: float
    sure: bool
    rare: bool
    most: bool

    def evidence(self) -> Evidence:
        return Evidence(SOURCES[self.source], self.term, self.share, self.elsewhere)

    def shown(self) -> str:
        """Return the term as it stands in a name; what was read in pictures is in quotation marks."""
        return f"“{self.term}”" if self.source == TEXT else self.term


class _Part(NamedTuple):
    text: str
    strength: float
    reasons: tuple[_Found, ...]


@dataclass
class _Proposal:
    """What one group could be called."""

    parts: list[_Part]
    others: list[_Found]
    ranked: list[_Found]

    @property
    def strength(self) -> float:
        return self.parts[0].strength if self.parts else 0.0

    def names(self) -> Iterator[tuple[str, tuple[_Found, ...]]]:
        """Yield names and the reasons for what is in them, the best first."""
        if not self.parts:
            return
        yield _named(self.parts)
        others = [other for other in self.others if self._is_narrower(other)]
        for other in others:  # a bird, where another group is of animals
            if other.source == OBJECT and other.share >= _SHARE[OBJECT] and other.sure:
                yield _named([_part(other) if part.reasons[0].source == OBJECT else part for part in self.parts])
        for other in others:
            yield _named([*self.parts[: _MAX_PARTS - 1], _part(other)])

    def _is_narrower(self, other: _Found) -> bool:
        """Tell whether a term says more than what is in the name: not that birds are animals, or portraits people."""
        same = [reason for part in self.parts for reason in part.reasons if reason.source == other.source]
        return all(other.source in (OBJECT, TEXT) and other.share < reason.share for reason in same)

    def alternatives(self) -> Iterator[str]:
        """Yield what else it could be called."""
        for n in range(len(self.parts) - 1, 0, -1):
            yield _named(self.parts[:n])[0]
        yield from (name for name, _ in self.names())
        yield from (_named([part])[0] for part in (*self.parts, *map(_part, self.others)))


def digest(catalog: Catalog) -> str:
    """Return what changes when the same groups would get other names."""
    return f"names {VERSION}, {catalog.count_facts()}, places {are_known()}"


def suggest(clusters: Clusters, catalog: Catalog) -> None:
    """Give every group of every level of a run its ``suggested`` name, with evidence and alternatives."""
    terms = terms_of(clusters, catalog)
    for level in range(clusters.levels.shape[1]):
        groups = [group for group in clusters.groups if group["level"] == level]
        taken = {group["group"]: str(group["name"]) for group in groups if group.get("name")}
        namings = name_groups(terms, np.asarray(clusters.levels[:, level], np.int64), taken=taken)
        for group in groups:
            group["suggested"] = namings[group["group"]].as_json()


def name_groups(terms: Terms, labels: IntArray, *, taken: Mapping[int, str] | None = None) -> list[Naming]:
    """Return a name for each group; no two are the same.

    Parameters
    ----------
    terms : Terms
        From `terms_of`.
    labels : ndarray of int64, shape (n,)
        Groups from 0, -1 for none.
    taken : mapping of int to str, optional
        Names that people gave: they stay, and no other group gets them.

    Returns
    -------
    list of Naming, one for each group
    """
    own = dict(taken or {})
    n_groups = int(labels.max(initial=-1)) + 1
    proposals = [_proposal(found) for found in _found(terms, labels, n_groups)]
    sizes = np.bincount(labels[labels >= 0], minlength=n_groups)
    used = {_fold(name): 1 for name in own.values()}
    chosen: dict[int, tuple[str, tuple[_Found, ...]]] = {}
    for group in sorted(range(n_groups), key=lambda g: (-proposals[g].strength, -sizes[g], g)):
        proposal = proposals[group]
        chosen[group] = (own[group], _reasons(proposal.parts)) if group in own else _free(proposal, used)
    return [_naming(*chosen[group], proposals[group], used) for group in range(n_groups)]


def _naming(name: str, reasons: tuple[_Found, ...], proposal: _Proposal, used: Mapping[str, int]) -> Naming:
    more = [
        found
        for found in proposal.ranked
        if found.term != _PHOTOS and not any(found is reason for reason in reasons)  # most things are photographs
    ]
    evidence = tuple(found.evidence() for found in (*reasons, *more)[:_MAX_EVIDENCE])
    alternatives: dict[str, str] = {}
    for other in proposal.alternatives():
        folded = _fold(other)
        if folded not in used and folded not in alternatives:
            alternatives[folded] = other
            if len(alternatives) == _MAX_ALTERNATIVES:
                break
    return Naming(name, evidence, tuple(alternatives.values()))


def _free(proposal: _Proposal, used: dict[str, int]) -> tuple[str, tuple[_Found, ...]]:
    """Return the best name that no other group has, at last with a number; `used` knows where to go on counting."""
    first: tuple[str, tuple[_Found, ...]] = ("", ())
    for name, reasons in proposal.names():
        first = first if first[0] else (name, reasons)
        if _fold(name) not in used:
            used[_fold(name)] = 1
            return name, reasons
    if not first[0]:
        return first
    base = number = _fold(first[0])
    while number in used:
        used[base] += 1
        number = f"{base} {used[base]}"
    used[number] = 1
    return f"{first[0]} {used[base]}", first[1]


def _proposal(found: Sequence[_Found]) -> _Proposal:
    """Choose what stands in the name of one group: what it is first, then what is read in it, where and when."""
    ranked = sorted(found, key=lambda of: -of.strength)
    best: dict[int, _Found] = {}
    for of in ranked:
        if of.sure:
            best.setdefault(of.source, of)
    kind = best.pop(KIND, None)
    parts = {source: _part(of) for source, of in best.items()}
    if kind is not None and kind.term != _PHOTOS:
        parts[KIND] = _part(kind)
    elif PEOPLE in parts:  # clothes, or what they hold
        parts.pop(OBJECT, None)
    elif OBJECT not in parts and (together := _together(ranked)) is not None:
        parts[OBJECT] = together
    elif kind is not None and not parts and kind.most:
        parts[KIND] = _part(kind)
    order = sorted(parts)
    while len(order) > _MAX_PARTS:
        order.remove(min(order[1:], key=lambda source: parts[source].strength))
    named = _reasons([parts[source] for source in order])
    others = [of for of in ranked if of.source != KIND and not any(of is reason for reason in named)]
    return _Proposal([parts[source] for source in order], others, ranked)


def _together(ranked: Sequence[_Found]) -> _Part | None:
    """Return two or three objects that are most of a group together, where none is alone."""
    objects = sorted([of for of in ranked if of.rare][:3], key=lambda of: -of.share)
    for n in (2, 3):
        if len(objects) >= n and sum(of.share for of in objects[:n]) >= _TOGETHER:
            strength = min(of.strength for of in objects[:n])
            return _Part(", ".join(of.term for of in objects[:n]), strength, tuple(objects[:n]))
    return None


def _found(terms: Terms, labels: IntArray, n_groups: int) -> list[list[_Found]]:
    """Return the terms of each group that could be in its name."""
    inside = np.flatnonzero((labels >= 0) & terms.readable)
    order = inside[np.argsort(labels[inside], kind="stable")]
    sizes = np.bincount(labels[inside], minlength=n_groups)
    starts = np.concatenate([[0], sizes.cumsum()])
    groups = sparse.csr_matrix((np.ones(len(order), np.int32), order, starts), shape=(n_groups, len(labels)))
    known = np.column_stack([np.bincount(labels[inside[of[inside]]], minlength=n_groups) for of in terms.known.T])
    counts = groups @ terms.has
    least = np.maximum(np.minimum(_MIN_COUNT, sizes)[:, None], _SHARE_OTHERWISE * sizes[:, None])
    places = np.flatnonzero(counts.data >= least.min(initial=_MIN_COUNT))  # most are rarer than any needs to be
    row, column, count = places.searchsorted(counts.indptr), counts.indices[places], counts.data[places]
    row = np.repeat(np.arange(n_groups), np.diff(row))
    fit = np.flatnonzero(count >= least[row, terms.sources[column]])
    fit = fit[np.lexsort((column[fit], row[fit]))]
    row, column, count = row[fit], column[fit], count[fit]
    words = [terms.words[term] for term in column.tolist()]
    tables = [(row, terms.sources[column], count, terms.totals[column], words, terms.broad[column])]
    if (times := _spans(terms, labels, sizes, n_groups)) is not None:
        tables.append(times)
    found: list[list[_Found]] = [[] for _ in range(n_groups)]
    n_readable, n_known = int(terms.readable.sum()), terms.known.sum(0)
    alone = (n_known - known < _MIN_COUNT) & np.isin(np.arange(len(SOURCES)), (PLACE, TIME))  # only this group tells
    known, n_known = np.where(alone, sizes[:, None], known), np.where(alone, n_readable, n_known)
    for row, source, count, total, words, broad in tables:
        share = count / sizes[row]
        elsewhere = (total - count) / np.maximum(n_readable - sizes[row], 1)
        bound = _log_odds_bound(count, known[row, source], total, n_known[row, source])
        common = (share >= _NEARLY_ALL) & np.isin(source, (KIND, PEOPLE, OBJECT))
        distinctive, rare = bound > math.log(_LEAST_RATIO), bound > math.log(_RARE_RATIO)
        enough = share >= np.where(rare & broad, _SHARE_OF_RARE, _SHARE[source])
        strength = np.where(distinctive, share**2 * bound, np.where(common, 0.1 * share, 0.0))
        sure = enough & (distinctive | common)
        columns = (source, share, elsewhere, strength, sure, rare & broad, 2 * count > total)
        for group, word, *of in zip(row.tolist(), words, *(part.tolist() for part in columns), strict=True):
            if of[3] > 0:
                found[group].append(_Found(of[0], word, *of[1:]))
    return found


def _log_odds_bound(count: Any, n: Any, total: Any, n_all: Any) -> npt.NDArray[np.float64]:
    """Return by how much at least a term is likelier inside a group than outside, as a log-odds ratio.

    Pictures count of which something is known from the term's source: a group of texts must not be told by "the",
    which most texts have and no photograph. (Only where no other group has places, or times, do all pictures count.)
    """
    prior = 0.5 + _PRIOR * total / n_all
    rest = 1 + _PRIOR - prior
    out, n_out = total - count, n_all - n
    inside, outside = (count + prior) / (n - count + rest), (out + prior) / (n_out - out + rest)
    deviation = np.sqrt(1 / (count + prior) + 1 / (out + prior))
    return np.asarray(np.log(inside / outside) - _DEVIATIONS * deviation)


def _spans(terms: Terms, labels: IntArray, sizes: IntArray, n_groups: int) -> Any:
    """Return for each group the shortest span of months, else of years, that holds enough of it, as in `_found`."""
    dated = terms.months >= 0
    if not dated.any() or not n_groups:
        return None
    possible = list(spans(terms.months))
    first = min(start for start, _ in possible)
    n_months = max(start + n for start, n in possible) - first
    inside = dated & terms.readable & (labels >= 0)
    cells = labels[inside] * n_months + terms.months[inside] - first
    by_month = np.bincount(cells, minlength=n_groups * n_months).reshape(n_groups, n_months)
    until = np.hstack([np.zeros((n_groups, 1), np.int64), by_month.cumsum(1)])
    all_until = np.concatenate([[0], np.bincount(terms.months[dated] - first, minlength=n_months).cumsum()])
    starts = np.array([start - first for start, _ in possible])
    ends = starts + np.array([n for _, n in possible])
    counts = until[:, ends] - until[:, starts]
    enough = counts >= np.maximum(np.minimum(_MIN_COUNT, sizes), _SHARE[TIME] * sizes)[:, None]
    row, column = np.nonzero(enough)
    order = np.lexsort((-counts[row, column], (ends - starts)[column], row))
    order = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
    row, column = row[order], column[order]
    total = (all_until[ends] - all_until[starts])[column]
    words = [months_named(*possible[i]) for i in column.tolist()]
    return row, np.full(len(row), TIME), counts[row, column], total, words, np.zeros(len(row), bool)


def _part(found: _Found) -> _Part:
    return _Part(found.shown(), found.strength, (found,))


def _named(parts: Sequence[_Part]) -> tuple[str, tuple[_Found, ...]]:
    """Return the name of these parts, and the reasons for it."""
    name = " · ".join([part.text for part in parts])
    return name[:1].upper() + name[1:], _reasons(parts)


def _reasons(parts: Sequence[_Part]) -> tuple[_Found, ...]:
    return tuple([reason for part in parts for reason in part.reasons])


def _fold(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
