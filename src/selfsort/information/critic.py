"""The network that gives scores to pairs, and what it is trained for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from selfsort.losses.information import donsker_varadhan, info_nce, jensen_shannon, joint_and_product, nwj

N_FACTORS = 32


class Critic(nn.Module):
    """A separable critic: T(x, y) = f(x) . g(y) + a(x) + b(y), with perceptrons f, a and g, b.

    All n^2 pairs of a batch cost two passes of n samples and one product of matrices. A perceptron has a linear
    shortcut from its input to its output: without one, products of small first weights hardly move for hundreds of
    steps, the longer the more columns there are.

    Parameters
    ----------
    n_x, n_y : int
        Columns of x and y.
    hidden : sequence of int
        Widths of the hidden layers of each perceptron.
    """

    def __init__(self, n_x: int, n_y: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.x, self.y = _Perceptron(n_x, hidden), _Perceptron(n_y, hidden)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scores of all pairs, shape (n, m)."""
        f, a = self.x(x).split([N_FACTORS, 1], 1)
        g, b = self.y(y).split([N_FACTORS, 1], 1)
        one_x, one_y = torch.ones_like(a), torch.ones_like(b)
        return torch.cat([f / math.sqrt(N_FACTORS), a, one_x], 1) @ torch.cat([g, one_y, b], 1).mT


class _Perceptron(nn.Module):
    def __init__(self, n_in: int, hidden: Sequence[int]) -> None:
        super().__init__()
        widths = [n_in, *hidden]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], N_FACTORS + 1))
        self.shortcut = nn.Linear(n_in, N_FACTORS + 1, bias=False)

    def forward(self, samples: Tensor) -> Tensor:
        out: Tensor = self.net(samples) + self.shortcut(samples)
        return out


class Objective(nn.Module):
    """What a critic is trained for.

    Parameters
    ----------
    estimator : {"auto", "dv", "nwj", "jsd", "info-nce"}
    critic : Critic
    """

    log_average: Tensor

    def __init__(self, estimator: str, critic: Critic) -> None:
        super().__init__()
        self.estimator, self.critic = estimator, critic
        self.register_buffer("log_average", torch.tensor(math.nan))

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return ``loss`` of a batch of pairs."""
        scores = self.critic(x, y)
        if self.estimator in ("auto", "info-nce"):
            return {"loss": info_nce(scores)["loss"]}
        joint, product = joint_and_product(scores)
        if self.estimator == "dv":
            terms = donsker_varadhan(joint, product, None if self.log_average.isnan() else self.log_average)
            self.log_average.copy_(terms["log_average"])
            return {"loss": terms["loss"]}
        return {"loss": {"nwj": nwj, "jsd": jensen_shannon}[self.estimator](joint, product)["loss"]}
