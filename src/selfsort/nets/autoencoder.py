"""Autoencoders for vectors and for images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn


class Autoencoder(nn.Module):
    """An encoder and a decoder.

    Attributes
    ----------
    encoder : nn.Module
        (batch, *shape) -> (batch, n_codes), float; a linear last layer, so codes may lie anywhere.
    decoder : nn.Module
        The way back, linear at its end too.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes and the reconstructions."""
        code = self.encoder(x)
        return code, self.decoder(code)


def dense_autoencoder(shape: Sequence[int], hidden: Sequence[int] = (500, 500, 2000), n_codes: int = 10) -> Autoencoder:
    """Return fully connected layers with ReLU between them; images are flattened.

    The default is that of Xie et al., "Unsupervised Deep Embedding for Clustering Analysis", ICML 2016.
    """
    widths = [math.prod(shape), *hidden, n_codes]
    encoder = nn.Sequential(nn.Flatten(), *_dense(widths))
    decoder = nn.Sequential(*_dense(widths[::-1]), nn.Unflatten(1, tuple(shape)))
    return Autoencoder(encoder, decoder)


def _dense(widths: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layer = nn.Linear(n_in, n_out)
        bound = math.sqrt(1 / n_in)  # VarianceScaling(1/3), uniform, as in the code behind DEC's numbers
        nn.init.uniform_(layer.weight, -bound, bound)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return layers[:-1]


def conv_autoencoder(
    shape: Sequence[int], channels: Sequence[int] = (16, 32, 64, 128), n_codes: int = 10
) -> Autoencoder:
    """Return 3 x 3 convolutions for images, and a lighter way back.

    All convolutions but the last halve the image by a maximum, as long as 2 x 2 pixels are left, and batch
    normalization follows each. The decoder has no transpose of the last two, since the few numbers of a code give them
    nothing to work on, and its last convolution draws squares of 2 x 2 pixels: processors are slow where there is but
    one channel.
    After Guo et al., "Deep Clustering with Convolutional Autoencoders", ICONIP 2017, whose encoder halves by strides.
    """
    n_in, height, width = shape
    sides = [(height, width)]
    encoder: list[nn.Module] = []
    for i, (n_outer, n_inner) in enumerate(itertools.pairwise([n_in, *channels])):
        halved = i < len(channels) - 1 and min(sides[-1]) >= 4
        norm = max(sides[-1]) > 1  # one pixel per image is nothing to normalize by
        encoder.append(_started(nn.Conv2d(n_outer, n_inner, 3, 1, 1, bias=not norm)))
        if halved:
            encoder.append(nn.MaxPool2d(2, ceil_mode=True))
            sides.append(((sides[-1][0] + 1) // 2, (sides[-1][1] + 1) // 2))
        encoder += [nn.BatchNorm2d(n_inner), nn.ReLU()] if norm else [nn.ReLU()]
    start = max(len(sides) - 2, min(1, len(sides) - 1))  # which of `sides` the decoder begins with
    decoder: list[nn.Module] = []
    for i in range(start, 0, -1):
        n_outer = channels[i - 2] if i > 1 else n_in
        decoder += [*_doubled(channels[i - 1], n_outer, sides[i - 1]), nn.ReLU()]
    decoder = decoder[:-1] or [_started(nn.Conv2d(channels[0], n_in, 3, 1, 1))]
    first = (channels[max(start, 1) - 1], *sides[start])
    to_code = _started(nn.Linear(channels[-1] * math.prod(sides[-1]), n_codes))
    from_code = _started(nn.Linear(n_codes, math.prod(first)))
    return Autoencoder(
        nn.Sequential(*encoder, nn.Flatten(), to_code),
        nn.Sequential(from_code, nn.ReLU(), nn.Unflatten(1, first), *decoder),
    )


def _doubled(n_in: int, n_out: int, sides: tuple[int, int]) -> list[nn.Module]:
    """Return a convolution that doubles images to these sides."""
    odd = [side % 2 for side in sides]
    if n_out < n_in / 4 and not any(odd):
        return [_started(nn.Conv2d(n_in, 4 * n_out, 3, 1, 1)), nn.PixelShuffle(2)]
    padding = tuple(1 - o for o in odd)  # what a stride of 2 cannot tell apart
    return [_started(nn.ConvTranspose2d(n_in, n_out, 3, 2, 1, output_padding=padding))]


def _started(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """Draw weights that keep the variance through ReLU (He et al., ICCV 2015); biases start at 0."""
    if isinstance(layer, nn.Linear):
        n_inputs = layer.in_features
    else:
        n_inputs = layer.in_channels * math.prod(layer.kernel_size)
        if isinstance(layer, nn.ConvTranspose2d):
            n_inputs /= math.prod(layer.stride)  # of the kernel's places so many meet a pixel
    nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / n_inputs))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
