"""What several clusterings of the same samples have in common: which agrees best with the others, and their vote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from selfsort.arguments import NUMBERS, Kind, checked
from selfsort.errors import DataError

IntArray = npt.NDArray[np.int64]

_MOST_ROUNDS = 20
_CLUSTERINGS = Kind(
    lambda value: (
        hasattr(value, "__len__") and not isinstance(value, (str, bytes)) and all(map(NUMBERS.accepts, value))
    ),
    "a sequence of arrays of labels",
)


@checked(clusterings=_CLUSTERINGS)
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
        Mean adjusted Rand index of each with the others. Where either of two has all that they share in one cluster, or
        each in its own, they say nothing and count 0.

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
            if all(1 < len(np.unique(each[both])) < both.sum() for each in (first, second)):
                agreement[i, j] = agreement[j, i] = adjusted_rand_score(first[both], second[both])
    means: npt.NDArray[np.float64] = agreement.sum(1) / (len(labels) - 1)
    return means


@checked(clusterings=_CLUSTERINGS)
def vote(clusterings: Sequence[npt.ArrayLike]) -> IntArray:
    """Combine clusterings of the same samples: each sample goes where most of them have it.

    The clusters of each are named after those of a reference, so that as many samples as possible keep their cluster;
    every clustering then has one vote per sample, and of equally many the reference decides. That is the one of the
    best consensus, times its share of samples that have a cluster, and then what the vote gave, until it gives the same
    again. Where heads or runs err in different places, their vote errs less.

    Parameters
    ----------
    clusterings : sequence of int arrays, shape (n,) each
        Three or more; -1 does not vote. One of more clusters than the reference has some that get no name of their own:
        they vote for the cluster in which most of their samples are. A cluster that shares no sample with any does not
        vote.

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0, without gaps; -1 where nobody votes.

    References
    ----------
    Dudoit & Fridlyand, "Bagging to improve the accuracy of a clustering procedure", Bioinformatics 2003.

    Examples
    --------
    >>> vote([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1]]).tolist()
    [0, 0, 1, 1]
    """
    codes = [_numbered(each) for each in _checked(clusterings)]
    shares = [(each >= 0).mean() for each in codes]
    found = codes[int(np.argmax(consensus(codes) * shares))]
    k = int(found.max()) + 1
    if k == 0:
        return found
    for _ in range(_MOST_ROUNDS):
        votes = np.zeros((len(found), k), np.int32)
        for each, weight in [*((of, 2) for of in codes), (found, 1)]:
            names = np.append(_names(each, found, k), -1)[each]
            rows = np.flatnonzero(names >= 0)
            votes[rows, names[rows]] += weight
        before, found = found, np.where(votes.any(1), votes.argmax(1), -1)
        if (found == before).all():
            break
    return _numbered(found)


def _numbered(labels: IntArray) -> IntArray:
    """Return the same clusters as 0, 1, ... without gaps; -1 for none."""
    numbers = np.full(len(labels), -1, np.int64)
    inside = labels >= 0
    numbers[inside] = np.unique(labels[inside], return_inverse=True)[1]
    return numbers


def _names(codes: IntArray, reference: IntArray, k: int) -> IntArray:
    """Return for each cluster, 0 to the last, the one of the reference, 0 to k - 1, that it stands for; -1 for none."""
    both = (codes >= 0) & (reference >= 0)
    shared = np.zeros((int(codes.max()) + 1, k), np.int64)
    np.add.at(shared, (codes[both], reference[both]), 1)
    names = shared.argmax(1)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    names[rows] = columns
    return np.where(shared[np.arange(len(names)), names] > 0, names, -1)


def _checked(clusterings: Sequence[npt.ArrayLike]) -> list[IntArray]:
    labels = [np.asarray(each) for each in clusterings]
    shapes = {each.shape for each in labels}
    if len(labels) < 3 or len(shapes) > 1 or len(next(iter(shapes))) != 1 or (0,) in shapes:
        raise DataError(
            "A consensus needs three or more clusterings of the same samples, one label per sample in each: got "
            f"{len(labels)} of shapes {sorted(shapes)}."
        )
    return labels
