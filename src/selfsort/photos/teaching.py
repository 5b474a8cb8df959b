"""What corrections mean for a new run: groups keep their keys, and pictures follow corrected ones like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort.features.graph import spread
from selfsort.photos.corrections import NOWHERE, Entry, State, apply

IntArray = npt.NDArray[np.int64]

#: Of what a picture hears, this share comes from its neighbors, the rest is what it says itself.
_SHARE = 0.9
#: So much more a picture that a person placed counts than one that was only found in its group.
_WEIGHT = 5.0
#: How much the other pictures of a group lose in weight for each share of it that a person took out.
_DOUBT = 10.0
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


def teach(graph: sparse.csr_matrix, found: IntArray, contents: Sequence[str], entries: Sequence[Entry]) -> IntArray:
    """Let corrected pictures teach where the others belong.

    Each picture says to its neighbors in the graph which group it is in: loudly if a person put it there, and the less
    loudly the more pictures a person took out of that group. Then each goes where most of what it hears comes from.

    Parameters
    ----------
    graph : csr_matrix, shape (n, n)
        Weights from 0 to 1.
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
    heard = spread(_linked(graph, state, row_of), _said(start, now, placed, state, row_of, keys), _SHARE)
    for content, groups in state.rejected.items():
        if content in row_of:
            heard[row_of[content], np.isin(keys, list(groups))] = -1
    best = keys[heard.argmax(1)]
    silent = (heard.max(1) <= 0) | ((found == NOWHERE) & (now == NOWHERE) & ~_rejected(state, contents))
    best = np.where(silent | placed, now, best)
    best = _held(best, start, now, placed, state, contents)
    _keep_apart(best, heard, keys, placed, state, row_of)
    return np.where(placed | (best == start), found, best)


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
) -> npt.NDArray[np.float32]:
    """Return what each picture says of itself, shape (n, n_keys)."""
    taken = start[placed & (start != now)].tolist()
    taken += [key for content, groups in state.rejected.items() if content in row_of for key in groups]
    said = np.zeros((len(now), len(keys)), np.float32)
    column = {key: i for i, key in enumerate(keys.tolist())}
    n_taken, n_members = np.zeros(len(keys)), np.ones(len(keys))
    for key in taken:
        if key in column:
            n_taken[column[key]] += 1
    groups, sizes = np.unique(start, return_counts=True)
    for key, size in zip(groups.tolist(), sizes.tolist(), strict=True):
        if key in column:
            n_members[column[key]] = size
    weight = 1 / (1 + _DOUBT * n_taken / n_members)
    rows = np.flatnonzero(now != NOWHERE)
    columns = np.searchsorted(keys, now[rows])
    said[rows, columns] = np.where(placed[rows], _WEIGHT, weight[columns])
    return said


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


def _rejected(state: State, contents: Sequence[str]) -> npt.NDArray[np.bool_]:
    return np.array([bool(state.rejected.get(content)) for content in contents])


def _keep_apart(
    best: IntArray,
    heard: npt.NDArray[np.float32],
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
