"""K-means on features or pixels."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions

from selfsort.errors import DataError
from selfsort.features.kmeans import KMeansResult, kmeans, nearest_center
from selfsort.features.project import FloatArray, unit_rows
from selfsort.methods.base import SelfsortClusterer, Work, graph_start


class KMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SelfsortClusterer):
    """K-means, as `sklearn.cluster.KMeans` but faster: see `selfsort.features.kmeans.kmeans`.

    Parameters
    ----------
    n_clusters : int or None
        None: as many as the shared-neighbor graph finds.
    init : {"k-means++", "graph", "random"} or array-like of shape (n_clusters, d)
        Where the centers start. ``"k-means++"``, the algorithm's own, gives the smallest inertia; ``"graph"`` starts
        once, from the means of the graph's groups; ``"random"``: from random samples.
    n_init : int
        Number of starts for ``"k-means++"`` and ``"random"``; the one with the smallest inertia is kept.
    max_iter : int
    tol : float
        See `selfsort.features.kmeans.kmeans`.
    spherical : bool
        Compare samples by their cosine: they and the centers are scaled to length 1.
    random_state : int, RandomState or None

    Attributes
    ----------
    cluster_centers_ : ndarray of float32, shape (n_clusters_, d)
    labels_ : ndarray of int64, shape (n,)
    inertia_ : float
        Sum of squared distances to the nearest center.
    n_iter_ : int
        Passes over all samples.
    n_clusters_, n_features_in_, image_shape_, paths_ :
        See `selfsort.methods.base.SelfsortClusterer`.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> model = KMeans(2, random_state=0).fit(X)
    >>> sorted(model.cluster_centers_.tolist())
    [[1.0, 2.0], [10.0, 2.0]]
    >>> bool(model.predict([[0, 0]])[0] == model.labels_[0])
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "init": [StrOptions({"k-means++", "graph", "random"}), "array-like"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "spherical": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_clusters: int | None = 8,
        *,
        init: str | npt.ArrayLike = "k-means++",
        n_init: int = 10,
        max_iter: int = 300,
        tol: float = 1e-4,
        spherical: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.spherical = spherical
        self.random_state = random_state

    def _learn(self, samples: FloatArray, work: Work) -> None:
        rows, seed = samples, work.seed
        if self.spherical:
            rows = unit_rows(rows)
        starts, k = self._starts(rows, seed)
        settings: dict[str, Any] = {"max_iter": self.max_iter, "tol": self.tol, "spherical": self.spherical}
        if starts is None:
            found: KMeansResult = kmeans(rows, k, n_init=self.n_init, seed=seed, **settings)
        else:
            runs = [kmeans(rows, k, initial_centers=start, seed=seed, **settings) for start in starts]
            found = min(runs, key=lambda run: run.inertia)
        self.n_clusters_ = k
        self.cluster_centers_, self.labels_, self.inertia_, self.n_iter_ = found

    def _starts(self, rows: FloatArray, seed: int) -> tuple[list[npt.NDArray[Any]] | None, int]:
        """Return the centers to start from (None: k-means++) and their number."""
        if not isinstance(self.init, str):
            centers = np.asarray(self.init, dtype=np.float32)
            expected = (self.n_clusters or len(centers), rows.shape[1])
            if centers.shape != expected or not np.isfinite(centers).all():
                raise DataError(
                    f"The initial centers must be finite and of shape (n_clusters, n_features): got {centers.shape}, "
                    f"expected {expected}."
                )
            return [centers], len(centers)
        if self.n_clusters is None or self.init == "graph":
            # the graph measures as k-means does; centered, as products of float32 lose what is far from the origin
            metric, placed = ("cosine", rows) if self.spherical else ("euclidean", rows - rows.mean(0))
            groups = graph_start(placed, self.n_clusters, metric=metric, seed=seed).grouping.labels
            k = int(groups.max()) + 1
            if self.init == "graph":
                return [np.stack([rows[groups == group].mean(0) for group in range(k)])], k
        else:
            k = self.n_clusters
        if self.init == "random":
            rng = np.random.default_rng(seed)
            return [rows[rng.choice(len(rows), k, replace=False)] for _ in range(self.n_init)], k
        return None, k

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Return the nearest center of each sample, shape (n,)."""
        return nearest_center(self._read_like_centers(X), self.cluster_centers_)[0]

    def transform(self, X: Any) -> FloatArray:
        """Return the distance of each sample to each center, shape (n, n_clusters_)."""
        distances: FloatArray = euclidean_distances(self._read_like_centers(X), self.cluster_centers_)
        return distances

    def score(self, X: Any, y: object = None) -> float:
        """Return minus the sum of squared distances to the nearest center; `y` is ignored."""
        return -nearest_center(self._read_like_centers(X), self.cluster_centers_)[1]

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, facts = super()._state()
        facts |= {"inertia_": float(self.inertia_), "n_iter_": int(self.n_iter_)}
        return arrays | {"cluster_centers_": self.cluster_centers_}, facts

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        super()._set_state(arrays, facts)
        self.cluster_centers_ = arrays["cluster_centers_"]
        self.inertia_, self.n_iter_ = facts["inertia_"], facts["n_iter_"]

    def embed(self, X: Any) -> FloatArray:
        """Return the samples as they are compared with the centers, shape (n, d), float32."""
        return self._read_like_centers(X)

    def _read_like_centers(self, X: Any) -> FloatArray:
        rows = self._read_fitted(X)
        return unit_rows(rows) if self.spherical else rows

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
