"""Prepare an encoder's features for the neighbor graph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

#: Principal components kept. Chosen on six data sets together, see docs/benchmarks.md.
N_COMPONENTS = 256
_CHUNK = 8192


def unit_rows(X: npt.ArrayLike) -> FloatArray:
    """Scale each row to length 1; rows of zeros stay zero. Returns a new float32 array of the same shape."""
    X = np.asarray(X, dtype=np.float32)
    return X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), np.float32(1e-12))


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
        values, vectors = np.linalg.eigh(centered @ centered.T)
        values, vectors = values[::-1][:n_components], vectors[:, ::-1][:, :n_components]
        varies = values > 1e-10 * max(values[0], 1e-300)
        axes = centered.T @ (vectors * np.where(varies, 1 / np.sqrt(np.where(varies, values, 1)), 0))
    else:
        moments = np.zeros((d, d))
        for start in range(0, n, _CHUNK):
            part = (X[start : start + _CHUNK] - mean).astype(np.float32)  # else far from 0 the squares drown the rest
            moments += part.T @ part
        values, vectors = np.linalg.eigh(moments)
        values, vectors = values[::-1][:n_components], vectors[:, ::-1][:, :n_components]
        axes = vectors * (values > 1e-10 * max(values[0], 1e-300))
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    return mean.astype(np.float32), np.ascontiguousarray(axes, dtype=np.float32)


def graph_features(X: npt.ArrayLike, n_components: int = N_COMPONENTS) -> FloatArray:
    """Map encoder features to unit vectors whose inner product is a good similarity of images.

    Pooled activations (never negative) have heavy tails: a few channels would decide every distance. Their square
    root, scaled to length 1, makes the inner product the Bhattacharyya coefficient of the channels' shares. Then the
    mean is removed, the leading principal components are kept, and rows are scaled to length 1 again. Features with
    negative entries skip the square root.

    Parameters
    ----------
    X : array-like, shape (n, d)
        Features, any float type.
    n_components : int
        Principal components to keep; fewer where n - 1 or d is smaller.

    Returns
    -------
    ndarray of float32, shape (n, min(n_components, d, n - 1) or at least 1)

    References
    ----------
    Arandjelović & Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012 (RootSIFT).
    """
    X = np.asarray(X)
    rooted = np.empty(X.shape, np.float32)
    positive = bool(X.min(initial=0) >= 0)
    for start in range(0, len(X), _CHUNK):
        part = X[start : start + _CHUNK].astype(np.float32)
        rooted[start : start + _CHUNK] = unit_rows(np.sqrt(part) if positive else part)
    n_components = max(1, min(n_components, X.shape[1], len(X) - 1))
    mean, axes = principal_axes(rooted, n_components)
    projected = np.empty((len(X), n_components), np.float32)
    for start in range(0, len(X), _CHUNK):
        projected[start : start + _CHUNK] = (rooted[start : start + _CHUNK] - mean) @ axes
    return unit_rows(projected)
