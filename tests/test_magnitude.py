"""Samples of any unit give the same groups, or it is said in words that float32 cannot tell them apart."""

import numpy as np
import pytest

from selfsort import DataError, GraphClusterer, KMeans, choose_k, label_free_scores
from selfsort.features.kmeans import kmeans
from selfsort.features.project import graph_features, principal_axes, unit_rows, whitened

TRUE = np.repeat(np.arange(4), 30)


def samples():
    rng = np.random.default_rng(0)
    return np.repeat(rng.normal(size=(4, 12)) * 6, 30, axis=0) + rng.normal(size=(120, 12))


def scores(X):
    return np.round(list(label_free_scores(X, TRUE).values()), 4)


def fitted_and_predicted(X):
    model = KMeans(4, random_state=0).fit(X)
    return np.r_[model.labels_, model.predict(X[::7])]


ENTRIES = {
    "graph": lambda X: GraphClusterer(random_state=0).fit(X).labels_,
    "euclidean": lambda X: GraphClusterer(metric="euclidean", random_state=0).fit(X).labels_,
    "kmeans": fitted_and_predicted,
    "spherical": lambda X: KMeans(4, spherical=True, random_state=0).fit(X).labels_,
    "function": lambda X: kmeans(X, 4).labels,
    "scores": scores,
}


@pytest.fixture(scope="module")
def usual():
    return {name: entry(samples()) for name, entry in ENTRIES.items()}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("exponent", [-12, -9, 9, 10])
def test_the_unit_changes_nothing(entry, exponent, usual):
    np.testing.assert_array_equal(ENTRIES[entry](samples() * 10.0**exponent), usual[entry])


@pytest.mark.parametrize("entry", [*ENTRIES, "choose_k", "features"])
@pytest.mark.parametrize("exponent", [-320, -300, -45, -30, -20, 13, 19, 25, 38, 300])
def test_what_float32_cannot_square_is_refused_in_words(entry, exponent):
    run = {"choose_k": choose_k, "features": graph_features}.get(entry) or ENTRIES[entry]
    with pytest.raises(DataError, match=r"(?i)divide|finite"), np.errstate(all="ignore"):
        run(samples() * 10.0**exponent)


@pytest.mark.parametrize("entry", ["graph", "kmeans", "function", "scores"])
def test_one_huge_column_or_a_far_origin_is_refused(entry):
    X = samples()
    with pytest.raises(DataError, match="Divide"):
        ENTRIES[entry](np.c_[X, X[:, 0] * 1e20])
    with pytest.raises(DataError, match="Subtract each column's mean"):
        ENTRIES[entry](X + 1e10)


def test_directions_that_are_the_same_to_float32_are_refused():
    with pytest.raises(DataError, match="Subtract the mean of each column"):
        GraphClusterer(random_state=0).fit(samples() + 1e6)
    assert GraphClusterer(metric="euclidean", random_state=0).fit(samples() + 1e4).n_clusters_ == 4


@pytest.mark.filterwarnings("ignore:.*collapsed")
@pytest.mark.parametrize("value", [0.0, 0.1, 7.0])
def test_samples_that_are_all_the_same_are_no_error(value):
    X = np.full((30, 5), value)
    assert len(GraphClusterer(random_state=0).fit(X).labels_) == 30
    assert len(KMeans(1, random_state=0).fit(X).labels_) == 30


def test_new_samples_may_be_alike_and_must_be_of_a_size():
    model = KMeans(4, random_state=0).fit(samples())
    alike = 50 + 1e-9 * samples()[:3]
    assert len(set(model.predict(alike))) == 1
    with pytest.raises(DataError, match="Divide"):
        model.predict(samples() * 1e20)


def test_a_constant_column_of_another_unit_changes_nothing():
    X = samples()
    np.testing.assert_array_equal(
        KMeans(4, random_state=0).fit(np.c_[X, np.full(120, 3.0)]).labels_, KMeans(4, random_state=0).fit(X).labels_
    )


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-13, 1.0, 1e13, 1e30])
def test_rows_of_any_length_get_length_one(scale):
    rows = samples() * np.where(np.arange(120) % 2, scale, 1)[:, None]
    np.testing.assert_allclose(unit_rows(rows), unit_rows(samples()), rtol=1e-2 if scale < 1e-39 else 1e-5)
    assert not unit_rows(np.zeros((2, 3))).any()


@pytest.mark.parametrize("scale", [1e-12, 1e10])
def test_directions_do_not_depend_on_the_unit(scale):
    np.testing.assert_allclose(principal_axes(samples() * scale, 3)[1], principal_axes(samples(), 3)[1], atol=1e-3)
    np.testing.assert_allclose(whitened(samples() * scale, 3), whitened(samples(), 3), atol=1e-3)
