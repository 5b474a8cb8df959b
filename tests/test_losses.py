import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from selfsort.losses.clustering import (  # noqa: E402
    sharpened_target,
    student_t_log_assignment,
    target_divergence,
)


def codes(n=20, k=4, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=(n, d)), dtype=torch.float32), torch.tensor(rng.normal(size=(k, d))).float()


@pytest.mark.parametrize("dof", [1.0, 3.0])
def test_students_t_is_the_papers_equation(dof):
    z, mu = codes()
    q = np.empty((20, 4))
    for i in range(20):
        for j in range(4):
            q[i, j] = (1 + float((z[i] - mu[j]).double().square().sum()) / dof) ** (-(dof + 1) / 2)
    q /= q.sum(1, keepdims=True)
    np.testing.assert_allclose(student_t_log_assignment(z, mu, dof).exp(), q, rtol=1e-5)


def test_the_target_is_the_papers_equation():
    q = torch.rand(20, 4).softmax(1)
    f = q.sum(0)
    p = (q**2 / f) / (q**2 / f).sum(1, keepdim=True)
    torch.testing.assert_close(sharpened_target(q), p)
    torch.testing.assert_close(sharpened_target(q).sum(1), torch.ones(20))


def test_a_target_of_an_empty_cluster_is_finite():
    q = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert torch.equal(sharpened_target(q), q)


def test_divergence_is_that_of_torch_and_zero_for_equals():
    p, q = torch.rand(9, 5).softmax(1), torch.rand(9, 5).softmax(1)
    theirs = torch.nn.functional.kl_div(q.log(), p, reduction="batchmean")
    torch.testing.assert_close(target_divergence(q.log(), p), theirs)
    assert abs(target_divergence(p.log(), p)) < 1e-6
    assert target_divergence(q.log(), p) > 0


def test_divergence_where_the_target_is_zero():
    sure = torch.tensor([[1.0, 0.0]])
    log_q = torch.tensor([[0.5, 0.5]]).log()
    assert target_divergence(log_q, sure).item() == pytest.approx(math.log(2))


def test_relabeled_clusters_change_nothing():
    z, mu = codes()
    order = torch.tensor([2, 0, 3, 1])
    q = student_t_log_assignment(z, mu)
    torch.testing.assert_close(student_t_log_assignment(z, mu[order]), q[:, order])
    torch.testing.assert_close(sharpened_target(q[:, order].exp()), sharpened_target(q.exp())[:, order])


@pytest.mark.parametrize("far", [0.0, 1.0, 1e4, 1e12])
def test_gradients_are_finite_at_extremes(far):
    z, mu = codes()
    z = (z + far).requires_grad_()
    mu = torch.cat([mu, z[:1].detach()]).requires_grad_()  # a center right on a code
    log_q = student_t_log_assignment(z, mu)
    target_divergence(log_q, sharpened_target(log_q.detach().exp())).backward()
    assert torch.isfinite(z.grad).all()
    assert torch.isfinite(mu.grad).all()


def test_the_gradient_is_that_of_the_paper():
    """Equation 4: dL/dz_i = (dof + 1) / dof * sum_j (1 + |z_i - mu_j|^2 / dof)^-1 (p_ij - q_ij) (z_i - mu_j)."""
    z, mu = codes()
    z.requires_grad_()
    log_q = student_t_log_assignment(z, mu)
    p = sharpened_target(log_q.detach().exp())
    (target_divergence(log_q, p) * len(z)).backward()
    apart = z.detach()[:, None] - mu[None]
    weight = (p - log_q.detach().exp()) / (1 + apart.square().sum(-1))
    torch.testing.assert_close(z.grad, 2 * (weight[..., None] * apart).sum(1), rtol=1e-4, atol=1e-5)
