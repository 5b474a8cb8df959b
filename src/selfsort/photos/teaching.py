"""What corrections mean for a new run: groups keep their keys, and pictures follow corrected ones like them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort.features.graph import spread
from selfsort.photos.corrections import NOWHERE, Entry, State, apply

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

#: Of what a picture hears, this share comes from its neighbors, the rest is what it says itself.
_SHARE = 0.9
#: So much more a picture that a person placed counts than one that was only found in its group.
_WEIGHT = 5.0
#: How much the other pictures of a group lose in weight when as large a share of it was taken out as of any group.
_DOUBT = 5.0
#: That share is of groups from which so many were taken, and is not less than this.
_SEVERAL, _LEAST_SHARE = 3, 0.1
#: How little the weights of pictures that look right count against what their neighbors say, and how smooth looks are.
_WARMTH, _RIDGE = 0.4, 3.0
#: So many groups are heard of at a time.
_AT_ONCE = 64
_MOST = 0.95  # leverage
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
    each picture of a group from which some were taken goes where most of what it hears comes from and its looks fit.

    Parameters
    ----------
    graph : csr_matrix, shape (n, n)
        Weights from 0 to 1.
    vectors : ndarray of float32, shape (n, d)
        What pictures look like, of about length 1.
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
    rejected = np.array([bool(state.rejected.get(content)) for content in contents])
    touched = start[(now != start) | rejected]
    apart = [row_of[content] for pair in state.apart for content in pair if content in row_of]
    asked = np.union1d(
        np.flatnonzero(np.isin(start, touched[touched != NOWHERE]) | rejected), np.array(apart, np.int64)
    )
    said = _said(start, now, placed, state, row_of, keys)
    linked = _linked(graph, state, row_of)
    heard = np.zeros((len(asked), len(keys)), np.float32)
    for columns in np.array_split(np.arange(len(keys)), -(-len(keys) // _AT_ONCE)):
        heard[:, columns] = spread(linked, said[:, columns].toarray(), _SHARE)[asked]
    heard *= np.exp(_looks(vectors, said, asked) / _WARMTH)
    for content, groups in state.rejected.items():
        if content in row_of:
            heard[np.searchsorted(asked, row_of[content]), np.isin(keys, list(groups))] = -1
    best = now.copy()
    loud = heard.max(1, initial=0) > 0
    best[asked[loud]] = keys[heard[loud].argmax(1)]
    silent = (found == NOWHERE) & (now == NOWHERE) & ~rejected
    best = np.where(silent | placed, now, best)
    best = _held(best, start, now, placed, state, contents)
    _keep_apart(best, {row: heard[np.searchsorted(asked, row)] for row in apart}, keys, placed, state, row_of)
    return np.where(placed | (best == start), found, best)


def _looks(vectors: FloatArray, said: sparse.csr_matrix, rows: IntArray) -> FloatArray:
    """Return how much more than others these rows look like each group, shape (len(rows), n_keys), 1 at most or so.

    That is ridge regression on what pictures say, weighted by how loudly; what a row says itself is left out.
    """
    weight = np.asarray(said.sum(1), np.float64)
    total = max(weight.sum(), 1e-12)
    centered = vectors - (vectors * weight).sum(0) / total
    weighted = centered * weight
    inverse = np.linalg.inv(weighted.T @ centered + _RIDGE * np.eye(vectors.shape[1]))
    of_groups = np.asarray(said.sum(0), np.float64) / total
    own = said[rows].toarray() / np.maximum(weight[rows], 1e-12)
    of_rows = centered[rows] @ inverse
    slopes = (said.T @ centered).T - weighted.sum(0)[:, None] * of_groups
    leverage = np.minimum((of_rows * weighted[rows]).sum(1, keepdims=True), _MOST)
    looks: FloatArray = ((of_rows @ slopes - leverage * (own - of_groups)) / (1 - leverage)).astype(np.float32)
    return looks


def _held(
    best: IntArray,
    start: IntArray,
    now: IntArray,
    placed: npt.NDArray[np.bool_],
    state: State,
    contents: Sequence[str],
) -> IntArray:
    """Keep a group of which all would follow a single picture, or go to a group that a person divided off from it.

    In a small group one picture would take all others with it, and a division would undo itself.
    """
    free = np.array([content in state.rejected for content in contents]) | (now != start)
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
    start: IntArray,
    now: IntArray,
    placed: npt.NDArray[np.bool_],
    state: State,
    row_of: Mapping[str, int],
    keys: IntArray,
) -> sparse.csr_matrix:
    """Return what each picture says of itself, shape (n, n_keys).

    How much of a group is wrong is seen from how much was taken out of it, compared with the most doubtful group:
    nobody corrects all that is wrong.
    """
    taken = start[placed & (start != now)].tolist()
    taken += [key for content, groups in state.rejected.items() if content in row_of for key in groups]
    counted = Counter(taken)
    n_taken = np.array([counted[key] for key in keys.tolist()])
    n_members = np.maximum(1, [np.count_nonzero(start == key) for key in keys.tolist()])
    share = n_taken / n_members
    doubt = share / max(_LEAST_SHARE, share[n_taken >= _SEVERAL].max(initial=0))
    rows = np.flatnonzero(now != NOWHERE)
    columns = np.searchsorted(keys, now[rows])
    values = np.where(placed[rows], _WEIGHT, (1 / (1 + _DOUBT * doubt))[columns])
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
            if best[a] == best[b] and leaving:
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
