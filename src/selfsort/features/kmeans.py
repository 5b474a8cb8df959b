"""K-means: many starts on a sample, the better ones on all rows in the leading directions, the best on everything.

One pass costs one matrix product: only the rows that changed their cluster are added and taken away, so after the first
passes the update is nearly free. On a processor this is faster than faiss, whose pass copies and sums every row.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from selfsort.errors import DataError
from selfsort.features.magnitude import check_magnitude
from selfsort.features.project import unit_rows
from selfsort.runtime import n_threads

FloatArray = npt.NDArray[np.float32]

#: Starts run on this many rows, or on `SAMPLE_PER_CLUSTER` times k if that is more.
SAMPLE = 5000
SAMPLE_PER_CLUSTER = 64
#: Each then makes a few passes over all rows in the leading directions, which ranks them well. So many of different
#: optima go on to their end there, and so many on everything.
_PASSES_TO_RANK = 10
_CONTINUED, _FINISHED = 5, 2
_SAME_OPTIMUM = 1e-4
#: How many leading directions, or k if that is more: the others hardly tell clusters apart.
_DIRECTIONS = 64
#: Above so many clusters greedy k-means++ would cost more than k-means itself: starts are random rows.
PLUSPLUS_UP_TO = 1000
_CHUNK_VALUES = 1 << 23


class KMeansResult(NamedTuple):
    """What `kmeans` found.

    Attributes
    ----------
    centers : ndarray of float32, shape (n_clusters, d)
        Means of the clusters; of length 1 if spherical.
    labels : ndarray of int64, shape (n,)
        The nearest center of each row.
    inertia : float
        Sum of squared distances to it; for spherical k-means between rows scaled to length 1.
    n_iter : int
        Passes over all rows that led to these centers.
    """

    centers: FloatArray
    labels: npt.NDArray[np.int64]
    inertia: float
    n_iter: int


def kmeans(
    X: npt.ArrayLike,
    n_clusters: int,
    *,
    n_init: int = 10,
    max_iter: int = 300,
    tol: float = 1e-4,
    seed: int = 0,
    spherical: bool = False,
    initial_centers: npt.ArrayLike | None = None,
    device: str = "cpu",
) -> KMeansResult:
    """Find `n_clusters` centers with a small sum of squared distances.

    Parameters
    ----------
    X : array-like, shape (n, d)
        Finite numbers; computed in float32 after the mean is taken away.
    n_clusters : int
        From 1 to n.
    n_init : int
        Starts by greedy k-means++ (random rows above 1,000 clusters), of which only the best are finished: see the
        module's first lines.
    max_iter : int
        Passes over all rows at most.
    tol : float
        A run ends when the centers move, summed and squared, no more than `tol` times the mean variance of the columns,
        as in scikit-learn, or when no row changes its cluster.
    seed : int
        Same seed, same result.
    spherical : bool
        Rows and centers are scaled to length 1, so that the nearest center is that of the largest cosine.
    initial_centers : array-like, shape (n_clusters, d), optional
        The only start.
    device : str
        "cpu", or a device of torch that knows float64, such as "cuda": see `selfsort.features.torch_kmeans`.

    Returns
    -------
    KMeansResult
        Where there are fewer different rows than clusters, some clusters stay empty.

    Raises
    ------
    DataError
        If there are fewer rows than clusters, or float32 cannot tell the rows apart.

    References
    ----------
    Lloyd, "Least squares quantization in PCM", 1982; Arthur & Vassilvitskii, "k-means++", SODA 2007; Dhillon & Modha,
    "Concept decompositions for large sparse text data", Machine Learning 2001 (spherical).

    Examples
    --------
    >>> import numpy as np
    >>> found = kmeans(np.array([[0.0, 0], [0, 1], [9, 9], [9, 8]]), 2)
    >>> bool(found.labels[0] == found.labels[1] != found.labels[2] == found.labels[3]), round(found.inertia, 4)
    (True, 1.0)
    """
    check_magnitude(X)
    X = np.asarray(X, dtype=np.float32)
    if not 1 <= n_clusters <= len(X):
        raise DataError(
            f"k-means needs at least one row per cluster: got n_samples={len(X)} and n_clusters={n_clusters}. "
            f"Pass n_clusters from 1 to {len(X)}."
        )
    if device != "cpu":
        from selfsort.features.torch_kmeans import kmeans_on

        options: Any = {"n_init": n_init, "max_iter": max_iter, "tol": tol, "seed": seed, "spherical": spherical}
        return kmeans_on(device, X, n_clusters, initial_centers=initial_centers, **options)
    # products of float32 lose what is small beside the distance from the origin, so the origin moves to the mean
    mean = np.zeros(X.shape[1]) if spherical else X.mean(0, dtype=np.float64)
    rows = unit_rows(X) if spherical else X - mean.astype(np.float32)
    squares = np.einsum("ij,ij->i", rows, rows)
    variance = (squares.mean(dtype=np.float64) - (rows.mean(0, dtype=np.float64) ** 2).sum()) / X.shape[1]
    shift = tol * max(float(variance), 0.0)
    rng = np.random.default_rng(seed)
    if initial_centers is not None:
        first = np.asarray(initial_centers, dtype=np.float64)
        starts = [unit_rows(first) if spherical else (first - mean).astype(np.float32)]
    else:
        starts = _starts(rows, n_clusters, n_init, max_iter, rng, spherical)
    best: _Run | None = None
    for start in starts:
        run = _lloyd(rows, squares, start, max_iter, shift, spherical)
        if best is None or run.inertia < best.inertia:
            best = run
    assert best is not None
    centers = (best.centers + mean).astype(np.float32)
    labels, inertia = nearest_center(unit_rows(X) if spherical else X, centers)
    return KMeansResult(centers, labels, inertia, best.n_iter)


def nearest_center(X: FloatArray, centers: FloatArray) -> tuple[npt.NDArray[np.int64], float]:
    """Return the index of the nearest center of each row, shape (n,), and the sum of squared distances."""
    origin = centers.mean(0)
    labels = np.empty(len(X), np.int64)
    inertia = 0.0
    for part in _chunks(X):
        rows = X[part] - origin
        labels[part], distances = _nearest(rows, np.einsum("ij,ij->i", rows, rows), centers - origin)
        inertia += float(distances.sum(dtype=np.float64))
    return labels, inertia


class _Run(NamedTuple):
    centers: FloatArray
    labels: npt.NDArray[np.int64]
    inertia: float
    n_iter: int


def _starts(
    rows: FloatArray, n_clusters: int, n_init: int, max_iter: int, rng: np.random.Generator, spherical: bool
) -> list[FloatArray]:
    """Return the centers to start from on everything."""
    size = max(SAMPLE, SAMPLE_PER_CLUSTER * n_clusters)
    chosen = np.sort(rng.choice(len(rows), size, replace=False)) if len(rows) >= 2 * size else np.arange(len(rows))
    view = _leading_directions(rows, chosen, max(_DIRECTIONS, n_clusters), rng)
    squares = np.einsum("ij,ij->i", view, view)
    shift = 1e-4 * float(view.var(0).mean())

    def run(part: npt.NDArray[np.int64] | slice, start: FloatArray, passes: int = max_iter) -> _Run:
        return _lloyd(view[part], squares[part], start, min(passes, max_iter), shift, False)

    first = [_seed_centers(view[chosen], n_clusters, rng) for _ in range(n_init)]
    # whole runs side by side: products this small gain nothing from threads of their own
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads()) as pool:
        runs = list(pool.map(run, repeat(chosen), first))
        if len(chosen) < len(rows):
            everything = slice(None)
            ranked = pool.map(run, repeat(everything), [r.centers for r in runs], repeat(_PASSES_TO_RANK))
            runs = list(pool.map(run, repeat(everything), [r.centers for r in _best(list(ranked), _CONTINUED)]))
    starts = [_means(rows, r.labels, n_clusters) for r in _best(runs, _FINISHED)]
    return [unit_rows(centers) for centers in starts] if spherical else starts


def _best(runs: list[_Run], n: int) -> list[_Run]:
    """Return the runs with the smallest inertia, at most n, one for each optimum."""
    kept: list[_Run] = []
    for run in sorted(runs, key=lambda run: run.inertia):
        if len(kept) < n and not any(run.inertia <= other.inertia * (1 + _SAME_OPTIMUM) for other in kept):
            kept.append(run)
    return kept


def _means(rows: FloatArray, labels: npt.NDArray[np.int64], n_clusters: int) -> FloatArray:
    sums = np.zeros((n_clusters, rows.shape[1]))
    for part in _chunks(rows):
        columns = np.arange(part.stop - part.start)
        member = sparse.csr_matrix((np.ones(len(columns)), (labels[part], columns)), shape=(n_clusters, len(columns)))
        sums += member @ rows[part]
    return (sums / np.maximum(np.bincount(labels, minlength=n_clusters), 1)[:, None]).astype(np.float32)


def _leading_directions(
    rows: FloatArray, chosen: npt.NDArray[np.int64], n_directions: int, rng: np.random.Generator
) -> FloatArray:
    """Project onto the leading singular directions of the chosen rows, found by subspace iteration.

    Rows that have hardly more directions stay as they are.
    """
    if rows.shape[1] <= 2 * n_directions:
        return rows
    sample = rows[chosen]
    basis = rng.standard_normal((rows.shape[1], n_directions), dtype=np.float32)
    for _ in range(3):
        basis = sample.T @ (sample @ basis)
        values, vectors = np.linalg.eigh(basis.T.astype(np.float64) @ basis)  # orthogonal again; a thin QR is slower
        basis = basis @ (
            vectors / np.sqrt(np.maximum(values, max(1e-9 * values[-1], np.finfo(np.float64).tiny)))
        ).astype(np.float32)
    return rows @ basis


def _seed_centers(rows: FloatArray, n_clusters: int, rng: np.random.Generator) -> FloatArray:
    from sklearn.cluster import kmeans_plusplus

    if n_clusters > PLUSPLUS_UP_TO:
        return rows[rng.choice(len(rows), n_clusters, replace=False)]
    centers, _ = kmeans_plusplus(rows, n_clusters, random_state=int(rng.integers(2**31)))
    return centers


def _lloyd(
    rows: FloatArray, squares: FloatArray, centers: FloatArray, max_iter: int, shift: float, spherical: bool
) -> _Run:
    """Move the centers to the means of their rows until they rest."""
    n, n_clusters = len(rows), len(centers)
    labels = np.full(n, -1, np.int64)
    distances = np.empty(n, np.float32)
    sums, counts = np.zeros(centers.shape), np.zeros(n_clusters, np.int64)
    n_iter = 0
    for n_iter in range(1, max_iter + 1):  # noqa: B007  (read after the loop)
        changed = 0
        for part in _chunks(rows):
            nearest, distances[part] = _nearest(rows[part], squares[part], centers)
            moved = np.flatnonzero(nearest != labels[part]) + part.start
            changed += len(moved)
            _move(rows, moved, nearest[moved - part.start], labels, sums, counts)
        if changed == 0:
            break
        for empty in np.flatnonzero(counts == 0):  # takes the row that lies farthest from its own center
            farthest = np.array([distances.argmax()])
            if distances[farthest] <= 0:
                break  # fewer different rows than clusters
            distances[farthest] = 0
            _move(rows, farthest, np.array([empty]), labels, sums, counts)
        filled = counts > 0
        moved_to = centers.astype(np.float64)
        moved_to[filled] = sums[filled] / counts[filled, None]
        if spherical:
            moved_to /= np.maximum(np.linalg.norm(moved_to, axis=1, keepdims=True), 1e-12)
        movement = float(((moved_to - centers) ** 2).sum())
        centers = moved_to.astype(np.float32)
        if movement <= shift:
            break
    return _Run(centers, labels, float(distances.sum(dtype=np.float64)), n_iter)


def _move(
    rows: FloatArray,
    moved: npt.NDArray[np.int64],
    to: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
) -> None:
    """Give some rows another label (-1: they had none) and keep the sums and counts of the clusters right, in place."""
    old, columns = labels[moved], np.arange(len(moved))
    had = old >= 0
    where = np.concatenate([to, old[had]]), np.concatenate([columns, columns[had]])
    signs = np.ones(len(where[0]))
    signs[len(moved) :] = -1
    sums += sparse.csr_matrix((signs, where), shape=(len(sums), len(moved))) @ rows[moved]
    np.add.at(counts, where[0], signs.astype(np.int64))
    labels[moved] = to


def _nearest(rows: FloatArray, squares: FloatArray, centers: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the nearest center of each row and the squared distance to it; `squares` are the rows' squared lengths."""
    scores = rows @ (-2 * centers.T)
    scores += np.einsum("ij,ij->i", centers, centers)
    nearest = scores.argmin(1)
    smallest = scores[np.arange(len(rows)), nearest] + squares
    return nearest, np.maximum(smallest, 0)


def _chunks(X: FloatArray) -> list[slice]:
    """Cut the rows so that a block of distances or of rows stays small."""
    step = max(1024, _CHUNK_VALUES // max(1, X.shape[1]))
    return [slice(start, min(start + step, len(X))) for start in range(0, len(X), step)]
