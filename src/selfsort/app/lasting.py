"""What stays while people correct groups: their order, what they are called, and keys of coarser or finer ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.photos.naming import name_groups
from selfsort.photos.state import NOWHERE
from selfsort.photos.terms import Terms

IntArray = npt.NDArray[np.int64]

#: Keys of groups that only a coarser or finer view has: this, plus the row of the first picture. No catalog reaches it.
_CUT_KEY = 1 << 40


class Order:
    """The order of groups while a run is looked at: the largest first, later ones behind those that they came from."""

    def __init__(self) -> None:
        self._keys: list[int] = []

    def update(self, keys: IntArray, before: IntArray, shown: npt.NDArray[np.bool_]) -> None:
        """Give a place to groups that have none.

        Parameters
        ----------
        keys, before : ndarray of int64, shape (n,)
            Key of each picture's group, and what it was before.
        shown : ndarray of bool, shape (n,)
            Which pictures count for the size of a group.
        """
        known = set(self._keys)
        fresh, index = np.unique(keys[keys != NOWHERE], return_inverse=True)
        sizes = np.bincount(index[shown[keys != NOWHERE]], minlength=len(fresh))
        for key in fresh[
            np.argsort(-sizes, kind="stable")[::-1]
        ].tolist():  # the smallest first: each goes before the last
            if key not in known:
                was = before[keys == key]
                found, counts = np.unique(was[np.isin(was, self._keys)], return_counts=True)
                place = self._keys.index(int(found[counts.argmax()])) + 1 if len(found) else len(self._keys)
                self._keys.insert(place, key)

    def begin(self, keys: IntArray, shown: npt.NDArray[np.bool_]) -> None:
        """Forget all places, and order groups by their sizes."""
        known, index = np.unique(keys[keys != NOWHERE], return_inverse=True)
        sizes = np.bincount(index[shown[keys != NOWHERE]], minlength=len(known))
        self._keys = known[np.argsort(-sizes, kind="stable")].tolist()

    def places(self, keys: Iterable[int]) -> IntArray:
        """Return the place of each of some groups."""
        place = {key: place for place, key in enumerate(self._keys)}
        return np.array([place[key] for key in keys], np.int64)


def cut_keys(parts: IntArray, keys: IntArray) -> IntArray:
    """Return keys of parts of a coarser or finer view: a part that is just one group, all of it, has that group's key.

    Parameters
    ----------
    parts : ndarray of int64, shape (n,)
        Number of each picture's part; what belongs nowhere has any.
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
    """Return what is suggested for each group, as `selfsort.photos.naming.Naming.as_json`: what is known stays.

    Parameters
    ----------
    terms : Terms, optional
        What is known of the pictures; without, nothing is suggested for new groups.
    labels : ndarray of int64, shape (n,)
    known : sequence of mapping or None
        What the run suggests for each group; None for groups that it does not have.
    taken : collection of str
        Names that no new group gets.
    """
    said = [dict(of or {}) for of in known]
    new = [number for number, of in enumerate(known) if of is None]
    if terms is not None and new:
        part = np.full(len(known) + 1, -1, np.int64)
        part[new] = np.arange(len(new))
        others = dict(enumerate(taken, len(new)))  # of no group here
        for number, naming in zip(new, name_groups(terms, part[labels], taken=others), strict=True):
            said[number] = naming.as_json()
    return said
