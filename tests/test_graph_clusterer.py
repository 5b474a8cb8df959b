import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import normalized_mutual_info_score

from selfsort.errors import DataError
from selfsort.methods.graph import GraphClusterer
from selfsort.metrics import accuracy


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)


def test_groups_of_handwritten_digits_need_no_training(digits):
    X, y = digits
    model = GraphClusterer(random_state=0).fit(X)
    assert 10 <= model.n_clusters_ <= 16
    assert normalized_mutual_info_score(y, model.labels_) > 0.88
    assert accuracy(y, GraphClusterer(10, random_state=0).fit(X).labels_) > 0.85  # k-means: 0.79
    assert model.agreement_ > 0.97


def test_attributes_belong_together(digits):
    X, _ = digits
    model = GraphClusterer(10, random_state=0).fit(X)
    assert model.levels_.shape == (len(X), 4)
    assert np.array_equal(model.levels_[:, 2], model.labels_)
    for coarse, fine in zip(model.levels_.T, model.levels_.T[1:], strict=False):
        assert len(set(zip(coarse, fine, strict=True))) == fine.max() + 1  # nested
    assert model.labels_.min() == 0
    assert model.confidence_.shape == (len(X),)
    assert 0 <= model.confidence_.min() <= model.confidence_.max() <= 1
    assert model.neighbors_.shape == (len(X), 15)
    assert np.all(np.diff(np.bincount(model.labels_)) <= 0)


@pytest.mark.parametrize("n_clusters", [1, 2, 7, 40, 500])
def test_any_number_of_groups_can_be_asked_for(n_clusters, digits):
    model = GraphClusterer(n_clusters, random_state=0).fit(digits[0])
    assert model.n_clusters_ == len(np.unique(model.labels_)) == n_clusters


def test_new_samples_go_where_their_neighbors_are(digits):
    X, y = digits
    model = GraphClusterer(random_state=0).fit(X[:1200])
    names = np.array([np.bincount(y[:1200][model.labels_ == group]).argmax() for group in range(model.n_clusters_)])
    assert (names[model.predict(X[1200:])] == y[1200:]).mean() > 0.88


def test_granularity_gives_more_groups(digits):
    coarse, fine = (GraphClusterer(granularity=g, random_state=0).fit(digits[0]).n_clusters_ for g in (0.5, 4))
    assert coarse < fine


def test_brightness_matters_only_for_the_euclidean_metric(digits):
    X, _ = digits
    factor = np.random.default_rng(0).uniform(0.2, 5, (len(X), 1))
    same = [GraphClusterer(10, metric="cosine", random_state=0).fit(data).labels_ for data in (X, X * factor)]
    assert normalized_mutual_info_score(*same) > 0.95
    other = GraphClusterer(10, metric="euclidean", random_state=0).fit(X * factor).labels_
    assert normalized_mutual_info_score(same[0], other) < 0.9


def test_the_euclidean_metric_does_not_mind_the_origin():
    X, y = make_blobs(300, 5, centers=[[0] * 5, [4] * 5, [8] * 5], cluster_std=0.3, random_state=0)
    model = GraphClusterer(3, metric="euclidean", random_state=0).fit(X + 3000)
    assert len(set(zip(model.labels_, y, strict=True))) == 3
    assert np.array_equal(model.predict(X + 3000), model.labels_)


def test_copies_share_a_group():
    X = np.repeat(np.random.default_rng(0).normal(size=(4, 8)), 50, axis=0)
    model = GraphClusterer(4, random_state=0).fit(X)
    assert len(set(zip(model.labels_, np.arange(200) // 50, strict=True))) == 4


def test_too_many_neighbors_are_an_error_with_both_numbers():
    with pytest.raises(DataError, match=r"n_samples=9 and n_neighbors=9. Pass n_neighbors=8"):
        GraphClusterer(n_neighbors=9).fit(np.eye(9))


@pytest.mark.slow
def test_mnist_without_training():
    root = Path(os.environ.get("SELFSORT_DATA", "")) / "mnist"
    if not os.environ.get("SELFSORT_DATA") or not root.is_dir():
        pytest.skip("SELFSORT_DATA does not name a folder that has mnist")

    def read(part, kind, offset):
        return np.frombuffer(gzip.decompress((root / f"{part}-{kind}-ubyte.gz").read_bytes()), np.uint8, offset=offset)

    X = np.concatenate([read(part, "images-idx3", 16).reshape(-1, 28, 28) for part in ("train", "t10k")])
    y = np.concatenate([read(part, "labels-idx1", 8) for part in ("train", "t10k")])
    labels = GraphClusterer(10, random_state=0).fit(X).labels_
    assert accuracy(y, labels) >= 0.96
    assert normalized_mutual_info_score(y, labels) >= 0.90
