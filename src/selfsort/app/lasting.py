"""Keep the order and names of groups, and keys of coarser or finer groups, stable while people correct."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.photos.naming import name_groups
from selfsort.photos.state import NOWHERE
from selfsort.photos.terms import Terms

IntArray = npt.NDArray[np.int64]

#: Offset of keys of groups that only a coarser or finer view has. The row of the first picture is added. Keys in
#: catalogs never reach it.
_CUT_KEY = 1 << 40


class Order:
    """Order of groups while a run is open: largest first; a new group follows the group that it came from."""

    def __init__(self) -> None:
        self._keys: list[int] = []

    def update(self, keys: IntArray, before: IntArray, shown: npt.NDArray[np.bool_]) -> None:
        """Assign places to new groups.

        Parameters
        ----------
        keys, before : ndarray of int64, shape (n,)
            Present and previous key of each picture's group.
        shown : ndarray of bool, shape (n,)
            Which pictures count for the size of a group.
        """
        known = set(self._keys)
        fresh, index = np.unique(keys[keys != NOWHERE], return_inverse=True)
        sizes = np.bincount(index[shown[keys != NOWHERE]], minlength=len(fresh))
        for key in fresh[
            np.argsort(-sizes, kind="stable")[::-1]
        ].tolist():  # smallest first: each is inserted before the last
            if key not in known:
                was = before[keys == key]
                found, counts = np.unique(was[np.isin(was, self._keys)], return_counts=True)
                place = self._keys.index(int(found[counts.argmax()])) + 1 if len(found) else len(self._keys)
                self._keys.insert(place, key)

    def begin(self, keys: IntArray, shown: npt.NDArray[np.bool_]) -> None:
        """Reset all places and order groups by size."""
        known, index = np.unique(keys[keys != NOWHERE], return_inverse=True)
        sizes = np.bincount(index[shown[keys != NOWHERE]], minlength=len(known))
        self._keys = known[np.argsort(-sizes, kind="stable")].tolist()

    def places(self, keys: Iterable[int]) -> IntArray:
        """Return the places of groups."""
        place = {key: place for place, key in enumerate(self._keys)}
        return np.array([place[key] for key in keys], np.int64)


def cut_keys(parts: IntArray, keys: IntArray) -> IntArray:
    """Return keys of the parts of a coarser or finer view. A part that equals one group has that group's key.

    Parameters
    ----------
    parts : ndarray of int64, shape (n,)
        Number of each picture's part; arbitrary for pictures in no group.
    keys : ndarray of int64, shape (n,)
        Key of each picture's group, `NOWHERE` for none.
    """
    rows = np.flatnonzero(keys != NOWHERE)
    _, first, part, in_part = np.unique(parts[rows], return_index=True, return_inverse=True, return_counts=True)
    _, group, in_group = np.unique(keys[rows], return_inverse=True, return_counts=True)
    _, at, together = np.unique(part * (len(in_group) + 1) + group, return_index=True, return_counts=True)
    same = (together == in_part[part[at]]) & (together == in_group[group[at]])
    named = _CUT_KEY + rows[first]
    named[part[at[same]]] = keys[rows[at[same]]]
    found = np.full(len(keys), NOWHERE, np.int64)
    found[rows] = named[part]
    return found


def namings(
    terms: Terms | None, labels: IntArray, known: Sequence[Mapping[str, Any] | None], taken: Collection[str]
) -> list[dict[str, Any]]:
    """Return name suggestions of each group, as `selfsort.photos.naming.Naming.as_json`; keep known ones.

    Parameters
    ----------
    terms : Terms, optional
        Terms of the pictures. Without them, new groups get no suggestions.
    labels : ndarray of int64, shape (n,)
    known : sequence of mapping or None
        The run's suggestions for each group; None for groups that it does not have.
    taken : collection of str
        Names that new groups must not get.
    """
    said = [dict(of or {}) for of in known]
    new = [number for number, of in enumerate(known) if of is None]
    if terms is not None and new:
        part = np.full(len(known) + 1, -1, np.int64)
        part[new] = np.arange(len(new))
        others = dict(enumerate(taken, len(new)))  # not groups of this view
        for number, naming in zip(new, name_groups(terms, part[labels], taken=others), strict=True):
            said[number] = naming.as_json()
    return said
