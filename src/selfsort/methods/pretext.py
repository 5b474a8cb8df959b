"""What clusters of images start from: an encoder that learned which views show the same image, and neighbors by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from selfsort.errors import DataError
from selfsort.losses.contrastive import nt_xent
from selfsort.methods.saving import load_model
from selfsort.methods.trained import Scaling, new_encoder
from selfsort.nets.backbones import Backbone
from selfsort.training.schedule import Optimizer, Plan
from selfsort.training.session import random_state

#: Length of a projection for small images, by SimCLR and by SCAN.
N_PROJECTED = 128


class Learned(NamedTuple):
    """An encoder of another run, and what is needed to build it again."""

    backbone: str
    width: int
    scaling: Scaling
    encoder: Backbone
    projector: nn.Module | None


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


def take_encoder(run: str | Path, shape: tuple[int, ...], scaling: Scaling, pictures: bool) -> Learned:
    """Read the encoder of a run folder.

    Parameters
    ----------
    run : path
    shape : tuple of int
        Of the samples that it is to encode.
    scaling : Scaling
        Their own, which tells their range.
    pictures : bool
        Whether they are the built-in encoder's features of pictures.

    Raises
    ------
    DataError, ModelError
        If there is none, it learned from another kind of samples, or a method made it of more than one part.
    """
    model: Any = load_model(run)
    found = tuple(getattr(model, "_sample_shape", ()))
    if not hasattr(model, "_encoder") or not hasattr(model, "backbone"):
        raise DataError(f"{run} holds a {type(model).__name__}, not an encoder. Give a SimCLR run.")
    if (model._preparation is not None) != pictures:
        kinds = ("an array", "pictures") if pictures else ("pictures", "an array")
        raise DataError(f"{run} was fitted on {kinds[0]}, this is {kinds[1]}. Give the same kind.")
    if found != shape:
        raise DataError(f"{run} is of samples of shape {found}: got samples of {shape}. Give the same.")
    ratio = float(scaling.factor / model._scaling.factor)
    if not 0.1 < ratio < 10:
        raise DataError(
            f"{run} was fitted on samples of another range: theirs is about {ratio:.3g} times that of these. Scale "
            "these as those."
        )
    backbone, width = getattr(model, "_origin", (model.backbone, model.width))
    with random_state(0):  # which is the caller's
        encoder = new_encoder(backbone, shape, width)
    try:
        encoder.module.load_state_dict(model._encoder.state_dict())
    except RuntimeError as error:
        raise DataError(f"The encoder of {run} has more than one part. Give a SimCLR run.") from error
    encoder.module.eval()
    return Learned(backbone, width, model._scaling, encoder, getattr(model, "_projector", None))
