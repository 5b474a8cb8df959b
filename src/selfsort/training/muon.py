"""Muon: momentum whose steps are as large in every direction of a layer, for training in few passes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from selfsort.training.session import resolve_precision

#: Of the quintic polynomial that brings singular values near 1, and how often it is applied.
_POLYNOMIAL, _N_STEPS = (3.4445, -4.7750, 2.0315), 5
#: Root mean square of a step at a rate of 1, which is about Adam's: so rates and decays are alike.
_SCALE = 0.2
#: Decays of Adam's two averages, for weights of one axis.
_MEAN, _SQUARE = 0.9, 0.99


class Muon(torch.optim.Optimizer):
    """Momentum that is made orthogonal: all singular values of the step of a layer are about 1.

    v = momentum v + (1 - momentum) g;  u = orthogonal((1 - momentum) g + momentum v);
    w = (1 - lr decay) w - 0.2 sqrt(max(n_out, n_in)) lr u

    Kernels of convolutions are matrices of shape (n_out, n_in x height x width). Weights of one axis (biases,
    normalization) take Adam's steps, whose averages are not corrected for their start: with these decays the first
    hundred steps are up to twice as large.

    Parameters
    ----------
    params : iterable of dict
    lr : float
        About as for Adam; larger ones are borne.
    momentum : float

    References
    ----------
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, kellerjordan.github.io/posts/muon;
    the length of steps is that of Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982. `torch.optim.Muon`
    takes matrices only, and one after the other.
    """

    def __init__(self, params: Iterable[dict[str, Any]], lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step along the gradients that there are, or that a closure makes, whose loss is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            vectors = []
            for weight in group["params"]:
                if weight.grad is None or not weight.numel():
                    continue
                if weight.ndim > 1:
                    alike[len(weight), weight.numel() // len(weight)].append(weight)
                else:
                    vectors.append(weight)
            for (height, width), weights in alike.items():
                steps = self._orthogonal(weights, group["momentum"])
                rate = _SCALE * max(height, width) ** 0.5 * group["lr"]
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(weights, steps, alpha=-rate)
            if vectors:
                self._adam(vectors, group["lr"])
        return loss

    def _orthogonal(self, weights: list[nn.Parameter], momentum: float) -> list[Tensor]:
        """Return the steps of weights that are matrices of one shape."""
        gradients, velocities = _gradients(weights), self._averages(weights, "velocity")
        torch._foreach_lerp_(velocities, gradients, 1 - momentum)
        wanted = torch._foreach_lerp(gradients, velocities, momentum)
        steps = orthogonal(torch.stack([step.reshape(len(step), -1) for step in wanted]))
        return [step.reshape(weight.shape).to(weight.dtype) for step, weight in zip(steps, weights, strict=True)]

    def _adam(self, weights: list[nn.Parameter], rate: float) -> None:
        gradients = _gradients(weights)
        means, squares = self._averages(weights, "mean"), self._averages(weights, "square")
        torch._foreach_lerp_(means, gradients, 1 - _MEAN)
        torch._foreach_mul_(squares, _SQUARE)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - _SQUARE)
        lengths = torch._foreach_sqrt(squares)
        torch._foreach_add_(lengths, 1e-8)
        torch._foreach_addcdiv_(weights, means, lengths, value=-rate)

    def _averages(self, weights: list[nn.Parameter], name: str) -> list[Tensor]:
        for weight in weights:
            if name not in self.state[weight]:
                self.state[weight][name] = torch.zeros_like(weight)
        return [self.state[weight][name] for weight in weights]


def orthogonal(matrices: Tensor) -> Tensor:
    """Return matrices with the singular vectors of these, and singular values of about 0.7 to 1.2; zeros stay.

    Values of less than a hundredth of a matrix's length end lower. By the iteration of Newton and Schulz, in bf16 where
    the hardware multiplies it faster, whatever precision the network has.

    Parameters
    ----------
    matrices : Tensor, shape (n, height, width)
    """
    fast = resolve_precision("auto", matrices.device) == "bf16-mixed"
    x = matrices.to(torch.bfloat16 if fast else torch.float32)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    first, second, third = _POLYNOMIAL
    for _ in range(_N_STEPS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=second, alpha=third), x, beta=first)
    return x.mT if tall else x


def _gradients(weights: list[nn.Parameter]) -> list[Tensor]:
    gradients = []
    for weight in weights:
        assert weight.grad is not None
        gradients.append(weight.grad)
    return gradients
