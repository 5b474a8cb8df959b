"""The stages of a view: what is done to a batch of pictures, float32 of shape (n, c, height, width), once all is drawn.

Pictures are contiguous; a stage may write into the pictures it is given. Parameters have one entry per picture.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

NONE = 2.0  # a threshold that no value reaches


def grid(matrix: Tensor, height: int, width: int) -> Tensor:
    """Return where each output pixel is read, shape (n, height, width, 2), as `affine_grid` of ``align_corners=False``.

    It costs a quarter of `affine_grid`, and is no matrix product, which TF32 would round to 10 bits on a GPU.
    """
    x, y = (torch.arange(1 - side, side, 2, device=matrix.device) / side for side in (width, height))
    columns = matrix[:, :, 0, None] * x
    rows = matrix[:, :, 1, None] * y + matrix[:, :, 2, None]
    return (columns[:, :, None, :] + rows[:, :, :, None]).permute(0, 2, 3, 1)


def changed(
    which: Tensor, x: Tensor, change: Callable[..., Tensor], *params: Tensor, everything: bool | None = None
) -> Tensor:
    """Return the pictures, those that `which` marks changed: ``change(pictures, *their parameters)``.

    On a GPU all are changed (or where `everything` is set), since counting the marked ones would wait for the device.
    """
    if x.device.type != "cpu" if everything is None else everything:
        return torch.where(which[:, None, None, None], change(x, *params), x)
    rows = which.nonzero()[:, 0]
    if len(rows):
        x.index_copy_(0, rows, change(x[rows], *(param[rows] for param in params)))
    return x


def thickened(x: Tensor, share: Tensor) -> Tensor:
    """Blend each picture with the maximum of 3 x 3 pixels around each, or, where the share is below 0, the minimum."""
    n, c, h, w = x.shape
    sign = torch.where(share < 0, -1.0, 1.0)[:, None, None, None]  # a minimum is the maximum of the negative
    padded = functional.pad(x * sign, (1, 1, 1, 1), value=-torch.inf)
    # As one line of pixels: 15 times as fast as max_pool2d. What wraps around at the edges is padding.
    line, wide = padded.view(-1), w + 2
    of_row = torch.maximum(torch.maximum(line[:-2], line[1:-1]), line[2:])
    of_all = torch.maximum(torch.maximum(of_row[: -2 * wide], of_row[wide:-wide]), of_row[2 * wide :])
    most = of_all.as_strided((n, c, h, w), (c * (h + 2) * wide, (h + 2) * wide, wide, 1))
    return torch.lerp(x, most * sign, share.abs()[:, None, None, None])


@lru_cache
def _yiq(device: torch.device) -> Tensor:
    """Return three 3 x 3 matrices, as rows: what keeps gray, what keeps chroma, and what turns it by 90 degrees."""
    to_yiq = torch.tensor(
        [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]], dtype=torch.float64
    )
    back = torch.linalg.inv(to_yiq)
    quarter = torch.tensor([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    parts = [torch.diag(torch.tensor([1.0, 0, 0])), torch.diag(torch.tensor([0.0, 1, 1])), quarter]
    return torch.stack([(back @ part.double() @ to_yiq).flatten() for part in parts]).float().to(device)


def colored(x: Tensor, color: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of each picture, and clamp to [0, 1].

    With factors b, c, s, the turn t of the hue, luma Y and chroma C, the output is b (c Y + (1 - c) mean Y) in luma and
    b c s C turned by t in chroma: one matrix and one offset per picture. Without three channels, there is no chroma.
    """
    n, channels = x.shape[:2]
    brightness, contrast, saturation, turn = color.unbind(1)
    flat = x.view(n, channels, -1)
    mean = flat.mean(2)
    gain = brightness * contrast
    if channels != 3:
        offset = brightness * (1 - contrast) * mean.mean(1)
        return torch.addcmul(offset[:, None, None], flat, gain[:, None, None]).clamp_(0, 1).view_as(x)
    basis = _yiq(x.device)
    offset = brightness * (1 - contrast) * (mean * basis[0, :3]).sum(1)
    weights = torch.stack([gain, gain * saturation * turn.cos(), gain * saturation * turn.sin()], 1)
    matrix = (weights[:, :, None] * basis).sum(1).view(n, 3, 3)
    return torch.baddbmm(offset[:, None, None], matrix, flat).clamp_(0, 1).view_as(x)


def autocontrast(x: Tensor) -> Tensor:
    """Stretch each channel to [0, 1], as PIL does."""
    flat = x.flatten(2)
    low, high = flat.amin(2)[:, :, None, None], flat.amax(2)[:, :, None, None]
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1e-6), x)


def solarized(x: Tensor, threshold: Tensor) -> Tensor:
    """Invert values from the threshold up."""
    return torch.where(x < threshold[:, None, None, None], x, 1 - x)


def posterized(x: Tensor, bits: Tensor) -> Tensor:
    """Keep only the highest bits of each value, of 8."""
    step = (2 ** (8 - bits))[:, None, None, None]
    return ((x * 255).round_() / step).floor_() * (step / 255)


def equalized(x: Tensor) -> Tensor:
    """Spread the values of each channel evenly over 256 levels, as PIL does."""
    levels = (x.flatten(2) * 255).round_().long()
    ones = torch.ones((), device=x.device).expand_as(levels)
    counts = torch.zeros(*levels.shape[:2], 256, device=x.device).scatter_add_(2, levels, ones)
    highest = counts.gather(2, levels.amax(2, keepdim=True))
    step = ((levels.shape[2] - highest) / 255).floor_()
    below = counts.cumsum(2) - counts
    table = ((step / 2).floor_() + below).div_(step.clamp(min=1)).floor_().clamp_(max=255) / 255
    return torch.where(step[..., None] > 0, table.gather(2, levels).view_as(x), x)


def blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur each picture by its own Gaussian, cut at 5 sigma; at the edges, weights are of the pixels that there are."""
    n, c, h, w = x.shape
    x = torch.bmm(x.view(n, c * h, w), _gaussian(sigma, w)).view(n, c, h, w)
    return torch.matmul(_gaussian(sigma, h).mT[:, None], x)


def _gaussian(sigma: Tensor, side: int) -> Tensor:
    """Return matrices that blur rows of pixels from the right, shape (n, side, side); each column adds up to 1.

    Two matrix products are faster than convolutions with a kernel per picture, on the CPU by half.
    """
    distance = torch.arange(side, device=sigma.device)
    weight = torch.exp(-0.5 * (distance / sigma.clamp(min=1e-3)[:, None]).clamp(max=9).square())
    weight = weight * (weight > 3e-6)  # up to 5 sigma: tiny numbers would take many times as long to multiply
    weights = weight[:, (distance[:, None] - distance).abs()]
    return weights / weights.sum(1, keepdim=True)


def cut(x: Tensor, square: Tensor, fill: float) -> Tensor:
    """Fill a square of each picture: the pixels whose center is nearer than half its side, along both axes."""
    h, w = x.shape[2:]
    across, down, half = square[:, :, None].unbind(1)
    columns = (torch.arange(w, device=x.device) + 0.5 - across).abs() < half
    rows = (torch.arange(h, device=x.device) + 0.5 - down).abs() < half
    inside = (rows[:, None, :, None] & columns[:, None, None, :]).to(x.dtype)
    return x.lerp_(x.new_full((), fill), inside)
