from itertools import pairwise

import numpy as np
import pytest
from sklearn.cluster import KMeans as Reference
from sklearn.datasets import load_digits, make_blobs

from selfsort.errors import DataError
from selfsort.features.kmeans import kmeans, nearest_center
from selfsort.features.project import unit_rows
from selfsort.methods.kmeans import KMeans


@pytest.fixture(scope="module")
def digits():
    return load_digits().data.astype(np.float32)


def test_inertia_is_as_low_as_that_of_scikit_learn(digits):
    reference = Reference(10, n_init=10, random_state=0).fit(digits).inertia_
    assert kmeans(digits, 10).inertia <= reference * 1.0005


def test_a_sample_of_many_rows_places_the_centers_as_well():
    X, _ = make_blobs(30_000, 200, centers=20, cluster_std=4.0, random_state=0)  # sampled, and projected
    found = kmeans(X, 20)
    assert found.inertia <= Reference(20, n_init=5, random_state=0).fit(X).inertia_ * 1.0005
    assert len(np.unique(found.labels)) == 20


def test_centers_labels_and_inertia_belong_together(digits):
    found = kmeans(digits, 10, n_init=3, tol=0)
    assert np.array_equal(nearest_center(digits, found.centers)[0], found.labels)
    means = np.stack([digits[found.labels == k].mean(0) for k in range(10)])
    np.testing.assert_allclose(found.centers, means, atol=1e-4)
    distances = ((digits[:, None] - found.centers[None]) ** 2).sum(2)
    np.testing.assert_array_equal(distances.argmin(1), found.labels)
    assert found.inertia == pytest.approx(distances.min(1).sum(), rel=1e-5)


def test_far_from_the_origin_nothing_is_lost():
    X, y = make_blobs(300, 5, centers=[[0] * 5, [3] * 5, [6] * 5], cluster_std=0.2, random_state=0)
    found = kmeans(X + 10_000, 3)
    assert len(set(zip(found.labels, y, strict=True))) == 3
    assert found.inertia == pytest.approx(kmeans(X, 3).inertia, rel=0.01)


def test_empty_clusters_are_filled():
    X, _ = make_blobs(200, 2, random_state=0)
    found = kmeans(X, 4, initial_centers=np.array([[0, 0], [1e3, 0], [1e3, 1], [1e3, 2]]))
    assert len(np.unique(found.labels)) == 4


def test_fewer_different_rows_than_clusters_leave_some_empty():
    X = np.repeat([[0.0, 0], [5, 5]], 10, axis=0)
    found = kmeans(X, 4)
    assert found.inertia == 0
    assert np.isfinite(found.centers).all()
    assert len(np.unique(found.labels)) == 2


def test_spherical_centers_have_length_one_and_length_of_rows_does_not_matter(digits):
    found = kmeans(digits, 10, spherical=True, n_init=3)
    np.testing.assert_allclose(np.linalg.norm(found.centers, axis=1), 1, rtol=1e-5)
    assert np.array_equal(found.labels, (unit_rows(digits) @ found.centers.T).argmax(1))
    scaled = digits * np.random.default_rng(0).uniform(0.5, 2, (len(digits), 1))
    assert kmeans(scaled, 10, spherical=True, n_init=3).inertia == pytest.approx(found.inertia, rel=1e-3)


def test_initial_centers_are_the_start(digits):
    start = digits[:10] + np.random.default_rng(0).normal(size=(10, 64)).astype(np.float32)  # no ties
    found = kmeans(digits, 10, initial_centers=start, max_iter=1)
    assert found.n_iter == 1
    labels = nearest_center(digits, start)[0]
    np.testing.assert_allclose(found.centers, [digits[labels == k].mean(0) for k in range(10)], atol=1e-3)


def test_more_iterations_never_raise_the_inertia(digits):
    inertia = [kmeans(digits, 10, initial_centers=digits[:10], max_iter=m, tol=0).inertia for m in (1, 2, 5, 20, 300)]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(inertia))


def test_more_clusters_than_rows_is_an_error():
    with pytest.raises(DataError, match="n_samples=3 and n_clusters=4"):
        kmeans(np.zeros((3, 2)), 4)


@pytest.mark.parametrize("init", ["k-means++", "graph", "random"])
def test_every_start_is_reproducible_and_sound(init, digits):
    model = KMeans(10, init=init, n_init=4, random_state=1).fit(digits)
    assert np.array_equal(model.labels_, KMeans(10, init=init, n_init=4, random_state=1).fit(digits).labels_)
    assert model.inertia_ < 1.25e6
    assert model.score(digits) == pytest.approx(-model.inertia_)


def test_the_start_may_be_an_array_and_must_fit(digits):
    assert KMeans(10, init=digits[:10]).fit(digits).cluster_centers_.shape == (10, 64)
    assert KMeans(None, init=digits[:7]).fit(digits).n_clusters_ == 7
    with pytest.raises(DataError, match=r"got \(9, 64\), expected \(10, 64\)"):
        KMeans(10, init=digits[:9]).fit(digits)


def test_transform_gives_distances(digits):
    model = KMeans(10, random_state=0).fit(digits)
    distances = model.transform(digits[:50])
    assert distances.shape == (50, 10)
    assert np.array_equal(distances.argmin(1), model.labels_[:50])
    expected = np.linalg.norm(digits[:50, None] - model.cluster_centers_[None], axis=2)
    np.testing.assert_allclose(distances, expected, rtol=1e-3)
    assert list(model.get_feature_names_out()[:2]) == ["kmeans0", "kmeans1"]
