"""The contrastive stage: an encoder learns which views show the same image (SimCLR)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from selfsort.losses.contrastive import nt_xent
from selfsort.training.schedule import Optimizer, Plan

#: Length of a projection for small images, by SimCLR and by SCAN.
N_PROJECTED = 128


class Contrast(nn.Module):
    """NT-Xent of the projections of two views."""

    def __init__(self, scaling: nn.Module, encoder: nn.Module, projector: nn.Module, temperature: float) -> None:
        super().__init__()
        self.scaling, self.encoder, self.projector = scaling, encoder, projector
        self.temperature = temperature

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """Return the loss of two views, shape (batch, ...) each, and the share that is found."""
        first, second = self.projector(self.encoder(torch.cat([first, second]))).chunk(2)
        return nt_xent(first, second, self.temperature)


def make_projector(n_features: int, n_projected: int = N_PROJECTED) -> nn.Sequential:
    """Return the two layers between the features that are kept and the projections that the loss is of."""
    return nn.Sequential(nn.Linear(n_features, n_features), nn.ReLU(), nn.Linear(n_features, n_projected))


def contrast_plan(optimizer: Optimizer, learning_rate: float, n_epochs: int) -> Plan:
    """Return how an optimizer is usually run: Adam and AdamW in one cycle, SGD and LARS along a cosine.

    SGD's settings are those of SCAN's code, LARS's those of SimCLR, which rises in the first tenth.
    """
    if optimizer in ("adam", "adamw"):
        decay = 1e-4 if optimizer == "adamw" else 0.0
        return Plan(n_epochs, learning_rate, optimizer, weight_decay=decay, schedule="one-cycle")
    decay, warmup = (1e-4, 0.0) if optimizer == "sgd" else (1e-6, 0.1)
    return Plan(
        n_epochs,
        learning_rate,
        optimizer,
        nesterov=False,
        weight_decay=decay,
        schedule="cosine",
        warmup=warmup,
        final=1e-3,
    )
