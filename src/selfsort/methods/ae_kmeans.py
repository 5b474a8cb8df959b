"""Autoencoder, whose codes learn the graph's groups, then k-means of the codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.features.kmeans import kmeans, nearest_center
from selfsort.methods.base import Work
from selfsort.methods.pretrain import AutoencoderClusterer


class AEKMeans(AutoencoderClusterer):
    """Train an autoencoder, let its codes learn the graph's groups, then cluster them by k-means.

    As published (``init="kmeans"`` or ``"random"``) there is nothing between the autoencoder and k-means.

    Parameters and attributes are those of `selfsort.methods.pretrain.AutoencoderClusterer`, and:

    Attributes
    ----------
    inertia_ : float
        Sum of squared distances between codes and their centers.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + rng.normal(size=(150, 3))
    >>> model = AEKMeans(3, hidden=(32,), n_codes=2, n_epochs=5, graph_steps=50, random_state=0).fit(X)
    >>> model.transform(X).shape, len(set(model.labels_))
    ((150, 2), 3)
    """

    def _learn(self, samples: npt.NDArray[Any], work: Work) -> None:
        session = self._session(work, samples)
        centers = self._start_clusters(samples, session).centers.detach().cpu().numpy()
        found = kmeans(self._encode(samples), self.n_clusters_, initial_centers=centers, seed=work.seed)
        self.cluster_centers_, self.labels_, inertia, _ = found
        self.inertia_ = float(inertia)
        self.history_ = session.history

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Return the nearest center of each sample's code, shape (n,)."""
        return nearest_center(self.transform(X), self.cluster_centers_)[0]
