import numpy as np
import pytest
from scipy import sparse

from selfsort.features.layout import layout


def cliques(*sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    same = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    return sparse.csr_matrix(same.astype(np.float32)), labels


def start(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 2)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_handful_of_images(n):
    graph = cliques(n)[0] if n else sparse.csr_matrix((0, 0), dtype=np.float32)
    y = layout(graph, start(n))
    assert y.shape == (n, 2)
    assert y.dtype == np.float32
    assert np.isfinite(y).all()


@pytest.mark.parametrize("seed", range(3))
def test_linked_images_are_closer_than_others(seed):
    graph, labels = cliques(30, 30)
    y = layout(graph, start(60, seed), seed=seed)
    apart = np.linalg.norm(y[labels == 0].mean(0) - y[labels == 1].mean(0))
    spread = max(np.linalg.norm(y[labels == g] - y[labels == g].mean(0), axis=1).max() for g in (0, 1))
    assert apart > 2 * spread
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-4)


def test_the_seed_decides():
    graph, _ = cliques(20, 15)
    assert np.array_equal(layout(graph, start(35), seed=1), layout(graph, start(35), seed=1))
    assert not np.array_equal(layout(graph, start(35), seed=1), layout(graph, start(35), seed=2))


@pytest.mark.parametrize("place", [np.zeros((40, 2)), np.ones((40, 2)), start(40) * 1e-20])
def test_it_starts_from_anywhere(place):
    y = layout(cliques(20, 20)[0], place)
    assert np.isfinite(y).all()
    assert len(np.unique(y, axis=0)) == 40


def test_images_without_links_stay_finite():
    y = layout(sparse.csr_matrix((50, 50), dtype=np.float32), start(50))
    assert np.isfinite(y).all()


def test_the_callers_array_and_random_state_stay():
    place = start(20)
    before = place.copy()
    np.random.seed(1)  # noqa: NPY002  (it is the state to be left alone)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    layout(cliques(20)[0], place)
    assert np.array_equal(place, before)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_progress_counts_the_epochs():
    seen = []
    layout(cliques(5)[0], start(5), n_epochs=7, progress=lambda *call: seen.append(call))
    assert seen == [("map", i, 7) for i in range(8)]
