"""Losses that pull samples into clusters."""

from __future__ import annotations

import torch
from torch import Tensor


def student_t_log_assignment(codes: Tensor, centers: Tensor, dof: float = 1.0) -> Tensor:
    """Return log q, the soft assignment of codes to centers by Student's t-distribution.

    q_ij  proportional to  (1 + |z_i - mu_j|^2 / dof) ^ (-(dof + 1) / 2)

    Parameters
    ----------
    codes : Tensor, shape (n, d), float
    centers : Tensor, shape (k, d), float
    dof : float
        Degrees of freedom.

    Returns
    -------
    Tensor, shape (n, k), float32

    References
    ----------
    Xie et al., "Unsupervised Deep Embedding for Clustering Analysis", ICML 2016, equation 1.
    """
    squared = torch.cdist(codes.float(), centers.float(), compute_mode="donot_use_mm_for_euclid_dist").square()
    return (-(dof + 1) / 2 * torch.log1p(squared / dof)).log_softmax(1)


def sharpened_target(assignment: Tensor) -> Tensor:
    """Return DEC's target: squared, each cluster divided by its size, rows summing to 1.

    p_ij  proportional to  q_ij^2 / sum_i q_ij

    Parameters
    ----------
    assignment : Tensor, shape (n, k), float
        q: rows of probabilities of **all** samples.

    References
    ----------
    Xie et al., ICML 2016, equation 3.

    Examples
    --------
    >>> sharpened_target(torch.tensor([[0.75, 0.25], [0.25, 0.75]]))
    tensor([[0.9000, 0.1000],
            [0.1000, 0.9000]])
    """
    weight = assignment.square() / assignment.sum(0).clamp_min(torch.finfo(assignment.dtype).tiny)
    return weight / weight.sum(1, keepdim=True)


def target_divergence(log_assignment: Tensor, target: Tensor) -> Tensor:
    """Return KL(target || assignment) in nats, the mean over samples; 0 where target is 0.

    Parameters
    ----------
    log_assignment : Tensor, shape (n, k), float
    target : Tensor, shape (n, k), float
        Rows of probabilities.
    """
    return (torch.xlogy(target, target) - target * log_assignment).sum(1).mean()


def temi_loss(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], log_prior: Tensor, beta: float = 0.6
) -> Tensor:
    """Return TEMI's loss: a weighted pointwise mutual information between the clusters of a sample and a neighbor.

    L_h = -mean_i w_i log sum_c (p_c(x) q_c(x'))^beta / pi_c, in both directions;  w_i = mean_h sum_c q_c(x) q_c(x')

    Parameters
    ----------
    student, teacher : pair of Tensors, shape (n_heads, batch, n_clusters), float
        Logits of samples and of a neighbor of each. No gradient goes to the teacher's.
    log_prior : Tensor, shape (n_heads, n_clusters)
        Logarithm of the mean of the teacher's probabilities, of many batches.
    beta : float
        Below 1, clusters stay of about equal size.

    Returns
    -------
    Tensor, shape (n_heads,), in nats

    References
    ----------
    Adaloglou et al., "Exploring the Limits of Deep Image Clustering using Pretrained Models", BMVC 2023,
    arXiv:2303.17896, equations 6 to 8.
    """
    log_p = [logits.float().log_softmax(-1) for logits in student]
    log_q = [logits.detach().float().log_softmax(-1) for logits in teacher]
    weight = (log_q[0] + log_q[1]).logsumexp(-1).exp().mean(0)
    pointwise = [(beta * (p + q) - log_prior[:, None]).logsumexp(-1) for p, q in zip(log_p, log_q[::-1], strict=True)]
    return -(weight * (pointwise[0] + pointwise[1]) / 2).mean(-1)
