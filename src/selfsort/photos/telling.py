"""Which terms tell a group from the others, and how well.

A term is fit for a name if many pictures of the group have it and few others: by the log-odds ratio with an informative
Dirichlet prior (Monroe, Colaresi & Quinn, "Fightin' words", 2008), less its uncertainty.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort.photos.terms import KIND, OBJECT, PEOPLE, PLACE, SOURCES, TIME, Terms, months_named, spans

#: Share of a group's pictures that a term of each of `SOURCES` needs to be in its name; and as a way out where two
#: groups would have the same name.
SHARE = np.array([0.8, 0.6, 0.5, 0.25, 0.5, 0.7])
_SHARE_OTHERWISE = np.array([0.8, 0.4, 0.2, 0.2, 0.25, 0.35])
_MIN_COUNT = 3
#: What nearly all of a group's pictures are or show may name it even if the same is true elsewhere.
_NEARLY_ALL = 0.8
#: The classifier misses many objects: less is enough of one that covers others and is hardly ever found elsewhere.
_SHARE_OF_RARE = 0.33
#: The prior is a half and the library's share of so many pictures; a term must be so many times likelier inside, with
#: so many standard deviations to spare.
_PRIOR, _LEAST_RATIO, _RARE_RATIO, _DEVIATIONS = 4.0, 2.0, 6.0, 1.645

IntArray = npt.NDArray[np.int64]


class Found(NamedTuple):
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


def find_terms(terms: Terms, rows: IntArray, sizes: IntArray) -> list[list[Found]]:
    """Return for each of some groups the terms that are fit for its name.

    Parameters
    ----------
    terms : Terms
    rows : ndarray of int64, shape (m,)
        The pictures of the first group, then those of the next, and so on.
    sizes : ndarray of int64, shape (n_groups,)
        How many pictures each group has.
    """
    n_groups = len(sizes)
    group_of = np.repeat(np.arange(n_groups), sizes)
    starts = np.concatenate([[0], sizes.cumsum()])
    groups = sparse.csr_matrix((np.ones(len(rows), np.int32), rows, starts), shape=(n_groups, len(terms.readable)))
    known = np.column_stack([np.bincount(group_of[of[rows]], minlength=n_groups) for of in terms.known.T])
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
    if (times := _spans(terms, rows, group_of, sizes)) is not None:
        tables.append(times)
    found: list[list[Found]] = [[] for _ in range(n_groups)]
    n_readable, n_known = int(terms.readable.sum()), terms.known.sum(0)
    alone = (n_known - known < _MIN_COUNT) & np.isin(np.arange(len(SOURCES)), (PLACE, TIME))  # only this group tells
    known, n_known = np.where(alone, sizes[:, None], known), np.where(alone, n_readable, n_known)
    for row, source, count, total, words, broad in tables:
        share = count / sizes[row]
        elsewhere = (total - count) / np.maximum(n_readable - sizes[row], 1)
        bound = _log_odds_bound(count, known[row, source], total, n_known[row, source])
        common = (share >= _NEARLY_ALL) & np.isin(source, (KIND, PEOPLE, OBJECT))
        distinctive, rare = bound > math.log(_LEAST_RATIO), bound > math.log(_RARE_RATIO)
        enough = share >= np.where(rare & broad, _SHARE_OF_RARE, SHARE[source])
        strength = np.where(distinctive, share**2 * bound, np.where(common, 0.1 * share, 0.0))
        sure = enough & (distinctive | common)
        columns = (source, share, elsewhere, strength, sure, rare & broad, 2 * count > total)
        for group, word, *of in zip(row.tolist(), words, *(part.tolist() for part in columns), strict=True):
            if of[3] > 0:
                found[group].append(Found(of[0], word, *of[1:]))
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


def _spans(terms: Terms, rows: IntArray, group_of: IntArray, sizes: IntArray) -> Any:
    """Return for each group the shortest span of months, else of years, that holds enough of it, as in `find_terms`."""
    dated, n_groups = terms.months >= 0, len(sizes)
    if not dated.any() or not n_groups:
        return None
    possible = list(spans(terms.months))
    first = min(start for start, _ in possible)
    n_months = max(start + n for start, n in possible) - first
    inside = dated[rows]
    cells = group_of[inside] * n_months + terms.months[rows[inside]] - first
    by_month = np.bincount(cells, minlength=n_groups * n_months).reshape(n_groups, n_months)
    until = np.hstack([np.zeros((n_groups, 1), np.int64), by_month.cumsum(1)])
    all_until = np.concatenate([[0], np.bincount(terms.months[dated] - first, minlength=n_months).cumsum()])
    starts = np.array([start - first for start, _ in possible])
    ends = starts + np.array([n for _, n in possible])
    counts = until[:, ends] - until[:, starts]
    enough = counts >= np.maximum(np.minimum(_MIN_COUNT, sizes), SHARE[TIME] * sizes)[:, None]
    row, column = np.nonzero(enough)
    order = np.lexsort((-counts[row, column], (ends - starts)[column], row))
    order = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
    row, column = row[order], column[order]
    total = (all_until[ends] - all_until[starts])[column]
    words = [months_named(*possible[i]) for i in column.tolist()]
    return row, np.full(len(row), TIME), counts[row, column], total, words, np.zeros(len(row), bool)
