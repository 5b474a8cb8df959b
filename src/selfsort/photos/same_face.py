"""Which faces are of the same person, by vectors of any recognizer: from which similarity on, and the groups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort.features.graph import by_size

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
#: A person is known by so many faces: two that happen to be alike are not taken for one.
MIN_FACES = 3
#: So many deviations lie between pairs of one person and pairs of two, if a collection has enough of both. One normal
#: distribution that is divided has 2.7.
APART = 3.5
#: So many deviations more than others must two faces be alike, if it has not.
STRICTNESS = 4.0
#: Fewer faces do not tell how alike different people are.
MIN_TO_TELL = 10
#: Pairs of so many faces are looked at to tell it.
_SAMPLE = 2000
#: So many faces that hang together are compared all with all at once.
MOST_TOGETHER = 8000
_CHUNK = 512


def least_similarity(vectors: FloatArray, seed: int = 0) -> float | None:
    """Find from which similarity on two faces are one person's, which differs from recognizer to recognizer.

    The angles between faces are divided into small and large ones so that those of each side differ least (Otsu). Where
    the sides lie `APART` deviations or more apart, they are pairs of one person and pairs of two; where they do not,
    as good as all pairs are of two people. An angle that two people hardly ever have is the median of theirs less
    `STRICTNESS` times the way from there to the 84th percentile (one deviation of what is normally distributed). It is
    the threshold, but if there are pairs of one person, not below their mean and one deviation, nor above the division.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Of length 1.
    seed : int
        For the sample of faces, where there are many.

    Returns
    -------
    float or None
        A cosine; None if there are too few faces to tell.

    References
    ----------
    Otsu, "A threshold selection method from gray-level histograms", IEEE Transactions on Systems, Man, and Cybernetics
    1979.
    """
    if len(vectors) < MIN_TO_TELL:
        return None
    if len(vectors) > _SAMPLE:
        vectors = vectors[np.random.default_rng(seed).choice(len(vectors), _SAMPLE, replace=False)]
    similarity = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    angles = np.sort(np.arccos(similarity.clip(-1, 1)).astype(np.float64))
    n, below = len(angles), np.arange(1, len(angles))
    sums, squares = np.cumsum(angles), np.cumsum(angles**2)
    small, large = sums[:-1] / below, (sums[-1] - sums[:-1]) / (n - below)
    within = (squares[-1] - below * small**2 - (n - below) * large**2).clip(0) / n
    cut = int(within.argmin())
    if large[cut] - small[cut] < APART * np.sqrt(within[cut]):
        return float(np.cos(max(_hardly_ever(angles), 0)))
    usual = small[cut] + angles[: cut + 1].std()
    return float(np.cos(min(max(_hardly_ever(angles[cut + 1 :]), usual), (angles[cut] + angles[cut + 1]) / 2)))


def _hardly_ever(angles: npt.NDArray[np.float64]) -> float:
    median, far = np.percentile(angles, [50, 84.13])
    return float(median - STRICTNESS * (far - median))


def same_face(vectors: FloatArray, least: float, min_faces: int = MIN_FACES) -> IntArray:
    """Put faces into groups whose similarity is `least` or more in the mean (average linkage).

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Of length 1.
    least : float
        A cosine, see `least_similarity`.
    min_faces : int
        Smaller groups are none.

    Returns
    -------
    ndarray of int64, shape (n,)
        The group of each face, the largest first; -1 for none.
    """
    labels, n_groups = np.full(len(vectors), -1, np.int64), 0
    parts = _hanging_together(vectors, least)
    order = np.argsort(parts, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(parts[order])) + 1):
        if len(members) >= min_faces:
            found = _part(vectors[members], least, min_faces)
            labels[members] = np.where(found >= 0, n_groups + found, -1)
            n_groups += int(found.max()) + 1
    return by_size(labels)


def _part(vectors: FloatArray, least: float, min_faces: int) -> IntArray:
    """Put the faces of one part into groups from 0, as many at once as can be compared; the others may join these.

    Those that are then still in none are compared again, with others than before, until that finds nothing more.
    """
    labels, n_groups, again = np.full(len(vectors), -1, np.int64), 0, True
    order = _with_alike(vectors, least) if len(vectors) > MOST_TOGETHER else np.arange(len(vectors))
    while again:
        left, before = order[labels[order] < 0], n_groups
        again = len(left) > MOST_TOGETHER
        while len(left) >= min_faces:
            first, left = left[:MOST_TOGETHER], left[MOST_TOGETHER:]
            found = _alike(vectors[first], least, min_faces)
            others = np.setdiff1d(np.flatnonzero(labels < 0), first)
            labels[first] = np.where(found >= 0, n_groups + found, -1)
            if found.max() >= 0:
                labels[others] = _joined(vectors[others], vectors[first], found, least, n_groups)
            n_groups += int(found.max()) + 1
            left = left[labels[left] < 0]
        again &= n_groups > before
    return labels


def _with_alike(vectors: FloatArray, least: float) -> IntArray:
    """Order faces so that each is followed by those like it that did not come before."""
    order = np.zeros(0, np.int64)
    for start in range(0, len(vectors), _CHUNK):
        alike = np.nonzero(vectors[start : start + _CHUNK] @ vectors.T >= least)[1]
        order = _once(np.concatenate([order, alike]))
    return _once(np.concatenate([order, np.arange(len(vectors))]))  # at 1, a face may not even be like itself


def _once(numbers: IntArray) -> IntArray:
    """Return numbers in the order in which they come first."""
    return numbers[np.sort(np.unique(numbers, return_index=True)[1])]


def _alike(vectors: FloatArray, least: float, min_faces: int) -> IntArray:
    """Return the group of each face from 0, by comparing all with all; -1 for smaller ones than `min_faces`."""
    from scipy.cluster.hierarchy import fcluster, linkage

    groups = np.zeros(len(vectors), np.int64)
    if len(vectors) > 1:
        tree = linkage(vectors, "average", metric="cosine")
        groups = fcluster(tree, max(1 - least, 1e-6), "distance").astype(np.int64)
    return by_size(np.where(np.bincount(groups)[groups] < min_faces, -1, groups))


def _joined(others: FloatArray, vectors: FloatArray, found: IntArray, least: float, first: int) -> IntArray:
    """Return which of the groups of `vectors`, numbered from `first`, other faces join; -1 for none."""
    # the mean similarity to a group is that to the mean of its vectors
    means = np.stack([vectors[found == group].mean(0) for group in range(found.max() + 1)])
    labels = np.full(len(others), -1, np.int64)
    for start in range(0, len(others), _CHUNK):
        similarity = others[start : start + _CHUNK] @ means.T
        best = first + similarity.argmax(1)
        labels[start : start + _CHUNK] = np.where(similarity.max(1) >= least, best, -1)
    return labels


def _hanging_together(vectors: FloatArray, least: float) -> IntArray:
    """Number the parts between which no two faces are alike: no group reaches from one into another."""
    n = len(vectors)
    parts = np.arange(n)
    for start in range(0, n, _CHUNK):
        rows, columns = np.nonzero(vectors[start : start + _CHUNK] @ vectors[start:].T >= least)
        firsts = np.unique(parts, return_index=True)[1][parts]
        ends = np.concatenate([rows + start, np.arange(n)]), np.concatenate([columns + start, firsts])
        links = sparse.coo_matrix((np.ones(len(ends[0]), bool), ends), shape=(n, n))
        parts = sparse.csgraph.connected_components(links, directed=False)[1].astype(np.int64)
    return parts
