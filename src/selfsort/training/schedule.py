"""How training steps: optimizer, learning rate, accumulation, clipping, averaging."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from selfsort.errors import DataError
from selfsort.training.lars import LARS
from selfsort.training.muon import Muon

Optimizer = Literal["adam", "adamw", "sgd", "lars", "muon"]
Schedule = Literal["constant", "cosine", "one-cycle", "step"]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
#: Those that are usually run in one cycle.
ONE_CYCLE: tuple[str, ...] = ("adam", "adamw", "muon")


@dataclass(frozen=True)
class Plan:
    """How to minimize an objective.

    Attributes
    ----------
    n_epochs : int
    lr : float
        Largest learning rate; at the start of the schedule unless it warms up.
    optimizer : {"adam", "adamw", "sgd", "lars", "muon"}
    momentum : float
        For SGD and LARS.
    nesterov : bool
        For SGD: Nesterov's momentum.
    weight_decay : float
        Not applied to biases and normalization weights, as is usual. Decoupled for AdamW and Muon, otherwise in the
        gradient.
    schedule : {"constant", "cosine", "one-cycle", "step"}
        Cosine falls to `final` x lr. One-cycle rises from lr / 25 in the first 30 % of the steps (or `warmup`, if
        given) and falls to lr / 10,000, both along a cosine (Smith & Topin, arXiv:1708.07120). Step multiplies by
        `step_factor` every `step_epochs` epochs.
    warmup : float
        Share of the steps in which the learning rate first rises, linearly for all but one-cycle.
    final : float
        Where the cosine ends, relative to `lr`.
    step_epochs, step_factor : int, float
    accumulate : int
        Batches whose gradients are averaged before each step of the optimizer.
    clip : float, optional
        Largest norm of the gradient.
    ema : float, optional
        Decay per step of an exponential moving average of the weights, which replaces them at the end.
    compile : bool
        Compile the objective with ``torch.compile``: minutes first, then faster where a GPU is at hand.
    replay : bool
        On a GPU, record the passes of a batch once and replay them (`selfsort.training.replay`), unless they are
        compiled. For objectives that read nothing but their arguments, weights and buffers, and wait for no value.
    """

    n_epochs: int
    lr: float = 1e-3
    optimizer: Optimizer = "adam"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    warmup: float = 0.0
    final: float = 0.0
    step_epochs: int = 1
    step_factor: float = 0.1
    accumulate: int = 1
    clip: float | None = None
    ema: float | None = None
    compile: bool = False
    replay: bool = False

    def rate(self, step: int, n_steps: int, steps_per_epoch: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        warmup = (self.warmup or 0.3) if self.schedule == "one-cycle" else self.warmup
        n_warmup = warmup * n_steps
        if step < n_warmup:
            if self.schedule == "one-cycle":
                return _cosine(self.lr / 25, self.lr, step / n_warmup)
            return self.lr * (step + 1) / (n_warmup + 1)
        done = (step - n_warmup) / max(1.0, n_steps - n_warmup)
        if self.schedule == "one-cycle":
            return _cosine(self.lr, self.lr * 1e-4, done)
        if self.schedule == "cosine":
            return _cosine(self.lr, self.lr * self.final, done)
        if self.schedule == "step":
            return self.lr * self.step_factor ** (step // steps_per_epoch // self.step_epochs)
        return self.lr

    def build(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of a module's weights that need a gradient, in its fused form."""
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        if not weights:
            raise DataError("There is nothing to train: no weight of the objective needs a gradient.")
        groups = [
            {"params": [w for w in weights if w.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        if self.optimizer == "lars":
            return LARS(groups, self.lr, momentum=self.momentum)
        if self.optimizer == "muon":
            return Muon(groups, self.lr)
        if self.optimizer == "sgd":
            nesterov = self.nesterov and self.momentum > 0
            return torch.optim.SGD(groups, self.lr, momentum=self.momentum, nesterov=nesterov, fused=True)
        kind = torch.optim.AdamW if self.optimizer == "adamw" else torch.optim.Adam
        return kind(groups, self.lr, fused=True)


def _cosine(start: float, stop: float, done: float) -> float:
    return stop + (start - stop) * (1 + math.cos(math.pi * done)) / 2


class Average:
    """Exponential moving average of a module's weights and statistics."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in _floats(module)}

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        """Move a little towards the module as it is now."""
        now = dict(_floats(module))
        torch._foreach_lerp_(list(self.values.values()), [now[name] for name in self.values], 1 - self.decay)

    def load(self, values: dict[str, torch.Tensor]) -> None:
        """Take the values of a checkpoint."""
        for name, value in self.values.items():
            value.copy_(values[name])

    @torch.no_grad()
    def give(self, module: torch.nn.Module) -> None:
        """Put the average in the place of the module's weights."""
        for name, value in _floats(module):
            value.copy_(self.values[name])


def _floats(module: torch.nn.Module) -> Iterable[tuple[str, torch.Tensor]]:
    """Yield the weights that are trained, and the statistics that go with them."""
    for name, part in module.named_modules():
        own = dict(part.named_parameters(recurse=False))
        yield from ((f"{name}.{key}", value) for key, value in own.items() if value.requires_grad)
        if isinstance(part, torch.nn.modules.batchnorm._NormBase) and all(w.requires_grad for w in own.values()):
            yield from ((f"{name}.{key}", v) for key, v in part.named_buffers() if v.is_floating_point())
