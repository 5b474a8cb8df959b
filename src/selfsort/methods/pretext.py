"""What clusters of images start from: an encoder that learned which views show the same image, and neighbors by it."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from selfsort.errors import DataError
from selfsort.losses.contrastive import nt_xent
from selfsort.methods.saving import load_model
from selfsort.methods.trained import Scaling, new_encoder
from selfsort.nets.backbones import Backbone
from selfsort.training.batches import Batches, mixed
from selfsort.training.loop import train
from selfsort.training.schedule import ONE_CYCLE, Optimizer, Plan
from selfsort.training.session import Session, random_state

#: Length of a projection for small images, by SimCLR and by SCAN.
N_PROJECTED = 128
#: Units between features and projections where these are predictions of an average's.
HIDDEN = 2048
_OF_ONE_SIZE = ("auto", "vgg-f", "mlp", "none")


class Learned(NamedTuple):
    """An encoder of another run, and what is needed to build it again."""

    backbone: str
    width: int
    scaling: Scaling
    encoder: Backbone
    projector: nn.Module | None


class Contrast(nn.Module):
    """NT-Xent of the projections of two views.

    With `ema`, a decay per step, they are compared with those of a moving average of the network, which they predict by
    two more layers: the average and the predictor of MoCo v3 (Chen, Xie & He, ICCV 2021, arXiv:2104.02057).
    """

    def __init__(
        self,
        scaling: nn.Module,
        encoder: nn.Module,
        projector: nn.Sequential,
        temperature: float,
        ema: float | None = None,
    ) -> None:
        super().__init__()
        self.scaling, self.encoder, self.projector = scaling, encoder, projector
        self.temperature, self.ema = temperature, ema
        self.predictor: nn.Module = nn.Identity()
        if ema is not None:
            n = projector[-1].out_features
            self.predictor = make_projector(n, n, HIDDEN)
            self.average = nn.Sequential(copy.deepcopy(encoder), copy.deepcopy(projector)).requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """Return the loss of two views, shape (batch, ...) each, and the share that is found."""
        views = torch.cat([first, second])
        first, second = self.predictor(self.projector(self.encoder(views))).chunk(2)
        keys = None
        if self.ema is not None:
            with torch.no_grad():
                self._follow()
                keys = self.average(views).chunk(2)
        return nt_xent(first, second, self.temperature, keys)

    def _follow(self) -> None:
        assert self.ema is not None
        now = [*self.encoder.parameters(), *self.projector.parameters()]
        torch._foreach_lerp_(list(self.average.parameters()), now, 1 - self.ema)

    def settle(self) -> None:
        """Give the network the weights of its average, where there is one."""
        if self.ema is not None:
            self.encoder.load_state_dict(self.average[0].state_dict())
            self.projector.load_state_dict(self.average[1].state_dict())


def make_projector(n_features: int, n_projected: int = N_PROJECTED, n_hidden: int | None = None) -> nn.Sequential:
    """Return the two layers between the features that are kept and the projections that the loss is of.

    With `n_hidden` units between them, these are normalized over the batch; without, there are as many as features.
    """
    if n_hidden is None:
        return nn.Sequential(nn.Linear(n_features, n_features), nn.ReLU(), nn.Linear(n_features, n_projected))
    first = nn.Linear(n_features, n_hidden, bias=False)
    return nn.Sequential(first, nn.BatchNorm1d(n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_projected))


def contrast_plan(optimizer: Optimizer, learning_rate: float, n_epochs: int, weight_decay: float | None = None) -> Plan:
    """Return how an optimizer is usually run: Adam, AdamW and Muon in one cycle, SGD and LARS along a cosine.

    SGD's settings are those of SCAN's code, LARS's those of SimCLR, which rises in the first tenth.
    """
    usual = {"adam": 0.0, "adamw": 1e-4, "sgd": 1e-4, "lars": 1e-6, "muon": 0.05}[optimizer]
    plan = Plan(
        n_epochs,
        learning_rate,
        optimizer,
        nesterov=False,
        weight_decay=usual if weight_decay is None else weight_decay,
        schedule="one-cycle",
        replay=True,
    )
    if optimizer in ONE_CYCLE:
        return plan
    return replace(plan, schedule="cosine", warmup=0.1 if optimizer == "lars" else 0.0, final=1e-3)


def learn_to_contrast(
    session: Session,
    stage: str,
    backbone: Backbone,
    scaling: Scaling,
    batches: Batches,
    plan: Plan,
    *,
    temperature: float,
    ema: float | None,
) -> nn.Sequential:
    """Train an encoder so that views of one image are near, and return what projects its features."""
    with random_state(mixed(session.seed, 2)):
        projector = make_projector(backbone.n_features, n_hidden=None if ema is None else HIDDEN)
        objective = Contrast(scaling, backbone.module, projector, temperature, ema)
    train(session, stage, objective, batches, plan)
    objective.settle()
    return projector


def need_growing(backbone: str, shape: tuple[int, ...], **growth: float) -> None:
    """Refuse views that grow before an encoder whose layers fit images of one size; `growth` by its parameter's name.

    Raises
    ------
    DataError
        If it is not 0 and this encoder does not take samples of this shape in half their size.
    """
    ((name, share),) = growth.items()
    fits = len(shape) == 3 and backbone not in _OF_ONE_SIZE and (backbone != "vgg16" or min(shape[1:]) >= 64)
    if share and not fits:
        raise DataError(
            f"{name}={share} needs an encoder that takes images of half the size too: got backbone={backbone!r} and "
            f"samples of shape {shape}. Pass backbone='airbench' or 'resnet18', or leave {name} out."
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
