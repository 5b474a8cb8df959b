"""Lower bounds of mutual information from the scores of a critic, as losses.

A critic T gives a pair (x, y) a number: high where x and y belong together. What each bound makes of the scores of
pairs that do belong together and of pairs that were put together at random is largest where T is, up to a constant, the
log ratio log p(x, y) / (p(x) p(y)), and its largest value is the mutual information (for `jensen_shannon`, another
measure).
All are in nats, and their gradients are finite whatever the scores.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

#: Scores of random pairs from here on raise `nwj` only linearly; exp(20) is far above what a batch can tell from zero.
_LARGEST = 20.0


def joint_and_product(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Split the scores of all pairs of a batch into those of true pairs and those of random pairs.

    Parameters
    ----------
    scores : Tensor, shape (n, n), float
        Entry (i, j) belongs to the pair (x_i, y_j).

    Returns
    -------
    joint : Tensor, shape (n,)
        The diagonal: pairs that belong together.
    product : Tensor, shape (n * (n - 1),)
        All others.

    Examples
    --------
    >>> joint_and_product(torch.arange(9).view(3, 3))
    (tensor([0, 4, 8]), tensor([1, 2, 3, 5, 6, 7]))
    """
    n = len(scores)
    return scores.diagonal(), scores.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(-1)


def donsker_varadhan(
    joint: Tensor, product: Tensor, log_average: Tensor | None = None, rate: float = 0.01
) -> dict[str, Tensor]:
    """Return the Donsker-Varadhan bound, with a gradient that batches do not bias.

    I >= mean T - log mean e^T

    The gradient of the logarithm, mean(e^T dT) / mean(e^T), is a ratio of two means over one batch, so its expectation
    is not the gradient over all pairs. MINE divides by a moving average of mean(e^T) instead. The average includes the
    batch at hand, so no weight exceeds 1 / `rate`.

    Parameters
    ----------
    joint : Tensor, shape (n,), float
        Scores of pairs that belong together.
    product : Tensor, shape (m,), float
        Scores of pairs put together at random.
    log_average : Tensor, shape (), optional
        Logarithm of the moving average before this batch; without one, the batch's own mean is divided by.
    rate : float
        Weight of this batch in the new average, in (0, 1].

    Returns
    -------
    dict of scalar Tensors
        ``loss`` (minus the bound), ``information`` (the bound of this batch, in nats) and ``log_average`` (the new
        one). The last two carry no gradient.

    References
    ----------
    Belghazi et al., "Mutual Information Neural Estimation", ICML 2018, arXiv:1801.04062, section 3.2.

    Examples
    --------
    >>> parts = donsker_varadhan(torch.tensor([2.0, 2.0]), torch.zeros(2))
    >>> parts["information"], parts["loss"]
    (tensor(2.), tensor(-2.))
    """
    log_mean = product.logsumexp(0) - math.log(len(product))
    new = log_mean.detach()
    if log_average is not None:
        new = torch.logaddexp(log_average.detach() + math.log1p(-rate), new + math.log(rate)) if rate < 1 else new
    ratio = (log_mean - new).exp()
    information = (joint.mean() - log_mean).detach()
    # worth the bound, with the gradient of mean(T) - mean(e^T) / average
    loss = -joint.mean() + log_mean.detach() + ratio - ratio.detach()
    return {"loss": loss, "information": information, "log_average": new}


def nwj(joint: Tensor, product: Tensor) -> dict[str, Tensor]:
    """Return the bound of Nguyen, Wainwright & Jordan, also known as f-GAN's KL or MINE-f.

    I >= mean T - mean e^(T - 1)

    It needs no logarithm of a mean, so batches do not bias it; but it is tight for one T alone, 1 + the log ratio,
    where Donsker-Varadhan's is for any constant, and it varies more.

    Parameters
    ----------
    joint : Tensor, shape (n,), float
        Scores of pairs that belong together.
    product : Tensor, shape (m,), float
        Scores of pairs put together at random. Above 21 the exponential goes on as a straight line: its gradient would
        leave the range of float32.

    Returns
    -------
    dict of scalar Tensors
        ``loss`` (minus the bound) and ``information`` (the bound of this batch, in nats, without gradient).

    References
    ----------
    Nguyen, Wainwright & Jordan, "Estimating divergence functionals and the likelihood ratio by convex risk
    minimization", IEEE Trans. Inf. Theory 2010, arXiv:0809.0853; as here in Poole et al., "On Variational Bounds of
    Mutual Information", ICML 2019, arXiv:1905.06922, section 2.

    Examples
    --------
    >>> nwj(torch.tensor([2.0, 2.0]), torch.ones(2))["information"]
    tensor(1.)
    """
    above = (product - 1 - _LARGEST).clamp_min(0)
    bound = joint.mean() - ((product - 1 - above).exp() + math.exp(_LARGEST) * above).mean()
    return {"loss": -bound, "information": bound.detach()}


def jensen_shannon(joint: Tensor, product: Tensor) -> dict[str, Tensor]:
    """Return the Jensen-Shannon divergence between true and random pairs: how well T tells them apart.

    2 JS = 2 log 2 - mean softplus(-T) - mean softplus(T)

    It is no bound of the mutual information, but the T that maximizes it is the log ratio, and it varies little. Put
    that T into another bound to get nats of information.

    Parameters
    ----------
    joint : Tensor, shape (n,), float
        Scores of pairs that belong together.
    product : Tensor, shape (m,), float
        Scores of pairs put together at random.

    Returns
    -------
    dict of scalar Tensors
        ``loss`` (>= 0) and ``divergence`` (JS in nats, at most log 2, without gradient).

    References
    ----------
    Hjelm et al., "Learning deep representations by mutual information estimation and maximization", ICLR 2019,
    arXiv:1808.06670, equation 4. Poole et al., ICML 2019, arXiv:1905.06922, section 2.

    Examples
    --------
    >>> round(jensen_shannon(torch.full((2,), 90.0), torch.full((2,), -90.0))["divergence"].item(), 4)  # log 2
    0.6931
    """
    loss = functional.softplus(-joint).mean() + functional.softplus(product).mean()
    return {"loss": loss, "divergence": math.log(2) - loss.detach() / 2}


def info_nce(scores: Tensor) -> dict[str, Tensor]:
    """Return InfoNCE: how surely each x finds its y among all of the batch, and each y its x.

    I >= log n + mean_i log softmax_j(T_ij)_i, the mean of the bound over rows and that over columns

    It varies least of all, but never exceeds log n, and is far too low long before.

    Parameters
    ----------
    scores : Tensor, shape (n, n), float
        Entry (i, j) belongs to the pair (x_i, y_j); the diagonal belongs together.

    Returns
    -------
    dict of scalar Tensors
        ``loss`` (>= 0) and ``information`` (log n - loss, in nats, at most log n, without gradient).

    References
    ----------
    van den Oord, Li & Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018, arXiv:1807.03748,
    section 2.3. Poole et al., ICML 2019, arXiv:1905.06922, section 2.

    Examples
    --------
    >>> round(info_nce(90.0 * torch.eye(4))["information"].item(), 4)  # log 4
    1.3863
    """
    loss = -(scores.log_softmax(0).diagonal() + scores.log_softmax(1).diagonal()).mean() / 2
    return {"loss": loss, "information": math.log(len(scores)) - loss.detach()}
