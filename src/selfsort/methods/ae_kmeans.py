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

    Parameters
    ----------
    n_clusters : int or None
        None: as many as the shared-neighbor graph of the samples finds.
    init : {"graph", "kmeans", "random"}
        Where clusters start: at the means of the graph's groups, at k-means of the codes (20 starts), or at codes drawn
        at random.
    graph_steps : int
        With ``init="graph"``: steps, rounded up to whole passes over the samples, in which the net learns the graph's
        groups beside reconstructing, so that codes show them; by Adam with a largest learning rate of 0.003, whatever
        the autoencoder's. 0: clusters only start there.
    network : {"auto", "dense", "conv"}
        Auto is convolutional for images of 8 x 8 pixels or more, dense otherwise.
    hidden : sequence of int
        Widths of the dense encoder's hidden layers; the decoder mirrors them.
    channels : sequence of int
        Depths of the convolutions; all but the last halve the image.
    n_codes : int
        Length of a code.
    views : {"crops", "strokes", "digits", "simclr", "strong", "weak"} or None
        How images are changed at random before the net sees them, each time anew (`selfsort.augment`); None: not.
    n_epochs : int
        Passes over the samples to train the autoencoder.
    batch_size : int
    optimizer : {"adam", "sgd"}
        Of the autoencoder. Adam, with a one-cycle schedule, reconstructs well after few epochs. SGD with momentum 0.9
        and a constant learning rate of 1, as in DEC's published code, needs a hundred or more, and its codes cluster
        better.
    learning_rate : float
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : {"auto", "32-true", "bf16-mixed", "16-mixed"}
    random_state : int, RandomState or None

    Attributes
    ----------
    labels_, n_clusters_, n_features_in_, image_shape_, paths_, history_, device_, precision_
        See `selfsort.methods.base.SelfsortClusterer` and `selfsort.methods.trained.TrainedClusterer`.
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
