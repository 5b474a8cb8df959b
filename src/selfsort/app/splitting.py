"""Divide one group along the graph of its own pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.errors import DataError
from selfsort.features.graph import shared_neighbor_graph
from selfsort.features.groups import find_groups
from selfsort.features.neighbors import nearest_neighbors
from selfsort.features.project import graph_features

#: Neighbors of each picture in the graph of one group.
_K_INSIDE = 10


def parts(features: npt.NDArray[Any], n_parts: int | None = None) -> npt.NDArray[np.int64]:
    """Divide the pictures of one group by the graph of it alone, shape (n,), numbered from the largest.

    Parameters
    ----------
    features : ndarray, shape (n, d)
    n_parts : int, optional
        From 2 to n; found if not given, and two if none are found.
    """
    n = len(features)
    if n_parts is not None and not 2 <= n_parts <= n:
        raise DataError(f"A group of {n} pictures can be split into 2 to {n} parts: got {n_parts}.")
    vectors = graph_features(features)
    graph = shared_neighbor_graph(nearest_neighbors(vectors, min(_K_INSIDE, n - 1), seed=0).indices)
    labels = find_groups(graph, vectors, n_groups=n_parts, outliers=False).labels
    if labels.max() == 0:
        labels = find_groups(graph, vectors, n_groups=2, outliers=False).labels
    return labels
