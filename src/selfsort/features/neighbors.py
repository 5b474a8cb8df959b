"""k nearest neighbors: exact, and above a stated size approximate with the recall measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfsort.errors import DataError
from selfsort.runtime import Progress, silent

#: Up to this many rows the search is exact.
EXACT_UP_TO = 50_000
#: What the approximate search must find of the true neighbors, measured on `_RECALL_QUERIES` rows.
TARGET_RECALL = 0.98
_RECALL_QUERIES = 500
#: Rows compared with all others at a time: the product is fastest around here, and its result fits the cache.
_CHUNK = 256
#: The exact search takes the largest of each block of so many similarities first.
_BLOCK = 16

#: Rows of length 1 whose variance is below this have cosines that float32 rounds to 1; below the other they are copies.
_LEAST_SPREAD, _NOISE = 1e-7, 1e-13

#: From rows to their neighbors and similarities, nearest first, without themselves.
Search = Callable[[npt.NDArray[np.intp]], tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]]


class Neighbors(NamedTuple):
    """Nearest other rows of each row.

    Attributes
    ----------
    indices : ndarray of int32, shape (n, k)
        Nearest first; a row is never its own neighbor.
    similarities : ndarray of float32, shape (n, k)
        Inner products, or negative squared distances for the Euclidean metric; larger is nearer.
    recall : float
        Share of the true neighbors found: 1.0 for the exact search, measured otherwise.
    """

    indices: npt.NDArray[np.int32]
    similarities: npt.NDArray[np.float32]
    recall: float


def nearest_neighbors(
    X: npt.NDArray[np.float32],
    n_neighbors: int = 15,
    *,
    metric: str = "cosine",
    exact_up_to: int = EXACT_UP_TO,
    seed: int = 0,
    progress: Progress = silent,
) -> Neighbors:
    """Find the `n_neighbors` nearest other rows of each row.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        For the cosine metric the rows must have length 1 (`selfsort.features.project.unit_rows`).
    n_neighbors : int
        At most n - 1.
    metric : {"cosine", "euclidean"}
    exact_up_to : int
        Above this many rows an inverted-file index is used (faiss IVF, cells of a coarse k-means); the number of
        cells searched is doubled until at least `TARGET_RECALL` of the true neighbors of 500 sampled rows are found.
        Where that takes so many cells that the exact search is as fast, the search is exact.
    seed : int
        For the coarse k-means and the sample.
    progress : callable

    Returns
    -------
    Neighbors

    Raises
    ------
    DataError
        If there are not more rows than neighbors, or float32 does not tell their directions apart.
    """
    X = np.ascontiguousarray(X, dtype=np.float32)
    n = len(X)
    if not 1 <= n_neighbors < n:
        raise DataError(
            f"Each row needs n_neighbors other rows: got {n} rows and n_neighbors={n_neighbors}. "
            f"Pass n_neighbors between 1 and {max(1, n - 1)}."
        )
    if metric not in ("cosine", "euclidean"):
        raise DataError(f"The metric must be cosine or euclidean: got {metric!r}.")
    if metric == "euclidean":
        X = X - X.mean(0)  # far from 0 the squares drown the differences
    elif _NOISE < (spread := float(X.var(0, dtype=np.float64).sum())) < _LEAST_SPREAD:
        raise DataError(
            f"The rows point in directions that float32 does not tell apart (their variance is {spread:.1g}), as they "
            'lie far from 0 in one direction. Subtract the mean of each column first, or use metric="euclidean".'
        )
    search, recall = _exact(X, n_neighbors, metric), 1.0
    if n > exact_up_to:
        search, recall = _inverted_file(X, n_neighbors, metric, seed, progress) or (search, recall)
    indices = np.empty((n, n_neighbors), np.int32)
    similarities = np.empty((n, n_neighbors), np.float32)
    for start in range(0, n, _CHUNK):
        progress("neighbors", start, n)
        rows = np.arange(start, min(start + _CHUNK, n))
        indices[rows], similarities[rows] = search(rows)
    progress("neighbors", n, n)
    return Neighbors(indices, similarities, recall)


def _exact(X: npt.NDArray[np.float32], k: int, metric: str) -> Search:
    """Return a search that compares with every row: one matrix product, then a selection made for the cache.

    The k-th largest of the blocks' maxima is at most the k-th largest of all similarities, so only what reaches it, a
    few more than k per row, is sorted. Of equal similarities the row that comes first wins.
    """
    n = len(X)
    block = max(1, min(_BLOCK, n // (4 * k)))
    n_blocks = n // block
    squares = np.einsum("ij,ij->i", X, X) if metric == "euclidean" else None
    buffer = np.empty((min(n, _CHUNK), n), np.float32)

    def search(rows: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
        values = np.matmul(X[rows], X.T, out=buffer[: len(rows)])
        if squares is not None:
            values *= 2
            values -= squares
            values -= squares[rows, None]
            np.minimum(values, 0, out=values)
        values[np.arange(len(rows)), rows] = -np.inf
        maxima = values[:, : n_blocks * block].reshape(len(rows), block, n_blocks).max(1)
        bound = np.partition(maxima, n_blocks - k, axis=1)[:, n_blocks - k, None]
        found = np.flatnonzero(values >= bound)
        row, column = np.divmod(found, n)
        value = values.ravel()[found]
        order = np.lexsort((-value, row))
        first = np.searchsorted(row, np.arange(len(rows)))
        best = order[first[:, None] + np.arange(k)]
        return column[best], value[best]

    return search


def _without_self(
    rows: npt.NDArray[np.int64], found: npt.NDArray[np.int64], values: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Drop each row's own index; where exact copies crowded it out, drop the last instead."""
    is_self = found == rows[:, None]
    is_self[~is_self.any(1), -1] = True
    shape = (len(rows), found.shape[1] - 1)
    return found[~is_self].reshape(shape), values[~is_self].reshape(shape)


def _inverted_file(
    X: npt.NDArray[np.float32], k: int, metric: str, seed: int, progress: Progress
) -> tuple[Search, float] | None:
    """Return a search and its measured recall, or None where it would look into too many cells to be worth it."""
    import faiss

    rng = np.random.default_rng(seed)
    n_cells = int(4 * math.sqrt(len(X)))
    metric_id = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    quantizer = faiss.IndexFlat(X.shape[1], metric_id)
    index = faiss.IndexIVFFlat(quantizer, X.shape[1], n_cells, metric_id)
    index.cp.seed = seed % (2**31 - 1)  # a C int
    progress("neighbors: index", 0, None)
    index.train(X[np.sort(rng.choice(len(X), min(len(X), 64 * n_cells), replace=False))])
    index.add(X)
    exact = _exact(X, k, metric)

    def search(rows: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
        values, found = index.search(X[rows], k + 1)
        short = (found < 0).any(1)  # fewer rows than neighbors lie in the cells that were searched
        found, values = _without_self(rows, found, values if metric == "cosine" else -values)
        if short.any():
            found[short], values[short] = exact(rows[short])
        return found, values

    rows = np.sort(rng.choice(len(X), min(len(X), _RECALL_QUERIES), replace=False))
    truth = np.concatenate([exact(part)[0] for part in np.array_split(rows, -(-len(rows) // _CHUNK))])
    index.nprobe = 4
    while index.nprobe <= n_cells // 8:
        hits = sum(len(np.intersect1d(a, b)) for a, b in zip(truth, search(rows)[0], strict=True))
        if hits >= TARGET_RECALL * truth.size:
            return search, hits / truth.size
        index.nprobe *= 2
    return None
