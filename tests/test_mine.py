"""MINE beyond the contract of all methods, and the linear classifier that its codes are judged by."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs

torch = pytest.importorskip("torch")

from selfsort.errors import DataError  # noqa: E402
from selfsort.methods.mine import MINE  # noqa: E402
from selfsort.metrics import score_all  # noqa: E402
from selfsort.probes import linear_probe  # noqa: E402

FAST = {"width": 4, "n_codes": 4, "units": 64, "learning_rate": 0.01, "batch_size": 100, "random_state": 0}


@pytest.mark.parametrize("bound", ["dv", "nwj", "jsd"])
def test_information_grows_and_codes_hold_what_views_share(bound):
    X, y = make_blobs(400, 8, centers=4, cluster_std=1.0, random_state=1)
    model = MINE(4, bound=bound, n_epochs=3, **FAST).fit(X[:300])
    term = "divergence" if bound == "jsd" else "information"
    assert model.history_[-1][term] > model.history_[0][term] > 0
    assert model.information_ == model.history_[-1][term]
    codes = model.transform(X)
    assert linear_probe(codes[:300], y[:300], codes[300:], y[300:])["linear"] > 0.95


def test_the_bound_is_near_what_the_pairs_share():
    """Neighbors of four far groups share the group: log 4, and little more."""
    X, _ = make_blobs(400, 8, centers=4, cluster_std=0.01, random_state=1)
    model = MINE(4, n_epochs=4, **FAST).fit(X)
    assert model.information_ > np.log(4) - 0.1


def test_pairs_of_neighbors_share_the_class_and_not_the_sample():
    """Images of four prototypes in noise: two views of one image share its noise too, neighbors do not."""
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 256, (4, 12, 12))
    y = np.arange(400) % 4
    images = np.clip(prototypes[y] + rng.normal(0, 60, (400, 12, 12)), 0, 255).astype(np.uint8)
    params = FAST | {"views": "digits", "n_epochs": 4}
    alone, together = (MINE(4, n_neighbors=n, **params).fit(images) for n in (None, np.int64(5)))
    assert score_all(y, together.labels_)["nmi"] > max(0.9, score_all(y, alone.labels_)["nmi"])


def test_more_neighbors_than_other_samples():
    with pytest.raises(DataError, match="n_neighbors=19 or less"):
        MINE(2, n_neighbors=20, **FAST).fit(np.random.default_rng(0).normal(size=(20, 3)))


def test_codes_have_one_size():
    X, _ = make_blobs(300, 8, centers=4, random_state=1)
    codes = MINE(4, n_epochs=3, **FAST).fit(X).transform(X)
    np.testing.assert_allclose(codes.std(0), 1, atol=0.3)


def test_linear_probe():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    X = np.eye(3)[y] * 8 + rng.normal(size=(300, 3))
    assert min(linear_probe(X[:200], y[:200], X[200:], y[200:]).values()) > 0.97
    other = rng.permutation(y)
    assert max(linear_probe(X[:200], other[:200], X[200:], other[200:]).values()) < 0.6


@pytest.mark.parametrize(
    "params", [{"bound": "other"}, {"n_codes": 0}, {"units": 0}, {"n_neighbors": 0}, {"views": "simclr"}]
)
def test_wrong_parameters(params):
    with pytest.raises(DataError):
        MINE(2, **params).fit(make_blobs(30, 4, random_state=0)[0])
