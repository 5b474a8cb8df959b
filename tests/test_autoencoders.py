"""What is special about the methods that start from an autoencoder; the contract is in test_estimators."""

import numpy as np
import pytest

import selfsort
from selfsort.errors import DataError
from selfsort.metrics import score_all

pytest.importorskip("torch")

from selfsort.methods.ae_kmeans import AEKMeans
from selfsort.methods.dec import DEC, IDEC

SMALL = {"network": "dense", "hidden": (64,), "n_codes": 8, "n_epochs": 5, "batch_size": 128, "random_state": 0}
SHORT = SMALL | {"max_steps": 28, "update_interval": 14}


@pytest.fixture(scope="module")
def images():
    return selfsort.load_dataset("digits").images


def stages(model):
    return list(dict.fromkeys(row["stage"] for row in model.history_))


def agreement(model, groups):
    return score_all(groups, model.labels_)["nmi"]


def test_codes_learn_the_groups_of_the_graph(images):
    groups = selfsort.GraphClusterer(10, random_state=0).fit_predict(images)
    learned = AEKMeans(10, graph_steps=280, **SMALL).fit(images)
    only_started = AEKMeans(10, graph_steps=0, **SMALL).fit(images)
    assert stages(learned) == ["autoencode", "graph"]
    assert stages(only_started) == ["autoencode"]
    assert agreement(learned, groups) > 0.9 > agreement(only_started, groups)


@pytest.mark.parametrize("init", ["kmeans", "random"])
def test_other_starts_know_nothing_of_the_graph(images, init):
    assert stages(AEKMeans(10, init=init, **SMALL).fit(images)) == ["autoencode"]
    assert stages(DEC(10, init=init, **SHORT).fit(images)) == ["autoencode", "cluster"]


@pytest.mark.parametrize("init", ["graph", "kmeans", "random"])
def test_as_many_clusters_as_the_graph_finds(images, init):
    found = selfsort.GraphClusterer(random_state=0).fit(images).n_clusters_
    model = IDEC(init=init, graph_steps=14, **SHORT).fit(images)
    assert model.n_clusters_ == len(model.cluster_centers_) == model.predict_proba(images[:3]).shape[1] == found


def test_it_ends_when_few_samples_change_their_cluster(images):
    whole = DEC(10, graph_steps=14, tol=0.0, **SHORT).fit(images)
    at_once = DEC(10, graph_steps=14, tol=1.0, **SHORT).fit(images)
    assert (whole.n_steps_, at_once.n_steps_) == (28, 14)


def test_idec_goes_on_reconstructing(images):
    settings = SHORT | {"max_steps": 420, "update_interval": 140, "tol": 0.0, "cluster_learning_rate": 0.1}
    error = {}
    for kind in (DEC, IDEC):
        model = kind(10, init="kmeans", **settings).fit(images)
        error[kind] = np.square(model.reconstruct(images) - images).mean()
    assert error[IDEC] < 0.8 * error[DEC]


@pytest.mark.parametrize("views", [{"views": "strokes"}, {"cluster_views": "digits"}], ids=lambda v: next(iter(v)))
def test_views_change_what_is_learned_and_not_what_is_predicted(images, views):
    plain = DEC(10, graph_steps=14, **SHORT).fit(images)
    model = DEC(10, graph_steps=14, **views, **SHORT).fit(images)
    assert np.abs(model.transform(images) - plain.transform(images)).max() > 0.01
    assert np.array_equal(model.transform(images), model.transform(images))
    assert np.array_equal(model.predict(images), model.labels_)


@pytest.mark.parametrize("name", ["views", "cluster_views"])
def test_views_are_of_images(name):
    vectors = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    with pytest.raises(DataError, match=f"{name}='strokes' needs images"):
        DEC(3, **{name: "strokes"}).fit(vectors)
    with pytest.raises(DataError, match="network='conv' needs images"):
        DEC(3, network="conv").fit(vectors)
    with pytest.raises(DataError, match=name):
        DEC(3, **{name: "crooked"}).fit(vectors)
