"""What several clusterings of the same samples have in common: which agrees best with the others, and their vote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from selfsort.errors import DataError

IntArray = npt.NDArray[np.int64]

_MOST_ROUNDS = 20


def consensus(clusterings: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float64]:
    """Score clusterings of the same samples by how well each agrees with all the others.

    What clusterings of several kinds find alike lies in the samples rather than in one way of looking at them. So this
    is as good as the others are different: give several methods, seeds and numbers of clusters, to both sides of what
    seems right. It needs no features, and compares clusterings of different ones.

    Parameters
    ----------
    clusterings : sequence of int arrays, shape (n,) each
        Three or more; -1 is no cluster, and two are compared on the samples that have one in both.

    Returns
    -------
    ndarray of float64, shape (n_clusterings,)
        Mean adjusted Rand index of each with the others; 0 of two that share no sample.

    Raises
    ------
    DataError
        If there are fewer than three, or they are not of the same samples.

    Examples
    --------
    >>> consensus([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 2, 2]]).round(2).tolist()
    [0.79, 0.79, 0.57]
    """
    labels = _checked(clusterings)
    agreement = np.zeros((len(labels),) * 2)
    for i, first in enumerate(labels):
        for j, second in enumerate(labels[:i]):
            both = (first >= 0) & (second >= 0)
            if both.any():
                agreement[i, j] = agreement[j, i] = adjusted_rand_score(first[both], second[both])
    means: npt.NDArray[np.float64] = agreement.sum(1) / (len(labels) - 1)
    return means


def vote(clusterings: Sequence[npt.ArrayLike]) -> IntArray:
    """Combine clusterings of the same samples: each sample goes where most of them have it.

    The clusters of each are named after those of a reference, so that as many samples as possible keep their cluster;
    every clustering then has one vote per sample. The reference is the one of the best consensus, then what the vote
    gave, until it gives the same again. Where heads or runs err in different places, the vote is better than one of
    them.

    Parameters
    ----------
    clusterings : sequence of int arrays, shape (n,) each
        Three or more; -1 does not vote. One of more clusters than the reference gives its smaller ones no name of their
        own: they vote for the cluster in which most of their samples are.

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0; -1 where nobody votes.

    References
    ----------
    Dudoit & Fridlyand, "Bagging to improve the accuracy of a clustering procedure", Bioinformatics 2003.

    Examples
    --------
    >>> vote([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1]]).tolist()
    [0, 0, 1, 1]
    """
    labels = _checked(clusterings)
    codes = [np.where(each >= 0, np.unique(each, return_inverse=True)[1] - int(each.min() < 0), -1) for each in labels]
    found = codes[int(np.argmax(consensus(codes)))]
    k = int(found.max()) + 1
    if k == 0:
        return found
    for _ in range(_MOST_ROUNDS):
        votes = np.zeros((len(found), k), np.int32)
        for each in codes:
            rows = np.flatnonzero(each >= 0)
            votes[rows, _names(each, found, k)[each[rows]]] += 1
        before, found = found, np.where(votes.any(1), votes.argmax(1), -1)
        if (found == before).all():
            break
    return found


def _names(codes: IntArray, reference: IntArray, k: int) -> IntArray:
    """Return for each cluster, 0 to the last, the one of the reference, 0 to k - 1, that it stands for."""
    both = (codes >= 0) & (reference >= 0)
    shared = np.zeros((int(codes.max()) + 1, k), np.int64)
    np.add.at(shared, (codes[both], reference[both]), 1)
    names: IntArray = shared.argmax(1)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    names[rows] = columns
    return names


def _checked(clusterings: Sequence[npt.ArrayLike]) -> list[IntArray]:
    labels = [np.asarray(each) for each in clusterings]
    shapes = {each.shape for each in labels}
    if len(labels) < 3 or len(shapes) > 1 or len(next(iter(shapes))) != 1 or (0,) in shapes:
        raise DataError(
            "A consensus needs three or more clusterings of the same samples, one label per sample in each: got "
            f"{len(labels)} of shapes {sorted(shapes)}."
        )
    return labels
