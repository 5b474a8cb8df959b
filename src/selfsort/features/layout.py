"""The 2-D map: the shared-neighbor graph laid out so that linked images are close and all others are not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort.runtime import Progress, silent

N_NEGATIVES = 5
#: Random pairs drawn per image and epoch, to estimate the repulsion of all others.
_SAMPLES = 4
#: Keeps the repulsion of two points at the same place finite (UMAP's own value).
_SOFTENING = 1e-3


def layout(
    graph: sparse.csr_matrix,
    start: npt.NDArray[np.floating],
    *,
    n_epochs: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> npt.NDArray[np.float32]:
    """Lay out a graph in the plane by UMAP's objective, all points at once in numpy.

    With q = 1 / (1 + d²) for two points at distance d, linked points attract with weight w by -∇ log q, and each image
    repels `N_NEGATIVES` random others per unit of link weight by -∇ log(1 - q). Each point's force is divided by its
    link weight, so a step never overshoots and no compiled loop over single edges is needed.

    Parameters
    ----------
    graph : csr_matrix, shape (n, n)
        Symmetric weights, as `shared_neighbor_graph` returns them.
    start : ndarray, shape (n, 2)
        Where to begin, for instance two principal components; its scale does not matter.
    n_epochs : int, optional
        500 up to 10,000 images, 200 above.
    seed : int
    progress : callable

    Returns
    -------
    ndarray of float32, shape (n, 2)
        Centered at 0.

    References
    ----------
    McInnes, Healy & Melville, "UMAP", 2018, arXiv:1802.03426; Böhm, Berens & Kobak, "Attraction-repulsion spectrum",
    JMLR 2022 (both forces as one family).
    """
    n = graph.shape[0]
    if n < 2:
        return np.zeros((n, 2), np.float32)
    n_epochs = n_epochs or (500 if n <= 10_000 else 200)
    rng = np.random.default_rng(seed)
    scale = np.maximum(np.std(start, axis=0), 1e-9)
    y = (
        (np.asarray(start) - np.mean(start, axis=0)) / scale * np.sqrt(n) / 10 + 1e-2 * rng.standard_normal((n, 2))
    ).astype(np.float32)
    links = sparse.triu(graph, k=1).tocoo()
    a, b = links.row.astype(np.int64), links.col.astype(np.int64)
    degree = np.maximum(np.asarray(graph.sum(1)).ravel(), 1e-6).astype(np.float32)
    rows = np.tile(np.arange(n), _SAMPLES)
    for epoch in range(n_epochs):
        progress("map", epoch, n_epochs)
        step = np.float32(1.0 - epoch / n_epochs)
        pull = y[a] - y[b]
        pull *= (links.data / (1 + np.einsum("ij,ij->i", pull, pull)))[:, None]
        force = _sum_by_row(b, pull, n) - _sum_by_row(a, pull, n)
        force /= degree[:, None]
        others = rng.integers(0, n, len(rows))
        push = y[rows] - y[others]
        distance = np.einsum("ij,ij->i", push, push)
        push *= (np.float32(N_NEGATIVES / _SAMPLES) / ((_SOFTENING + distance) * (1 + distance)))[:, None]
        np.clip(push, -4, 4, out=push)
        force += push.reshape(_SAMPLES, n, 2).sum(0)
        y += step * force
    progress("map", n_epochs, n_epochs)
    return y - y.mean(0)


def _sum_by_row(rows: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.float32]:
    columns = [np.bincount(rows, vectors[:, axis], minlength=n) for axis in range(vectors.shape[1])]
    return np.column_stack(columns).astype(np.float32)
