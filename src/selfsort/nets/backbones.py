"""Encoders by name, for images and for vectors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from torch import Tensor, nn

from selfsort.errors import DataError
from selfsort.nets.efficientnet import EfficientNetLite0
from selfsort.nets.lite0 import HEAD

_SMALL = 32 * 32  # pixels
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
    """Return a ResNet-18.

    Images of up to 64 pixels meet a 3 x 3 convolution without pooling first, as is usual for CIFAR, larger ones the
    published 7 x 7 convolution and a maximum.
    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
    """
    return _resnet(shape, width, _Block, (2, 2, 2, 2))


def resnet50(shape: Sequence[int], width: int = 64) -> Backbone:
    """Return a ResNet-50, with the first layers of `resnet18`."""
    return _resnet(shape, width, _Bottleneck, (3, 4, 6, 3))


def _resnet(
    shape: Sequence[int], width: int, block: type[_Block] | type[_Bottleneck], depths: Sequence[int]
) -> Backbone:
    if max(shape[1:]) <= 64:
        stem = [_started(nn.Conv2d(shape[0], width, 3, padding=1, bias=False)), nn.BatchNorm2d(width), nn.ReLU()]
    else:
        stem = [_started(nn.Conv2d(shape[0], width, 7, 2, 3, bias=False)), nn.BatchNorm2d(width), nn.ReLU()]
        stem.append(nn.MaxPool2d(3, 2, 1))
    blocks: list[nn.Module] = []
    n_in = width
    for i, depth in enumerate(depths):
        n_out = width * 2**i * block.expansion
        for j in range(depth):
            blocks.append(block(n_in, n_out, stride=2 if i and not j else 1))
            n_in = n_out
    return Backbone(nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), n_in)


class _Residual(nn.Module):
    """Convolutions, and a way around them."""

    expansion = 1

    def __init__(self, n_in: int, n_out: int, stride: int, *layers: nn.Module) -> None:
        super().__init__()
        self.way = nn.Sequential(*layers)
        around: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            around = nn.Sequential(_started(nn.Conv2d(n_in, n_out, 1, stride, bias=False)), nn.BatchNorm2d(n_out))
        self.around = around

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.way(x) + self.around(x)).relu()
        return out


class _Block(_Residual):
    """Two 3 x 3 convolutions."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__(n_in, n_out, stride, *_conv(n_in, n_out, 3, stride), nn.ReLU(), *_conv(n_out, n_out, 3))


class _Bottleneck(_Residual):
    """A 3 x 3 convolution of a quarter of the channels."""

    expansion = 4

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        n = n_out // self.expansion
        layers = [*_conv(n_in, n, 1), nn.ReLU(), *_conv(n, n, 3, stride), nn.ReLU(), *_conv(n, n_out, 1)]
        super().__init__(n_in, n_out, stride, *layers)


def _conv(n_in: int, n_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        _started(nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=False)),
        nn.BatchNorm2d(n_out),
    ]


def airbench(shape: Sequence[int], width: int = 64) -> Backbone:
    """Return the layers of airbench's network, which learned to classify CIFAR-10 fastest.

    Three blocks of two 3 x 3 convolutions of depth width, 4 and 4 x width, each halved by a maximum after its first
    one; then a maximum over all places. Before them, 24 filters of 3 x 3 are learned; the published network has filters
    there that whiten patches of the training images and stay as they are, and other starting weights.
    Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, arXiv:2404.00498.
    """
    n_in, side = 24, min(shape[1:])
    layers = [*_conv(shape[0], n_in, 3), nn.GELU()]
    for n_out in (width, 4 * width, 4 * width):
        layers.append(_started(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)))
        if side >= 2:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        layers += [nn.BatchNorm2d(n_out), nn.GELU(), *_conv(n_out, n_out, 3), nn.GELU()]
        n_in = n_out
    return Backbone(nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten()), n_in)


def vgg16(shape: Sequence[int], width: int = 64) -> Backbone:
    """Return a VGG-16 with batch normalization, and a mean in the place of its dense layers.

    Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.
    """
    layers: list[nn.Module] = []
    n_in, side = shape[0], min(shape[1:])
    for depth, n_out in ((2, width), (2, 2 * width), (3, 4 * width), (3, 8 * width), (3, 8 * width)):
        for _ in range(depth):
            layers += [*_conv(n_in, n_out, 3), nn.ReLU()]
            n_in = n_out
        if side >= 2:
            layers.append(nn.MaxPool2d(2))
            side //= 2
    return Backbone(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), n_in)


def alexnet(shape: Sequence[int], width: int = 96) -> Backbone:
    """Return AlexNet with batch normalization in the place of local responses, as DeepCluster has it.

    Images with a side of up to 64 pixels meet a 3 x 3 convolution first, and 2 x 2 maxima. The published width is 96.
    Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012.
    """
    small = min(shape[1:]) <= 64
    depths = [width, width * 8 // 3, 4 * width, 4 * width, width * 8 // 3]
    kernels = [3 if small else 11, 5, 3, 3, 3]
    layers: list[nn.Module] = []
    n_in = shape[0]
    for i, (n_out, kernel) in enumerate(zip(depths, kernels, strict=True)):
        layers += [*_conv(n_in, n_out, kernel, 1 if small or i else 4), nn.ReLU()]
        if i in (0, 1, 4):
            layers.append(nn.MaxPool2d(2, ceil_mode=True) if small else nn.MaxPool2d(3, 2, ceil_mode=True))
        n_in = n_out
    n_dense = width * 128 // 3  # 4,096 as published
    pooled = 4 if small else 6
    dense = [nn.AdaptiveMaxPool2d(pooled), nn.Flatten()]
    for n_out in (n_dense, n_dense):
        n_before = n_in * pooled**2 if len(dense) == 2 else n_dense
        dense += [nn.Dropout(0.5), _started(nn.Linear(n_before, n_out)), nn.ReLU()]
    return Backbone(nn.Sequential(*layers, *dense), n_dense)


def efficientnet_lite0(shape: Sequence[int], width: int = 32) -> Backbone:
    """Return EfficientNet-Lite0, whose width is fixed, for images of 1 or 3 channels.

    Liu & Tan, "EfficientNet-Lite", 2020.
    """
    return Backbone(EfficientNetLite0(), HEAD)


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
BACKBONES: dict[str, Callable[[Sequence[int], int], Backbone]] = {
    "vgg-f": vgg_f,
    "airbench": airbench,
    "vgg16": vgg16,
    "alexnet": alexnet,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "efficientnet-lite0": efficientnet_lite0,
    "mlp": mlp,
}


def make_backbone(name: str, shape: Sequence[int], width: int = 64) -> Backbone:
    """Return the encoder of this name for samples of this shape.

    Parameters
    ----------
    name : str
        One of `BACKBONES`, "auto" or "none". Auto is vgg-f for images of 8 x 8 to 32 x 32 pixels, whose features grow
        with the image; resnet18 for larger ones, mlp for smaller ones and vectors. "none" has no weights and returns
        the samples.
    shape : sequence of int
        Of one sample: (c, h, w) or (d,).
    width : int
        Channels of the first layer.

    Raises
    ------
    DataError
        If an encoder cannot encode such samples.
    """
    images = len(shape) == 3
    if name == "auto":
        small = "mlp" if not images or min(shape[1:]) < 8 else "vgg-f"
        name = small if len(shape) < 3 or math.prod(shape[1:]) <= _SMALL else "resnet18"
    if name == "none":
        return none(shape, width)
    if name != "mlp" and not images:
        raise DataError(f"backbone={name!r} needs images of shape (n, c, h, w): got features of shape (n, {shape[0]}).")
    if name == "efficientnet-lite0" and shape[0] not in (1, 3):
        raise DataError(f"backbone={name!r} needs images of 1 or 3 channels: got {shape[0]}. Pass another backbone.")
    return BACKBONES[name](shape, width)


def layer_outputs(module: nn.Module, x: Tensor, n_values: int = 1024) -> list[Tensor]:
    """Return what an encoder's layers say of samples, each pooled by means to few values, as linear probes take them.

    Parameters
    ----------
    module : nn.Module
        An encoder of `make_backbone`, or a Sequential that ends in one.
    x : Tensor, shape (batch, *shape)
    n_values : int
        About how many values of a layer are kept per sample.

    Returns
    -------
    list of Tensor, shape (batch, n_i)
        After each convolution's or residual block's activation, from the first to the last, then the encoder's
        features; of "mlp" and "efficientnet-lite0" only these.
    """
    found = []
    for layer in _layers(module):
        x = layer(x)
        if x.ndim == 4 and isinstance(layer, nn.ReLU | nn.GELU | _Residual):
            side = max(1, math.isqrt(n_values // x.shape[1]))
            pooled = nn.functional.adaptive_avg_pool2d(x, (min(side, x.shape[2]), min(side, x.shape[3])))
            found.append(pooled.flatten(1))
    return [*found, x]


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    if not isinstance(module, nn.Sequential):
        yield module
        return
    for child in module:
        yield from _layers(child)


def _started(layer: Layer) -> Layer:
    """Draw weights that keep the variance through ReLU (He et al., ICCV 2015)."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer
