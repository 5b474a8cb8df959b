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


def conv_autoencoder(shape: Sequence[int], channels: Sequence[int] = (32, 64, 128), n_codes: int = 10) -> Autoencoder:
    """Return 3 x 3 convolutions that halve the image each, and their transposes.

    After Guo et al., "Deep Clustering with Convolutional Autoencoders", ICONIP 2017. The first and the last work on
    squares of 2 x 2 pixels, which is what their 5 x 5 of stride 2 see, on four times the channels: processors are slow
    where there is but one. There are fewer convolutions where a side of the image is shorter than 2^3 pixels.
    """
    n_in, height, width = shape
    channels = tuple(channels)[: max(1, int(math.log2(max(2, min(height, width)))))]
    sides = [(height, width)]
    for _ in channels:
        sides.append(((sides[-1][0] + 1) // 2, (sides[-1][1] + 1) // 2))
    encoder: list[nn.Module] = []
    decoder: list[nn.Module] = []
    depths = [n_in, *channels]
    for i, (n_outer, n_inner) in enumerate(itertools.pairwise(depths)):
        odd = [side % 2 for side in sides[i]]
        if i == 0 and not any(odd):
            encoder += [nn.PixelUnshuffle(2), _started(nn.Conv2d(4 * n_outer, n_inner, 3, 1, 1)), nn.ReLU()]
            decoder = [_started(nn.Conv2d(n_inner, 4 * n_outer, 3, 1, 1)), nn.PixelShuffle(2)]
            continue
        encoder += [_started(nn.Conv2d(n_outer, n_inner, 3, 2, 1)), nn.ReLU()]
        padding = tuple(1 - o for o in odd)  # what a stride of 2 cannot tell apart
        back = nn.ConvTranspose2d(n_inner, n_outer, 3, 2, 1, output_padding=padding)
        decoder = [_started(back), *([nn.ReLU()] if i else []), *decoder]
    smallest = (channels[-1], *sides[-1])
    n_flat = math.prod(smallest)
    return Autoencoder(
        nn.Sequential(*encoder, nn.Flatten(), _started(nn.Linear(n_flat, n_codes))),
        nn.Sequential(_started(nn.Linear(n_codes, n_flat)), nn.ReLU(), nn.Unflatten(1, smallest), *decoder),
    )


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
