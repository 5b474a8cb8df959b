import numpy as np
import pytest

from selfsort.features.layers import prepare_as_run, prepare_layers
from selfsort.features.project import N_COMPONENTS, graph_features, prepare, principal_axes, unit_rows


def pooled(n, d=40, seed=0):
    """Activations as an encoder gives them: never negative, many zeros, heavy tails."""
    rng = np.random.default_rng(seed)
    return (np.maximum(rng.standard_normal((n, d)), 0) ** 3).astype(np.float16)


def test_unit_rows_have_length_1_and_zeros_stay():
    X = np.random.default_rng(0).standard_normal((20, 5)) * np.logspace(-8, 8, 20)[:, None]
    X[3] = 0
    unit = unit_rows(X)
    assert unit.dtype == np.float32
    lengths = np.linalg.norm(unit, axis=1)
    assert lengths[3] == 0
    np.testing.assert_allclose(np.delete(lengths, 3), 1, rtol=1e-5)
    assert (unit[0] @ X[0] / np.linalg.norm(X[0])) == pytest.approx(1, abs=1e-5)


def test_unit_rows_leaves_its_input_alone():
    X = np.full((2, 3), 5, np.float32)
    unit_rows(X)
    assert (X == 5).all()


@pytest.mark.parametrize(("n", "d", "k"), [(200, 12, 12), (200, 12, 5), (30, 50, 20), (9000, 6, 3)])
def test_principal_axes_are_those_of_scikit_learn(n, d, k):
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(0)
    X = (rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 100).astype(np.float32)
    mean, axes = principal_axes(X, k)
    reference = PCA(k, svd_solver="full").fit(X.astype(np.float64))
    np.testing.assert_allclose(mean, reference.mean_, rtol=1e-5)
    assert axes.shape == (d, k)
    np.testing.assert_allclose(axes.T @ axes, np.eye(k), atol=1e-4)
    agreement = np.abs((axes.T * reference.components_).sum(1))
    np.testing.assert_allclose(agreement, 1, atol=1e-3)


@pytest.mark.parametrize("offset", [0, 1000, 10_000])
@pytest.mark.parametrize("n", [30, 5000])
def test_principal_axes_of_points_far_from_the_origin(n, offset):
    """Sums of squares of uncentered float32 values would lose the variance."""
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((n, 40)) * np.linspace(3, 1, 40) + offset).astype(np.float32)
    _, axes = principal_axes(X, 3)
    centered = X.astype(np.float64) - X.mean(0, dtype=np.float64)
    variance = np.linalg.svd(centered, full_matrices=False)[1][:3] ** 2
    found = np.linalg.norm(centered @ axes, axis=0) ** 2
    np.testing.assert_allclose(found, variance, rtol=1e-3)


def test_the_sign_of_an_axis_is_that_of_its_largest_entry():
    _, axes = principal_axes(np.random.default_rng(0).standard_normal((50, 7)), 7)
    assert (axes[np.abs(axes).argmax(0), range(7)] > 0).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 300])
def test_graph_features_have_as_many_columns_as_there_is_to_tell(n):
    features = graph_features(pooled(n))
    assert features.shape == (n, max(1, min(N_COMPONENTS, 40, n - 1)))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    if n > 1:
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-4)


def reference(X, k):
    from sklearn.decomposition import PCA

    X = X.astype(np.float64)
    X = np.sqrt(X) if X.min() >= 0 else X
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    Y = PCA(k, svd_solver="full").fit_transform(X)
    return Y / np.linalg.norm(Y, axis=1, keepdims=True)


@pytest.mark.parametrize("negative", [False, True])
def test_graph_features_are_the_rooted_normalized_principal_components(negative):
    X = pooled(120, 30).astype(np.float32) - (0.5 if negative else 0)
    found, expected = graph_features(X, 10), reference(X, 10)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)


def test_without_a_cut_similarities_are_those_of_the_centered_rows():
    X = pooled(30, 200)
    found = graph_features(X)
    rooted = np.sqrt(X.astype(np.float64))
    rooted /= np.linalg.norm(rooted, axis=1, keepdims=True)
    rooted -= rooted.mean(0)
    rooted /= np.linalg.norm(rooted, axis=1, keepdims=True)
    np.testing.assert_allclose(found @ found.T, rooted @ rooted.T, atol=2e-3)


def test_graph_features_do_not_depend_on_the_chunks(monkeypatch):
    X = pooled(100)
    whole = graph_features(X)
    monkeypatch.setattr("selfsort.features.project._CHUNK", 7)
    np.testing.assert_allclose(graph_features(X), whole, atol=1e-4)


def test_rows_of_zeros_and_equal_rows_stay_finite():
    X = pooled(20)
    X[4] = 0
    X[5:9] = X[5]
    features = graph_features(X)
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features[5:9] @ features[5], 1, atol=1e-5)


def test_rows_that_are_all_the_same_get_no_direction():
    """What is left after the mean is rounding error; scaled to length 1 it would be taken for a difference."""
    X = np.tile(pooled(1, 64), (25, 1))
    features = graph_features(X)
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features, np.tile(features[:1], (25, 1)), atol=1e-5)


def test_layers_are_weighed():
    """Inner products are the mean of both layers' own, weighed by the squares of the weights."""
    rng = np.random.default_rng(0)
    X = np.hstack([rng.gamma(1, size=(60, 12)), rng.normal(size=(60, 5))]).astype(np.float16)
    last, earlier = prepare(X[:, :12])(X[:, :12]), prepare(X[:, 12:])(X[:, 12:])
    np.testing.assert_array_equal(prepare_layers(X, 0.0, (12, 5))(X), last)
    joint = prepare_layers(X, 0.5, (12, 5))(X)
    np.testing.assert_allclose(joint @ joint.T, (last @ last.T + 0.25 * earlier @ earlier.T) / 1.25, atol=1e-5)


def test_the_space_of_a_run():
    X = np.random.default_rng(0).gamma(1, size=(30, 40)).astype(np.float32)
    np.testing.assert_array_equal(prepare_as_run(X, {})(X), prepare(X)(X))
    learned = {"weight": 1.0, "lengths": [30, 10]}
    np.testing.assert_array_equal(prepare_as_run(X, {"learned": learned})(X), prepare_layers(X, 1.0, (30, 10))(X))
