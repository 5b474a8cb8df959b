"""The shared-neighbor graph and its groups: find them, merge them, split them.

Two images that list each other's neighbors belong together. Louvain cuts this graph into many small groups; then the
best-connected pair of groups is merged again and again, which gives a tree. Cutting the tree where the next pair is
connected by less than `merge_threshold` finds the number of groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

IntArray = npt.NDArray[np.int64]
FloatRow = npt.NDArray[np.float64]

#: Resolution of the fine partition that merging starts from.
RESOLUTION = 3.0
#: Groups connected less than this stay apart. One value for features and for raw pixels; see docs/benchmarks.md.
MERGE_THRESHOLD = 0.16
#: With more images than this the links between parts of one class thin out, and the threshold falls with the cube root.
THRESHOLD_UP_TO = 10_000
_EDGE_CHUNK = 200_000
_ERROR = 1e-3  # of what is spread


def shared_neighbor_graph(neighbors: npt.NDArray[np.int32]) -> sparse.csr_matrix:
    """Weigh each neighbor pair by how many neighbors the two share (Jaccard index, both counted as own neighbors).

    Parameters
    ----------
    neighbors : ndarray of int32, shape (n, k)
        Nearest other rows of each row.

    Returns
    -------
    csr_matrix of float32, shape (n, n)
        Symmetric, zero diagonal, weights in (0, 1].

    References
    ----------
    Jarvis & Patrick, "Clustering using a similarity measure based on shared near neighbors", 1973; Levine et al.,
    "PhenoGraph", Cell 2015 (Jaccard weights).
    """
    n, k = neighbors.shape
    own = np.sort(np.column_stack([np.arange(n, dtype=np.int32), neighbors]), axis=1)
    source = np.repeat(np.arange(n, dtype=np.int64), k)
    target = neighbors.astype(np.int64).ravel()
    pairs = np.unique(np.minimum(source, target) * n + np.maximum(source, target))
    a, b = pairs // n, pairs % n
    weights = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _EDGE_CHUNK):
        part = slice(start, start + _EDGE_CHUNK)
        # rows hold no repeats, so a value that stands in both rows stands twice in the sorted union
        union = np.sort(np.concatenate([own[a[part]], own[b[part]]], axis=1), axis=1)
        shared = (union[:, 1:] == union[:, :-1]).sum(1)
        weights[part] = shared / (2 * (k + 1) - shared)
    graph = sparse.coo_matrix((weights, (a, b)), shape=(n, n)).tocsr()
    return (graph + graph.T).tocsr()


def communities(graph: sparse.csr_matrix, resolution: float = RESOLUTION, seed: int = 0) -> IntArray:
    """Cut a graph into communities (Louvain, modularity), numbered from the largest.

    Not Leiden: scikit-network's draws from C's unseeded ``rand()``, so the same seed gave other groups (ADR 008).

    References
    ----------
    Blondel et al., "Fast unfolding of communities in large networks", 2008.
    """
    from sknetwork.clustering import Louvain

    if graph.nnz == 0:
        return np.arange(graph.shape[0])
    labels = Louvain(resolution=resolution, shuffle_nodes=True, random_state=seed).fit_predict(graph)
    return by_size(labels)


def by_size(labels: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> IntArray:
    """Number groups from 0, largest (or heaviest) first; ties keep the order of their first members. -1 stays -1."""
    labels = np.asarray(labels)
    kept = labels >= 0
    _, first, inverse = np.unique(labels[kept], return_index=True, return_inverse=True)
    sizes = np.bincount(inverse, None if weights is None else np.asarray(weights)[kept])
    rank = np.empty(len(sizes), np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    numbered = np.full(labels.shape, -1, np.int64)
    numbered[kept] = rank[inverse]
    return numbered


@dataclass(frozen=True)
class MergeTree:
    """Groups and the order in which they merge, best-connected pair first, until no links are left.

    Attributes
    ----------
    leaves : ndarray of int64, shape (n,)
        The fine partition, numbered from 0.
    merges : ndarray of int64, shape (n_merges, 2)
        Step s merges group ``merges[s, 1]`` into group ``merges[s, 0]``.
    scores : ndarray of float64, shape (n_merges,)
        Connection of the merged pair, see `merge_tree`.
    """

    leaves: IntArray
    merges: IntArray
    scores: npt.NDArray[np.float64]

    @property
    def n_leaves(self) -> int:
        """Number of groups before any merge."""
        return int(self.leaves.max(initial=-1)) + 1

    @property
    def n_roots(self) -> int:
        """Number of groups after all merges: those without a link between them."""
        return self.n_leaves - len(self.merges)

    def n_groups(self, threshold: float) -> int:
        """Return how many groups are left when no pair is connected by `threshold` or more."""
        below = np.flatnonzero(self.scores < threshold)
        return self.n_leaves - (int(below[0]) if len(below) else len(self.scores))

    def cut(self, n_groups: int) -> IntArray:
        """Return the labels with `n_groups` groups (from `n_roots` to `n_leaves`), largest group first, shape (n,)."""
        return _merged(self.leaves, self.merges[: self.n_leaves - n_groups])


def merge_tree(graph: sparse.csr_matrix, leaves: IntArray) -> MergeTree:
    """Merge the best-connected pair of groups until no links are left between groups.

    The connection of groups a and b with link weight w_ab, volumes v_a, v_b and total volume W is the geometric mean
    of two classic measures:

        s_ab = sqrt( w_ab W / (v_a v_b)  ·  w_ab / sqrt(v_a v_b) )

    The first, the observed over the expected weight (modularity), is blind to structure below its resolution limit and
    breaks up large groups; the second, the share of links that cross, swallows small groups. The mean does neither:
    one threshold serves 10 classes or 100, and classes of 30 images beside classes of 800.

    Parameters
    ----------
    graph : csr_matrix, shape (n, n)
    leaves : ndarray of int, shape (n,)
        The partition to start from, numbered from 0.
    """

    def connection(weight: FloatRow, volume: float, volumes: FloatRow, total: float) -> FloatRow:
        linked = weight > 0
        scores = np.full(len(weight), -np.inf)
        scores[linked] = weight[linked] * np.sqrt(total) / (volume * volumes[linked]) ** 0.75
        return scores

    merges, scores = _agglomerate(graph, leaves, connection, n_groups=1)
    return MergeTree(leaves, merges, scores)


def merge_threshold(n: int) -> float:
    """Return the connection above which groups of n images merge."""
    return MERGE_THRESHOLD * min(1.0, THRESHOLD_UP_TO / n) ** (1 / 3)


def modularity(graph: sparse.csr_matrix, codes: IntArray) -> float:
    """Return how many more links stay inside clusters, 0 to k - 1, than chance has it, as a share of all (Newman)."""
    links, total = graph.tocoo(), graph.sum()
    if total == 0:
        return 0.0
    inside = links.data[codes[links.row] == codes[links.col]].sum()
    leaving, arriving = (np.bincount(codes, np.asarray(graph.sum(axis)).ravel()) for axis in (1, 0))
    return float(inside / total - (leaving / total) @ (arriving / total))


def merge_down(graph: sparse.csr_matrix, labels: IntArray, n_groups: int) -> IntArray:
    """Merge whole groups until `n_groups` are left, each time the pair that costs the least modularity.

    The change by a merge, w_ab / W - v_a v_b / W², lets small groups join before two large ones do: asked for fewer
    groups than were found, people mean the large ones, and `merge_tree` would join two of those and keep fragments.
    Groups without a link between them merge only when no others are left.

    References
    ----------
    Newman, "Fast algorithm for detecting community structure in networks", Physical Review E 2004.
    """
    merges, _ = _agglomerate(graph, labels, _modularity_change, n_groups)
    volume = np.asarray(graph.sum(1)).ravel()
    labels = by_size(_merged(labels, merges), volume)
    for last in range(int(labels.max(initial=-1)), n_groups - 1, -1):  # no links: the two smallest cost the least
        labels = by_size(np.where(labels == last, last - 1, labels), volume)
    return by_size(labels)


def _modularity_change(weight: FloatRow, volume: float, volumes: FloatRow, total: float) -> FloatRow:
    return np.where(weight > 0, weight / total - volume * volumes / total**2, -np.inf)


def merge_order(graph: sparse.csr_matrix, finest: IntArray, groups: IntArray) -> IntArray:
    """Put all merges in one order: of fine groups into the groups that hold them, then of those into one.

    Parameters
    ----------
    graph : csr_matrix, shape (n, n)
    finest : ndarray of int64, shape (n,)
        Fine groups, numbered from 0; -1 for none.
    groups : ndarray of int64, shape (n,)
        Groups that the fine ones lie in, numbered from 0; -1 for none.

    Returns
    -------
    ndarray of int64, shape (n_fine - 1, 2)
        Row s merges group ``[s, 1]`` into ``[s, 0]``, by numbers of `finest`. What is best connected merges first;
        what has no links merges last. See `cut_at`.
    """
    grouped = groups >= 0
    if not grouped.all():
        graph, finest, groups = graph[grouped][:, grouped], finest[grouped], groups[grouped]
    if not len(groups):
        return np.zeros((0, 2), np.int64)
    inner = merge_tree(within(graph, groups), finest).merges
    home = _homes(int(finest.max()) + 1, inner)
    holder = np.empty(len(home), np.int64)
    holder[finest] = groups
    pieces: dict[int, list[int]] = {}
    for root in np.unique(home).tolist():
        pieces.setdefault(int(holder[root]), []).append(root)
    joined = [(roots[0], other) for roots in pieces.values() for other in roots[1:]]
    outer, _ = _agglomerate(graph, groups, _modularity_change, n_groups=1)
    homes = _homes(int(groups.max()) + 1, outer)
    alone = [(0, other) for other in np.unique(homes).tolist()[1:]]
    last = [(pieces[a][0], pieces[b][0]) for a, b in [*outer.tolist(), *alone]]
    return np.array([*inner.tolist(), *joined, *last], np.int64).reshape(-1, 2)


def cut_at(finest: IntArray, merges: IntArray, n_groups: int) -> IntArray:
    """Return the fine groups merged, in the order of `merge_order`, until `n_groups` are left; -1 stays -1."""
    home = _homes(len(merges) + 1, merges[: max(0, len(merges) + 1 - n_groups)])
    return np.where(finest >= 0, home[finest], -1)


def _homes(n_groups: int, merges: IntArray) -> IntArray:
    """Return the group that each group is a part of after merges."""
    home = np.arange(n_groups)
    for kept, absorbed in merges:
        home[home == absorbed] = kept
    return home


def _agglomerate(
    graph: sparse.csr_matrix,
    labels: IntArray,
    score: Callable[[FloatRow, float, FloatRow, float], FloatRow],
    n_groups: int,
) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """Merge the pair of groups with the highest score until `n_groups` are left or all scores are minus infinity.

    ``score(weights, volume, volumes, total)`` rates one group against all. Each group's best partner is kept, so a
    merge costs one row and the rows that lost their partner, not all pairs.
    """
    n_now = int(labels.max(initial=-1)) + 1
    member = sparse.csr_matrix((np.ones(len(labels)), (np.arange(len(labels)), labels)), shape=(len(labels), n_now))
    weight = np.asarray((member.T @ graph @ member).todense(), dtype=np.float64)
    volume = weight.sum(1)
    total = max(float(volume.sum()), 1e-12)
    np.fill_diagonal(weight, 0.0)
    alive = np.ones(n_now, bool)
    best, partner = np.empty(n_now), np.empty(n_now, np.int64)

    def rate(group: int) -> FloatRow:
        row = score(weight[group], volume[group], volume, total)
        row[~alive] = -np.inf
        row[group] = -np.inf
        best[group], partner[group] = row.max(), row.argmax()
        return row

    for group in range(n_now):
        rate(group)
    merges: list[tuple[int, int]] = []
    scores: list[float] = []
    while n_now - len(merges) > n_groups:
        a = int(best.argmax())
        if best[a] == -np.inf:
            break
        scores.append(float(best[a]))
        a, b = min(a, int(partner[a])), max(a, int(partner[a]))
        merges.append((a, b))
        weight[a] += weight[b]
        weight[:, a] += weight[:, b]
        weight[a, a] = 0.0
        volume[a] += volume[b]
        alive[b], best[b] = False, -np.inf
        row = rate(a)
        lost = alive & ((partner == a) | (partner == b))
        lost[a] = False
        closer = alive & (row > best)
        best[closer], partner[closer] = row[closer], a
        for group in np.flatnonzero(lost & ~closer).tolist():
            rate(group)
    return np.array(merges, np.int64).reshape(-1, 2), np.array(scores)


def _merged(labels: IntArray, merges: IntArray) -> IntArray:
    return by_size(_homes(int(labels.max(initial=-1)) + 1, merges)[labels])


def within(graph: sparse.csr_matrix, labels: IntArray) -> sparse.csr_matrix:
    """Return the graph without the edges that leave a group."""
    edges = graph.tocoo()
    kept = labels[edges.row] == labels[edges.col]
    return sparse.csr_matrix((edges.data[kept], (edges.row[kept], edges.col[kept])), shape=graph.shape)


def refine(graph: sparse.csr_matrix, labels: IntArray, resolution: float, seed: int = 0) -> IntArray:
    """Cut each group into communities of its own (Louvain without the edges between groups)."""
    inner = communities(within(graph, labels), resolution, seed)
    return by_size(labels * (int(inner.max()) + 1) + inner)


def split(
    graph: sparse.csr_matrix, labels: IntArray, features: npt.NDArray[np.float32], n_groups: int, seed: int = 0
) -> IntArray:
    """Split the loosest groups until there are `n_groups`.

    First by the graph: communities inside the groups at rising resolution, of which the best connected are merged
    again. Where links cannot tell images apart (copies, tiny groups), the largest group is halved along its first
    principal axis.

    Parameters
    ----------
    graph, labels : as returned by `shared_neighbor_graph` and `communities`
    features : ndarray, shape (n, d)
    n_groups : int
        More than there are, at most n.

    Returns
    -------
    ndarray of int64, shape (n,)
        Each new group lies inside one of the old.
    """
    leaves, resolution = labels, RESOLUTION
    while leaves.max() + 1 < n_groups and resolution < 1000:
        resolution *= 1.5
        leaves = refine(graph, labels, resolution, seed)
    if leaves.max() + 1 >= n_groups:
        tree = merge_tree(within(graph, labels), leaves)
        pieces = tree.cut(max(n_groups, tree.n_roots))
        while pieces.max() + 1 > n_groups:  # groups that fall into unlinked pieces: join the smallest of one group
            sizes = np.bincount(pieces)
            parent = np.empty(len(sizes), np.int64)
            parent[pieces] = labels
            several = np.flatnonzero(np.bincount(parent)[parent] > 1)
            smallest = several[sizes[several].argmin()]
            others = several[(parent[several] == parent[smallest]) & (several != smallest)]
            pieces = by_size(np.where(pieces == smallest, others[sizes[others].argmin()], pieces))
        return pieces
    leaves = leaves.copy()
    while leaves.max() + 1 < n_groups:
        members = np.flatnonzero(leaves == np.bincount(leaves).argmax())
        centered = features[members] - features[members].mean(0)
        axis = np.linalg.svd(centered, full_matrices=False)[2][0]
        order = np.argsort(centered @ axis, kind="stable")
        leaves[members[order[len(order) // 2 :]]] = leaves.max() + 1
    return by_size(leaves)


def support(graph: sparse.csr_matrix, labels: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """Return, for each image, the share of its links (by weight) that stay in its group, in [0, 1], shape (n,)."""
    total = np.asarray(graph.sum(1)).ravel()
    inside = np.asarray(within(graph, labels.astype(np.int64)).sum(1)).ravel()
    inside[labels < 0] = 0  # those that belong nowhere are no group
    share = np.divide(inside, total, out=np.zeros_like(total), where=total > 0).astype(np.float32)
    return np.minimum(share, 1)  # the two sums may be rounded differently


def spread(graph: sparse.csr_matrix, own: npt.NDArray[np.float32], share: float) -> npt.NDArray[np.float32]:
    """Let what each image holds be its own in part, and for this share what its neighbors hold in the end.

    Parameters
    ----------
    graph : csr_matrix, shape (n, n)
    own : ndarray of float32, shape (n, k)
        What each image holds by itself.
    share : float
        Above 0, and below 1.

    Returns
    -------
    ndarray of float32, shape (n, k)
        What solves it, but for a thousandth of what the start was wrong by. Chebyshev's iteration takes a quarter of
        the plain one's steps where the share is 0.9.

    References
    ----------
    Zhou et al., "Learning with local and global consistency", NIPS 2003. Golub and Varga, "Chebyshev semi-iterative
    methods, successive overrelaxation iterative methods, and second order Richardson iterative methods", Numerische
    Mathematik 3, 1961.
    """
    scale = 1 / np.sqrt(np.maximum(np.asarray(graph.sum(1)).ravel(), 1e-12))
    links = sparse.csr_matrix(sparse.diags(scale) @ graph @ sparse.diags(scale), dtype=np.float32)
    rate = share / (1 + math.sqrt(1 - share**2))
    before, held, pace = own, share * (links @ own) + (1 - share) * own, 2.0
    for _ in range(math.ceil(math.log(_ERROR / 2, rate)) - 1):
        pace = 1 / (1 - share**2 * pace / 4)
        before, held = held, before + np.float32(pace) * (share * (links @ held) + (1 - share) * own - before)
    return held
