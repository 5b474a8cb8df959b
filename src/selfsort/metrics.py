"""Scores of a clustering against labels that it never saw: pure functions of label arrays.

Every score has the name of its variant. Items without a cluster (label -1) are scored as one more cluster of their own:
to drop the hard items would flatter the score. `score_all` says how many they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from selfsort.errors import DataError

UNASSIGNED = -1
NEIGHBOR_COUNTS = (1, 5, 20)
#: A cluster with a larger share is a collapse; so is an entropy of the shares below this part of ln k.
MAX_SHARE, MIN_ENTROPY = 0.8, 0.5


def contingency(
    y_true: ArrayLike, y_pred: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.generic], NDArray[np.generic]]:
    """Count the items of each class in each cluster.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
        Class and cluster of each item: numbers or text.

    Returns
    -------
    table : int64 array, shape (n_classes, n_clusters)
    classes, clusters : arrays
        The sorted names of the rows and of the columns; only those that occur.

    Raises
    ------
    DataError
        If the arrays are empty, not one-dimensional, of different lengths, or hold NaN.
    """
    classes, row = _encode(y_true, "y_true")
    clusters, column = _encode(y_pred, "y_pred")
    _check_lengths(len(row), y_pred=len(column))
    table = np.bincount(row * len(clusters) + column, minlength=len(classes) * len(clusters))
    return table.reshape(len(classes), len(clusters)).astype(np.int64), classes, clusters


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the one-to-one accuracy (ACC): each cluster may be matched with one class at most, and the reverse.

    The best matching is found by the Hungarian method on the contingency table. The numbers of classes and clusters may
    differ; items of what stays unmatched count as wrong. Never compare it with `many_to_one_accuracy`.

    Examples
    --------
    >>> accuracy(["cat", "cat", "dog", "dog"], [1, 1, 0, 2])
    0.75
    """
    table, _, _ = contingency(y_true, y_pred)
    rows, columns = _match(table)
    return float(table[rows, columns].sum() / table.sum())


def many_to_one_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the accuracy when each cluster is named by its most frequent class; the field also calls it purity.

    It grows with the number of clusters, up to 1 for clusters of one item: read it beside that number.

    Examples
    --------
    >>> many_to_one_accuracy(["cat", "cat", "dog", "dog"], [1, 1, 0, 2])
    1.0
    """
    table, _, _ = contingency(y_true, y_pred)
    return float(table.max(axis=0).sum() / table.sum())


purity = many_to_one_accuracy  # the same number under its other name


def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.generic], NDArray[np.generic]]:
    """Return the share of each class that fell into each cluster, with what belongs together on the diagonal.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)

    Returns
    -------
    matrix : float64 array, shape (n_classes, n_clusters)
        Each row sums to 1.
    classes, clusters : arrays
        Names of the rows, sorted, and of the columns: a cluster stands at the class it is matched with one to one; one
        left over stands beside it at its most frequent class. Items without a cluster (-1) come last.
    """
    table, classes, clusters = contingency(y_true, y_pred)
    rows, columns = _match(table)
    home = table.argmax(axis=0)
    home[columns] = rows
    left_over = np.ones(len(clusters), dtype=bool)
    left_over[columns] = False
    order = np.lexsort((-table.sum(axis=0), left_over, home, clusters == _unassigned_like(clusters)))
    matrix = table / table.sum(axis=1, keepdims=True)
    return matrix[:, order], classes, clusters[order]


def neighbor_purity(labels: ArrayLike, neighbors: ArrayLike, k: int) -> float:
    """Return how often one of an item's `k` nearest neighbors has the item's own class.

    Parameters
    ----------
    labels : array-like, shape (n,)
        True classes.
    neighbors : array-like of int, shape (n, at least k)
        Row numbers, nearest first, the item itself not among them; -1 where there is none, which is not counted.
    k : int

    Returns
    -------
    float
        Mean over the items that have a neighbor of the share of their neighbors; NaN if no item has one.

    Raises
    ------
    DataError
        If `neighbors` has other rows than `labels`, fewer than `k` columns, or a row number that does not exist.
    """
    _, codes = _encode(labels, "labels")
    table = np.asarray(neighbors)
    if table.ndim != 2 or len(table) != len(codes) or not 1 <= k <= table.shape[1]:
        raise DataError(
            f"neighbors must have shape ({len(codes)}, {k} or more), k at least 1: got shape {table.shape} and k={k}."
        )
    near = table[:, :k]
    if near.min() < -1 or near.max() >= len(codes):
        raise DataError(
            f"neighbors must hold row numbers from 0 to {len(codes) - 1}, or -1 for none: "
            f"got values from {near.min()} to {near.max()}."
        )
    exists = near >= 0
    same = (codes[near] == codes[:, None]) & exists
    counts = exists.sum(axis=1)
    seen = counts > 0
    return float((same.sum(axis=1)[seen] / counts[seen]).mean()) if seen.any() else float("nan")


def cluster_usage(labels: ArrayLike, n_clusters: int | None = None) -> dict[str, float | int]:
    """Describe how the items spread over the clusters; a collapse shows here without any true label.

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        -1 marks an item without a cluster.
    n_clusters : int, optional
        How many clusters there could be; adds ``n_empty``.

    Returns
    -------
    dict
        ``n_clusters`` (used ones, -1 not among them), ``n_unassigned``, ``size_entropy`` (nats, over the items that
        have a cluster), ``size_entropy_normalized`` (divided by the log of the number of used clusters; 0 for one
        cluster), ``largest_share`` (of all items).
    """
    values, codes = _encode(labels, "labels")
    if values.dtype.kind not in "iu":
        raise DataError(f"labels must be whole numbers, -1 for none: got dtype {values.dtype}.")
    counts = np.bincount(codes)
    sizes = counts[values != UNASSIGNED]
    if n_clusters is not None and len(sizes) > n_clusters:
        raise DataError(f"labels use {len(sizes)} clusters, but n_clusters={n_clusters}.")
    shares = sizes / max(1, sizes.sum())
    entropy = float(-(shares * np.log(shares)).sum())
    usage: dict[str, float | int] = {
        "n_clusters": len(sizes),
        "n_unassigned": int(counts.sum() - sizes.sum()),
        "size_entropy": entropy + 0.0,
        "size_entropy_normalized": entropy / float(np.log(len(sizes))) if len(sizes) > 1 else 0.0,
        "largest_share": float(sizes.max(initial=0) / counts.sum()),
    }
    if n_clusters is not None:
        usage["n_empty"] = n_clusters - len(sizes)
    return usage


def is_collapsed(usage: Mapping[str, float | int]) -> bool:
    """Tell whether clusters collapsed.

    One is empty, or holds more than `MAX_SHARE`, or their entropy is below `MIN_ENTROPY` ln k.

    Parameters
    ----------
    usage : mapping
        From `cluster_usage`, with ``n_clusters`` given to it.

    Returns
    -------
    bool
    """
    possible = usage["n_clusters"] + usage["n_empty"]
    entropy = usage["size_entropy"] / float(np.log(max(2, possible)))
    return bool(usage["n_empty"] or usage["largest_share"] > MAX_SHARE or entropy < MIN_ENTROPY)


def expected_calibration_error(y_true: ArrayLike, y_pred: ArrayLike, confidence: ArrayLike, n_bins: int = 15) -> float:
    """Return how far confidence is from correctness, where each cluster is named by its most frequent class.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
    confidence : array-like of float, shape (n,)
        In [0, 1].
    n_bins : int
        Bins of equal width over [0, 1].

    Returns
    -------
    float
        Sum over bins of (share of items) x |mean confidence - share correct|; 0 is perfect.

    Raises
    ------
    DataError
        If a confidence is NaN or outside [0, 1].

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599, eq. 3.
    """
    table, _, _ = contingency(y_true, y_pred)
    _, row = _encode(y_true, "y_true")
    _, column = _encode(y_pred, "y_pred")
    sure = np.asarray(confidence, dtype=np.float64)
    _check_lengths(len(row), confidence=len(sure) if sure.ndim == 1 else -1)
    if not ((sure >= 0) & (sure <= 1)).all():
        raise DataError(f"confidence must lie in [0, 1] without NaN: got values from {sure.min()} to {sure.max()}.")
    correct = table.argmax(axis=0)[column] == row
    bins = np.minimum((sure * n_bins).astype(np.int64), n_bins - 1)
    gaps = np.bincount(bins, weights=sure - correct, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(sure))


def score_all(
    y_true: ArrayLike,
    labels: ArrayLike,
    *,
    confidence: ArrayLike | None = None,
    neighbors: ArrayLike | None = None,
    n_clusters: int | None = None,
) -> dict[str, float | int]:
    """Return every score of a clustering, each under the name of its variant.

    Parameters
    ----------
    y_true : array-like, shape (n,)
        True classes, numbers or text.
    labels : array-like of int, shape (n,)
        Clusters; -1 marks an item without one. Such items are scored as one cluster and never dropped.
    confidence : array-like of float, shape (n,), optional
        In [0, 1]; adds ``ece``.
    neighbors : array-like of int, shape (n, k), optional
        See `neighbor_purity`; adds ``neighbor_purity_1``, ``_5`` and ``_20`` as far as there are columns and neighbors.
    n_clusters : int, optional
        How many clusters there could be; adds ``n_empty``.

    Returns
    -------
    dict
        ``ami`` (arithmetic), ``ari``, ``acc`` (one to one), ``acc_many_to_one`` (purity), ``nmi`` (arithmetic mean,
        scikit-learn's default since 0.22), ``nmi_geometric`` (older tables), ``n_classes``, and those of
        `cluster_usage`.
    """
    from sklearn import metrics

    classes, truth = _encode(y_true, "y_true")
    usage = cluster_usage(labels, n_clusters)
    _, found = _encode(labels, "labels")
    _check_lengths(len(truth), labels=len(found))
    scores: dict[str, float | int] = {
        "ami": float(metrics.adjusted_mutual_info_score(truth, found, average_method="arithmetic")),
        "ari": float(metrics.adjusted_rand_score(truth, found)),
        "acc": accuracy(truth, found),
        "acc_many_to_one": many_to_one_accuracy(truth, found),
        "nmi": float(metrics.normalized_mutual_info_score(truth, found, average_method="arithmetic")),
        "nmi_geometric": float(metrics.normalized_mutual_info_score(truth, found, average_method="geometric")),
        "n_classes": len(classes),
        **usage,
    }
    if neighbors is not None:
        table = np.asarray(neighbors)
        for k in NEIGHBOR_COUNTS:
            if table.ndim != 2 or (k <= table.shape[1] and (table[:, :k] >= 0).any()):
                scores[f"neighbor_purity_{k}"] = neighbor_purity(truth, table, k)
    if confidence is not None:
        scores["ece"] = expected_calibration_error(truth, found, confidence)
    return scores


def _encode(values: ArrayLike, name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the sorted distinct values, and for each item which of them it has."""
    array = np.asarray(values)
    if array.ndim != 1 or len(array) == 0:
        raise DataError(
            f"{name} must be one-dimensional with one value per item, at least one: got shape {array.shape}."
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise DataError(
            f"{name} holds NaN for {int(np.isnan(array).sum())} of {len(array)} items; leave those items out."
        )
    try:
        distinct, codes = np.unique(array, return_inverse=True)
    except TypeError as error:  # an object array of text and None, say
        raise DataError(f"{name} must hold values of one kind, all numbers or all text: {error}.") from error
    return distinct, codes.astype(np.int64)


def _check_lengths(expected: int, **lengths: int) -> None:
    for name, length in lengths.items():
        if length != expected:
            raise DataError(f"{name} must have one value for each of the {expected} items of y_true: got {length}.")


def _match(table: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair classes with clusters, one to one, so that most items agree."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(table, maximize=True)
    return rows, columns


def _unassigned_like(clusters: NDArray[np.generic]) -> Any:
    """Return -1 as the clusters are written: as a number, or as text."""
    return UNASSIGNED if clusters.dtype.kind in "iuf" else str(UNASSIGNED)
