import numpy as np
import pytest
from scipy import sparse

from selfsort.errors import DataError
from selfsort.nets.lite0 import HEAD
from selfsort.photos import objects
from selfsort.photos.meaning import Meaning, shown
from test_teaching import blobs


def probable(truth, k, sure=0.95):
    """Probabilities of which each row has its own number most."""
    found = np.full((len(truth), k), (1 - sure) / max(k - 1, 1), np.float32)
    found[np.arange(len(truth)), truth] = sure
    return found


def alike(n, k=3):
    return np.full((n, k), 1 / k, np.float32)


@pytest.mark.parametrize("k", [2, 6])
def test_kinds_weaken_links_and_neighbors_settle_them(k):
    graph, truth = blobs(10, 10)
    kinds = probable(truth, k)
    kinds[3, :2] = 0.4, 0.55  # one is mistaken, and not sure
    weighed, settled = Meaning(kinds, alike(20)).settle(graph)
    assert settled.tolist() == truth.tolist()
    assert weighed.nnz == graph.nnz
    inside, across = weighed[0, 1] / graph[0, 1], weighed[9, 10] / graph[9, 10]
    assert inside > 0.9
    assert across < 0.1
    assert (abs(weighed - weighed.T) > 1e-6).nnz == 0


def test_what_is_shown_weakens_links():
    graph, truth = blobs(10, 10)
    weighed, _ = Meaning(alike(20), probable(truth, 5)).settle(graph)
    assert weighed[0, 1] / graph[0, 1] > 0.99
    assert weighed[9, 10] / graph[9, 10] < 0.7
    assert (abs(weighed - weighed.T) > 1e-6).nnz == 0


def test_nothing_known_leaves_the_graph_as_it_is():
    graph, _ = blobs(6, 6)
    weighed, _ = Meaning(alike(12), alike(12, 34)).settle(graph)
    np.testing.assert_allclose(weighed.toarray(), graph.toarray(), rtol=1e-5)


def test_many_links_are_weighed_in_parts(monkeypatch):
    graph, truth = blobs(10, 10)
    meaning = Meaning(probable(truth, 3), probable(truth[::-1], 4))
    whole, _ = meaning.settle(graph)
    monkeypatch.setattr("selfsort.photos.meaning._EDGES", 7)
    parts, _ = meaning.settle(graph)
    np.testing.assert_array_equal(whole.toarray(), parts.toarray())


def test_pictures_that_stand_alone():
    meaning = Meaning(probable(np.array([1]), 3), alike(1))
    weighed, kinds = meaning.settle(sparse.csr_matrix((1, 1), dtype=np.float32))
    assert weighed.nnz == 0
    assert kinds.tolist() == [1]


def test_beside_vectors():
    vectors = np.array([[3, 4], [0, 0.5]], np.float16)
    meaning = Meaning(np.array([[1, 0], [0.5, 0.5]], np.float32), np.array([[1, 0, 0], [0.25, 0.25, 0.5]], np.float32))
    seen = meaning.beside(vectors)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen[:, :2], [[0.6, 0.8], [0, 1]], atol=1e-3)
    np.testing.assert_allclose(np.square(seen[:, -3:]).sum(1), 1, rtol=1e-6)


def test_icons_show_anything():
    features = np.random.default_rng(0).random((3, HEAD)).astype(np.float16)
    found = shown(features, np.array([8, objects.LEAST_SIDE - 1, objects.LEAST_SIDE]))
    assert np.ptp(found[:2]) == 0
    np.testing.assert_allclose(found[2:], objects.broad(features[2:]), rtol=1e-4)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_the_broadest_terms_cover_every_class_once():
    tops = objects.broadest()
    assert {"animals", "vehicles", "food"} <= set(tops)
    assert [sum(name in tops for name in above) for above in objects.broader()] == [1] * 1000
    assert all(above[-1] in tops for above in objects.broader())


def test_a_broadest_term_is_as_probable_as_all_its_classes():
    features = np.random.default_rng(0).random((2, HEAD)).astype(np.float32)
    fine, broad = objects.terms(features), objects.broad(features)
    animals = [i for i, above in enumerate(objects.broader()) if above[-1] == "animals"]
    np.testing.assert_allclose(broad[:, objects.broadest().index("animals")], fine[:, animals].sum(1), rtol=1e-4)
    assert broad.shape == (2, len(objects.broadest()))


def test_features_of_another_encoder_are_refused():
    with pytest.raises(DataError, match="1280 features: got an array of shape"):
        objects.broad(np.zeros((2, 384), np.float32))
