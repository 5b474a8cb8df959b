"""Losses that give neighbors, or views, one cluster: SCAN's and that of its self-labeling."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def scan_loss(
    anchors: Tensor, neighbors: Tensor, entropy_weight: float = 5.0, log_prior: Tensor | None = None
) -> dict[str, Tensor]:
    """Reward neighbors for sharing a cluster, and the batch for using every cluster.

    loss = -mean_i log <p_i, q_i>  -  entropy_weight * H(mean_i p_i)

    With a prior, the divergence of the mean from it stands in the place of minus the entropy, of which it is the same
    but for a constant where the prior is uniform: -H(m) = KL(m | 1/k) - log k.

    Parameters
    ----------
    anchors, neighbors : Tensor, shape (..., batch, n_clusters), float
        Logits; row i of `neighbors` belongs to a feature-space neighbor of row i.
    entropy_weight : float
        Weight of the entropy term; 0 lets every image fall into one cluster.
    log_prior : Tensor, shape (n_clusters,), float, optional
        Logarithm of the share that each cluster shall have; they sum to 1. Equal shares if not given.

    Returns
    -------
    dict of Tensors, shape (...), in nats
        ``loss``, ``consistency`` (>= 0) and ``entropy`` (in [0, log n_clusters]).

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020, arXiv:2005.12320, equation 2.

    Examples
    --------
    >>> import torch
    >>> sure = 50.0 * torch.eye(4)  # four images, four clusters, no doubt
    >>> parts = scan_loss(sure, sure)
    >>> bool(parts["consistency"] < 1e-6), round(parts["entropy"].item(), 4)  # log 4
    (True, 1.3863)
    """
    log_p, log_q = anchors.float().log_softmax(-1), neighbors.float().log_softmax(-1)
    consistency = -(log_p + log_q).logsumexp(-1).mean(-1)
    usage = mean_entropy(log_p, log_prior)
    loss = consistency + entropy_weight * usage["penalty"]
    return {"loss": loss, "consistency": consistency, "entropy": usage["entropy"]}


def mean_entropy(log_p: Tensor, log_prior: Tensor | None = None) -> dict[str, Tensor]:
    """Return how evenly a batch uses clusters: the entropy of the mean assignment, and a penalty for using few.

    Parameters
    ----------
    log_p : Tensor, shape (..., batch, n_clusters), float32
        Logarithms of assignments.
    log_prior : Tensor, shape (n_clusters,), float, optional
        See `scan_loss`.

    Returns
    -------
    dict of Tensors, shape (...), in nats
        ``entropy``, and ``penalty``: minus the entropy, or the mean's divergence from the prior.
    """
    log_mean = log_p.logsumexp(-2) - math.log(log_p.shape[-2])
    entropy = -(log_mean.exp() * log_mean).sum(-1)
    penalty = -entropy if log_prior is None else (log_mean.exp() * (log_mean - log_prior)).sum(-1)
    return {"entropy": entropy, "penalty": penalty}


def confident_cross_entropy(
    weak: Tensor, strong: Tensor, threshold: float = 0.99, share: float = 0.0
) -> dict[str, Tensor]:
    """Return the cross-entropy of strong views with the clusters that their weak views are sure of.

    Clusters that are found sure of more often weigh less, each the same in sum: a large cluster is no reason to grow.
    With a share, the surest of each cluster's images count as sure of it too, whatever the threshold: else a cluster
    that few images are sure of is taught by few of them or none, and loses the rest to others.

    Parameters
    ----------
    weak, strong : Tensor, shape (..., batch, n_clusters), float
        Logits of two views of the same images, of one head or several. No gradient goes to the weak ones.
    threshold : float
        Probability from which a cluster is sure.
    share : float
        Share of each cluster's images, the surest, that count as sure whatever the threshold; rounded up.

    Returns
    -------
    dict of Tensors, shape (...)
        ``loss`` (in nats; 0, with a gradient of 0, where nothing is sure) and ``sure``, the share of images that
        are, without gradient.

    References
    ----------
    Van Gansbeke et al., "SCAN", ECCV 2020, arXiv:2005.12320, section 2.3.

    Examples
    --------
    >>> import torch
    >>> weak = torch.tensor([[9.0, 0.0], [0.0, 9.0], [0.1, 0.0]])
    >>> parts = confident_cross_entropy(weak, torch.zeros(3, 2))
    >>> round(parts["loss"].item(), 4), round(parts["sure"].item(), 4)  # log 2, two of three
    (0.6931, 0.6667)
    """
    surest, cluster = weak.detach().float().softmax(-1).max(-1)
    sure = (surest >= threshold).float()
    if share:
        sure = torch.maximum(sure, _among_surest(surest, cluster, weak.shape[-1], share))
    counts = sure.new_zeros(*weak.shape[:-2], weak.shape[-1]).scatter_add_(-1, cluster, sure)
    n_clusters = (counts > 0).sum(-1, keepdim=True).clamp_min(1)
    weight = sure / counts.gather(-1, cluster).clamp_min(1) / n_clusters
    error = cross_entropy(strong.float().flatten(0, -2), cluster.flatten(), reduction="none").view_as(sure)
    return {"loss": (weight * error).sum(-1), "sure": sure.mean(-1)}


def _among_surest(surest: Tensor, cluster: Tensor, n_clusters: int, share: float) -> Tensor:
    """Return 1 for this share of each cluster's images, the surest, rounded up, and 0 for others."""
    order = surest.argsort(dim=-1, descending=True, stable=True)
    order = order.gather(-1, cluster.gather(-1, order).argsort(dim=-1, stable=True))  # by cluster, the surest first
    ordered = cluster.gather(-1, order)
    clusters = torch.arange(n_clusters, device=surest.device).expand(*ordered.shape[:-1], -1).contiguous()
    first = torch.searchsorted(ordered, clusters)
    counts = torch.searchsorted(ordered, clusters, right=True) - first
    place = torch.arange(surest.shape[-1], device=surest.device) - first.gather(-1, ordered)
    wanted = (share * counts.double() - 1e-9).ceil()  # 0.3 of 50 are 15
    return torch.zeros_like(surest).scatter_(-1, order, (place < wanted.gather(-1, ordered)).float())
