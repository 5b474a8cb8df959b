"""Which pictures stand for a group on the wall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

#: Covers of a group at most; chosen from so many of its surest pictures.
_N_COVERS, _N_CANDIDATES = 4, 16
#: Two pictures look too alike to stand side by side if, of each and its so many nearest, any is the same.
_N_ALIKE = 5


def covers(
    labels: npt.NDArray[np.int32],
    shown: npt.NDArray[np.bool_],
    rank: npt.NDArray[np.float64],
    ids: Sequence[str],
    neighbors: npt.NDArray[Any],
) -> list[list[int]]:
    """Return rows of the pictures that stand for each group: the surest first, no content twice, the like ones last.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        Groups from 0; -1 for none.
    shown : ndarray of bool, shape (n,)
        Which pictures may be covers.
    rank : ndarray, shape (n,)
        How sure each is of its group.
    ids : sequence of str, length n
        Contents.
    neighbors : ndarray of int, shape (n, k)
        The nearest pictures of each, the nearest first.
    """
    rows = np.flatnonzero((labels >= 0) & shown)
    rows = rows[np.lexsort((-rank[rows], labels[rows]))]
    starts = np.searchsorted(labels[rows], np.arange(labels.max(initial=-1) + 2))
    rows = rows[np.arange(len(rows)) - starts[labels[rows]] < _N_CANDIDATES]
    near = dict(zip(rows.tolist(), neighbors[rows, :_N_ALIKE].tolist(), strict=True))
    starts = np.searchsorted(labels[rows], np.arange(len(starts))).tolist()
    return [_chosen(rows[first:last].tolist(), ids, near) for first, last in pairwise(starts)]


def _chosen(rows: list[int], ids: Sequence[str], near: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the first of some rows that are not like one before them; if they are too few, then the others."""
    chosen: list[int] = []
    others: list[int] = []
    around: set[int] = set()
    contents: set[str] = set()
    for row in rows:
        if len(chosen) == _N_COVERS:
            break
        if ids[row] in contents:
            continue
        contents.add(ids[row])
        if around.isdisjoint((row, *near[row])):
            chosen.append(row)
            around.update((row, *near[row]))
        else:
            others.append(row)
    return [*chosen, *others][:_N_COVERS]
