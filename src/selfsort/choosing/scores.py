"""How good clusters look without any label: to choose among runs, heads, methods and numbers of clusters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.metrics import adjusted_mutual_info_score

from selfsort.arguments import NUMBERS, WHOLE, checked
from selfsort.errors import DataError
from selfsort.features.graph import modularity, shared_neighbor_graph
from selfsort.features.groups import default_n_neighbors
from selfsort.features.magnitude import check_magnitude
from selfsort.features.neighbors import nearest_neighbors
from selfsort.features.project import FloatArray, principal_axes, unit_rows

#: The scores of `label_free_scores`, each larger where clusters look better.
SCORES = ("learnable", "modularity", "silhouette", "stable")
_FOLDS = 5
_RIDGE = 1e-2  # of the features' mean variance
_N_AXES = 32


@checked(vectors=NUMBERS, labels=NUMBERS, seed=WHOLE)
def label_free_scores(
    vectors: FloatArray,
    labels: npt.NDArray[np.int64],
    *,
    graph: sparse.csr_matrix | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Score a clustering by the features alone.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        What samples are compared by: the same for all clusterings that are compared.
    labels : ndarray of int64, shape (n,)
        Clusters; -1 is no cluster, and such samples are left out.
    graph : csr_matrix, shape (n, n), optional
        Shared-neighbor graph of the vectors, where it is known.
    seed : int

    Returns
    -------
    dict of float
        ``learnable``: adjusted mutual information of the clusters with what a linear classifier, fitted on four fifths
        of the samples and their clusters, says of the last fifth. ``modularity`` of the graph (Newman). ``silhouette``:
        mean over samples of (b - a) / max(a, b), with the distances a to the mean of the sample's own cluster and b to
        the nearest other mean, in 32 principal components. ``stable``: adjusted mutual information of the clusters with
        the vote of each sample's neighbors, of which each is left out by chance one half.

    Raises
    ------
    DataError
        If there are not as many labels as vectors, or these are no vectors of numbers.

    References
    ----------
    The first: Gadetsky, Jiang & Brbic, "Let Go of Your Labels with Unsupervised Transfer", ICML 2024, who choose their
    settings so.
    """
    vectors, labels = checked_vectors(vectors), np.asarray(labels)
    if len(vectors) != len(labels):
        raise DataError(f"There must be one label per vector: got {len(vectors)} vectors and {len(labels)} labels.")
    if graph is None:
        graph = neighbor_graph(vectors, seed=seed)
    rows = np.flatnonzero(labels >= 0)
    if len(rows) < len(labels):
        graph = graph[rows][:, rows]
    vectors, (_, codes) = vectors[rows], np.unique(labels[rows], return_inverse=True)
    if len(rows) == 0 or codes.max() == 0:
        return dict.fromkeys(SCORES, 0.0)
    rng = np.random.default_rng(seed)
    return {
        "learnable": _learnable(vectors, codes, rng),
        "modularity": modularity(graph, codes),
        "silhouette": _silhouette(vectors, codes),
        "stable": _stable(graph, codes, rng),
    }


def checked_vectors(vectors: npt.ArrayLike) -> FloatArray:
    """Return vectors as float32; raise `DataError` unless they are finite numbers that float32 tells apart."""
    given = np.asarray(vectors)
    if given.ndim != 2 or 0 in given.shape:
        raise DataError(f"An array of shape (n, d) is needed: got one of shape {given.shape}.")
    if given.dtype.kind not in "biuf":
        raise DataError(f"The vectors must be numbers: got values of type {given.dtype}.")
    with np.errstate(over="ignore"):
        rows = given.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(rows).all(1))
    if len(bad):
        raise DataError(
            f"The vectors must be finite numbers: {len(bad)} of {len(rows)} rows hold NaN or infinity, or more than "
            f"float32 can, such as row {bad[0]}. Remove or scale them."
        )
    check_magnitude(given)
    return rows


def neighbor_graph(vectors: FloatArray, *, seed: int = 0) -> sparse.csr_matrix:
    """Return the shared-neighbor graph of vectors by their cosines."""
    rows = unit_rows(vectors)
    return shared_neighbor_graph(nearest_neighbors(rows, default_n_neighbors(len(rows)), seed=seed).indices)


def _learnable(vectors: FloatArray, codes: npt.NDArray[np.int64], rng: np.random.Generator) -> float:
    n, k = len(vectors), int(codes.max()) + 1
    targets = np.eye(k, dtype=np.float64)[codes]
    centered = (vectors - vectors.mean(0)).astype(np.float64)
    size = np.sqrt((centered**2).mean()) or 1.0  # else the column of ones would count more or less by the unit
    x = np.column_stack([centered / size, np.ones(n)])
    fold = rng.permutation(n) % min(_FOLDS, n)
    gram, cross = x.T @ x, x.T @ targets
    ridge = np.eye(x.shape[1]) * _RIDGE * np.trace(gram) / x.shape[1]
    said = np.empty(n, np.int64)
    for number in range(min(_FOLDS, n)):
        held = x[fold == number]
        weights = np.linalg.solve(gram - held.T @ held + ridge, cross - held.T @ targets[fold == number])
        said[fold == number] = (held @ weights).argmax(1)
    return float(adjusted_mutual_info_score(codes, said))


def _silhouette(vectors: FloatArray, codes: npt.NDArray[np.int64]) -> float:
    mean, axes = principal_axes(vectors, min(_N_AXES, *vectors.shape))
    x = (vectors - mean) @ axes
    sizes = np.bincount(codes)
    means = np.stack([np.bincount(codes, column) for column in x.T], 1) / sizes[:, None]
    squares = (x**2).sum(1)[:, None] - 2 * x @ means.T + (means**2).sum(1)
    distance = np.sqrt(np.maximum(squares, 0))
    own = np.take_along_axis(distance, codes[:, None], 1)[:, 0]
    np.put_along_axis(distance, codes[:, None], np.inf, 1)
    other = distance.min(1)
    return float(np.mean((other - own) / np.maximum(np.maximum(own, other), 1e-12)))


def _stable(graph: sparse.csr_matrix, codes: npt.NDArray[np.int64], rng: np.random.Generator) -> float:
    kept = graph.tocoo()
    chosen = rng.random(kept.nnz) < 0.5
    half = sparse.csr_matrix((kept.data[chosen], (kept.row[chosen], kept.col[chosen])), shape=graph.shape)
    member = sparse.csr_matrix((np.ones(len(codes)), (np.arange(len(codes)), codes)))
    votes = (half @ member).toarray()
    heard = votes.sum(1) > 0
    if not heard.any():
        return 0.0
    return float(adjusted_mutual_info_score(codes[heard], votes[heard].argmax(1)))
