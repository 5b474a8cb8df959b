"""Groups of the shared-neighbor graph, whose number is found."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils._param_validation import Interval, StrOptions

from selfsort.features.graph import support
from selfsort.features.project import FloatArray, unit_rows
from selfsort.methods.base import SelfsortClusterer, Work, graph_start

_CHUNK = 4096


class GraphClusterer(SelfsortClusterer):
    """Communities of the shared-neighbor graph, merged while they are well connected.

    Needs no training and finds the number of clusters; see `selfsort.features.graph` and `selfsort.features.groups`.

    Parameters
    ----------
    n_clusters : int or None
        None: as many as are found. Otherwise the best-connected groups are merged, or the loosest split, to get there.
    n_neighbors : int or None
        Neighbors of each sample in the graph; None: 15, and fewer below 225 samples.
    metric : {"cosine", "euclidean"}
        What neighbors are nearest by. Cosine, the default, groups raw pixels better (docs/benchmarks.md), as it does
        not mind how dark a picture is; Euclidean suits features whose length or origin means something.
    granularity : float
        Above 1 finds more and smaller groups, below 1 fewer and larger ones.
    random_state : int, RandomState or None

    Attributes
    ----------
    labels_ : ndarray of int64, shape (n,)
        The largest group is 0. There are no outliers: each sample has a group.
    levels_ : ndarray of int64, shape (n, 4)
        Nested groups, coarsest first; column 2 is ``labels_``.
    confidence_ : ndarray of float32, shape (n,)
        Share of each sample's links (by weight) that stay inside its group.
    neighbors_ : ndarray of int32, shape (n, n_neighbors)
        Nearest other samples, nearest first.
    agreement_ : float
        Share of the training samples for which `predict` gives ``labels_``. The graph itself says nothing about new
        samples, so they are labeled by a vote of their neighbors.
    n_clusters_, n_features_in_, image_shape_, paths_ :
        See `selfsort.methods.base.SelfsortClusterer`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 100, axis=0) + rng.normal(size=(300, 3))
    >>> model = GraphClusterer(3, random_state=0).fit(X)
    >>> model.n_clusters_, bool(model.agreement_ > 0.95)
    (3, True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "metric": [StrOptions({"cosine", "euclidean"})],
        "granularity": [Interval(Real, 0.05, 20, closed="both")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        n_neighbors: int | None = None,
        metric: str = "cosine",
        granularity: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.granularity = granularity
        self.random_state = random_state

    def _learn(self, samples: FloatArray, work: Work) -> None:
        rows, seed = samples, work.seed
        # products of float32 lose what is small beside the distance from the origin, so the origin moves to the mean
        self._origin = rows.mean(0) if self.metric == "euclidean" else np.zeros(rows.shape[1], np.float32)
        self._samples = self._place(rows)
        start = graph_start(
            self._samples,
            self.n_clusters,
            metric=self.metric,
            n_neighbors=self.n_neighbors,
            granularity=self.granularity,
            seed=seed,
        )
        self.levels_ = start.grouping.levels
        self.labels_ = start.grouping.labels.copy()
        self.n_clusters_ = int(self.labels_.max()) + 1
        self.neighbors_ = start.neighbors.indices
        self.confidence_ = support(start.graph, self.labels_)
        self.agreement_ = self._agreement(start.neighbors.similarities)

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Label samples by a vote of the nearest training samples, the nearer the stronger, shape (n,)."""
        rows = self._place(self._read_fitted(X))
        return vote(rows, self._samples, self.labels_, max(1, self.neighbors_.shape[1]), metric=self.metric)

    _SAVED: ClassVar = ("levels_", "confidence_", "neighbors_", "_samples", "_origin")

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, facts = super()._state()
        return arrays | {name: getattr(self, name) for name in self._SAVED}, facts | {"agreement_": self.agreement_}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        super()._set_state(arrays, facts)
        for name in self._SAVED:
            setattr(self, name, arrays[name])
        self.agreement_ = facts["agreement_"]

    def embed(self, X: Any) -> FloatArray:
        """Return the samples as the graph compares them, shape (n, d), float32."""
        return self._place(self._read_fitted(X))

    def _place(self, rows: FloatArray) -> FloatArray:
        return unit_rows(rows) if self.metric == "cosine" else np.ascontiguousarray(rows - self._origin)

    def _agreement(self, similarities: FloatArray) -> float:
        """Predict the training samples without another search: each is its own nearest, then its neighbors follow."""
        n, k = self.neighbors_.shape
        distances = 2 - 2 * similarities if self.metric == "cosine" else -similarities
        agree = 0
        for first in range(0, n, _CHUNK):
            rows = np.arange(first, min(first + _CHUNK, n))
            voters = np.column_stack([rows, self.neighbors_[rows]])[:, : max(1, k)]
            squared = np.column_stack([np.zeros(len(rows), np.float32), distances[rows]])[:, : max(1, k)]
            agree += int((_winners(self.labels_[voters], squared) == self.labels_[rows]).sum())
        return agree / n


def vote(
    rows: FloatArray,
    samples: FloatArray,
    labels: npt.NDArray[np.integer],
    n_voters: int,
    *,
    metric: str = "cosine",
) -> npt.NDArray[np.int64]:
    """Label rows by a vote of the nearest samples, the nearer the stronger.

    Parameters
    ----------
    rows, samples : ndarray of float32, shape (m, d) and (n, d)
        For the cosine metric of length 1.
    labels : ndarray of int, shape (n,)
        Of the samples, from 0.
    n_voters : int
        At most n.
    metric : {"cosine", "euclidean"}

    Returns
    -------
    ndarray of int64, shape (m,)
    """
    import faiss

    metric_id = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    winners = np.empty(len(rows), np.int64)
    for first in range(0, len(rows), _CHUNK):
        part = slice(first, first + _CHUNK)
        values, voters = faiss.knn(rows[part], samples, n_voters, metric=metric_id)
        winners[part] = _winners(labels[voters], 2 - 2 * values if metric == "cosine" else values)
    return winners


def _winners(labels: npt.NDArray[np.integer], squared_distances: FloatArray) -> npt.NDArray[np.int64]:
    """Return the label with the most weight, which falls with a voter's distance relative to the farthest."""
    distances = np.maximum(squared_distances, 0)
    weights = np.exp(-distances / np.maximum(distances[:, -1:], np.float32(1e-12)))
    starts = np.arange(len(labels) + 1) * labels.shape[1]
    votes = sparse.csr_matrix((weights.ravel(), labels.ravel(), starts), shape=(len(labels), int(labels.max()) + 1))
    winners: npt.NDArray[np.int64] = votes.toarray().argmax(1)
    return winners
