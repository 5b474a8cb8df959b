"""What a critic that was trained on some samples says of others: bounds of mutual information, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from selfsort.information.columns import FloatArray
from selfsort.information.critic import Critic

#: Samples whose pairs are all looked at: InfoNCE cannot exceed the logarithm of it.
BLOCK = 512
#: exp(100) is far above any mean of e^T that leaves NWJ a positive bound, and its square still a number.
_LARGEST = 100.0


def contributions(estimator: str, critic: Critic, x: Tensor, y: Tensor, ceiling: float = math.inf) -> FloatArray:
    """Return what each sample adds to a bound.

    The samples are cut into blocks, and in each block every x meets every y.

    Parameters
    ----------
    estimator : {"auto", "dv", "nwj", "jsd", "info-nce"}
        The bounds of the same name; Donsker-Varadhan's for "auto" and "jsd" too.
    critic : Critic
        That these samples had no part in.
    x, y : Tensor, shape (n, d)
        On the critic's device; samples that belong together have the same number.
    ceiling : float
        Scores above it count as it, but for InfoNCE, which does not suffer from single ones.

    Returns
    -------
    ndarray of float64, shape (n,), in nats
        Their mean is the bound, and their standard deviation over the square root of n its standard error: what is not
        linear in the samples (the logarithm, the pairs) enters by its influence function, the delta method.
    """
    with torch.no_grad():
        if estimator == "info-nce":
            return np.concatenate([_info_nce(scores) for scores in _blocks(critic, x, y)])
        parts = [_means(scores.clamp(max=ceiling)) for scores in _blocks(critic, x, y)]
    joint, rows, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    log_mean = np.logaddexp.reduce(rows) - math.log(len(rows))
    weight = np.exp(rows - log_mean) + np.exp(columns - log_mean)  # 2 on average
    if estimator == "nwj":
        product = math.exp(min(log_mean - 1, _LARGEST))
        return joint - product * (weight - 1)
    return joint - log_mean - (weight - 2)


def info_nce_limit(n: int) -> float:
    """Return what InfoNCE cannot exceed on n samples, in nats."""
    return math.log(n // _n_blocks(n))


def paired(critic: Critic, x: Tensor, y: Tensor) -> Tensor:
    """Return the scores of the pairs that belong together, shape (n,)."""
    with torch.no_grad():
        return torch.cat([scores.diagonal() for scores in _blocks(critic, x, y)])


def _n_blocks(n: int) -> int:
    return -(-n // BLOCK)


def _blocks(critic: Critic, x: Tensor, y: Tensor) -> Iterator[Tensor]:
    n_blocks = _n_blocks(len(x))
    for first, second in zip(x.tensor_split(n_blocks), y.tensor_split(n_blocks), strict=True):
        yield critic(first, second)


def _means(scores: Tensor) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return T of the pairs that belong together, and log mean e^T of all others that each x, each y, is part of."""
    joint = scores.diagonal().double()
    top = scores.max()
    likely = (scores - top).exp().fill_diagonal_(0)
    shift = top.double() - math.log(len(scores) - 1)
    rows, columns = (likely.sum(axis).double().log() + shift for axis in (1, 0))
    return joint.cpu().numpy(), rows.cpu().numpy(), columns.cpu().numpy()


def _info_nce(scores: Tensor) -> FloatArray:
    rows, columns = scores.log_softmax(1), scores.log_softmax(0)
    as_other = (rows.exp().sum(0) + columns.exp().sum(1)) / 2  # a sample is also what others are told from: 1
    parts: FloatArray = ((rows.diagonal() + columns.diagonal()) / 2 - as_other).double().cpu().numpy()
    return parts + 1 + math.log(len(scores))
