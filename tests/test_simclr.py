"""SimCLR beyond the contract of all methods."""

import contextlib
import signal

import numpy as np
import pytest
from sklearn.datasets import make_blobs

torch = pytest.importorskip("torch")

from selfsort.errors import DataError  # noqa: E402
from selfsort.features.neighbors import nearest_neighbors  # noqa: E402
from selfsort.features.project import unit_rows  # noqa: E402
from selfsort.methods import pairs  # noqa: E402
from selfsort.methods.pairs import Pairs  # noqa: E402
from selfsort.methods.pretext import Contrast, contrast_plan, make_projector  # noqa: E402
from selfsort.methods.saving import load_model, save_model  # noqa: E402
from selfsort.methods.scan import SCAN  # noqa: E402
from selfsort.methods.simclr import SimCLR  # noqa: E402
from selfsort.methods.trained import Scaling  # noqa: E402
from selfsort.metrics import score_all  # noqa: E402
from selfsort.nets.backbones import BACKBONES  # noqa: E402
from selfsort.probes import knn_probe, linear_probe  # noqa: E402
from selfsort.training.session import Session  # noqa: E402

FAST = {"width": 4, "n_projected": 16, "n_epochs": 3, "batch_size": 100, "random_state": 0}


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(400, 8, centers=4, cluster_std=1.0, random_state=1)


@pytest.mark.parametrize(
    "optimizer",
    [
        {},
        {"optimizer": "adamw"},
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "lars", "learning_rate": 5.0},
        {"optimizer": "muon", "learning_rate": 0.02},
    ],
    ids=["adam", "adamw", "sgd", "lars", "muon"],
)
def test_more_is_found_and_features_hold_what_views_share(blobs, optimizer):
    X, y = blobs
    model = SimCLR(4, **FAST | optimizer).fit(X[:300])
    losses = [row["loss"] for row in model.history_]
    assert losses[-1] < losses[0] < np.log(2 * 100 - 1)
    assert model.found_ == model.history_[-1]["found"] > 1 / 199
    features = model.transform(X)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    assert linear_probe(features[:300], y[:300], features[300:], y[300:])["linear"] > 0.95
    assert score_all(y[:300], model.labels_)["acc"] > 0.95


def test_k_is_that_of_the_graph_of_the_features(blobs):
    X, y = blobs
    assert SimCLR(**FAST).fit(X).n_clusters_ == len(set(y))


def test_both_views_are_changed():
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 16, 16)).astype(np.uint8)
    scaling = Scaling.of(images)
    x, rows = torch.from_numpy(images), torch.arange(6)
    for both in (False, True):
        first, second = Pairs("strokes", images, scaling, Session(), both_changed=both)(x, rows)
        assert torch.equal(first, scaling(x)) != both
        assert not torch.equal(second, scaling(x))
        assert not torch.equal(first, second)


def test_views_grow_once():
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 24)).astype(np.uint8)
    views = Pairs("simclr", images, Scaling.of(images), Session(), both_changed=True, growing=8)
    seen = []
    for step in range(10):
        views.grow(step)
        first, second = views(torch.from_numpy(images), torch.arange(6))
        assert first.shape == second.shape
        seen.append(tuple(first.shape[2:]))
    assert seen == [(8, 12)] * 8 + [(16, 24)] * 2


def test_views_of_a_run_that_goes_on_are_as_large_as_they_would_be():
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 16)).astype(np.uint8)
    views = Pairs("simclr", images, Scaling.of(images), Session(), both_changed=True, growing=4)
    batches = Session().batches(images, 6, views, steps_per_epoch=5, before_step=views.grow)
    assert [first.shape[2] for first, _ in batches.stream(3, 5)] == [8, 16]


def test_neighbors_found_on_a_device_are_those_of_the_processor(monkeypatch):
    rows = unit_rows(np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32))
    monkeypatch.setattr(pairs, "_VALUES", 64 * 200)
    seen = []
    session = Session(progress=lambda *step: seen.append(step))
    found, wanted = pairs._nearest_on(torch.from_numpy(rows), 7, session), nearest_neighbors(rows, 7)
    assert seen == [("neighbors", done, 200) for done in (0, 64, 128, 192, 200)]
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_allclose(found.similarities, wanted.similarities, atol=1e-6)
    assert found.indices.dtype == wanted.indices.dtype
    assert found.recall == 1


@pytest.mark.filterwarnings("ignore:SCAN collapsed")
@pytest.mark.parametrize("backbone", ["auto", *sorted(set(BACKBONES) - {"efficientnet-lite0"})])
def test_views_grow_before_encoders_that_can_take_them_and_others_are_refused(backbone):
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32)).astype(np.uint8)
    params = FAST | {"n_epochs": 1, "width": 4, "batch_size": 2}
    grows = backbone in ("airbench", "alexnet", "resnet18", "resnet50")
    if grows:
        SimCLR(2, backbone=backbone, growth=0.5, **params).fit(images)
    else:
        with pytest.raises(DataError, match=r"growth=0\.5 needs an encoder"):
            SimCLR(2, backbone=backbone, growth=0.5, **params).fit(images)
    name = "pretext_growth=0.5 needs an encoder"
    with contextlib.nullcontext() if grows else pytest.raises(DataError, match=name.replace(".", r"\.")):
        short = {"pretext_epochs": 1, "n_epochs": 1, "label_epochs": 0, "width": 4, "batch_size": 2, "random_state": 0}
        SCAN(2, backbone=backbone, pretext_growth=0.5, pretext_ema=0.9, pretext_weight_decay=0.01, **short).fit(images)


def test_growth_needs_views(blobs):
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 16, 16)).astype(np.uint8)
    with pytest.raises(DataError, match="needs views that change images"):
        SimCLR(2, backbone="resnet18", views="neighbors", growth=0.5, **FAST).fit(images)


def test_views_of_small_images_stay_8_pixels_long():
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 12)).astype(np.uint8)
    views = Pairs("digits", images, Scaling.of(images), Session(), both_changed=True, growing=2)
    views.grow(0)
    assert views(torch.from_numpy(images), torch.arange(4))[0].shape == (4, 1, 8, 8)


def test_images_of_one_row_have_views():
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 1, 28)).astype(np.uint8)
    views = Pairs("digits", images, Scaling.of(images), Session(), both_changed=True, growing=2)
    shapes = []
    for step in range(3):
        views.grow(step)
        shapes.append(tuple(views(torch.from_numpy(images), torch.arange(30))[0].shape[2:]))
    assert shapes == [(1, 14), (1, 14), (1, 28)]


@pytest.mark.parametrize("decay", [None, 0.0, 0.3])
def test_weight_decay_is_the_one_given_or_the_usual(decay):
    assert contrast_plan("sgd", 0.1, 1, decay).weight_decay == (1e-4 if decay is None else decay)


def test_an_average_is_saved_and_gone_on_from(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16)).astype(np.uint8)
    params = FAST | {"n_epochs": 1, "width": 2, "batch_size": 20}
    model = SimCLR(2, backbone="resnet18", ema=0.9, **params).fit(images)
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    np.testing.assert_allclose(again.project(images), model.project(images), atol=1e-6)
    short = {"n_epochs": 1, "label_epochs": 0, "batch_size": 20, "random_state": 0}
    SCAN(2, pretext=tmp_path, neighbors_of="projections", **short).fit(images)


def test_a_run_that_was_stopped_ends_with_the_same_average(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16)).astype(np.uint8)
    params = FAST | {"n_epochs": 2, "width": 2, "batch_size": 20, "growth": 0.9, "ema": 0.9}
    wanted = SimCLR(2, backbone="resnet18", **params).fit(images).transform(images)

    def stop(stage, done, total):
        if stage == "pairs" and done >= 30:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        SimCLR(2, backbone="resnet18", **params).fit(images, checkpoint=tmp_path, progress=stop)
    assert (tmp_path / "pairs.pt").exists()
    found = SimCLR(2, backbone="resnet18", **params).fit(images, checkpoint=tmp_path).transform(images)
    np.testing.assert_array_equal(found, wanted)


def test_the_average_follows_and_is_what_is_kept():
    encoder, projector = torch.nn.Linear(3, 4), make_projector(4, 2, 5)
    net = Contrast(Scaling(), encoder, projector, 0.1, ema=0.75)
    start = encoder.weight.detach().clone()
    with torch.no_grad():
        encoder.weight += 4
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    net(x, x + 0.1)["loss"].backward()
    torch.testing.assert_close(net.average[0].weight, start + 1)
    assert all(weight.grad is None for weight in net.average.parameters())
    assert all(weight.grad is not None for weight in (encoder.weight, *net.predictor.parameters()))
    with torch.no_grad():
        net.average[1][1].running_mean += 7
    net.settle()
    assert torch.equal(projector[1].running_mean, net.average[1][1].running_mean)
    torch.testing.assert_close(encoder.weight.detach(), start + 1)


def test_features_by_an_average():
    images = np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16)).astype(np.uint8)
    params = FAST | {"n_epochs": 1, "width": 2, "batch_size": 20, "learning_rate": 0.01}
    slow, fast = (SimCLR(2, backbone="resnet18", ema=ema, growth=0.5, **params).fit(images) for ema in (0.999, 0.5))
    start = SimCLR(2, backbone="resnet18", **params)
    start._build(images.shape[1:], Scaling.of(images), 0)
    began, *ended = (
        torch.cat([weight.detach().flatten() for weight in of._encoder.parameters()]) for of in (start, slow, fast)
    )
    moved = [(weights - began).norm() for weights in ended]
    assert 0 < moved[0] < 0.2 * moved[1]
    assert fast.project(images).shape == (60, 16)


def test_images_in_color_by_a_residual_network():
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16)).astype(np.uint8)
    model = SimCLR(2, backbone="resnet18", **FAST | {"n_epochs": 1, "width": 2}).fit(images)
    assert model.transform(images).shape == (40, 16)
    assert len(model.get_feature_names_out()) == 16


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"backbone": "resnet18"}, "backbone='resnet18' needs images"),
        ({"views": "simclr"}, "views='simclr' needs images"),
        ({"temperature": 0}, "temperature"),
        ({"optimizer": "rmsprop"}, "optimizer"),
    ],
)
def test_wrong_parameters(blobs, params, message):
    with pytest.raises(DataError, match=message):
        SimCLR(4, **params).fit(blobs[0])


def test_knn_probe_is_the_weighted_vote():
    rng = np.random.default_rng(0)
    bank, labels, queries = rng.normal(size=(80, 5)), rng.integers(0, 4, 80), rng.normal(size=(30, 5))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, queries)]
    wanted = []
    for query in unit[1]:
        similar = unit[0] @ query
        nearest = np.argsort(-similar)[:9]
        wanted.append(np.bincount(labels[nearest], np.exp(similar[nearest] / 0.1), 4).argmax())
    truth = rng.integers(0, 4, 30)
    found = knn_probe(bank.astype(np.float32), labels, queries.astype(np.float32), truth, n_neighbors=9)
    assert found == pytest.approx(np.mean(np.array(wanted) == truth))
    assert knn_probe(bank, labels, bank, labels, n_neighbors=1) == 1
    assert knn_probe(bank, np.zeros(80, np.int64), queries, np.zeros(30, np.int64), n_neighbors=500) == 1


def test_projections_are_of_length_1(blobs):
    model = SimCLR(4, **FAST).fit(blobs[0])
    projections = model.project(blobs[0])
    assert projections.shape == (400, 16)
    np.testing.assert_allclose(np.linalg.norm(projections, axis=1), 1, rtol=1e-5)
