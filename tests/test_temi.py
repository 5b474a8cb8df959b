"""TEMI beyond the contract of all methods."""

import math

import numpy as np
import pytest
from sklearn.datasets import make_blobs

torch = pytest.importorskip("torch")

from selfsort.errors import DataError  # noqa: E402
from selfsort.losses.clustering import temi_loss  # noqa: E402
from selfsort.methods.temi import TEMI, _Pointwise  # noqa: E402
from selfsort.metrics import score_all  # noqa: E402
from selfsort.nets.heads import DeepHeads  # noqa: E402

FAST = {"n_heads": 2, "hidden": 32, "n_codes": 16, "n_epochs": 3, "random_state": 0}


def logits(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_pair(seed, shape=(3, 20, 4)):
    return logits(*shape, seed=seed), logits(*shape, seed=seed + 1)


def test_the_loss_is_the_papers_equation():
    student, teacher = random_pair(0), random_pair(2)
    prior = logits(3, 4, seed=9).softmax(-1)
    p, q = ([x.double().softmax(-1) for x in pair] for pair in (student, teacher))
    weight = (q[0] * q[1]).sum(-1).mean(0)
    terms = [((p[i] * q[1 - i]) ** 0.6 / prior[:, None]).sum(-1).log() for i in (0, 1)]
    wanted = -(weight * (terms[0] + terms[1]) / 2).mean(-1)
    torch.testing.assert_close(temi_loss(student, teacher, prior.log()).double(), wanted, atol=1e-5, rtol=1e-5)


def test_views_may_change_places_and_clusters_their_names():
    student, teacher, prior = random_pair(0), random_pair(2), logits(3, 4, seed=9).log_softmax(-1)
    loss = temi_loss(student, teacher, prior)
    torch.testing.assert_close(temi_loss(student[::-1], teacher[::-1], prior), loss)
    order = [2, 0, 3, 1]
    renamed = [tuple(x[..., order] for x in pair) for pair in (student, teacher)]
    torch.testing.assert_close(temi_loss(*renamed, prior[:, order]), loss)


def test_it_is_least_where_neighbors_surely_agree_and_clusters_are_even():
    sure = 50.0 * torch.eye(4)[None]
    even = torch.full((1, 4), -math.log(4))
    best = temi_loss((sure, sure), (sure, sure), even).item()
    assert best == pytest.approx(-math.log(4), rel=1e-4)
    one = torch.zeros(1, 4, 4)
    one[..., 0] = 50
    collapsed = torch.tensor([[1.0, 1e-12, 1e-12, 1e-12]]).log()
    assert temi_loss((one, one), (one, one), collapsed).item() > best + 1


def test_gradient_goes_to_the_student_and_is_finite_at_the_extremes():
    for scale in (0.0, 1.0, 1e3):
        student = [(scale * x).requires_grad_() for x in random_pair(0)]
        teacher = [x.requires_grad_() for x in random_pair(2)]
        temi_loss(tuple(student), tuple(teacher), torch.full((3, 4), -math.log(4))).sum().backward()
        assert all(torch.isfinite(x.grad).all() for x in student)
        assert all(x.grad is None for x in teacher)


def test_the_teacher_is_a_running_average():
    heads = DeepHeads(5, 2, 3, hidden=8, n_codes=4, temperature=0.1)
    objective = _Pointwise(torch.nn.Identity(), heads, 0.6, 0.9, 0.9)
    before = {name: value.clone() for name, value in objective.teacher.state_dict().items()}
    with torch.no_grad():
        for weight in objective.student.parameters():
            weight.add_(1.0)
    objective(torch.randn(6, 5), torch.randn(6, 5))["loss"].backward()
    for name, value in objective.teacher.state_dict().items():
        torch.testing.assert_close(value, before[name] + 0.1)
    assert all(weight.grad is None for weight in objective.teacher.parameters())
    assert all(weight.grad is not None for weight in objective.student.parameters())


def test_heads_are_apart():
    heads, x = DeepHeads(5, 3, 4, hidden=8, n_codes=6, temperature=0.1), torch.randn(7, 5)
    together = heads(x)
    assert together.shape == (3, 7, 4)
    assert together.abs().max() <= 10 + 1e-5  # cosines by 0.1
    hidden = torch.nn.functional.gelu(x @ heads.first.weight[8:16].T + heads.first.bias[8:16])
    codes = hidden @ heads.second[1] + heads.offset[1]
    cosines = torch.nn.functional.cosine_similarity(codes[:, None], heads.directions[1][None], dim=-1)
    torch.testing.assert_close(together[1], 10 * cosines, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("init", ["graph", "kmeans", "random"])
def test_every_head_finds_the_groups(init):
    X, y = make_blobs(400, 8, centers=4, cluster_std=1.0, random_state=1)
    params = {"n_epochs": 20, "learning_rate": 3e-3, "decay": 0.9} if init == "random" else {}
    model = TEMI(4, init=init, **FAST | params).fit(X)
    assert score_all(y, model.labels_)["acc"] == 1
    assert model.best_head_ == model.head_loss_.argmin()
    if init == "graph":
        assert all(score_all(y, head)["acc"] == 1 for head in model.predict_heads(X))
        assert TEMI(**FAST).fit(X).n_clusters_ == 4


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_neighbors": 60}, "TEMI needs more samples than neighbors: got 60 samples and n_neighbors=60"),
        ({"beta": 0}, "beta"),
        ({"decay": 1.0}, "decay"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(DataError, match=message):
        TEMI(3, **params).fit(np.random.default_rng(0).normal(size=(60, 4)))
