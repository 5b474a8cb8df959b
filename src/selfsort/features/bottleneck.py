"""Regrouping many small clusters into a few that keep the most of what two views know of each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


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
