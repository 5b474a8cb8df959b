"""Moves between clusterings that keep more of what two views know of each other: divide one, join two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_N_DIVIDED = 10  # clusters whose division is tried with all ways to join: those that gain most


def grouped_information(joint: Matrix, groups: Labels, n_groups: int) -> float:
    """Return the mutual information, in nats, between the groups of two views.

    Parameters
    ----------
    joint : ndarray of float64, shape (m, m)
        Symmetric joint distribution of the small clusters of two views; sums to 1.
    groups : ndarray of int64, shape (m,)
        Group of each small cluster, below `n_groups`.
    n_groups : int
    """
    member = np.eye(n_groups)[groups]
    grouped = member.T @ joint @ member
    return float(_entropy_terms(grouped).sum() - 2 * _entropy_terms(grouped.sum(1)).sum())


def information_groups(joint: Matrix, n_groups: int) -> Labels:
    """Group small clusters so that the groups of two views share the most information.

    From one group per small cluster, the two whose merging loses the least information are merged until `n_groups` are
    left (agglomerative information bottleneck); then single small clusters move between groups while that gains some.

    Parameters
    ----------
    joint : ndarray of float64, shape (m, m)
        See `grouped_information`.
    n_groups : int
        At most m.

    Returns
    -------
    ndarray of int64, shape (m,)

    References
    ----------
    Slonim & Tishby, "Agglomerative Information Bottleneck", NeurIPS 1999.

    Examples
    --------
    >>> joint = np.kron(np.eye(2), np.full((2, 2), 1 / 8))  # of four small clusters the first two go together
    >>> information_groups(joint, 2).tolist()
    [0, 0, 1, 1]
    """
    groups = _merged(joint, n_groups)
    best = grouped_information(joint, groups, n_groups)
    while True:
        trials = [(c, g) for c in range(len(joint)) for g in range(n_groups) if g != groups[c]]
        values = [grouped_information(joint, _moved(groups, *trial), n_groups) for trial in trials]
        if not values or max(values) <= best + 1e-9:
            return groups
        best = max(values)
        groups = _moved(groups, *trials[int(np.argmax(values))])


def split_and_merge(first: Labels, second: Labels, n_clusters: int, n_fine: int, min_gain: float) -> Labels:
    """Divide clusters along fine ones and join others, as long as two views then share more information.

    Each move divides one cluster in two, by the grouping of its fine clusters that keeps the most information, and
    joins the two of the then k + 1 parts whose merging loses the least; the best move of all is made while it gains
    enough. A right clustering stays as it is: joining two classes loses more than dividing one gains. That grouping all
    fine clusters anew would keep as much is no reason to do so: under strong views many clusterings do.

    Parameters
    ----------
    first, second : ndarray of int64, shape (2, n)
        Cluster and fine cluster of both views of n samples.
    n_clusters, n_fine : int
        k and m.
    min_gain : float
        Nats that a move must gain.

    Returns
    -------
    ndarray of int64, shape (k, m)
        New cluster of what is in a cluster and a fine cluster: row c is c throughout where nothing is gained.

    Examples
    --------
    >>> fine = np.arange(40) % 4  # four classes of one size; clusters 0 and 1 share the first, 2 joins two
    >>> cluster = np.where(fine == 0, np.arange(40) // 20, fine.clip(2, 3))
    >>> cluster[fine == 1] = 2
    >>> views = np.stack([cluster, fine]), np.stack([np.roll(cluster, 20), fine])  # views of 0 are now in 0, now in 1
    >>> table = split_and_merge(*views, 4, 4, 0.01)
    >>> len(set(table[cluster, fine])), len(set(zip(table[cluster, fine], fine)))
    (4, 4)
    """
    table = np.repeat(np.arange(n_clusters)[:, None], n_fine, axis=1)
    for _ in range(n_clusters):
        a, b = (np.stack([table[tuple(view)], view[1]]) for view in (first, second))
        halves = np.stack([_halves(a, b, cluster, n_fine) for cluster in range(n_clusters)])
        joint = paired_joint(2 * a[0] + halves[tuple(a)], 2 * b[0] + halves[tuple(b)], 2 * n_clusters)
        groups, gain = _best_move(joint)
        if gain < min_gain:
            break
        table = groups[2 * table + halves[table, np.arange(n_fine)]]
    return table


def paired_joint(first: Labels, second: Labels, n_clusters: int) -> Matrix:
    """Return the symmetric joint distribution of the clusters of two views, each of shape (n,)."""
    counts = np.bincount(first * n_clusters + second, minlength=n_clusters**2).reshape(n_clusters, n_clusters)
    return (counts + counts.T) / max(1, 2 * len(first))


def _halves(first: Labels, second: Labels, cluster: int, n_fine: int) -> Labels:
    """Return which half of the cluster each fine cluster belongs to, shape (n_fine,), 0 or 1."""
    both = (first[0] == cluster) & (second[0] == cluster)
    tags = np.stack([first[1, both], second[1, both]])
    used = np.unique(tags)
    halves = np.zeros(n_fine, np.int64)
    if len(used) > 1:
        a, b = np.searchsorted(used, tags)
        halves[used] = information_groups(paired_joint(a, b, len(used)), 2)
    return halves


def _best_move(joint: Matrix) -> tuple[Labels, float]:
    """Return the cluster of each half cluster after the best move, shape (2k,), and the nats that it gains."""
    k = len(joint) // 2
    own = np.arange(2 * k) // 2
    base = grouped_information(joint, own, k)
    best, gain = own, 0.0
    divided = []
    for cluster in range(k):
        parts = own.copy()
        parts[2 * cluster + 1] = k
        divided.append((grouped_information(joint, parts, k + 1) - base, cluster, parts))
    for gained, cluster, parts in sorted(divided, reverse=True, key=lambda one: one[0])[:_N_DIVIDED]:
        member = np.eye(k + 1)[parts]
        losses = _losses(member.T @ joint @ member)
        i, j = sorted(int(index) for index in np.unravel_index(np.argmin(losses), losses.shape))
        if gained - losses[i, j] > gain + 1e-9:
            best, gain = _joined(parts, cluster, i, j, k), float(gained - losses[i, j])
    return best, gain


def _joined(parts: Labels, cluster: int, i: int, j: int, k: int) -> Labels:
    """Join parts i < j, so that the fewest change their number; part k is the second half of the divided cluster."""
    joined = parts.copy()
    if j == k:
        joined[parts == k] = i
    elif cluster in (i, j):  # its first half goes, the second stays
        joined[parts == cluster] = i + j - cluster
        joined[parts == k] = cluster
    else:
        joined[parts == j] = i
        joined[parts == k] = j
    return joined


def _merged(joint: Matrix, n_groups: int) -> Labels:
    joint = joint.copy()
    groups = np.arange(len(joint))
    alive = list(range(len(joint)))
    while len(alive) > n_groups:
        part = joint[np.ix_(alive, alive)]
        a, b = np.unravel_index(np.argmin(_losses(part)), part.shape)
        keep, gone = sorted((alive[a], alive[b]))
        joint[keep] += joint[gone]
        joint[:, keep] += joint[:, gone]
        groups[groups == gone] = keep
        alive.remove(gone)
    return np.searchsorted(alive, groups)


def _losses(joint: Matrix) -> Matrix:
    """Return the information that merging each two groups loses; infinite on the diagonal."""
    m = len(joint)
    own, size, diagonal = _entropy_terms(joint), joint.sum(1), np.diag(joint)
    both = _entropy_terms(joint[:, None] + joint[None]) - own[:, None] - own[None]  # (a, b, h)
    index = np.arange(m)
    rest = both.sum(2) - both[index, :, index] - both[:, index, index]  # without h = a and h = b
    corner = _entropy_terms(diagonal[:, None] + diagonal[None] + 2 * joint)
    corner -= _entropy_terms(diagonal)[:, None] + _entropy_terms(diagonal)[None] + 2 * own
    sizes = _entropy_terms(size[:, None] + size[None]) - _entropy_terms(size)[:, None] - _entropy_terms(size)[None]
    losses = -(2 * rest + corner - 2 * sizes)
    np.fill_diagonal(losses, np.inf)
    return losses


def _entropy_terms(p: Matrix) -> Matrix:
    return p * np.log(np.maximum(p, np.finfo(np.float64).tiny))


def _moved(groups: Labels, cluster: int, group: int) -> Labels:
    moved = groups.copy()
    moved[cluster] = group
    return moved
