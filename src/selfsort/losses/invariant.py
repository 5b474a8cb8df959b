"""Mutual information between the clusters of paired views: the loss of IIC."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_joint(first: Tensor, second: Tensor) -> Tensor:
    """Return the logarithm of the symmetric joint distribution of clusters over pairs of views.

    P_ij = mean over pairs of (p_i q_j + p_j q_i) / 2

    Parameters
    ----------
    first, second : Tensor, shape (..., batch, n_clusters), float
        Logits; row b of both belongs to two views of the same sample.

    Returns
    -------
    Tensor, shape (..., n_clusters, n_clusters), float32
        Finite: what float32 cannot hold beside the largest term of its row and column counts as its smallest number.
    """
    log_p, log_q = first.float().log_softmax(-1), second.float().log_softmax(-1)
    # the largest of each cluster is taken out first, so a cluster that nobody is near keeps its digits
    top_p, top_q = log_p.detach().amax(-2, keepdim=True), log_q.detach().amax(-2, keepdim=True)
    with torch.autocast(first.device.type, enabled=False):
        product = (log_p - top_p).exp().mT @ (log_q - top_q).exp()
    tiny = torch.finfo(torch.float32).tiny
    joint = product.clamp_min(tiny).log() + top_p.mT + top_q - math.log(first.shape[-2])
    return torch.logaddexp(joint, joint.mT) - math.log(2)


def invariant_information(first: Tensor, second: Tensor) -> Tensor:
    """Return the mutual information between the clusters of two views, which IIC maximizes.

    I = sum_ij P_ij (log P_ij - log P_i - log P_j), with P the symmetric joint distribution of a batch

    It is largest, log n_clusters, where both views of each sample surely belong to one cluster and all clusters are
    equally large. A batch of b pairs cannot tell it from chance where b is not several times n_clusters squared.

    Parameters
    ----------
    first, second : Tensor, shape (..., batch, n_clusters), float
        Logits; row b of both belongs to two views of the same sample.

    Returns
    -------
    Tensor, shape (...), in nats, in [0, log n_clusters] up to rounding

    References
    ----------
    Ji et al., "Invariant Information Clustering", ICCV 2019, arXiv:1807.06653, equation 3.

    Examples
    --------
    >>> sure = 50.0 * torch.eye(4)  # four samples, four clusters, no doubt
    >>> round(invariant_information(sure, sure).item(), 4)  # log 4
    1.3863
    >>> abs(round(invariant_information(sure, torch.zeros(4, 4)).item(), 4))
    0.0
    """
    joint = log_joint(first, second)
    marginal = joint.logsumexp(-1)
    return (joint.exp() * (joint - marginal[..., :, None] - marginal[..., None, :])).sum((-2, -1))
