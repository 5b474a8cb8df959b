"""DeepCluster beyond the contract of all methods."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import normalized_mutual_info_score

torch = pytest.importorskip("torch")

from selfsort.errors import DataError  # noqa: E402
from selfsort.features.kmeans import kmeans  # noqa: E402
from selfsort.features.project import unit_rows, whitened  # noqa: E402
from selfsort.methods.deepcluster import DeepCluster, _PseudoLabels  # noqa: E402
from selfsort.nets.backbones import layer_outputs, make_backbone  # noqa: E402
from selfsort.nets.sobel import Sobel  # noqa: E402
from selfsort.probes import linear_probe  # noqa: E402

FAST = {"width": 4, "n_epochs": 3, "batch_size": 100, "random_state": 0}


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(400, 8, centers=4, cluster_std=1.0, random_state=1)


def objective(labels, n_labels):
    made = _PseudoLabels(torch.nn.Identity(), torch.nn.Identity(), 5, n_labels, len(labels))
    made.renew(np.array(labels), 0)
    return made


@pytest.mark.parametrize("pseudo_labels", ["kmeans", "graph"])
def test_features_hold_what_is_there_and_labels_settle(blobs, pseudo_labels):
    X, y = blobs
    model = DeepCluster(4, pseudo_labels=pseudo_labels, **FAST).fit(X[:300])
    features = model.transform(X)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    assert linear_probe(features[:300], y[:300], features[300:], y[300:])["linear"] > 0.95
    assert model.history_[-1]["found"] > 2 / model.history_[-1]["n_pseudo"]
    assert (model.agreement_ > 0.5).all()
    assert len(model.agreement_) == 2


def test_k_means_learns_as_many_labels_as_wanted_and_the_graph_as_many_as_it_finds(blobs):
    X, y = blobs
    assert len(set(DeepCluster(4, **FAST).fit(X).pseudo_labels_)) == 40  # a tenth of the samples
    assert len(set(DeepCluster(4, n_pseudo=7, **FAST).fit(X).pseudo_labels_)) == 7
    found = DeepCluster(pseudo_labels="graph", **FAST).fit(X)
    assert set(found.pseudo_labels_) == set(range(len(set(y))))
    assert found.n_clusters_ == len(set(y))
    asked = DeepCluster(4, pseudo_labels="graph", n_pseudo=2, **FAST).fit(X)
    assert set(asked.pseudo_labels_) == {0, 1}


def test_samples_are_drawn_so_that_all_clusters_are_as_likely():
    labels = np.repeat([0, 1, 3], [500, 30, 1])  # the third is empty
    drawn = labels[objective(labels, 4).draw(9000).numpy()]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 9000, [1 / 3, 1 / 3, 0, 1 / 3], atol=0.02)
    once = objective(labels, 4).draw(3000).numpy()
    assert len(set(once[labels[once] == 0])) > 400  # of a cluster, all samples


def test_new_labels_begin_with_a_new_classifier_and_are_compared_with_the_last():
    made = objective([0, 0, 1, 1, 2, 2], 3)
    first = made.classifier.weight.clone()
    assert made.renew(np.array([2, 2, 0, 0, 0, 1]), 1) is made.classifier
    assert not torch.equal(made.classifier.weight, first)
    assert (made.classifier.bias == 0).all()
    wanted = normalized_mutual_info_score([0, 0, 1, 1, 2, 2], [2, 2, 0, 0, 0, 1])
    assert float(made.agreement) == pytest.approx(wanted)
    made.renew(np.array([0, 0, 1, 1, 1, 2]), 2)  # other names
    assert float(made.agreement) == pytest.approx(1)


def test_sobel_sees_edges_and_no_plain_color():
    plain = torch.full((2, 3, 6, 6), 0.7)
    assert (Sobel()(plain).abs() < 1e-5).all()
    step = torch.zeros(1, 1, 6, 6)
    step[..., 3:] = 1.0
    along, down = Sobel()(step)[0]
    np.testing.assert_allclose(along[:, 1:5], np.tile([0, 4, 4, 0], (6, 1)))
    assert (down == 0).all()
    turned = Sobel()(step.mT)[0]
    assert torch.equal(turned[1], along.T)


def test_sobel_and_its_layers(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16)).astype(np.uint8)
    model = DeepCluster(2, sobel=True, **FAST | {"n_epochs": 1, "width": 2}).fit(images)
    layers = model.layers(images[:7])
    assert [values.shape for values in layers] == [(7, 2 * 64), (7, 4 * 16), (7, 8 * 4), (7, 16 * 4), (7, 64)]
    np.testing.assert_allclose(
        layers[-1], model._encoder(model._scaling(torch.from_numpy(images[:7]))).detach(), atol=1e-5
    )


def test_layers_are_means_of_what_convolutions_say():
    net = make_backbone("resnet18", (3, 16, 16), 2).module.eval()
    x = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        found = layer_outputs(net, x, n_values=32)
        first = net[2](net[1](net[0](x)))
    torch.testing.assert_close(found[0], torch.nn.functional.avg_pool2d(first, 4).flatten(1))
    assert len(found) == 1 + 8 + 1
    torch.testing.assert_close(found[-1], net(x))
    assert [
        tuple(values.shape) for values in layer_outputs(make_backbone("mlp", (5,), 2).module, torch.rand(3, 5))
    ] == [(3, 16)]


def test_whitening_few_rows_of_many_features_keeps_their_clusters():
    X, y = make_blobs(200, 300, centers=4, cluster_std=1.0, random_state=0)
    rows = whitened(X)
    assert rows.shape == (200, 20)
    assert normalized_mutual_info_score(y, kmeans(rows, 4).labels) > 0.9


def test_whitened_rows_have_directions_of_equal_weight():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 6)) * [10, 1, 5, 0.1, 3, 0] + 7
    rows = whitened(X)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    second = rows.T @ rows / len(rows)
    np.testing.assert_allclose(second[:5, :5], np.eye(5) / 5, atol=0.01)
    assert (rows[:, 5] == 0).all()  # nothing varies there
    assert whitened(np.ones((1, 3))).shape == (1, 1)


def test_partly_whitened_rows_lie_between_those_that_are_centered_and_those_that_are_whitened():
    X = np.random.default_rng(0).normal(size=(5000, 4)) * [10, 3, 1, 0.1] + 7
    centered = unit_rows(X - X.mean(0))
    rows = whitened(X, power=0.0)
    np.testing.assert_allclose(rows @ rows[0], centered @ centered[0], atol=1e-4)
    deviations = np.array([whitened(X, power=power).std(0) for power in (0.0, 0.25, 0.5, 1.0)])
    assert (np.diff(deviations[:, 0]) < 0).all()
    assert (np.diff(deviations[:, 3]) > 0).all()
    rows = (X - X.mean(0)) / X.std(0) ** 0.25
    np.testing.assert_allclose(deviations[1], unit_rows(rows).std(0), rtol=0.05)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_pseudo": 500}, "n_samples=400 and n_pseudo=500"),
        ({"sobel": True}, "sobel='true' needs images"),
        ({"sobel": True, "backbone": "efficientnet-lite0"}, "sobel='true' needs images"),
        ({"backbone": "alexnet"}, "backbone='alexnet' needs images"),
        ({"pseudo_labels": "luck"}, "pseudo_labels"),
    ],
)
def test_wrong_parameters(blobs, params, message):
    with pytest.raises(DataError, match=message):
        DeepCluster(4, **params).fit(blobs[0])
