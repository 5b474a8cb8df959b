"""EfficientNet-Lite0 in numbers, for whatever builds it: ONNX, without torch, or a network to train."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

#: (repeats, kernel, stride of the first, expansion, output channels) of each stage; Liu & Tan,
#: "EfficientNet-Lite" (2020): EfficientNet-B0 without squeeze-and-excitation, ReLU6, fixed stem and head.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280
#: The last block whose output is pooled beside the head's, and the features that the head and it give.
EARLIER, LAYERS = 14, (HEAD, 192)
BATCH_NORM_EPS = 1e-3
#: The network was trained on (pixel - 127) / 128 (EfficientNet-Lite), not on ImageNet's mean and deviation: on the
#: photo library's ImageNet samples this raises the mean top-1 probability.
PIXEL_MEAN, PIXEL_STD = 127.0, 128.0


class Block(NamedTuple):
    """An inverted residual block; with `skip` it is added to its input."""

    n_in: int
    n_out: int
    kernel: int
    stride: int
    expansion: int
    skip: bool


def blocks() -> Iterator[Block]:
    """Yield the blocks between stem and head."""
    n_in = STEM
    for repeats, kernel, stride, expansion, n_out in STAGES:
        for repeat in range(repeats):
            own = stride if repeat == 0 else 1
            yield Block(n_in, n_out, kernel, own, expansion, n_in == n_out and own == 1)
            n_in = n_out


def same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the pixels before and after a side by TensorFlow's "same" padding, the odd one after.

    Of sides that the stride divides, all have the same.
    """
    padding = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return padding // 2, padding - padding // 2
