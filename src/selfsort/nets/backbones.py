"""Encoders by name, for images and for vectors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from torch import Tensor, nn

from selfsort.errors import DataError

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class Backbone(NamedTuple):
    """An encoder and what it returns.

    Attributes
    ----------
    module : nn.Module
        (batch, *shape) -> (batch, n_features).
    n_features : int
    """

    module: nn.Module
    n_features: int


def vgg_f(shape: Sequence[int], width: int = 64) -> Backbone:
    """Return the small VGG of Atienza, "Advanced Deep Learning with TensorFlow 2 and Keras", chapter 13.

    Four 3 x 3 convolutions of depth width, 2, 4 and 8 x width, each with batch normalization; all but the last halve
    the image by a maximum. Pooling comes before normalization, which then works on a quarter of the values.
    """
    depths = [shape[0], width, 2 * width, 4 * width, 8 * width]
    height, width_ = shape[1:]
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(depths)):
        layers.append(_started(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)))
        if i < 3 and min(height, width_) >= 2:
            layers.append(nn.MaxPool2d(2))
            height, width_ = height // 2, width_ // 2
        layers += [nn.BatchNorm2d(n_out), nn.ReLU()]
    return Backbone(nn.Sequential(*layers, nn.Flatten()), depths[-1] * height * width_)


def resnet18(shape: Sequence[int], width: int = 64) -> Backbone:
    """Return a ResNet-18 for small images: a 3 x 3 stem without pooling, as is usual for CIFAR.

    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
    """
    stem = [_started(nn.Conv2d(shape[0], width, 3, padding=1, bias=False)), nn.BatchNorm2d(width), nn.ReLU()]
    blocks: list[nn.Module] = []
    n_in = width
    for i in range(4):
        n_out = width * 2**i
        blocks += [_Block(n_in, n_out, stride=1 if i == 0 else 2), _Block(n_out, n_out)]
        n_in = n_out
    return Backbone(nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), n_in)


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a way around them."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.way = nn.Sequential(
            _started(nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            _started(nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)),
            nn.BatchNorm2d(n_out),
        )
        around: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            around = nn.Sequential(_started(nn.Conv2d(n_in, n_out, 1, stride, bias=False)), nn.BatchNorm2d(n_out))
        self.around = around

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.way(x) + self.around(x)).relu()
        return out


def mlp(shape: Sequence[int], width: int = 64) -> Backbone:
    """Return two dense hidden layers of 8 x width units with batch normalization, for vectors."""
    widths = [math.prod(shape), 8 * width, 8 * width]
    layers: list[nn.Module] = [nn.Flatten()]
    for n_in, n_out in itertools.pairwise(widths):
        layers += [_started(nn.Linear(n_in, n_out, bias=False)), nn.BatchNorm1d(n_out), nn.ReLU()]
    return Backbone(nn.Sequential(*layers), widths[-1])


def none(shape: Sequence[int], width: int = 64) -> Backbone:
    """Return the samples as they are, images flattened: for features that need no encoder."""
    return Backbone(nn.Flatten(), math.prod(shape))


#: Encoders that learn, by name.
BACKBONES: dict[str, Callable[[Sequence[int], int], Backbone]] = {"vgg-f": vgg_f, "resnet18": resnet18, "mlp": mlp}


def make_backbone(name: str, shape: Sequence[int], width: int = 64) -> Backbone:
    """Return the encoder of this name for samples of this shape.

    Parameters
    ----------
    name : {"auto", "vgg-f", "resnet18", "mlp", "none"}
        Auto is vgg-f for images of 8 x 8 pixels or more, mlp otherwise; "none" has no weights and returns the samples.
    shape : sequence of int
        Of one sample: (c, h, w) or (d,).
    width : int
        Channels of the first layer.

    Raises
    ------
    DataError
        If an encoder of images is to encode vectors.
    """
    images = len(shape) == 3
    if name == "auto":
        name = "vgg-f" if images and min(shape[1:]) >= 8 else "mlp"
    if name == "none":
        return none(shape, width)
    if name != "mlp" and not images:
        raise DataError(f"backbone={name!r} needs images of shape (n, c, h, w): got features of shape (n, {shape[0]}).")
    return BACKBONES[name](shape, width)


def _started(layer: Layer) -> Layer:
    """Draw weights that keep the variance through ReLU (He et al., ICCV 2015)."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer
