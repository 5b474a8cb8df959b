"""EfficientNet-Lite0 as a network to train; its weights have the names of the published file."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from selfsort.nets import lite0


class _Conv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(n_in, n_out, kernel, stride, groups=groups, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        around = [lite0.same_padding(side, self.kernel_size[0], self.stride[0]) for side in (x.shape[3], x.shape[2])]
        return super().forward(functional.pad(x, (*around[0], *around[1])))


def _norm(n: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(n, eps=lite0.BATCH_NORM_EPS)


class _Block(nn.Module):
    """Expand, look at each channel's neighborhood, project, and add the input where the shape is kept."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int, skip: bool) -> None:
        super().__init__()
        n, self.skip, layers = n_in * expansion, skip, OrderedDict[str, nn.Module]()
        if expansion != 1:
            layers |= {"_expand_conv": _Conv(n_in, n, 1), "_bn0": _norm(n), "relu0": nn.ReLU6()}
        layers |= {"_depthwise_conv": _Conv(n, n, kernel, stride, groups=n), "_bn1": _norm(n), "relu1": nn.ReLU6()}
        layers |= {"_project_conv": _Conv(n, n_out, 1), "_bn2": _norm(n_out)}
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.children():
            y = layer(y)
        return y + x if self.skip else y


class EfficientNetLite0(nn.Module):
    """The network without its last layer: images of 1 or 3 channels in [0, 1] to 1,280 features."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _Conv(3, lite0.STEM, 3, 2), _norm(lite0.STEM)
        self._blocks = nn.ModuleList(_Block(*block) for block in lite0.blocks())
        self._conv_head = _Conv(self._blocks[-1]._bn2.num_features, lite0.HEAD, 1)
        self._bn1 = _norm(lite0.HEAD)

    def forward(self, x: Tensor) -> Tensor:
        """Return features, shape (batch, 1280)."""
        x = (255 * x.expand(-1, 3, -1, -1) - lite0.PIXEL_MEAN) / lite0.PIXEL_STD
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = functional.relu6(self._bn1(self._conv_head(x)))
        return torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1)
