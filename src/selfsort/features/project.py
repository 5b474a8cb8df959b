"""Prepare an encoder's features for the neighbor graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfsort.features.magnitude import check_magnitude

FloatArray = npt.NDArray[np.float32]

#: Principal components kept. Chosen on six data sets together, see docs/benchmarks.md.
N_COMPONENTS = 256
_CHUNK = 1024
#: Directions with less than this share of the largest variance count as constant: float32 tells them no better.
_VARIES = 1e-6
#: Rows of lengths between these have squares that float32 holds in full; longer and shorter ones are scaled before.
_SHORT, _LONG = np.float32(1e-12), np.float32(1e12)


def unit_rows(X: npt.ArrayLike) -> FloatArray:
    """Scale each row to length 1; rows of zeros stay zero. Returns a new float32 array of the same shape."""
    X = np.asarray(X, dtype=np.float32)
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(X, axis=1, keepdims=True)
    odd = ~((lengths[:, 0] > _SHORT) & (lengths[:, 0] < _LONG))
    rows = np.asarray(X / np.where(odd[:, None], np.float32(1), lengths), np.float32)
    if odd.any():
        part = X[odd].astype(np.float64)
        rows[odd] = part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return rows


def principal_axes(X: npt.ArrayLike, n_components: int) -> tuple[FloatArray, FloatArray]:
    """Return the mean (d,) and the leading principal axes (d, n_components) of the rows of `X`.

    The second moments are summed in float64 over chunks of float32 products, so memory stays small; fewer rows than
    columns are solved through their inner products. The sign of each axis is fixed by its largest entry; directions
    in which nothing varies are zero.
    """
    X = np.asarray(X)
    n, d = X.shape
    mean = X.mean(0, dtype=np.float64)
    if n < d:
        centered = X - mean
        values, vectors = _leading(centered @ centered.T, n_components)
        varies = values > _VARIES * max(values[0], 0)
        axes = centered.T @ (vectors * np.where(varies, 1 / np.sqrt(np.where(varies, values, 1)), 0))
    else:
        moments, center = np.zeros((d, d)), mean.astype(np.float32)
        for start in range(0, n, _CHUNK):
            part = X[start : start + _CHUNK] - center  # else far from 0 the squares drown the rest
            moments += part.T @ part
        values, vectors = _leading(moments, n_components)
        axes = vectors * (values > _VARIES * max(values[0], 0))
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return mean.astype(np.float32), np.ascontiguousarray(axes, dtype=np.float32)


def _leading(symmetric: npt.NDArray[np.float64], n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the n largest eigenvalues, and their vectors as columns; in float32, three times as fast."""
    from scipy.linalg import eigh
    from threadpoolctl import threadpool_limits

    d = len(symmetric)
    with threadpool_limits(1):  # more threads gain little here, and lose much where others want the processors
        values, vectors = eigh(symmetric.astype(np.float32), subset_by_index=(max(0, d - n), d - 1), driver="evr")
    return values[::-1], vectors[:, ::-1]


def whitened(X: npt.ArrayLike, n_components: int = N_COMPONENTS, power: float = 1.0) -> FloatArray:
    """Return the rows' principal components, each divided by a power of its deviation, scaled to length 1.

    Parameters
    ----------
    X : array-like, shape (n, d)
    n_components : int
        Fewer where d or n / (10 power) is smaller, but at least 1: with nearly as many directions as rows, whitening
        would put all rows equally far apart. Directions in which nothing varies become 0.
    power : float
        1: all directions count alike; 0: as much as they vary.

    References
    ----------
    Caron et al., "Deep Clustering for Unsupervised Learning of Visual Features", ECCV 2018, section 3.3.
    """
    X = np.asarray(X, dtype=np.float32)
    most = int(len(X) / max(10 * power, 1))
    mean, axes = principal_axes(X, max(1, min(n_components, X.shape[1], most)))
    rows = (X - mean) @ axes
    deviation = rows.std(0, dtype=np.float64)
    varies = deviation > _VARIES * deviation.max(initial=0)  # of zeros, none
    rows /= np.where(varies, np.where(varies, deviation, 1) ** power, np.inf)
    return unit_rows(rows)


class Preparation(NamedTuple):
    """Maps encoder features to unit vectors whose inner product is a good similarity of images; call it.

    Attributes
    ----------
    rooted : bool
        Whether the square root is taken.
    mean : ndarray of float32, shape (d,)
        Of the rows after that, scaled to length 1.
    axes : ndarray of float32, shape (d, n_components)
        Their principal axes.
    """

    rooted: bool
    mean: FloatArray
    axes: FloatArray

    def __call__(self, X: npt.ArrayLike) -> FloatArray:
        """Return the prepared rows of `X`, float32, shape (n, n_components)."""
        X = np.asarray(X)
        chunks = (_rooted(X[start : start + _CHUNK], self.rooted) for start in range(0, len(X), _CHUNK))
        return self._project(chunks, len(X))

    def _project(self, chunks: Iterable[FloatArray], n: int) -> FloatArray:
        prepared = np.empty((n, self.axes.shape[1]), np.float32)
        start = 0
        for chunk in chunks:
            prepared[start : start + len(chunk)] = (chunk - self.mean) @ self.axes
            start += len(chunk)
        return unit_rows(prepared)


def prepare(X: npt.ArrayLike, n_components: int = N_COMPONENTS) -> Preparation:
    """Learn from encoder features how to prepare them for the neighbor graph.

    Pooled activations (never negative) have heavy tails: a few channels would decide every distance. Their square
    root, scaled to length 1, makes the inner product the Bhattacharyya coefficient of the channels' shares. Then the
    mean is removed, the leading principal components are kept, and rows are scaled to length 1 again. Features with
    negative entries skip the square root.

    Parameters
    ----------
    X : array-like, shape (n, d)
        Features, any float type.
    n_components : int
        Principal components to keep; fewer where n - 1 or d is smaller, but at least 1.

    References
    ----------
    Arandjelović & Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012 (RootSIFT).
    """
    return _prepare(X, n_components)[0]


def _prepare(X: npt.ArrayLike, n_components: int) -> tuple[Preparation, FloatArray]:
    """Return the preparation, and the rows before their mean is taken away."""
    check_magnitude(X)
    X = np.asarray(X)
    rows = np.empty(X.shape, np.float32)
    starts = range(0, len(X), _CHUNK)
    positive = all(_is_positive(X[start : start + _CHUNK], rows[start : start + _CHUNK]) for start in starts)
    for start in starts:
        part = slice(start, start + _CHUNK)
        rows[part] = _rooted(rows[part] if positive else X[part], positive)
    mean, axes = principal_axes(rows, max(1, min(n_components, X.shape[1], len(X) - 1)))
    return Preparation(positive, mean, axes), rows


def _is_positive(X: npt.NDArray[np.floating], out: FloatArray) -> bool:
    """Say whether no entry is negative, and leave the rows in `out`: float16 is slow to convert, and to compare."""
    out[:] = X
    return bool(out.min(initial=0) >= 0)


def _rooted(X: npt.NDArray[np.floating], rooted: bool) -> FloatArray:
    X = X.astype(np.float32, copy=False)
    return unit_rows(np.sqrt(np.maximum(X, 0)) if rooted else X)


def graph_features(X: npt.ArrayLike, n_components: int = N_COMPONENTS) -> FloatArray:
    """Prepare encoder features for the neighbor graph: `prepare`, applied to the same rows.

    Returns
    -------
    ndarray of float32, shape (n, min(n_components, d, n - 1) or at least 1)
    """
    preparation, rows = _prepare(X, n_components)
    return preparation._project((rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)), len(rows))
