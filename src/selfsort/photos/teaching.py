"""What corrections mean for a new run: groups keep their keys, and pictures follow corrected ones like them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort.features.graph import spread
from selfsort.photos.state import NOWHERE, Entry, State, apply

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

#: Of what a picture hears, this share comes from its neighbors, the rest is what it says itself.
_SHARE = 0.9
#: So often pictures hear and then say where they now belong.
_ROUNDS = 3
#: So much more a picture that a person placed counts than one that was only found in its group.
_WEIGHT = 4.0
#: How much the other pictures of a group lose in weight for each share of it that a person took out.
_DOUBT = 7.0
#: How little looks count against what neighbors say, and how smooth they are.
_WARMTH, _RIDGE = 0.2, 3.0
#: So many groups are heard of at a time.
_AT_ONCE = 64
_ROWS = 4096  # and of so many pictures it is seen how they look
#: So many pictures of a group were placed elsewhere before all of it follows them.
_LEAST_TAKEN = 2
#: Link between pictures that a person put together; the greatest of the graph is 1.
_LINK = 1.0


def hand_on(labels: IntArray, contents: Sequence[str], before: Mapping[str, int], first_key: int) -> IntArray:
    """Give groups the keys of the earlier groups that they inherit.

    An earlier group is inherited by the group that has more than half of it, or that it makes more than half of; where
    several would do, all together inherit as many pictures as can be.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        Group of each picture; -1 for none.
    contents : sequence of str
        Content hash of each.
    before : mapping of str to int
        Content -> key of its group in the earlier run; `NOWHERE` for none.
    first_key : int
        New groups get this key and those after it.

    Returns
    -------
    ndarray of int64, shape (n,)
        Keys; `NOWHERE` for none.
    """
    from scipy.optimize import linear_sum_assignment

    n_groups = int(labels.max(initial=-1)) + 1
    old = np.array([before.get(content, NOWHERE) for content in contents], np.int64)
    known = np.unique(old[old != NOWHERE])
    both = (old != NOWHERE) & (labels >= 0)
    shared = np.zeros((n_groups, len(known)))
    np.add.at(shared, (labels[both], np.searchsorted(known, old[both])), 1)
    of_new, of_old = shared.sum(1, keepdims=True), shared.sum(0, keepdims=True)  # of the pictures that both have seen
    inherits = (2 * shared > of_old) | (2 * shared > of_new)
    keys = np.full(n_groups + 1, NOWHERE, np.int64)  # the last is for those in none
    for group, earlier in zip(*linear_sum_assignment(np.where(inherits, shared, 0), maximize=True), strict=True):
        if inherits[group, earlier]:
            keys[group] = known[earlier]
    fresh = np.flatnonzero(keys[:-1] == NOWHERE)
    keys[fresh] = first_key + np.arange(len(fresh))
    return keys[labels]


def teach(
    graph: sparse.csr_matrix,
    vectors: FloatArray,
    found: IntArray,
    contents: Sequence[str],
    entries: Sequence[Entry],
) -> IntArray:
    """Let corrected pictures teach where the others of their groups belong.

    Each picture says to its neighbors in the graph which group it is in: loudly if a person put it there, and the less
    loudly the more pictures a person took out of that group. A linear model learns from the same how groups look. Then
    each picture of a group from which some were taken goes where most of what it hears comes from and its looks fit;
    and says so, twice more.

    Parameters
    ----------
    graph : csr_matrix, shape (n, n)
        Weights from 0 to 1.
    vectors : ndarray of float32, shape (n, d)
        What pictures look like, and what is shown; see `selfsort.photos.meaning.Meaning.beside`.
    found : ndarray of int64, shape (n,)
        Key of each picture's group without corrections; `NOWHERE` for none.
    contents : sequence of str
        Content hash of each picture.
    entries : sequence of Entry

    Returns
    -------
    ndarray of int64, shape (n,)
        Keys such that `apply` of the entries gives every picture its group. Where a person placed a picture it is that
        of `found`, so the correction can still be undone.
    """
    state = apply(dict(zip(contents, found.tolist(), strict=True)), entries)
    row_of = {content: row for row, content in enumerate(contents)}
    teaching = {*state.placed, *state.rejected, *(c for link in (*state.together, *state.apart) for c in link)}
    if not teaching & row_of.keys():
        return found
    start = np.array([state.resolve(key) for key in found.tolist()], np.int64)
    now = np.array([state.groups[content] for content in contents], np.int64)
    placed = np.array([content in state.placed for content in contents])
    keys = np.unique(now[now != NOWHERE])
    if not len(keys):
        return found
    leaving = (now != start) | np.array(
        [key in state.rejected.get(content, ()) for key, content in zip(start.tolist(), contents, strict=True)]
    )
    lost = np.unique(start[leaving & (start != NOWHERE)])
    rejected = np.array([bool(state.rejected.get(content)) for content in contents])
    asked = np.isin(start, lost) | (rejected & (now == NOWHERE))
    apart = np.zeros(len(now), bool)
    apart[[row_of[content] for pair in state.apart for content in pair if content in row_of]] = True
    rows = np.flatnonzero(asked | apart)
    if not len(rows):
        return found
    linked = _linked(graph, state, row_of)
    place = dict(zip(rows.tolist(), range(len(rows)), strict=True))
    refused = np.zeros((len(rows), len(keys)), bool)
    for content, groups in state.rejected.items():
        if row_of.get(content) in place:
            refused[place[row_of[content]]] = np.isin(keys, list(groups))
    stays = placed | ((found == NOWHERE) & (now == NOWHERE) & ~rejected)
    best, said = now, sparse.csr_matrix((len(now), len(keys)), dtype=np.float32)
    told = np.zeros((len(rows), len(keys)), np.float32)
    for _ in range(_ROUNDS):
        before, said = said, _said(start, best, placed, leaving, keys)
        _tell(told, linked, said, rows, np.unique((said != before).nonzero()[1]))
        heard = _fit(vectors, said, rows)
        heard *= told
        heard[refused] = -1
        best, loud = now.copy(), asked[rows] & (heard.max(1) > 0)
        best[rows[loud]] = keys[heard[loud].argmax(1)]
        best = _held(np.where(stays, now, best), start, now, placed, rejected)
    _keep_apart(best, {row: heard[place[row]] for row in np.flatnonzero(apart).tolist()}, keys, placed, state, row_of)
    return np.where(placed | (best == start), found, best)


def _tell(told: FloatArray, linked: sparse.csr_matrix, said: sparse.csr_matrix, rows: IntArray, keys: IntArray) -> None:
    """Write how much neighbors tell these rows of some of the groups, shape (len(rows), n_keys)."""
    for start in range(0, len(keys), _AT_ONCE):
        columns = keys[start : start + _AT_ONCE]
        told[:, columns] = spread(linked, said[:, columns].toarray(), _SHARE)[rows]


def _fit(vectors: FloatArray, said: sparse.csr_matrix, rows: IntArray) -> FloatArray:
    """Return by what factor these rows believe that they are of each group, shape (len(rows), n_keys)."""
    looks, fit = Looks(vectors, said), np.empty((len(rows), said.shape[1]), np.float32)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        fit[part] = np.exp(looks(rows[part]) / _WARMTH)
    return fit


class Looks:
    """How much more than others a picture looks like each group, by ridge regression on what pictures say.

    Pictures are weighted by how loudly they say it. Of itself a picture tells nothing: it is left out exactly.

    Parameters
    ----------
    vectors : ndarray of float, shape (n, d)
    said : csr_matrix, shape (n, n_keys)
        At most one value in a row: how loudly a picture says which group it is in.
    """

    def __init__(self, vectors: FloatArray, said: sparse.csr_matrix) -> None:
        self._said = said
        self._weight = np.asarray(said.sum(1), np.float32)
        total = max(float(self._weight.sum(dtype=np.float64)), 1e-12)
        self._of_all = self._weight / total
        self._centered = vectors - (self._of_all * vectors).sum(0)
        weighted = self._centered * self._weight
        self._inverse = np.linalg.inv(weighted.T @ self._centered + _RIDGE * np.eye(vectors.shape[1]))
        self._usual = np.asarray(said.sum(0), np.float64) / total
        self._slopes = self._inverse @ (said.T @ self._centered).T

    def __call__(self, rows: IntArray) -> FloatArray:
        """Return shape (len(rows), n_keys): about 1 for a group just like it, and 0 or less for others."""
        centered, weight = self._centered[rows], self._weight[rows]
        with_it = centered @ self._slopes + self._usual
        leverage = self._of_all[rows] + weight * ((centered @ self._inverse) * centered).sum(1, keepdims=True)
        own = self._said[rows].toarray() / np.maximum(weight, 1e-12)
        without_it = (with_it - leverage * own) / np.maximum(1 - leverage, 1e-6)
        looks: FloatArray = (without_it - self._usual).astype(np.float32)
        return looks


def _held(
    best: IntArray,
    start: IntArray,
    now: IntArray,
    placed: npt.NDArray[np.bool_],
    rejected: npt.NDArray[np.bool_],
) -> IntArray:
    """Keep a group of which all would follow a single picture, or go to a group that a person divided off from it.

    In a small group one picture would take all others with it, and a division would undo itself.
    """
    free = rejected | (now != start)
    held = best.copy()
    for key in np.unique(start[(best != start) & ~placed & ~free]).tolist():
        members = start == key
        n_taken = int((members & (placed | free) & (now != start)).sum())
        staying = members & ~placed & (best == start)
        here = members & ~placed & ~free
        if not staying.any() and (n_taken < _LEAST_TAKEN or (best[here] < NOWHERE).any()):
            held[here] = key
    return held


def _said(
    start: IntArray, now: IntArray, placed: npt.NDArray[np.bool_], leaving: npt.NDArray[np.bool_], keys: IntArray
) -> sparse.csr_matrix:
    """Return what each picture says of itself, shape (n, n_keys)."""
    counted = Counter(start[leaving].tolist())
    n_taken = np.array([counted[key] for key in keys.tolist()])
    n_members = np.maximum(1, [np.count_nonzero(start == key) for key in keys.tolist()])
    weight = 1 / (1 + _DOUBT * n_taken / n_members)
    rows = np.flatnonzero(now != NOWHERE)
    columns = np.searchsorted(keys, now[rows])
    values = np.where(placed[rows], _WEIGHT, weight[columns])
    return sparse.csr_matrix((values.astype(np.float32), (rows, columns)), shape=(len(now), len(keys)))


def _linked(graph: sparse.csr_matrix, state: State, row_of: Mapping[str, int]) -> sparse.csr_matrix:
    """Return the graph with links between pictures that a person put together, and none between those put apart."""
    pairs = [(first, other) for first, *others in state.together for other in others]
    together = [(row_of[a], row_of[b]) for a, b in pairs if a in row_of and b in row_of]
    apart = [(row_of[a], row_of[b]) for a, b in state.apart if a in row_of and b in row_of]
    if not together and not apart:
        return graph
    linked = graph.tolil(copy=True)
    for value, links in ((_LINK, together), (0.0, apart)):
        for a, b in links:
            linked[a, b] = linked[b, a] = value
    return linked.tocsr()


def _keep_apart(
    best: IntArray,
    heard: Mapping[int, FloatArray],
    keys: IntArray,
    placed: npt.NDArray[np.bool_],
    state: State,
    row_of: Mapping[str, int],
) -> None:
    """Put pictures that do not belong together into different groups: the second, if it can, goes to its next best."""
    for first, other in state.apart:
        if first in row_of and other in row_of:
            a, b = row_of[first], row_of[other]
            leaving = [row for row in (b, a) if not placed[row]]
            if best[a] == best[b] != NOWHERE and leaving:
                others = np.where(keys == best[a], -np.inf, heard[leaving[0]])
                best[leaving[0]] = keys[others.argmax()] if others.max() > 0 else NOWHERE


def moved(before: State, after: State) -> dict[str, int]:
    """Return in numbers what changed between two states, of the pictures that both know.

    ``moved``: pictures in another group than before; ``new_groups``, ``gone_groups``.
    """
    shared = before.groups.keys() & after.groups.keys()
    old, new = set(before.groups.values()) - {NOWHERE}, set(after.groups.values()) - {NOWHERE}
    return {
        "moved": sum(before.groups[content] != after.groups[content] for content in shared),
        "new_groups": len(new - old),
        "gone_groups": len(old - new),
    }
