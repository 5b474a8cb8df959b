"""What every method shares: reading input, checking parameters, the start from the graph, the warning of a collapse.

The promises, each a test that runs over every method: constructor arguments stay as given and what is learned ends in
``_``; labels passed as `y` are never looked at; the same seed gives the same labels; random states of the caller stay
as they were; nothing is printed; input that cannot work raises `DataError` before work starts; a collapse is a warning.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from selfsort.errors import CollapseWarning, DataError
from selfsort.features.cache import Cache
from selfsort.features.encoders import load_encoder
from selfsort.features.extract import Extracted, extract
from selfsort.features.graph import shared_neighbor_graph
from selfsort.features.groups import Grouping, default_n_neighbors, find_groups
from selfsort.features.magnitude import check_magnitude
from selfsort.features.neighbors import Neighbors, nearest_neighbors
from selfsort.features.project import FloatArray, Preparation, prepare
from selfsort.metrics import cluster_usage, is_collapsed
from selfsort.runtime import Progress, silent
from selfsort.sources import Item, display_path, open_source


class SelfsortClusterer(ClusterMixin, BaseEstimator, ABC):
    """Base of every method.

    A method has an ``__init__`` that stores its arguments, ``_parameter_constraints`` that describes them as
    scikit-learn does, a ``_learn`` that gets samples which were checked and sets ``labels_`` and ``n_clusters_``, and a
    ``predict`` that calls `_read_fitted`.

    Attributes
    ----------
    labels_ : ndarray of int64, shape (n,)
        Cluster of each sample.
    n_clusters_ : int
        How many clusters there are: as asked for, or found.
    n_features_in_ : int
        Features of each sample; for images, the number of their values.
    image_shape_ : tuple of int, or None
        Shape of one image, if images were passed as an array.
    paths_ : list of str, or None
        The picture that each row belongs to, if pictures were passed by path.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]]
    n_clusters: int | None
    random_state: int | np.random.RandomState | None
    labels_: npt.NDArray[np.int64]
    n_clusters_: int

    def fit(
        self, X: Any, y: object = None, *, checkpoint: str | Path | None = None, progress: Progress = silent
    ) -> Self:
        """Learn clusters.

        Parameters
        ----------
        X : array-like of shape (n, d), images of shape (n, c, h, w) or (n, h, w), a path, or Encoded
            Images are compared by their pixels; pictures given by path by the default encoder's features.
        y : ignored
        checkpoint : path, optional
            A folder where training keeps its state; the same fit with the same folder goes on where it was killed.
        progress : callable
            Called as ``progress(stage, done, total)``.

        Raises
        ------
        DataError
            If the input or a parameter cannot work.
        """
        samples, seed = self._start_fit(X)
        with self._memory_explained():
            self._learn(samples, Work(seed, Path(checkpoint) if checkpoint is not None else None, progress))
        self._warn_of_collapse()
        return self

    def fit_predict(self, X: Any, y: object = None) -> npt.NDArray[np.int64]:
        """Fit and return ``labels_``; `y` is ignored."""
        return self.fit(X).labels_

    @abstractmethod
    def _learn(self, samples: Any, work: Work) -> None:
        """Set what is learned from samples that were checked."""

    def _start_fit(self, X: Any) -> tuple[Any, int]:
        """Check parameters and input; return the samples (float32 rows, unless a method overrides it), and the seed."""
        try:
            self._validate_params()
        except ValueError as error:
            raise DataError(str(error)) from error
        self.image_shape_: tuple[int, ...] | None = None
        self.paths_: list[str] | None = None
        self._preparation: Preparation | None = None
        X = _stacked(X)
        if _are_pictures(X):
            encoded, self.paths_ = X if isinstance(X, Encoded) else encode_pictures(X)
            self._preparation = self._prepare(encoded)
            X = self._preparation(encoded)
        elif (shape := np.shape(X) if hasattr(X, "shape") else ()) and len(shape) > 2:
            self.image_shape_ = shape[1:]
        rows = self._rows(X, reset=True)
        if self.n_clusters is not None and self.n_clusters > len(rows):
            raise DataError(
                f"{type(self).__name__} needs at least one sample per cluster: got n_samples={len(rows)} and "
                f"n_clusters={self.n_clusters}. Pass n_clusters={len(rows)} or less."
            )
        return rows, seed_from(self.random_state)

    def _read_fitted(self, X: Any) -> FloatArray:
        """Return new samples as float32 rows, in the same form as those of `fit`."""
        check_is_fitted(self)
        name, X = type(self).__name__, _stacked(X)
        if _are_pictures(X) != (self.paths_ is not None):
            fitted, got = ("pictures", "an array") if self.paths_ is not None else ("an array", "a path")
            raise DataError(f"This {name} was fitted on {fitted} and got {got}. Pass {fitted}, as in fit.")
        if self._preparation is not None:
            X = self._preparation((X if isinstance(X, Encoded) else encode_pictures(X)).features)
        elif not self._is_image(shape := tuple(getattr(X, "shape", ())[1:])):
            raise DataError(
                f"This {name} was fitted on images of shape {self.image_shape_} and got {shape}. Resize them to the "
                "shape used in fit."
            )
        return self._rows(X, reset=False)

    def _is_image(self, shape: tuple[int, ...]) -> bool:
        """Return whether samples of this shape may be such images as were fitted; vectors are checked elsewhere."""
        of_vectors = self.image_shape_ is None or len(shape) < 2
        return of_vectors or _of_one_channel(shape) == _of_one_channel(self.image_shape_ or ())

    def _rows(self, X: Any, *, reset: bool) -> FloatArray:
        if sparse.issparse(X):
            raise DataError(f"Sparse input is not supported: got {type(X).__name__}. Pass X.toarray().")
        if hasattr(X, "shape") and len(X.shape) > 2:
            if 0 in X.shape:
                raise DataError(f"There are no images in an array of shape {X.shape}. Pass at least one.")
            X = np.asarray(X).reshape(len(X), -1)
        try:
            with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is reported
                rows: FloatArray = validate_data(self, X, dtype=np.float32, order="C", reset=reset)
        except ValueError as error:
            raise explained(error, X) from error
        check_magnitude(X, tell_apart=reset)
        return rows

    @contextlib.contextmanager
    def _memory_explained(self) -> Iterator[None]:
        """Turn what NumPy and torch say where the memory is too small into what to do."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not re.search("allocate|out of memory", str(error)):
                raise
            first = " ".join(str(error).partition("\n")[0].split())[:200]
            raise DataError(
                f"{type(self).__name__} does not fit into the memory with these settings and samples ({first}). Pass "
                "smaller images or batches, or a smaller network."
            ) from error

    def _prepare(self, features: FloatArray) -> Preparation:
        """Return how the encoder's features of pictures are prepared."""
        return prepare(features)

    def _inputs(self) -> list[str]:
        """Return hashes of the files beside the samples that a fit depends on."""
        return []

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Return what `predict` needs: arrays, and facts that JSON can hold. Methods add their own."""
        facts: dict[str, Any] = {
            "n_clusters_": self.n_clusters_,
            "n_features_in_": self.n_features_in_,
            "image_shape_": self.image_shape_,
            "paths_": self.paths_,
            "rooted": self._preparation.rooted if self._preparation else None,
        }
        arrays: dict[str, npt.NDArray[Any]] = {"labels_": self.labels_}
        if self._preparation is not None:
            arrays |= {"preparation.mean": self._preparation.mean, "preparation.axes": self._preparation.axes}
        return arrays, facts

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        """Become what `_state` described."""
        self.n_clusters_, self.n_features_in_ = facts["n_clusters_"], facts["n_features_in_"]
        self.image_shape_ = tuple(facts["image_shape_"]) if facts["image_shape_"] is not None else None
        self.paths_ = facts["paths_"]
        self.labels_ = arrays["labels_"]
        self._preparation = None
        if facts["rooted"] is not None:
            self._preparation = Preparation(facts["rooted"], arrays["preparation.mean"], arrays["preparation.axes"])

    def embed(self, X: Any) -> FloatArray:
        """Return the vectors that the method compares samples by, shape (n, d), float32."""
        return self._read_fitted(X)

    def _warn_of_collapse(self) -> None:
        if self.n_clusters == 1 or len(self.labels_) == 1:
            return
        usage = cluster_usage(self.labels_, self.n_clusters_)
        if is_collapsed(usage):
            other = "n_clusters, which was not given" if self.n_clusters is None else "another n_clusters"
            warnings.warn(
                f"{type(self).__name__} collapsed: the largest of {self.n_clusters_} clusters holds "
                f"{usage['largest_share']:.0%} of {len(self.labels_)} samples and {usage['n_empty']} hold none. The "
                f"samples may really be alike; otherwise scale the features or pass {other}.",
                CollapseWarning,
                stacklevel=3,
            )


class Work(NamedTuple):
    """What a fit is given beside its samples: the seed, a folder for checkpoints, and whom to tell of progress."""

    seed: int
    checkpoint: Path | None = None
    progress: Progress = silent


class Start(NamedTuple):
    """The graph's groups and what they were made from."""

    grouping: Grouping
    graph: sparse.csr_matrix
    neighbors: Neighbors


def graph_start(
    rows: FloatArray,
    n_clusters: int | None = None,
    *,
    metric: str = "cosine",
    n_neighbors: int | None = None,
    granularity: float = 1.0,
    neighbors: Neighbors | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Start:
    """Group samples by their shared-neighbor graph: where every method with clusters may start and get its k from.

    Parameters
    ----------
    rows : ndarray of float32, shape (n, d)
        For the cosine metric of length 1.
    n_clusters : int, optional
        Found if not given.
    metric : {"cosine", "euclidean"}
    n_neighbors : int, optional
        See `selfsort.features.groups.default_n_neighbors`.
    granularity : float
        Above 1 finds more groups, below 1 fewer.
    neighbors : Neighbors, optional
        Of the rows, where they are known; as many as are to be used.
    seed : int
    progress : callable

    Returns
    -------
    Start
    """
    n = len(rows)
    if n_neighbors is not None and n_neighbors >= n:
        raise DataError(
            f"Each sample needs n_neighbors others: got n_samples={n} and n_neighbors={n_neighbors}. "
            f"Pass n_neighbors={max(1, n - 1)} or less, or more samples."
        )
    if n == 1:
        neighbors = Neighbors(np.zeros((1, 0), np.int32), np.zeros((1, 0), np.float32), 1.0)
    elif neighbors is None:
        neighbors = nearest_neighbors(
            rows, n_neighbors or default_n_neighbors(n), metric=metric, seed=seed, progress=progress
        )
    graph = shared_neighbor_graph(neighbors.indices)
    grouping = find_groups(graph, rows, n_groups=n_clusters, granularity=granularity, outliers=False, seed=seed)
    return Start(grouping, graph, neighbors)


class Encoded(NamedTuple):
    """Pictures as an encoder sees them; in `fit` and `predict` they stand for the paths of the pictures.

    Attributes
    ----------
    features : ndarray of float32, shape (n_readable, d)
        The encoder's features, one row per file: unlike `selfsort.organize`, copies of a file count each.
    paths : list of str
        The picture that each row belongs to.
    """

    features: FloatArray
    paths: list[str]

    @classmethod
    def of(cls, items: list[Item], extracted: Extracted) -> Self:
        """Take the readable pictures; raise `DataError` if there are none."""
        status = [extracted.status(i) for i in range(len(items))]
        readable = [i for i, state in enumerate(status) if state == "ok"]
        if not readable:
            example = f"{display_path(items[0].path)} ({status[0]})"
            raise DataError(f"None of {len(items)} files is a readable picture, such as {example}. Pass others.")
        vectors = [extracted.entries[extracted.ids[i]].features for i in readable]
        features = np.stack([vector for vector in vectors if vector is not None]).astype(np.float32)
        return cls(features, [display_path(items[i].path) for i in readable])


def encode_pictures(data: Any, progress: Progress = silent) -> Encoded:
    """Encode pictures with the default encoder; known ones come from the cache, unreadable ones are left out.

    Parameters
    ----------
    data : path or list of paths
        A folder, an archive, or what else `selfsort.sources.open_source` reads.
    progress : callable

    Raises
    ------
    DataError
        If no picture can be read.

    Warns
    -----
    UserWarning
        If pictures are left out.
    """
    with open_source(data) as source, Cache() as cache:
        extracted = extract(source, load_encoder(), cache, progress=progress)
        items = source.items
    encoded = Encoded.of(items, extracted)
    if len(encoded.paths) < len(items):
        first = next(i for i in range(len(items)) if extracted.status(i) != "ok")
        warnings.warn(
            f"{len(items) - len(encoded.paths)} of {len(items)} files are left out, such as "
            f"{display_path(items[first].path)} ({extracted.status(first)}); paths_ names the others.",
            UserWarning,
            stacklevel=4,
        )
    return encoded


def seed_from(random_state: int | np.random.RandomState | None) -> int:
    """Return a seed: the number itself, one drawn from the generator, or a fresh one (NumPy's state stays)."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def _stacked(X: Any) -> Any:
    """Return a list of images as one array; anything else as it is."""
    if not isinstance(X, (list, tuple)) or isinstance(X, Encoded) or getattr(X[0] if X else None, "ndim", 0) < 2:
        return X
    if len(shapes := {np.shape(image) for image in X}) > 1:
        raise DataError(f"Images must have one shape: got {' and '.join(map(str, sorted(shapes)[:2]))}. Resize them.")
    return np.stack(X)


def explained(error: ValueError, X: Any) -> DataError:
    """Return the error for samples that cannot be used; of those that are not finite it names one."""
    said = str(error)
    bad, rows = np.zeros(0, np.int64), X
    if "NaN" in said or "infinity" in said:
        with np.errstate(over="ignore"):
            rows = np.asarray(X, np.float32).reshape(len(X), -1)
        bad = np.flatnonzero(~np.isfinite(rows).all(1))
    if len(bad) == 0:
        return DataError(said)
    return DataError(
        f"Samples must be finite numbers: {len(bad)} of {len(rows)} hold NaN or infinity, or more than float32 can, "
        f"such as sample {bad[0]}. Mend or remove them."
    )


def _of_one_channel(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an image without a channel if it has only one."""
    return tuple(shape[1:] if len(shape) == 3 and shape[0] == 1 else shape)


def _are_pictures(X: Any) -> bool:
    first = X[0] if isinstance(X, (list, tuple)) and X else X
    return isinstance(X, Encoded) or isinstance(first, (str, bytes, os.PathLike))
