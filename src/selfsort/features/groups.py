"""From the graph to groups at several levels, with prototypes, odd ones and those that belong nowhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort.features.graph import (
    RESOLUTION,
    IntArray,
    MergeTree,
    by_size,
    communities,
    merge_down,
    merge_threshold,
    merge_tree,
    modularity,
    refine,
    split,
    support,
)

#: An image belongs nowhere if no group holds at least this share of its links (by weight).
MIN_SUPPORT = 0.25
#: By so much more modularity another division is a better one, not one of about the same.
_MARKED = 0.02
N_PROTOTYPES = 12
N_ODD = 8


def default_n_neighbors(n: int) -> int:
    """Return how many neighbors suit n images: 15, and fewer below 225 so that small groups stay apart."""
    return max(1, min(15, math.isqrt(n), n - 1))


@dataclass(frozen=True)
class Grouping:
    """Nested groups.

    Attributes
    ----------
    levels : ndarray of int64, shape (n, n_levels)
        Group of each image, coarsest level first, numbered from the largest; -1 for images that belong nowhere.
    default : int
        The level whose number of groups was found (or asked for).
    """

    levels: IntArray
    default: int

    @property
    def labels(self) -> IntArray:
        """Groups at the default level, shape (n,)."""
        return self.levels[:, self.default]


@dataclass(frozen=True)
class Divisions:
    """A graph's groups at any number of them.

    Attributes
    ----------
    graph : csr_matrix, shape (n, n)
    features : ndarray of float32, shape (n, d)
    tree : MergeTree
    n_found : int
        The number at which no two groups are connected well enough to be one.
    seed : int
    """

    graph: sparse.csr_matrix
    features: npt.NDArray[np.float32]
    tree: MergeTree
    n_found: int
    seed: int

    def at(self, n_groups: int) -> IntArray:
        """Return the labels of `n_groups` groups, from 1 to n, shape (n,)."""
        if n_groups > self.tree.n_leaves:
            return split(self.graph, self.tree.leaves, self.features, n_groups, self.seed)
        labels = self.tree.cut(max(n_groups, self.n_found))
        if n_groups < self.n_found:
            return merge_down(self.graph, labels, n_groups)
        if n_groups > self.n_found:  # where all is connected, the tree has grown two large groups and many fragments
            even = merge_down(self.graph, self.tree.leaves, n_groups)
            if modularity(self.graph, even) > modularity(self.graph, labels) + _MARKED:
                return even
        return labels


def divide(
    graph: sparse.csr_matrix, features: npt.NDArray[np.float32], *, granularity: float = 1.0, seed: int = 0
) -> Divisions:
    """Cut a graph into many small groups and find how they merge; parameters are those of `find_groups`."""
    leaves = communities(graph, RESOLUTION * granularity, seed)
    tree = merge_tree(graph, leaves)
    return Divisions(graph, features, tree, tree.n_groups(merge_threshold(len(leaves)) * granularity), seed)


def find_groups(
    graph: sparse.csr_matrix,
    features: npt.NDArray[np.float32],
    *,
    n_groups: int | None = None,
    granularity: float = 1.0,
    outliers: bool | None = None,
    kinds: IntArray | None = None,
    seed: int = 0,
) -> Grouping:
    """Group images at nested levels: a quarter of the groups, half of them, the groups found, and finer.

    Parameters
    ----------
    graph : csr_matrix, shape (n, n)
        From `selfsort.features.graph.shared_neighbor_graph`.
    features : ndarray of float32, shape (n, d)
        Where links cannot decide.
    n_groups : int, optional
        How many groups the default level has; found if not given.
    granularity : float
        Above 1 finds more and smaller groups, below 1 fewer and larger ones.
    outliers : bool, optional
        Whether images may belong nowhere (-1): those for which no group at the default level holds `MIN_SUPPORT` of
        their links. By default only where the number of groups is found.
    kinds : ndarray of int64, shape (n,), optional
        Numbers of the kinds that images are of, from 0: the one coarser level puts the groups together that are mostly
        of one kind, if there are at least two of them.
    seed : int

    Returns
    -------
    Grouping
    """
    divisions = divide(graph, features, granularity=granularity, seed=seed)
    n_default = n_groups or divisions.n_found
    default = divisions.at(n_default)
    nowhere = np.zeros(len(default), bool)
    if outliers or (outliers is None and n_groups is None):
        default, nowhere = _settle(graph, default)
    default[nowhere] = -1
    return nest(graph, default, granularity=granularity, kinds=kinds, seed=seed)


def nest(
    graph: sparse.csr_matrix,
    default: IntArray,
    *,
    granularity: float = 1.0,
    kinds: IntArray | None = None,
    seed: int = 0,
) -> Grouping:
    """Put coarser levels and a finer one around groups; see `find_groups` for the parameters.

    Parameters
    ----------
    default : ndarray of int64, shape (n,)
        -1 for images that belong nowhere.
    """
    nowhere, groups = default < 0, by_size(default)
    n_groups = int(groups.max(initial=-1)) + 1
    coarser: list[IntArray] = []
    if kinds is not None and n_groups:
        votes = sparse.coo_matrix((~nowhere * 1, (np.maximum(groups, 0), kinds)), shape=(n_groups, kinds.max() + 1))
        main = np.asarray(votes.todense()).argmax(1)
        coarser = [main[np.maximum(groups, 0)]] if len(np.unique(main)) > 1 else []
    if not coarser:
        inner = graph[~nowhere][:, ~nowhere] if nowhere.any() else graph
        coarser = [np.full(len(groups), -1, np.int64) for _ in range(2)]
        half = merge_down(inner, groups[~nowhere], -(-n_groups // 2))
        coarser[1][~nowhere] = half
        coarser[0][~nowhere] = merge_down(inner, half, -(-n_groups // 4))
    finer = refine(graph, np.where(nowhere, n_groups, groups), 2 * RESOLUTION * granularity, seed)
    levels = np.column_stack([*coarser, groups, finer])
    levels[nowhere] = -1
    return Grouping(np.column_stack([by_size(level) for level in levels.T]), levels.shape[1] - 2)


def _settle(graph: sparse.csr_matrix, labels: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Find the images without support; one that another group supports enough moves there."""
    weak = np.flatnonzero(support(graph, labels) < MIN_SUPPORT)
    n_groups = int(labels.max()) + 1
    member = sparse.csr_matrix((np.ones(len(labels)), (np.arange(len(labels)), labels)), shape=(len(labels), n_groups))
    links = np.asarray((graph[weak] @ member).todense())
    total = np.maximum(links.sum(1), np.finfo(float).tiny)
    labels = labels.copy()
    linked = links.sum(1) > 0
    labels[weak[linked]] = links[linked].argmax(1)
    nowhere = np.zeros(len(labels), bool)
    nowhere[weak[linked & (links.max(1, initial=0) / total < MIN_SUPPORT)]] = True
    return labels, nowhere


def describe_groups(
    grouping: Grouping, graph: sparse.csr_matrix, features: npt.NDArray[np.float32]
) -> tuple[list[dict[str, Any]], npt.NDArray[np.float32]]:
    """Describe every group of every level.

    Parameters
    ----------
    grouping : Grouping
    graph : csr_matrix, shape (n, n)
    features : ndarray of float32, shape (n, d)
        Unit vectors.

    Returns
    -------
    groups : list of dict
        ``level``, ``group``, ``size``, ``parent`` (group at the level before, or None), ``confidence`` (mean share of
        the members' links that stay inside), ``prototypes`` (the members most similar to the mean of the group, best
        first) and ``odd`` (the members with the smallest share of links inside, below one half, worst first).
    confidence : ndarray of float32, shape (n,)
        Each image's share of links inside its group at the default level; 0 for images that belong nowhere.
    """
    groups: list[dict[str, Any]] = []
    confidence = np.zeros(len(features), np.float32)
    for level, labels in enumerate(grouping.levels.T):
        inside = support(graph, labels)
        if level == grouping.default:
            confidence = inside
        order = np.argsort(labels, kind="stable")
        starts = np.searchsorted(labels[order], np.arange(labels.max(initial=-1) + 2))
        for group, (first, last) in enumerate(pairwise(starts)):
            members = order[first:last]
            mean = features[members].mean(0)
            central = members[np.argsort(-(features[members] @ mean), kind="stable")]
            weak = members[np.argsort(inside[members], kind="stable")]
            groups.append(
                {
                    "level": level,
                    "group": group,
                    "size": len(members),
                    "parent": int(grouping.levels[members[0], level - 1]) if level else None,
                    "confidence": round(float(inside[members].mean()), 4),
                    "prototypes": central[:N_PROTOTYPES].tolist(),
                    "odd": [int(i) for i in weak[:N_ODD] if inside[i] < 0.5],
                }
            )
    return groups, confidence
