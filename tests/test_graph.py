import numpy as np
import pytest
from scipy import sparse

from selfsort.features.graph import (
    by_size,
    communities,
    cut_at,
    merge_down,
    merge_order,
    merge_tree,
    refine,
    shared_neighbor_graph,
    split,
    spread,
    support,
    within,
)
from selfsort.features.neighbors import nearest_neighbors
from selfsort.features.project import unit_rows


def blobs(n_groups, n_each, seed=0, spread=0.1, d=8):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((n_groups, d))
    truth = np.repeat(np.arange(n_groups), n_each)
    return unit_rows(centers[truth] + spread * rng.standard_normal((len(truth), d))), truth


def graph_of(X, k=7):
    return shared_neighbor_graph(nearest_neighbors(X, k).indices)


def random_graph(n, density, seed):
    """Symmetric, zero diagonal; for low densities with several components and nodes without links."""
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.uniform(0.05, 1, (n, n)) * (rng.random((n, n)) < density), 1)
    return sparse.csr_matrix((weights + weights.T).astype(np.float32))


def is_nested(fine, coarse):
    return all(len(set(coarse[fine == group])) == 1 for group in set(fine))


def same_partition(a, b):
    return is_nested(a, b) and is_nested(b, a)


# --- weights


def jaccard_reference(neighbors):
    own = [{i, *row} for i, row in enumerate(neighbors.tolist())]
    n = len(own)
    dense = np.zeros((n, n), np.float32)
    for i in range(n):
        for j in neighbors[i]:
            dense[i, j] = dense[j, i] = len(own[i] & own[j]) / len(own[i] | own[j])
    return dense


@pytest.mark.parametrize(("n", "k", "seed"), [(2, 1, 0), (3, 2, 1), (12, 1, 2), (40, 7, 3), (150, 15, 4), (30, 29, 5)])
def test_weights_are_the_jaccard_index_of_the_neighborhoods(n, k, seed):
    rng = np.random.default_rng(seed)
    neighbors = np.array([rng.choice(np.delete(np.arange(n), i), k, replace=False) for i in range(n)], np.int32)
    graph = shared_neighbor_graph(neighbors)
    assert graph.dtype == np.float32
    assert graph.shape == (n, n)
    np.testing.assert_allclose(graph.toarray(), jaccard_reference(neighbors), rtol=1e-6)
    assert (graph != graph.T).nnz == 0
    assert graph.diagonal().sum() == 0
    assert graph.data.min() > 0
    assert graph.data.max() <= 1


def test_weights_do_not_depend_on_the_chunks(monkeypatch):
    X, _ = blobs(4, 30)
    whole = graph_of(X)
    monkeypatch.setattr("selfsort.features.graph._EDGE_CHUNK", 17)
    assert (graph_of(X) != whole).nnz == 0


def test_one_row_has_a_graph_without_links():
    assert shared_neighbor_graph(np.zeros((1, 0), np.int32)).nnz == 0


# --- numbers of groups


def test_by_size_numbers_from_the_largest_and_ties_by_their_first_member():
    assert by_size([7, 3, 3, 9, 9, 9, 4]).tolist() == [2, 1, 1, 0, 0, 0, 3]
    assert by_size([5, 2, 5, 2]).tolist() == [0, 1, 0, 1]
    assert by_size([-1, 5, -1, 2, 2]).tolist() == [-1, 1, -1, 0, 0]
    assert by_size([-1, -1]).tolist() == [-1, -1]
    assert by_size([]).tolist() == []


def test_by_size_counts_weights():
    assert by_size([0, 0, 1, -1], [1, 1, 5, 100]).tolist() == [1, 1, 0, -1]


# --- communities


def test_communities_finds_the_components():
    X, truth = blobs(5, 20, spread=0.02)
    assert same_partition(communities(graph_of(X), 1.0), truth)


def test_communities_of_no_links_is_every_node_alone():
    assert communities(sparse.csr_matrix((4, 4), dtype=np.float32)).tolist() == [0, 1, 2, 3]


def test_the_callers_random_state_stays_as_it_was():
    graph = graph_of(blobs(3, 20)[0])
    np.random.seed(5)  # noqa: NPY002  (it is the state to be left alone)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    communities(graph, 3.0, seed=1)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_seed_decides_and_the_global_state_does_not():
    graph = graph_of(np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32))
    first = communities(graph, 3.0, seed=4)
    np.random.seed(99)  # noqa: NPY002
    for _ in range(10):  # a random state that nobody set shows in the second call or a later one
        assert np.array_equal(first, communities(graph, 3.0, seed=4))
    assert any(not np.array_equal(first, communities(graph, 3.0, seed=s)) for s in range(5, 9))


# --- the tree


def merge_tree_reference(graph, leaves):
    """Merge by the definition: every pair's connection computed from nothing at every step, O(g³)."""
    dense = graph.toarray().astype(np.float64)
    total = dense.sum()
    clusters = {int(g): [g] for g in range(leaves.max() + 1)}
    merges, scores = [], []

    def connection(a, b):
        members = [np.isin(leaves, clusters[g]) for g in (a, b)]
        across = dense[np.ix_(*members)].sum()
        if across == 0:
            return 0.0
        volumes = dense[members[0]].sum(), dense[members[1]].sum()
        return np.sqrt(across * total / (volumes[0] * volumes[1]) * across / np.sqrt(volumes[0] * volumes[1]))

    while len(clusters) > 1:
        pairs = [(a, b) for a in clusters for b in clusters if a < b]
        value, (a, b) = max((connection(*pair), pair) for pair in pairs)
        if value == 0:
            break
        clusters[a] += clusters.pop(b)
        merges.append((a, b))
        scores.append(value)
    return np.array(merges).reshape(-1, 2), np.array(scores)


@pytest.mark.parametrize("density", [0.02, 0.06, 0.2, 0.7])
@pytest.mark.parametrize("seed", range(12))
def test_the_best_pair_is_merged_at_every_step(density, seed):
    n, n_groups = 36, 14
    rng = np.random.default_rng(seed)
    graph = random_graph(n, density, seed)
    leaves = np.concatenate([np.arange(n_groups), rng.integers(0, n_groups, n - n_groups)])
    tree = merge_tree(graph, leaves)
    merges, scores = merge_tree_reference(graph, leaves)
    np.testing.assert_allclose(tree.scores, scores, rtol=1e-9)
    assert tree.merges.tolist() == merges.tolist()


@pytest.mark.parametrize("seed", range(6))
def test_every_node_its_own_leaf(seed):
    graph = random_graph(25, 0.15, seed)
    tree = merge_tree(graph, np.arange(25))
    merges, scores = merge_tree_reference(graph, np.arange(25))
    np.testing.assert_allclose(tree.scores, scores, rtol=1e-9)
    assert tree.merges.tolist() == merges.tolist()


@pytest.mark.parametrize("seed", range(8))
def test_equal_connections_lead_to_the_same_scores(seed):
    """A ring has nothing but ties: which pair comes first is free, but no better one may be left behind."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 40))
    ring = sparse.coo_matrix((np.ones(n), (np.arange(n), (np.arange(n) + 1) % n)), shape=(n, n))
    tree = merge_tree((ring + ring.T).tocsr(), np.arange(n))
    dense = (ring + ring.T).toarray()
    total, groups = dense.sum(), {i: [i] for i in range(n)}
    for (a, b), score in zip(tree.merges, tree.scores, strict=True):
        best = 0.0
        for i in groups:
            for j in groups:
                if i < j:
                    across = dense[np.ix_(groups[i], groups[j])].sum()
                    product = dense[groups[i]].sum() * dense[groups[j]].sum()
                    best = max(best, across * np.sqrt(total) / product**0.75)
        assert score == pytest.approx(best)
        groups[a] += groups.pop(b)


@pytest.mark.filterwarnings("error")
def test_the_tree_ends_where_no_links_are_left():
    graph = random_graph(6, 0.0, 0).tolil()
    graph[0, 1] = graph[1, 0] = 0.5
    tree = merge_tree(graph.tocsr(), np.arange(6))
    assert tree.merges.tolist() == [[0, 1]]
    assert tree.n_roots == tree.n_groups(0.0) == 5
    assert same_partition(tree.cut(5), np.array([0, 0, 1, 2, 3, 4]))


def test_a_thousand_unlinked_groups_take_no_time():
    graph = sparse.block_diag([np.ones((3, 3)) - np.eye(3)] * 1000, format="csr")
    labels = np.repeat(np.arange(1000), 3)
    assert merge_tree(graph, labels).n_roots == 1000
    assert merge_down(graph, labels, 400).max() == 399


@pytest.mark.parametrize("seed", range(6))
def test_merging_down_costs_the_least_modularity_at_every_step(seed):
    graph = random_graph(40, 0.15, seed)
    labels = by_size(np.random.default_rng(seed).integers(0, 12, 40))

    def modularity(groups):
        dense, same = graph.toarray().astype(np.float64), groups[:, None] == groups
        volume, total = dense.sum(1), dense.sum()
        return (dense[same].sum() - np.outer(volume, volume)[same].sum() / total) / total

    for n_groups in range(labels.max(), 0, -1):
        pairs = [(a, b) for a in range(n_groups + 1) for b in range(a)]
        linked = [(a, b) for a, b in pairs if graph[labels == a][:, labels == b].nnz] or pairs
        best = max(modularity(np.where(labels == a, b, labels)) for a, b in linked)
        merged = merge_down(graph, labels, n_groups)
        assert is_nested(labels, merged)
        assert modularity(merged) == pytest.approx(best)
        labels = merged


@pytest.mark.parametrize("density", [0.03, 0.3])
def test_every_cut_has_the_groups_asked_for_and_lies_inside_the_next(density):
    graph = random_graph(60, density, 3)
    leaves = by_size(np.random.default_rng(0).integers(0, 20, 60))
    tree = merge_tree(graph, leaves)
    cuts = {k: tree.cut(k) for k in range(tree.n_roots, tree.n_leaves + 1)}
    assert same_partition(cuts[tree.n_leaves], leaves)
    for k, labels in cuts.items():
        sizes = np.bincount(labels)
        assert len(sizes) == k
        assert (np.diff(sizes) <= 0).all()
        assert k == tree.n_roots or is_nested(labels, cuts[k - 1])


@pytest.mark.parametrize("seed", range(5))
def test_a_threshold_stops_where_no_pair_is_connected_better(seed):
    graph = random_graph(40, 0.2, seed)
    tree = merge_tree(graph, np.arange(40))
    assert tree.n_groups(np.inf) == tree.n_leaves
    assert tree.n_groups(0.0) == tree.n_roots
    for threshold in (0.1, 0.3, 0.6):
        left = tree.n_groups(threshold)
        done = tree.n_leaves - left
        assert (tree.scores[:done] >= threshold).all()
        assert left == tree.n_roots or tree.scores[done] < threshold


def test_one_leaf_makes_a_tree_without_merges():
    tree = merge_tree(random_graph(5, 0.9, 0), np.zeros(5, np.int64))
    assert (tree.n_leaves, tree.n_groups(0.2), tree.cut(1).tolist()) == (1, 1, [0] * 5)


# --- within, refine, split, support


def test_within_keeps_what_stays_in_a_group():
    graph, labels = random_graph(30, 0.4, 0), np.random.default_rng(0).integers(0, 3, 30)
    expected = graph.toarray() * (labels[:, None] == labels)
    assert np.array_equal(within(graph, labels).toarray(), expected)


@pytest.mark.parametrize("seed", range(4))
def test_refined_groups_lie_inside_the_old(seed):
    X = np.random.default_rng(seed).standard_normal((200, 4)).astype(np.float32)
    labels = np.random.default_rng(seed).integers(0, 4, 200)
    finer = refine(graph_of(X), labels, 6.0)
    assert is_nested(finer, labels)
    assert finer.max() > labels.max()


@pytest.mark.parametrize("n_groups", [6, 9, 20, 61, 99, 100])
def test_split_reaches_any_number_of_groups_inside_the_old(n_groups):
    X, _ = blobs(5, 20, spread=0.3)
    graph = graph_of(X)
    labels = communities(graph, 1.0)
    assert labels.max() + 1 < 6
    finer = split(graph, labels, X, n_groups)
    assert len(set(finer)) == finer.max() + 1 == n_groups
    assert is_nested(finer, labels)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_groups", [13, 16, 25, 39])
def test_split_keeps_groups_apart_that_have_no_link_inside(seed, n_groups):
    """Groups of single images have nothing to merge with but each other, and must not."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((40, 5)).astype(np.float32)
    graph = graph_of(unit_rows(X), 4)
    labels = by_size(np.concatenate([np.zeros(30, np.int64), np.arange(1, 11)]))
    finer = split(graph, labels, unit_rows(X), n_groups)
    assert finer.max() + 1 == n_groups
    assert is_nested(finer, labels)


@pytest.mark.filterwarnings("error")
def test_split_keeps_groups_apart_that_fall_into_pieces():
    """The piece of one group may look like the piece of another, and still stays."""
    X = unit_rows(np.random.default_rng(0).standard_normal((80, 3)))
    pieces = np.repeat(np.arange(8), 10)
    X[:] = np.eye(8, 3)[pieces] + 0.01 * X
    same = pieces[:, None] == pieces
    graph = sparse.csr_matrix((same & ~np.eye(80, dtype=bool)).astype(np.float32))
    labels = pieces % 2  # each of the two groups has four pieces without links between them
    finer = split(graph, labels, X, 3)
    assert finer.max() + 1 == 3
    assert is_nested(finer, labels)


def test_split_halves_what_cannot_be_told_apart():
    X = np.ones((16, 4), np.float32)
    for k in (2, 5, 15, 16):
        finer = split(graph_of(X, 3), np.zeros(16, np.int64), X, k)
        assert finer.max() + 1 == k
        assert np.bincount(finer).min() >= 1


def test_support_is_the_share_of_links_that_stay():
    graph, labels = random_graph(30, 0.2, 1), np.random.default_rng(1).integers(0, 3, 30)
    dense = graph.toarray()
    for i, value in enumerate(support(graph, labels)):
        total = dense[i].sum()
        assert value == pytest.approx(dense[i, labels == labels[i]].sum() / total if total else 0, abs=1e-6)


def test_support_is_never_above_one_however_sums_are_rounded():
    rng = np.random.default_rng(0)
    dense = sparse.random(300, 300, 0.4, random_state=0, dtype=np.float32)
    graph = sparse.csr_matrix(dense + dense.T)
    for row in range(300):  # the same links in another order have other sums
        part = slice(graph.indptr[row], graph.indptr[row + 1])
        order = rng.permutation(part.stop - part.start)
        graph.indices[part], graph.data[part] = graph.indices[part][order], graph.data[part][order]
    graph.has_sorted_indices = False
    found = support(graph, np.zeros(300, np.int32))
    assert found.max() == 1
    assert found.min() > 0.999


def test_merge_order_passes_through_the_groups_and_ends_with_one():
    rng = np.random.default_rng(0)
    for n, n_groups in ((1, 1), (40, 3), (120, 7)):
        links = sparse.random(n, n, 0.05, random_state=np.random.RandomState(1), format="csr", dtype=np.float32)
        graph = (links + links.T).tocsr()  # sparse enough to fall into unlinked pieces
        groups = by_size(rng.integers(0, n_groups, n))
        finest = by_size(groups * 4 + rng.integers(0, 4, n))
        groups[rng.random(n) < 0.1] = -1
        groups = by_size(groups)
        finest = by_size(np.where(groups < 0, -1, finest))
        merges = merge_order(graph, finest, groups)
        n_finest, n_held = finest.max(initial=-1) + 1, groups.max(initial=-1) + 1
        assert merges.shape == (max(0, n_finest - 1), 2)
        before = finest
        for wanted in range(n_finest, 0, -1):
            labels = cut_at(finest, merges, wanted)
            assert len(np.unique(labels[labels >= 0])) == wanted
            assert ((labels < 0) == (groups < 0)).all()
            assert len(np.unique(np.column_stack([before, labels])[groups >= 0], axis=0)) == len(
                np.unique(before[groups >= 0])
            )  # nested
            before = labels
            if wanted == n_held:
                assert len(np.unique(np.column_stack([labels, groups])[groups >= 0], axis=0)) == n_held
        assert (cut_at(finest, merges, n_held) == -1).sum() == (groups < 0).sum()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9, 0.99])
def test_what_is_spread_is_partly_ones_own_and_partly_the_neighbors(share):
    links = sparse.random(60, 60, 0.1, random_state=0, dtype=np.float32).toarray()
    links[7] = links[:, 7] = 0  # one stands alone
    graph = sparse.csr_matrix(links + links.T)
    own = np.random.default_rng(0).random((60, 3)).astype(np.float32)
    own[5:, 0], own[:, 1] = 0, np.where(np.arange(60) < 3, 4, 0)  # some say it loudly, and others nothing
    held = spread(graph, own, share)
    degrees = np.sqrt(np.maximum(graph.sum(1).A1, 1e-12))
    scaled = graph.toarray() / np.outer(degrees, degrees)
    assert held.dtype == np.float32
    np.testing.assert_allclose(held, share * scaled @ held + (1 - share) * own, atol=4e-3)
    np.testing.assert_allclose(held[7], (1 - share) * own[7], atol=1e-3)
