import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from selfsort.features.graph import modularity, shared_neighbor_graph, support
from selfsort.features.groups import (
    MIN_SUPPORT,
    N_ODD,
    N_PROTOTYPES,
    Grouping,
    default_n_neighbors,
    describe_groups,
    divide,
    find_groups,
)
from selfsort.features.neighbors import nearest_neighbors
from selfsort.features.project import unit_rows


def blobs(n_groups, n_each, seed=0, spread=0.15, d=12):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((n_groups, d))
    truth = np.repeat(np.arange(n_groups), n_each)
    return unit_rows(centers[truth] + spread * rng.standard_normal((len(truth), d))), truth


def noise(n, seed=0, d=6):
    return unit_rows(np.random.default_rng(seed).standard_normal((n, d)))


def graph_of(X, k=None):
    return shared_neighbor_graph(nearest_neighbors(X, k or default_n_neighbors(len(X))).indices)


def same_partition(a, b):
    return len(set(zip(a, b, strict=True))) == len(set(a)) == len(set(b))


def assert_nested(levels):
    for coarse, fine in zip(levels.T, levels.T[1:], strict=False):
        assert ((coarse < 0) == (fine < 0)).all()
        pairs = set(zip(fine[fine >= 0].tolist(), coarse[fine >= 0].tolist(), strict=True))
        assert len(pairs) == len(set(fine[fine >= 0].tolist())), "a group lies in two groups of the level before"


def assert_numbered_by_size(labels):
    sizes = np.bincount(labels[labels >= 0])
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 1), (3, 1), (4, 2), (100, 10), (225, 15), (10**6, 15)])
def test_default_n_neighbors(n, k):
    assert default_n_neighbors(n) == k


def test_groups_that_are_apart_are_found():
    X, truth = blobs(6, 40, spread=0.05)
    found = find_groups(graph_of(X), X)
    assert same_partition(found.labels, truth)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("make", [lambda s: blobs(7, 25, s, 0.5)[0], lambda s: noise(240, s), lambda s: noise(35, s)])
def test_levels_are_nested_and_numbered_by_size(make, seed):
    X = make(seed)
    found = find_groups(graph_of(X), X, seed=seed)
    assert found.levels.shape == (len(X), 4)
    assert_nested(found.levels)
    for level in found.levels.T:
        assert_numbered_by_size(level)
    counts = [level.max() for level in found.levels.T]
    assert counts == sorted(counts)


@pytest.mark.parametrize("seed", range(30))
def test_levels_are_nested_where_links_are_arbitrary(seed):
    """Random links have no groups at all: many images move or belong nowhere."""
    rng = np.random.default_rng(seed)
    n = 120
    neighbors = np.array([rng.choice(np.delete(np.arange(n), i), 4, replace=False) for i in range(n)], np.int32)
    found = find_groups(shared_neighbor_graph(neighbors), noise(n, seed), granularity=4.0, seed=seed)
    assert_nested(found.levels)


@pytest.mark.parametrize("n_groups", [1, 2, 3, 5, 8, 13, 30, 59, 60])
def test_the_number_asked_for_is_given_and_nobody_is_left_out(n_groups):
    X, _ = blobs(5, 12, spread=0.4)
    found = find_groups(graph_of(X), X, n_groups=n_groups, outliers=False)
    assert len(set(found.labels)) == found.labels.max() + 1 == n_groups
    assert found.labels.min() == 0
    assert_nested(found.levels)
    assert found.levels[:, 0].max() + 1 <= -(-n_groups // 4)
    assert found.levels[:, 1].max() + 1 <= -(-n_groups // 2)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 9])
def test_a_handful_of_images(n):
    X = noise(n, 3)
    k = default_n_neighbors(n)
    graph = graph_of(X, k) if n > 1 else sparse.csr_matrix((1, 1), dtype=np.float32)
    for n_groups in range(1, n + 1):
        found = find_groups(graph, X, n_groups=n_groups, outliers=False)
        assert len(set(found.labels)) == n_groups
        assert_nested(found.levels)
    assert_nested(find_groups(graph, X).levels)


@pytest.mark.filterwarnings("error")
def test_a_single_image_is_a_group():
    found = find_groups(sparse.csr_matrix((1, 1), dtype=np.float32), np.ones((1, 1), np.float32))
    assert found.labels.tolist() == [0]


def test_points_that_are_all_the_same():
    X = np.ones((30, 4), np.float32) / 2
    found = find_groups(graph_of(X), X)
    assert_nested(found.levels)
    for k in (1, 7, 30):
        assert len(set(find_groups(graph_of(X), X, n_groups=k, outliers=False).labels)) == k


def test_more_granularity_never_finds_fewer_groups():
    X, _ = blobs(12, 30, spread=0.45)
    counts = [find_groups(graph_of(X), X, granularity=g).labels.max() for g in (0.1, 0.4, 1.0, 2.5, 8.0)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_the_same_seed_gives_the_same_groups():
    X = noise(300, 1)
    graph = graph_of(X)
    first = find_groups(graph, X, seed=3).levels
    for _ in range(10):  # a random state that nobody set shows in the second call or a later one
        assert np.array_equal(find_groups(graph, X, seed=3).levels, first)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_rows_only_renames(seed):
    """Exactly so where groups are apart; where they touch, the random order may decide single images."""
    from sklearn.metrics import adjusted_rand_score

    order = np.random.default_rng(seed).permutation(240)
    X, _ = blobs(6, 40, seed, spread=0.05)
    found, again = find_groups(graph_of(X), X), find_groups(graph_of(X[order]), X[order])
    assert same_partition(found.labels[order], again.labels)
    X, _ = blobs(6, 40, seed, spread=0.3)
    found, again = find_groups(graph_of(X), X), find_groups(graph_of(X[order]), X[order])
    assert adjusted_rand_score(found.labels[order], again.labels) > 0.9


def test_only_images_without_support_belong_nowhere():
    X, _ = blobs(8, 25, spread=0.6)
    X = np.concatenate([X, noise(20, 5, 12)])
    graph = graph_of(X)
    with_outliers = find_groups(graph, X, granularity=3)
    nowhere = with_outliers.labels < 0
    inside = support(graph, with_outliers.labels)
    assert inside[~nowhere].min() > MIN_SUPPORT / 2  # not all of it: others moved or left after the count
    assert nowhere.mean() < 0.3
    assert not (find_groups(graph, X, granularity=3, outliers=False).labels < 0).any()


def test_groups_are_described():
    X, _ = blobs(6, 30, spread=0.4)
    graph = graph_of(X)
    found = find_groups(graph, X)
    groups, confidence = describe_groups(found, graph, X)
    assert [(g["level"], g["group"]) for g in groups] == [
        (level, group) for level in range(4) for group in range(found.levels[:, level].max() + 1)
    ]
    for g in groups:
        labels = found.levels[:, g["level"]]
        members = np.flatnonzero(labels == g["group"])
        assert g["size"] == len(members)
        mean = X[members].mean(0)
        assert g["prototypes"][0] == members[np.argmax(X[members] @ mean)]
        assert len(g["prototypes"]) == min(N_PROTOTYPES, len(members))
        assert set(g["prototypes"]) <= set(members.tolist())
        inside = support(graph, labels)
        assert g["confidence"] == pytest.approx(inside[members].mean(), abs=1e-4)
        assert len(g["odd"]) <= N_ODD
        assert all(inside[i] < 0.5 and labels[i] == g["group"] for i in g["odd"])
        assert [inside[i] for i in g["odd"]] == sorted(inside[i] for i in g["odd"])
        if g["level"] == 0:
            assert g["parent"] is None
        else:
            assert set(found.levels[members, g["level"] - 1]) == {g["parent"]}
    assert np.array_equal(confidence, np.where(found.labels >= 0, support(graph, found.labels), 0))
    assert confidence.dtype == np.float32
    assert confidence.min() >= 0
    assert confidence.max() <= 1 + 1e-6


def test_images_that_belong_nowhere_are_in_no_description():
    X, _ = blobs(3, 20)
    graph = graph_of(X)
    levels = np.tile((np.arange(60) // 20)[:, None], (1, 4))
    levels[:5] = -1
    groups, confidence = describe_groups(Grouping(levels, 2), graph, X)
    assert not any(i < 5 for g in groups for i in g["prototypes"] + g["odd"])
    assert (confidence[:5] == 0).all()
    assert sum(g["size"] for g in groups if g["level"] == 2) == 55


def test_more_groups_than_are_found_in_what_is_all_connected_are_no_fragments():
    rng = np.random.default_rng(0)
    y = np.arange(4000) % 10
    X = unit_rows((rng.normal(size=(4000, 16)) + 0.6 * rng.normal(size=(10, 16))[y]).astype(np.float32))
    graph = shared_neighbor_graph(nearest_neighbors(X, 15).indices)
    divisions = divide(graph, X)
    assert divisions.n_found < 10 < divisions.tree.n_leaves
    by_tree, found = divisions.tree.cut(10), divisions.at(10)
    assert np.bincount(by_tree).max() > 1500
    assert np.bincount(found, minlength=10).max() < 700
    assert modularity(graph, found) > modularity(graph, by_tree) + 0.02
    assert adjusted_rand_score(y, found) > 1.3 * adjusted_rand_score(y, by_tree)
    assert np.array_equal(find_groups(graph, X, n_groups=10).labels, found)
