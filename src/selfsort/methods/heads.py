"""What the methods share whose clusters are what linear heads on an encoder say."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from selfsort.features.kmeans import kmeans
from selfsort.features.neighbors import Neighbors
from selfsort.features.project import FloatArray, unit_rows
from selfsort.methods.pairs import steps_per_epoch
from selfsort.methods.trained import TrainedClusterer, outputs
from selfsort.training.guard import Guard
from selfsort.training.loop import train
from selfsort.training.schedule import Plan
from selfsort.training.session import Session


class Lesson(nn.Module):
    """Cross-entropy of all heads with groups that are known."""

    def __init__(self, heads: nn.Module, groups: npt.NDArray[np.int64]) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("groups", torch.from_numpy(groups))

    def forward(self, features: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Return the loss of features; `rows` are the samples' numbers."""
        target = self.groups[rows].repeat(self.heads.n_heads)
        return {"loss": cross_entropy(self.heads(features).flatten(0, 1), target)}


class HeadClusterer(TrainedClusterer):
    """Base of the methods with several cluster heads on one encoder.

    Attributes
    ----------
    best_head_ : int
        `labels_` and `predict` are its.
    """

    best_head_: int
    start_steps: int
    batch_size: int
    _heads: Any  # of `selfsort.nets.heads`

    def _start(
        self, samples: npt.NDArray[Any], session: Session, neighbors: Neighbors | None = None
    ) -> npt.NDArray[np.int64]:
        """Return what heads learn first, and k where it is not given: groups of the samples, as `init` says."""
        if self.init == "random" and self.n_clusters is not None:
            return np.zeros(len(samples), np.int64)
        k = self.n_clusters
        if self.init != "kmeans" or k is None:
            groups = self._graph_labels(samples, session, neighbors)
            k = int(groups.max()) + 1
        if self.init != "kmeans":
            return groups
        return kmeans(unit_rows(samples.reshape(len(samples), -1)), k, n_init=20, seed=session.seed).labels

    def _learn_start(
        self, features: FloatArray, groups: npt.NDArray[np.int64], session: Session, learning_rate: float
    ) -> None:
        """Let heads learn groups of the samples by the features that they will see."""
        size = min(self.batch_size, len(features))
        batches = session.batches(
            features, size, lambda x, rows: (x, rows), stream=1, steps_per_epoch=steps_per_epoch(len(features), size)
        )
        plan = Plan(-(-self.start_steps // len(batches)), learning_rate, schedule="one-cycle")
        train(session, "start", Lesson(self._heads, groups), batches, plan)

    def _choose_head(self, history: list[dict[str, Any]], stage: str, guard: Guard) -> None:
        """Take the head of the least loss in the last pass of a stage, among those that are healthy if any is."""
        self.history_ = history
        last = [row for row in history if row["stage"] == stage][-1]
        self.head_loss_ = np.array([last[f"head_{i + 1}"] for i in range(self._heads.n_heads)])
        healthy = guard.n_bad.cpu().numpy() == 0
        self.best_head_ = int(np.where(healthy | ~healthy.any(), self.head_loss_, np.inf).argmin())

    def _soft(self, samples: npt.NDArray[Any]) -> FloatArray:
        """Return the soft assignment of each head, shape (n, n_heads, n_clusters_)."""
        return self._soft_of(self._encode(samples))

    def _soft_of(self, features: FloatArray) -> FloatArray:
        """Return the soft assignment of each head by the encoder's features, shape (n, n_heads, n_clusters_)."""
        return outputs(self._heads.predict_proba, features, self._scaling.factor.device)

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Return the likeliest cluster of each sample by the best head, shape (n,)."""
        return self.predict_proba(X).argmax(1)

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the soft assignment of each sample by the best head, shape (n, n_clusters_), float32."""
        return self._soft(self._read_fitted(X))[:, self.best_head_]

    def predict_heads(self, X: Any) -> npt.NDArray[np.int64]:
        """Return the likeliest cluster of each sample by every head, shape (n_heads, n)."""
        return self._soft(self._read_fitted(X)).argmax(2).T

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, facts = super()._state()
        return arrays, facts | {"best_head_": self.best_head_}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        self.n_clusters_ = facts["n_clusters_"]  # of which the heads are built
        super()._set_state(arrays, facts)
        self.best_head_ = facts["best_head_"]

    @property
    def _n_features_out(self) -> int:
        return int(self._heads.n_features)
