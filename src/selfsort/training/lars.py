"""LARS: momentum with a rate for each layer, for batches of thousands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class LARS(torch.optim.Optimizer):
    """Stochastic gradient descent whose steps are as large, compared with the weights, in every layer.

    g += decay w;  v = momentum v + lr trust |w| / |g| g;  w -= v

    Weights of one axis (biases, normalization) take plain steps, as SimCLR has it: v = momentum v + lr g.

    Parameters
    ----------
    params : iterable of dict
    lr : float
    momentum : float
    trust : float
        Length of a step as a share of the weights' length, at a rate of 1.

    References
    ----------
    You et al., "Large Batch Training of Convolutional Networks", arXiv:1708.03888.
    """

    def __init__(self, params: Iterable[dict[str, Any]], lr: float, momentum: float = 0.9, trust: float = 1e-3) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "trust": trust, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step along the gradients that there are, or that a closure makes, whose loss is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            for weight in weights:
                self._move(weight, group)
        return loss

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        gradient = weight.grad
        assert gradient is not None
        rate: Tensor | float = group["lr"]
        if weight.ndim > 1:
            gradient = gradient.add(weight, alpha=group["weight_decay"])
            lengths = weight.norm(), gradient.norm()
            known = (lengths[0] > 0) & (lengths[1] > 0)
            rate = torch.where(known, group["lr"] * group["trust"] * lengths[0] / lengths[1], group["lr"])
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient * rate)
        weight.sub_(velocity)
