"""What sits on an encoder: cluster heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Heads(nn.Module):
    """Several linear cluster heads on the same features, computed as one.

    Heads see the same features and start from other weights, so what they agree on did not depend on luck.
    """

    def __init__(self, n_features: int, n_heads: int, n_clusters: int) -> None:
        super().__init__()
        self.n_heads, self.n_clusters = n_heads, n_clusters
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
