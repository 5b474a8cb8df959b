import numpy as np
import pytest

from selfsort.errors import DataError
from selfsort.features.neighbors import TARGET_RECALL, nearest_neighbors
from selfsort.features.project import unit_rows


def points(n, d=16, seed=0):
    return unit_rows(np.random.default_rng(seed).standard_normal((n, d)))


def similarities(X, metric):
    X = X.astype(np.float64)
    if metric == "cosine":
        return X @ X.T
    return -((X[:, None] - X[None]) ** 2).sum(-1)


def brute_force(X, k, metric):
    values = similarities(X, metric)
    np.fill_diagonal(values, -np.inf)
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(values, order, 1)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("n", "k"), [(2, 1), (3, 2), (60, 15), (60, 59), (500, 1)])
def test_the_exact_search_finds_what_brute_force_finds(metric, n, k):
    X = points(n) if metric == "cosine" else 3 * np.random.default_rng(1).standard_normal((n, 16)).astype(np.float32)
    found = nearest_neighbors(X, k, metric=metric)
    order, values = brute_force(X, k, metric)
    assert np.array_equal(found.indices, order)
    np.testing.assert_allclose(found.similarities, values, rtol=1e-4, atol=1e-5)
    assert (found.indices.dtype, found.similarities.dtype) == (np.int32, np.float32)
    assert found.recall == 1.0


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 4, 9, 30])
def test_no_row_is_its_own_neighbor_even_among_many_copies(metric, k):
    X = np.repeat(points(5), 10, axis=0)  # ten copies of each: more than k + 1 equal distances
    found = nearest_neighbors(X, k, metric=metric)
    assert not (found.indices == np.arange(50)[:, None]).any()
    assert all(len(set(row)) == k for row in found.indices.tolist())
    nearest = found.indices[:, : min(k, 9)]
    assert (nearest // 10 == np.arange(50)[:, None] // 10).all()
    assert (np.diff(found.similarities, axis=1) <= 1e-6).all()


def test_rows_of_zeros_have_neighbors_too():
    X = points(20)
    X[3:9] = 0
    found = nearest_neighbors(X, 4)
    assert ((found.indices >= 0) & (found.indices < 20)).all()
    assert not (found.indices == np.arange(20)[:, None]).any()


@pytest.mark.parametrize("chunk", [1, 7, 99, 100, 101])
def test_chunks_do_not_show(monkeypatch, chunk):
    X = points(100)
    whole = nearest_neighbors(X, 6)
    monkeypatch.setattr("selfsort.features.neighbors._CHUNK", chunk)
    assert np.array_equal(nearest_neighbors(X, 6).indices, whole.indices)


def test_more_rows_than_one_chunk():
    X = points(4097 + 30, 8)
    found = nearest_neighbors(X, 3)
    rows = [0, 4095, 4096, 4126]
    values = X[rows] @ X.T
    values[range(4), rows] = -np.inf
    assert np.array_equal(found.indices[rows], np.argsort(-values, axis=1)[:, :3])


@pytest.mark.parametrize(("n", "k"), [(0, 1), (1, 1), (5, 5), (5, 0), (5, -1)])
def test_too_few_rows(n, k):
    with pytest.raises(DataError, match=rf"{n} rows and n_neighbors={k}"):
        nearest_neighbors(np.zeros((n, 3), np.float32), k)


def test_an_unknown_metric_is_refused():
    with pytest.raises(DataError, match="cosin"):
        nearest_neighbors(points(10), 3, metric="cosin")


def clumps(n, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((40, 16))
    return unit_rows(centers[rng.integers(0, 40, n)] + 0.6 * rng.standard_normal((n, 16)))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 15])
def test_the_recall_of_the_approximate_search_is_what_it_says(metric, k):
    X = clumps(5000)
    found = nearest_neighbors(X, k, metric=metric, exact_up_to=1000)
    truth = nearest_neighbors(X, k, metric=metric).indices
    recall = np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(truth, found.indices, strict=True)])
    assert recall >= TARGET_RECALL - 0.005
    # measured on 500 of the 5,000 rows
    assert found.recall == pytest.approx(recall, abs=3 * np.sqrt(recall * (1 - recall) / 500) + 1e-3)
    assert found.recall < 1 or recall > 0.99  # 500 sampled rows may miss one miss in a hundred
    assert not (found.indices == np.arange(5000)[:, None]).any()


def test_the_approximate_search_gives_every_row_all_its_neighbors():
    """A few rows far from all others sit alone in their cells: fewer rows than neighbors lie in the cells searched."""
    crowd = 0.02 * np.random.default_rng(0).standard_normal((4960, 16)).astype(np.float32)
    alone = 50 * np.random.default_rng(1).standard_normal((40, 16)).astype(np.float32)
    X = np.concatenate([crowd, alone])
    found = nearest_neighbors(X, 15, metric="euclidean", exact_up_to=1000)
    assert found.indices.min() >= 0
    assert np.isfinite(found.similarities).all()
    assert all(len(set(row)) == 15 for row in found.indices.tolist())


def test_the_approximate_search_is_the_same_for_the_same_seed():
    X = clumps(3000)
    first, again = (nearest_neighbors(X, 5, exact_up_to=1000, seed=4) for _ in range(2))
    assert np.array_equal(first.indices, again.indices)
    assert first.recall == again.recall
