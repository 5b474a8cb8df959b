"""What sits on an encoder: cluster heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize


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
