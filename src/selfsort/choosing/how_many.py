"""How many clusters there are, and whether that has an answer: the number at which parts of the samples agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import adjusted_rand_score

from selfsort.arguments import CALL, NUMBERS, WHOLE, checked, optional
from selfsort.choosing.scores import checked_vectors
from selfsort.errors import DataError
from selfsort.features.graph import modularity, shared_neighbor_graph
from selfsort.features.groups import Divisions, default_n_neighbors, divide
from selfsort.features.neighbors import nearest_neighbors
from selfsort.features.project import FloatArray, unit_rows
from selfsort.runtime import Progress, silent

IntArray = npt.NDArray[np.int64]

N_RESAMPLES = 12
_SHARE = 0.8  # of the samples in each resample
_SPARE = 3  # times as many neighbors as the graph needs are found once, of which those in a resample are kept
_FEWEST = 20
#: Numbers whose stability is behind by more than this are not about as stable, however uncertain it is.
_NEAR = 0.1
#: An interval of more than this factor is no answer, nor is a stability below this: noise has less.
WIDEST, LEAST = 3.0, 0.5
#: Nor one after which larger numbers are hardly less stable, as where samples lie evenly on a surface.
_FALL = 0.05


@dataclass(frozen=True)
class KChoice:
    """What `choose_k` found.

    Attributes
    ----------
    ks : ndarray of int64, shape (m,)
        Numbers of clusters that were tried, in order.
    stability : ndarray of float64, shape (m,)
        Mean adjusted Rand index of the clusters of two resamples, over the samples in both.
    low, high : ndarray of float64, shape (m,)
        Its interval: two standard errors, by the spread of the resamples.
    modularity : ndarray of float64, shape (m,)
        Of the clusters in the resamples' graphs, on average.
    k : int or None
        The number that is recommended; None: there is no clear answer.
    best : int
        The most stable number, recommended or not.
    interval : tuple of int
        The numbers around the best that are not clearly less stable, from the smallest to the largest.
    reason : str
        Why there is no clear answer; empty where there is one.
    """

    ks: IntArray
    stability: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    modularity: npt.NDArray[np.float64]
    k: int | None
    best: int
    interval: tuple[int, int]
    reason: str


@checked(vectors=NUMBERS, ks=optional(NUMBERS), n_resamples=WHOLE, seed=WHOLE, progress=CALL)
def choose_k(
    vectors: npt.ArrayLike,
    ks: Sequence[int] | None = None,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    progress: Progress = silent,
) -> KChoice:
    """Find how many clusters there are: as many as different parts of the samples agree on.

    Fifths of the samples are left out at random, again and again. What remains is divided by its shared-neighbor graph
    into 2, 3, ... groups. With too few groups, classes are joined, and which ones is a matter of chance; with too many
    they are divided, and where is a matter of chance too. So the number of groups is recommended at which resamples
    agree best about the samples that they share.

    Parameters
    ----------
    vectors : array-like, shape (n, d)
        What samples are compared by, by the cosine.
    ks : sequence of int, optional
        Numbers to try, each from 2 to a fifth of the samples; all up to 20 and then ever fewer, up to 30 or three times
        as many as the graph finds, if not given.
    n_resamples : int
        3 or more.
    seed : int
    progress : callable

    Returns
    -------
    KChoice

    Raises
    ------
    DataError
        If there are fewer than 20 samples, or a number cannot be tried.

    References
    ----------
    Ben-Hur, Elisseeff & Guyon, "A stability based method for discovering structure in clustered data", PSB 2002.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(4) * 10, 60, axis=0) + rng.normal(size=(240, 4))
    >>> found = choose_k(X)
    >>> found.k, found.interval
    (4, (4, 4))
    """
    given = np.asarray(vectors)
    if given.ndim != 2 or len(given) < _FEWEST or not given.shape[1]:
        raise DataError(
            f"To find how many clusters there are takes {_FEWEST} samples or more, in an array of shape (n, d): got "
            f"shape {given.shape}."
        )
    given = checked_vectors(given)
    if seed < 0:
        raise DataError(f"The seed must be 0 or more: got {seed}.")
    rows, n = unit_rows(given), len(given)
    most = min(n // 5, len(np.unique(rows, axis=0)))
    if most < 2:
        raise DataError(f"All {n} samples are the same. Pass others.")
    if n_resamples < 3:
        raise DataError(f"It takes 3 resamples or more: got n_resamples={n_resamples}.")
    wanted = default_n_neighbors(n)
    nearest = nearest_neighbors(rows, min(n - 1, _SPARE * wanted), seed=seed, progress=progress).indices
    rng = np.random.default_rng(seed)
    parts = [np.sort(rng.choice(n, round(_SHARE * n), replace=False)) for _ in range(n_resamples)]
    tried: IntArray | None = None if ks is None else _checked(ks, most)
    labels, found = [], []
    for number, part in enumerate(parts):
        progress("resamples", number, n_resamples)
        divisions = _divisions(rows, nearest, part, seed + number)
        if tried is None:
            tried = _grid(divisions.n_found, most)
        labels.append([divisions.at(k) for k in tried.tolist()])
        found.append([modularity(divisions.graph, of) for of in labels[-1]])
    progress("resamples", n_resamples, n_resamples)
    assert tried is not None
    return _choose(tried, _agreement(parts, labels, n), np.mean(found, 0), most)


def _checked(ks: Sequence[int], most: int) -> IntArray:
    given = np.unique(np.asarray(ks))
    tried = given.astype(np.int64)
    if len(tried) < 2 or tried[0] < 2 or tried[-1] > most or (tried != given).any():
        seen = "none" if not len(given) else f"{len(given)} from {given[0]} to {given[-1]}"
        raise DataError(
            f"The numbers of clusters to try must be two or more whole numbers, each from 2 to {most}: got {seen}."
        )
    return tried


def _grid(n_found: int, most: int) -> IntArray:
    """Return all numbers up to 20, then steps of a twelfth."""
    last = min(most, max(30, 3 * n_found))
    ks = list(range(2, min(last, 20) + 1))
    while ks[-1] < last:
        ks.append(min(last, ks[-1] + max(1, ks[-1] // 12)))
    return np.array(ks, np.int64)


def _divisions(rows: FloatArray, nearest: npt.NDArray[np.int32], part: IntArray, seed: int) -> Divisions:
    """Return the groups of some of the samples, by their nearest neighbors among themselves."""
    place = np.full(len(rows), -1, np.int32)
    place[part] = np.arange(len(part))
    neighbors = place[nearest[part]]
    kept = np.argsort(neighbors < 0, axis=1, kind="stable")  # those in the part first, the nearest of them before
    n_kept = min(default_n_neighbors(len(part)), int((neighbors >= 0).sum(1).min()))
    graph = shared_neighbor_graph(np.take_along_axis(neighbors, kept[:, :n_kept], 1))
    return divide(graph, rows[part], seed=seed)


def _agreement(parts: list[IntArray], labels: list[list[IntArray]], n: int) -> npt.NDArray[np.float64]:
    """Return how well each two resamples agree, shape (n_ks, n_resamples, n_resamples); NaN on the diagonal."""
    n_ks, n_parts = len(labels[0]), len(parts)
    agreement = np.full((n_ks, n_parts, n_parts), np.nan)
    places = np.full((n_parts, n), -1, np.int64)
    for i, part in enumerate(parts):
        places[i, part] = np.arange(len(part))
    for i in range(n_parts):
        for j in range(i):
            both = (places[i] >= 0) & (places[j] >= 0)
            first, second = places[i, both], places[j, both]
            for k in range(n_ks):
                agreement[k, i, j] = agreement[k, j, i] = adjusted_rand_score(labels[i][k][first], labels[j][k][second])
    return agreement


def _choose(ks: IntArray, agreement: npt.NDArray[np.float64], found: npt.NDArray[np.float64], most: int) -> KChoice:
    of_each = np.nanmean(agreement, 2)  # of each resample with all others; a mean of pairs has twice its error
    stability = of_each.mean(1)
    best = int(stability.argmax())
    behind = of_each[best] - of_each
    near = behind.mean(1) <= np.minimum(_error(behind), _NEAR)
    first = last = best  # without a gap
    while first > 0 and near[first - 1]:
        first -= 1
    while last < len(ks) - 1 and near[last + 1]:
        last += 1
    interval = int(ks[first]), int(ks[last])
    reason = ""
    if stability[best] < LEAST:
        reason = f"parts of the samples agree at no number: at the best, {ks[best]}, by {stability[best]:.2f} of 1"
    elif interval[1] > WIDEST * interval[0]:
        reason = f"numbers from {interval[0]} to {interval[1]} are about as stable"
    elif best == len(ks) - 1 and ks[best] < most and stability[best] < 1 - _FALL:
        reason = f"{ks[best]}, the most stable, is the largest number that was tried. Try larger ones"
    elif best < len(ks) - 1 and stability[best:].min() > stability[best] - _FALL:
        reason = f"{ks[best]} is the most stable, but larger numbers, up to {ks[-1]}, are hardly less so"
    error = _error(of_each)
    return KChoice(
        ks,
        stability,
        stability - error,
        stability + error,
        found,
        None if reason else int(ks[best]),
        int(ks[best]),
        interval,
        reason,
    )


def _error(of_each: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return two standard errors of the mean over pairs, of which each resample is in two."""
    return 4 * of_each.std(1, ddof=1) / np.sqrt(of_each.shape[1])
