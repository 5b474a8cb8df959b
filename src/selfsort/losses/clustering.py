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
