"""The contract of every method: a new method joins by one line in ESTIMATORS."""

import importlib
import pickle
import random
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from selfsort.errors import CollapseWarning, DataError
from selfsort.methods import METHODS
from selfsort.methods.ae_kmeans import AEKMeans
from selfsort.methods.base import encode_pictures
from selfsort.methods.dec import DEC, IDEC
from selfsort.methods.deepcluster import DeepCluster
from selfsort.methods.graph import GraphClusterer
from selfsort.methods.iic import IIC
from selfsort.methods.kmeans import KMeans
from selfsort.methods.mine import MINE
from selfsort.methods.pretrain import AutoencoderClusterer
from selfsort.methods.saving import load_model, save_model
from selfsort.methods.scan import SCAN
from selfsort.methods.simclr import SimCLR
from selfsort.methods.temi import TEMI
from selfsort.methods.turtle import TURTLE
from selfsort.nets.backbones import make_backbone

SMALL = {"hidden": (16,), "n_codes": 4, "n_epochs": 15, "batch_size": 64, "learning_rate": 0.01}
SHORT = {"max_steps": 40, "graph_steps": 45, "update_interval": 10}
ESTIMATORS = [
    KMeans(n_clusters=3, n_init=3),
    GraphClusterer(),
    AEKMeans(graph_steps=45, **SMALL),
    DEC(**SMALL, **SHORT),
    IDEC(**SMALL, **SHORT),
    IIC(width=2, n_heads=2, n_epochs=1, start_steps=50, learning_rate=0.01),
    MINE(width=2, n_codes=4, units=32, n_epochs=2, learning_rate=0.01),
    SimCLR(width=2, n_projected=8, n_epochs=1),
    DeepCluster(width=4, n_epochs=2),
    SCAN(width=2, pretext_epochs=1, n_heads=2, start_steps=60, n_epochs=1, label_epochs=1),
    TEMI(n_heads=2, hidden=16, n_codes=8, start_steps=60, n_epochs=1),
    TURTLE(start_steps=60, n_epochs=1),
]
TRAINED = (
    AEKMeans,
    DEC,
    IDEC,
    IIC,
    MINE,
    SimCLR,
    DeepCluster,
    SCAN,
    TEMI,
    TURTLE,
)  # they move samples, so clusters may merge, and see images as images
TRANSDUCTIVE = (GraphClusterer,)  # they predict by a vote and state how well that agrees with labels_

every = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)


def blobs(n=150, d=6, seed=3):
    return make_blobs(n, d, centers=3, cluster_std=1.0, random_state=seed)


def fresh(estimator, **params):
    return clone(estimator).set_params(**{"n_clusters": 3, "random_state": 0} | params)


@parametrize_with_checks(ESTIMATORS)
def test_sklearn_contract(estimator, check):
    check(estimator)


def test_every_method_is_in_the_list():
    listed = {type(estimator) for estimator in ESTIMATORS}
    for target in METHODS.values():
        module, name = target.split(":")
        assert getattr(importlib.import_module(module), name) in listed


@every
def test_arguments_are_stored_unchanged_and_what_is_learnt_ends_in_an_underscore(estimator):
    model = fresh(estimator)
    before = dict(model.get_params())
    model.fit(blobs()[0])
    assert model.get_params() == before
    public = {name for name in vars(model) if not name.startswith("_")}
    assert {name for name in public if not name.endswith("_")} == set(before)
    assert model.labels_.dtype == np.int64
    assert set(model.labels_) == {0, 1, 2}
    assert model.n_clusters_ == 3


@every
def test_finds_what_is_there(estimator):
    X, y = blobs()
    labels = fresh(estimator).fit(X).labels_
    assert len(set(zip(labels, y, strict=True))) == 3


@every
def test_predicting_the_training_samples_gives_their_labels(estimator):
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(400, 5)))  # no clusters at all: the hard case
    model = fresh(estimator, n_clusters=5).fit(X)
    agreement = (model.predict(X) == model.labels_).mean()
    if isinstance(model, TRANSDUCTIVE):
        assert agreement == pytest.approx(model.agreement_, abs=0.01)
        assert agreement > 0.85
    else:
        assert agreement == 1


@every
def test_same_seed_same_labels_and_y_is_not_looked_at(estimator):
    X = np.random.default_rng(1).normal(size=(200, 4))
    first = fresh(estimator).fit(X).labels_
    assert np.array_equal(first, fresh(estimator).fit(X, np.arange(200) % 2).labels_)
    assert np.array_equal(first, fresh(estimator).fit_predict(X, ["not", "labels"]))
    generator = [fresh(estimator, random_state=np.random.RandomState(5)).fit_predict(X) for _ in range(2)]
    assert np.array_equal(*generator)


@every
def test_random_states_of_the_caller_stay_and_nothing_is_printed(estimator, capfd):
    X = blobs()[0]
    for seed in (0, None):
        before = np.random.get_state()[1].copy(), np.random.get_state()[2], random.getstate()  # noqa: NPY002
        of_torch = torch.get_rng_state()
        model = fresh(estimator, random_state=seed).fit(X)
        model.predict(X)
        after = np.random.get_state()[1], np.random.get_state()[2], random.getstate()  # noqa: NPY002
        assert np.array_equal(before[0], after[0])
        assert before[1:] == after[1:]
        assert torch.equal(torch.get_rng_state(), of_torch)
    assert capfd.readouterr() == ("", "")


@every
def test_threads_stay_as_the_caller_set_them(estimator):
    import faiss
    from threadpoolctl import threadpool_info

    before = faiss.omp_get_max_threads(), [pool["num_threads"] for pool in threadpool_info()]
    fresh(estimator).fit(blobs()[0])
    assert before == (faiss.omp_get_max_threads(), [pool["num_threads"] for pool in threadpool_info()])


@every
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((2, 4)), "n_samples=2 and n_clusters=3"),
        (np.full((9, 4), np.nan), "NaN"),
        (np.full((9, 4), 1e300), "infinity|too large"),
        (np.zeros((0, 4)), "0 sample"),
        (np.zeros((9, 0)), "0 feature"),
        (np.zeros(9), "1D array"),
        (np.zeros((0, 8, 8)), "no images"),
        ("/nothing/here", "nothing at /nothing/here"),
    ],
    ids=["few", "nan", "huge", "empty", "no-features", "1-d", "no-images", "no-path"],
)
def test_input_that_cannot_work_raises_before_work_starts(estimator, X, message):
    with pytest.raises(DataError, match=message):
        fresh(estimator).fit(X)


@every
def test_a_parameter_that_cannot_work_is_named(estimator):
    with pytest.raises(DataError, match=r"'n_clusters' parameter .* Got 0"):
        fresh(estimator, n_clusters=0).fit(blobs()[0])


@every
def test_one_cluster_and_one_sample_work(estimator):
    X = blobs()[0]
    assert not fresh(estimator, n_clusters=1).fit(X).labels_.any()
    model = fresh(estimator, n_clusters=1).fit(X[:1])
    assert model.predict(X).tolist() == [0] * len(X)


@every
def test_one_cluster_per_sample_works(estimator):
    X = blobs(12)[0]
    model = fresh(estimator, n_clusters=12).fit(X)
    assert set(model.labels_) <= set(range(12))
    assert len(set(model.labels_)) == 12 or isinstance(model, TRAINED)


@every
def test_the_number_of_clusters_is_found_if_not_given(estimator):
    X, y = make_blobs(600, 30, centers=3, random_state=0)
    model = fresh(estimator, n_clusters=None).fit(X)
    assert 3 <= model.n_clusters_ <= 12
    assert model.n_clusters is None
    assert len(set(zip(model.labels_, y, strict=True))) == model.n_clusters_


@every
def test_survives_clone_pickle_and_pipeline(estimator):
    X = blobs()[0]
    model = fresh(estimator).fit(X)
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.predict(X), model.predict(X))
    assert not hasattr(clone(model), "labels_")
    assert clone(model).set_params(n_clusters=2).get_params()["n_clusters"] == 2
    pipeline = make_pipeline(StandardScaler(), fresh(estimator))
    assert np.array_equal(pipeline.fit_predict(X), fresh(estimator).fit_predict(StandardScaler().fit_transform(X)))


@every
def test_a_collapse_is_a_warning(estimator):
    if isinstance(estimator, MINE):
        pytest.skip("MINE's codes tell all samples apart, so one dense group is spread over clusters")
    X = 9 * np.eye(3)[np.repeat([0, 1, 2], [950, 25, 25])] + np.random.default_rng(0).normal(scale=0.05, size=(1000, 3))
    with pytest.warns(CollapseWarning, match=r"largest of 3 clusters holds (95|100)% of 1000 samples"):
        fresh(estimator).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh(estimator).fit(blobs()[0])


@every
def test_images_are_as_good_as_their_pixels(estimator):
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 60, (90, 2, 5, 4)) + np.repeat([0, 190, 60], 30)[:, None, None, None]).astype(np.uint8)
    images[60:, 0] = 0
    model = fresh(estimator).fit(images)
    flat = images.reshape(90, -1)
    assert model.image_shape_ == (2, 5, 4)
    assert fresh(estimator).fit(flat).image_shape_ is None
    assert np.array_equal(model.predict(images[::7]), model.predict(flat[::7]))
    gray = images[:, 0]
    of_gray = fresh(estimator).fit(gray)
    assert np.array_equal(of_gray.predict(gray[::7, None]), of_gray.predict(gray[::7]))  # one channel, or none
    assert np.array_equal(of_gray.predict(list(gray[::7])), of_gray.predict(gray[::7]))
    of_gray = of_gray.labels_
    if isinstance(estimator, TRAINED):
        assert np.array_equal(of_gray, fresh(estimator).fit(list(gray[:, None])).labels_)
    else:
        assert np.array_equal(model.labels_, fresh(estimator).fit(flat).labels_)
        assert np.array_equal(of_gray, fresh(estimator).fit(gray.reshape(90, -1)).labels_)
    with pytest.raises(DataError, match=r"shape \(2, 5, 4\) and got \(5, 2, 4\)"):
        model.predict(images.transpose(0, 2, 1, 3))


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if isinstance(e, TRAINED)], ids=lambda e: type(e).__name__)
def test_values_of_another_unit_are_refused(estimator):
    images = np.random.default_rng(0).integers(0, 256, (60, 1, 6, 6)).astype(np.uint8)
    by_bytes = fresh(estimator).fit(images)
    by_shares = fresh(estimator).fit((images / 255).astype(np.float32))
    for X in (images / 255, (images / 255).reshape(60, -1)):
        with pytest.raises(DataError, match=r"with values from 0 to 255 and got values from 0 to 1\. Scale"):
            by_bytes.predict(X)
    with pytest.raises(DataError, match=r"with values from 0 to 1 and got values from 0 to 255\. Scale"):
        by_shares.predict(images)
    assert len(by_bytes.predict(images.astype(np.float64))) == 60
    assert len(by_bytes.predict(np.minimum(images, 1))) == 60  # dark, and still bytes


@every
def test_a_model_that_was_saved_has_all_that_it_learned(estimator, tmp_path):
    model = fresh(estimator).fit(blobs()[0])
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    learned = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert {name for name in vars(loaded) if name.endswith("_") and not name.startswith("_")} == learned
    assert loaded.get_params() == model.get_params()


@every
def test_samples_that_are_not_finite_are_named(estimator):
    X = blobs()[0]
    X[7, 2] = np.nan
    with pytest.raises(DataError, match=r"1 of 150 hold NaN or infinity.* such as sample 7"):
        fresh(estimator).fit(X)


def test_large_images_meet_a_network_whose_features_do_not_grow_with_them():
    assert make_backbone("auto", (3, 32, 32), 4).n_features == 8 * 4 * 16
    assert make_backbone("auto", (3, 224, 224), 4).n_features == 8 * 4


def test_images_of_several_shapes_or_beyond_float32_are_refused():
    with pytest.raises(DataError, match=r"Images must have one shape: got \(1, 4, 4\) and \(1, 5, 4\). Resize"):
        SCAN(3).fit([np.zeros((1, 4, 4)), np.zeros((1, 5, 4))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match="infinity"):
            SCAN(3).fit(np.full((9, 1, 4, 4), 1e300))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Red and blue noise, and a file that is no picture."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(16):
        pixels = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
        pixels[..., 2 * (i % 2)] += 180
        Image.fromarray(pixels).save(root / f"{i:02d}.png")
    (root / "notes.png").write_text("no picture")
    return root


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFSORT_CACHE", str(tmp_path / "cache"))


@every
@pytest.mark.usefixtures("own_cache")
def test_pictures_by_path(estimator, folder):
    model = fresh(estimator, n_clusters=2, **({"n_epochs": 100} if isinstance(estimator, AutoencoderClusterer) else {}))
    with pytest.warns(UserWarning, match=r"1 of 17 files are left out, such as notes.png"):
        model.fit(folder)
    assert list(model.paths_) == [f"{i:02d}.png" for i in range(16)]
    assert len(set(zip(model.labels_, np.arange(16) % 2, strict=True))) == 2
    paths = [folder / name for name in model.paths_]
    assert np.array_equal(model.predict(paths), model.labels_)
    with pytest.raises(DataError, match="fitted on pictures and got an array"):
        model.predict(np.zeros((2, 15)))
    with pytest.raises(DataError, match="fitted on an array and got a path"):
        fresh(estimator).fit(blobs()[0]).predict(folder)


@pytest.mark.usefixtures("own_cache")
def test_pictures_that_are_all_unreadable(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(DataError, match="None of 1 files"):
        encode_pictures(tmp_path)
