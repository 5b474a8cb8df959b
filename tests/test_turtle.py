"""TURTLE beyond the contract of all methods."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs

torch = pytest.importorskip("torch")

from selfsort.errors import DataError  # noqa: E402
from selfsort.methods.turtle import TURTLE, _Margin, _shares  # noqa: E402
from selfsort.metrics import score_all  # noqa: E402
from selfsort.nets.heads import SpaceHeads  # noqa: E402

FAST = {"n_epochs": 4, "batch_size": 200, "random_state": 0}


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(400, 8, centers=4, cluster_std=1.0, random_state=1)


@pytest.mark.parametrize("init", ["graph", "kmeans", "random"])
def test_clusters_that_are_there_are_found(blobs, init):
    X, y = blobs
    model = TURTLE(4, init=init, **FAST | {"n_epochs": 12}).fit(X)
    assert score_all(y, model.labels_)["acc"] > 0.95
    if init == "random":
        margin = [row["error"] for row in model.history_ if row["stage"] == "margin"]
        assert margin[-1] < margin[0]


def test_the_inner_classifiers_are_those_of_adam():
    torch.manual_seed(0)
    z, target = torch.randn(50, 6), torch.randn(50, 2, 3).softmax(-1)
    margin = _Margin(torch.nn.Identity(), SpaceHeads([6], 2, 3), n_inner=7, inner_rate=0.02, entropy_weight=10.0)
    torch.manual_seed(5)
    found = margin._error(z, target)
    torch.manual_seed(5)
    start = torch.empty(6, 6).uniform_(-(6**-0.5), 6**-0.5)
    for head in range(2):  # as if each were alone
        weight, wanted = start[:, 3 * head : 3 * head + 3].clone().requires_grad_(), target[:, head]
        adam = torch.optim.Adam([weight], 0.02)
        for _ in range(7):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(z @ weight, wanted).backward()
            adam.step()
        torch.testing.assert_close(found[head], torch.nn.functional.cross_entropy(z @ weight, wanted).detach())


def test_the_gradient_goes_to_the_assignment_alone_and_is_finite():
    torch.manual_seed(0)
    heads = SpaceHeads([4, 2], 3, 3)
    parts = _Margin(torch.nn.Identity(), heads, 5, 0.01, 10.0)(1e3 * torch.randn(20, 6))
    parts["loss"].backward()
    gradients = [weight.grad for weight in heads.parameters()]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any((gradient != 0).any() for gradient in gradients)
    torch.testing.assert_close(parts["loss"], parts["error"] - 10 * 2 * parts["entropy"])  # of two spaces
    torch.testing.assert_close(parts["loss"], torch.stack([parts[f"head_{i}"] for i in (1, 2, 3)]).mean())


def test_the_classifiers_are_held_while_the_head_moves():
    torch.manual_seed(0)
    z, logits = torch.randn(40, 5), torch.randn(40, 2, 3).requires_grad_()
    margin = _Margin(torch.nn.Identity(), SpaceHeads([5], 2, 3), 4, 0.05, 0.0)
    torch.manual_seed(1)
    (found,) = torch.autograd.grad(margin._error(z, logits.softmax(-1)).sum(), logits)
    held = []
    original = torch.Tensor.log_softmax
    torch.manual_seed(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "log_softmax", lambda x, dim: held.append(original(x, dim)) or held[-1])
        margin._error(z, logits.softmax(-1).detach())
    (wanted,) = torch.autograd.grad(-(logits.softmax(-1) * held[-1]).sum(-1).mean(0).sum(), logits)
    torch.testing.assert_close(found, wanted)


def test_heads_that_differ_are_joined_by_what_they_share():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    soft = np.zeros((600, 9, 3), np.float32)
    for head in range(9):  # each gives clusters other names, and is wrong about a fifth of the samples
        said = np.where(rng.random(600) < 0.2, rng.integers(0, 3, 600), y)
        soft[np.arange(600), head, rng.permutation(3)[said]] = 1
    shares = _shares(soft, 0)
    np.testing.assert_allclose(shares.sum(2), 1, rtol=1e-5)
    joined = np.einsum("nhc,hck->nk", soft, shares) / 9
    assert score_all(y, joined.argmax(1))["acc"] > 0.99
    assert np.array_equal(_shares(soft[:, :1], 0), np.eye(3)[None])


def test_one_head_is_its_own_answer(blobs):
    model = TURTLE(4, n_heads=1, init="random", **FAST).fit(blobs[0])
    assert np.array_equal(model.predict_heads(blobs[0])[0], model.labels_)


def test_features_of_several_encoders_have_heads_of_their_own(blobs):
    X, y = blobs
    rng = np.random.default_rng(0)
    both = np.concatenate([X[:, :5], 100 * rng.normal(size=(400, 30))], axis=1)  # the second knows nothing, loudly
    model = TURTLE(4, spaces=[5, 30], **FAST).fit(both)
    assert model.transform(both).shape == (400, 35)
    assert model.predict_proba(both).shape == (400, 4)
    alone, together = TURTLE(4, **FAST).fit(both), score_all(y, model.labels_)["acc"]
    assert together > score_all(y, alone.labels_)["acc"] + 0.2


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"spaces": [3, 4]}, r"spaces=\[3, 4\] must be whole numbers that sum to the number of features: got 8"),
        ({"spaces": [8, 0]}, "whole numbers that sum"),
        ({"spaces": [3.5, 4.5]}, r"spaces=\[3.5, 4.5\]"),
        ({"inner_rate": 0}, "inner_rate"),
    ],
)
def test_wrong_parameters(blobs, params, message):
    with pytest.raises(DataError, match=message):
        TURTLE(4, **params).fit(blobs[0])
