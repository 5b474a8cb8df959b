import numpy as np
import pytest

torch = pytest.importorskip("torch")

from selfsort.features.kmeans import kmeans  # noqa: E402
from selfsort.features.torch_kmeans import kmeans_on  # noqa: E402

DEVICES = ["cpu:0", *(["cuda"] if torch.cuda.is_available() else [])]


def blobs(n=3000, d=20, k=12, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(k, d)) * 3
    return (centers[rng.integers(k, size=n)] + rng.normal(size=(n, d)) + offset).astype(np.float32)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_from_the_same_start_it_ends_where_the_processor_does(device, spherical, offset):
    X = blobs(offset=0.0 if spherical else offset)
    start = X[:12]
    here = kmeans(X, 12, initial_centers=start, spherical=spherical, tol=0)
    there = kmeans(X, 12, initial_centers=start, spherical=spherical, tol=0, device=device)
    np.testing.assert_allclose(there.inertia, here.inertia, rtol=1e-4)
    np.testing.assert_allclose(there.centers, here.centers, atol=1e-2)
    assert (there.labels == here.labels).mean() > 0.999
    assert there.centers.dtype == np.float32
    assert there.labels.dtype == np.int64


@pytest.mark.parametrize("device", DEVICES)
def test_its_own_starts_are_as_good(device):
    X = blobs(20_000, k=30)
    here, there = kmeans(X, 30, seed=1), kmeans(X, 30, seed=1, device=device)
    assert there.inertia <= here.inertia * 1.02
    again = kmeans(X, 30, seed=1, device=device)
    np.testing.assert_array_equal(again.labels, there.labels)
    np.testing.assert_array_equal(again.centers, there.centers)


@pytest.mark.parametrize("device", DEVICES)
def test_blocks_and_parts_change_nothing(device, monkeypatch):
    X = blobs(997, k=5)
    whole = kmeans(X, 5, device=device)
    monkeypatch.setattr("selfsort.features.torch_kmeans._BLOCK", 200)
    monkeypatch.setattr("selfsort.features.torch_kmeans._ROWS", 100)
    parts = kmeans(X, 5, device=device)
    np.testing.assert_array_equal(parts.labels, whole.labels)


@pytest.mark.parametrize("device", DEVICES)
def test_empty_clusters_take_the_farthest_rows(device):
    X = np.concatenate([np.zeros((50, 2)), np.ones((50, 2)) * 9, [[100.0, 100.0]]]).astype(np.float32)
    found = kmeans(X, 3, initial_centers=[[0, 0], [9, 9], [1e6, 1e6]], device=device)
    assert len(set(found.labels)) == 3
    assert found.inertia == pytest.approx(0, abs=1e-3)
    few = kmeans(np.zeros((5, 2), np.float32), 3, device=device)
    assert few.inertia == 0


@pytest.mark.parametrize("device", DEVICES)
def test_many_clusters(device):
    X = blobs(4000, k=50)
    found = kmeans(X, 1200, device=device, max_iter=3, n_init=2)
    assert len(set(found.labels)) > 1000
    assert found.n_iter <= 3


def test_the_processor_is_asked_without_torch(monkeypatch):
    monkeypatch.setattr("selfsort.features.torch_kmeans.kmeans_on", None)
    assert kmeans(blobs(100), 3).n_iter > 0
    assert callable(kmeans_on)
