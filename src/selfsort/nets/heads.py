"""What sits on an encoder: cluster heads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, normalize


class Heads(nn.Module):
    """Several linear cluster heads on the same features, computed as one.

    Heads see the same features and start from other weights, so what they agree on did not depend on luck.
    """

    def __init__(self, n_features: int, n_heads: int, n_clusters: int) -> None:
        super().__init__()
        self.n_features, self.n_heads, self.n_clusters = n_features, n_heads, n_clusters
        self.linear = nn.Linear(n_features, n_heads * n_clusters)
        nn.init.normal_(self.linear.weight, 0.0, 0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits, shape (n_heads, batch, n_clusters), float32."""
        logits: Tensor = self.linear(features).float()
        return logits.unflatten(1, (self.n_heads, self.n_clusters)).transpose(0, 1)

    @torch.no_grad()
    def predict_proba(self, features: Tensor) -> Tensor:
        """Return soft assignments, shape (batch, n_heads, n_clusters)."""
        return self(features).softmax(-1).transpose(0, 1)


class DeepHeads(nn.Module):
    """Several cluster heads of two hidden layers on the same features, computed as one; those of TEMI.

    A head is a dense layer, GELU, a dense layer scaled to length 1, and its cosine with a direction per cluster,
    divided by the temperature.

    Parameters
    ----------
    n_features, n_heads, n_clusters : int
    hidden, n_codes : int
        Units of the first layer and of the second.
    temperature : float
    """

    def __init__(
        self, n_features: int, n_heads: int, n_clusters: int, *, hidden: int, n_codes: int, temperature: float
    ) -> None:
        super().__init__()
        self.n_features, self.n_heads, self.n_clusters = n_features, n_heads, n_clusters
        self.temperature = temperature
        self.first = nn.Linear(n_features, n_heads * hidden)
        nn.init.normal_(self.first.weight, std=n_features**-0.5)
        nn.init.zeros_(self.first.bias)
        self.second = nn.Parameter(torch.empty(n_heads, hidden, n_codes))
        nn.init.normal_(self.second, std=hidden**-0.5)
        self.offset = nn.Parameter(torch.zeros(n_heads, 1, n_codes))
        self.directions = nn.Parameter(torch.randn(n_heads, n_clusters, n_codes))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits, shape (n_heads, batch, n_clusters), float32."""
        hidden = gelu(self.first(features)).unflatten(1, (self.n_heads, -1)).transpose(0, 1)
        codes = torch.bmm(hidden, self.second) + self.offset
        with torch.autocast(features.device.type, enabled=False):  # divided by 0.1, bfloat16 would be off by 0.04
            cosines: Tensor = normalize(codes.float(), dim=-1) @ normalize(self.directions, dim=-1).mT
        return cosines / self.temperature

    @torch.no_grad()
    def predict_proba(self, features: Tensor) -> Tensor:
        """Return soft assignments, shape (batch, n_heads, n_clusters)."""
        return self(features).softmax(-1).transpose(0, 1)


class SpaceHeads(nn.Module):
    """Several linear heads on the features of several encoders, each with its own weights; TURTLE's.

    What a head says is the mean of what it says by each encoder's features.

    Parameters
    ----------
    widths : sequence of int
        How many features each encoder has; they stand side by side.
    n_heads, n_clusters : int
    """

    def __init__(self, widths: Sequence[int], n_heads: int, n_clusters: int) -> None:
        super().__init__()
        self.widths, self.n_features = list(widths), sum(widths)
        self.n_heads, self.n_clusters = n_heads, n_clusters
        n = n_heads * n_clusters
        # directions of length 1: of longer ones, Adam's steps would hardly turn them
        self.directions = nn.ParameterList(torch.randn(n, width) * width**-0.5 for width in widths)
        self.lengths = nn.ParameterList(torch.ones(n, 1) for _ in widths)
        self.offsets = nn.ParameterList(torch.zeros(n) for _ in widths)

    def split(self, features: Tensor) -> list[Tensor]:
        """Return the features of each encoder."""
        return list(features.split(self.widths, dim=1))

    def log_assignments(self, spaces: Sequence[Tensor]) -> list[Tensor]:
        """Return the logarithm of the assignment by each encoder's features, shape (batch, n_heads, n_clusters)."""
        weights = (length * normalize(w, dim=1) for w, length in zip(self.directions, self.lengths, strict=True))
        return [
            linear(z.float(), weight, offset).unflatten(1, (self.n_heads, self.n_clusters)).log_softmax(-1)
            for z, weight, offset in zip(spaces, weights, self.offsets, strict=True)
        ]

    def forward(self, features: Tensor) -> Tensor:
        """Return the logarithm of the mean assignment as logits, shape (n_heads, batch, n_clusters), float32."""
        parts = torch.stack(self.log_assignments(self.split(features)))
        mean: Tensor = parts.float().logsumexp(0) - math.log(len(parts))
        return mean.transpose(0, 1)

    @torch.no_grad()
    def predict_proba(self, features: Tensor) -> Tensor:
        """Return soft assignments, shape (batch, n_heads, n_clusters)."""
        return self(features).softmax(-1).transpose(0, 1)
