"""What the methods share whose clusters are what linear heads on an encoder say."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from torch import nn

from selfsort.features.kmeans import kmeans
from selfsort.features.neighbors import Neighbors
from selfsort.features.project import FloatArray, unit_rows
from selfsort.methods.trained import TrainedClusterer, outputs
from selfsort.nets.heads import Heads
from selfsort.training.session import Session


class HeadClusterer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, TrainedClusterer):
    """Base of the methods with several cluster heads on one encoder.

    Attributes
    ----------
    best_head_ : int
        `labels_` and `predict` are its.
    """

    best_head_: int
    _encoder: nn.Module
    _heads: Heads

    def _start(
        self, samples: npt.NDArray[Any], session: Session, neighbors: Neighbors | None = None
    ) -> npt.NDArray[np.int64]:
        """Return what heads learn first, and k where it is not given: groups of the samples, as `init` says."""
        if self.init == "kmeans" and self.n_clusters is not None:
            rows = unit_rows(samples.reshape(len(samples), -1))
            return kmeans(rows, self.n_clusters, n_init=20, seed=session.seed).labels
        if self.init == "random" and self.n_clusters is not None:
            return np.zeros(len(samples), np.int64)
        return self._graph_labels(samples, session, neighbors)

    def _encode(self, samples: npt.NDArray[Any]) -> FloatArray:
        """Return the encoder's features, shape (n, n_features)."""
        return outputs(lambda x: self._encoder(self._scaling(x)), samples, self._scaling.factor.device)

    def _soft(self, samples: npt.NDArray[Any]) -> FloatArray:
        """Return the soft assignment of each head, shape (n, n_heads, n_clusters_)."""
        device = self._scaling.factor.device
        return outputs(lambda x: self._heads.predict_proba(self._encoder(self._scaling(x))), samples, device)

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Return the likeliest cluster of each sample by the best head, shape (n,)."""
        return self.predict_proba(X).argmax(1)

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the soft assignment of each sample by the best head, shape (n, n_clusters_), float32."""
        return self._soft(self._read_fitted(X))[:, self.best_head_]

    def predict_heads(self, X: Any) -> npt.NDArray[np.int64]:
        """Return the likeliest cluster of each sample by every head, shape (n_heads, n)."""
        return self._soft(self._read_fitted(X)).argmax(2).T

    def transform(self, X: Any) -> FloatArray:
        """Return the encoder's features, shape (n, n_features), float32."""
        return self._encode(self._read_fitted(X))

    def embed(self, X: Any) -> FloatArray:
        """Return the encoder's features, shape (n, n_features), float32."""
        return self.transform(X)

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, facts = super()._state()
        return arrays, facts | {"best_head_": self.best_head_}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        self.n_clusters_ = facts["n_clusters_"]  # of which the heads are built
        super()._set_state(arrays, facts)
        self.best_head_ = facts["best_head_"]

    @property
    def _n_features_out(self) -> int:
        return self._heads.linear.in_features

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
