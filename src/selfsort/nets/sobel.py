"""Edges in the place of colors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


class Sobel(nn.Module):
    """Turn images into the slopes of their brightness along x and y, by Sobel's filters: (n, c, h, w) to (n, 2, h, w).

    Beyond the border, images are taken to go on as at the border, so that a plain one has no edges.
    """

    def __init__(self) -> None:
        super().__init__()
        along = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        self.register_buffer("filters", torch.stack([along, along.T])[:, None])

    def forward(self, images: Tensor) -> Tensor:
        """Return slopes, shape (n, 2, h, w)."""
        gray = nn.functional.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        return conv2d(gray, self.filters)
