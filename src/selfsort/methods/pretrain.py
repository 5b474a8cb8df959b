"""The first stage of several methods: an autoencoder, and where clusters start in its codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn.functional import one_hot

from selfsort.augment import VIEWS
from selfsort.features.project import FloatArray
from selfsort.losses.clustering import student_t_log_assignment, target_divergence
from selfsort.methods.trained import GRAPH_RATE, INIT, Scaling, TrainedClusterer, need_images, outputs
from selfsort.nets.autoencoder import Autoencoder, conv_autoencoder, dense_autoencoder
from selfsort.training.guard import Guard
from selfsort.training.loop import train
from selfsort.training.schedule import Optimizer, Plan, Schedule
from selfsort.training.session import Session, random_state

#: What the autoencoder depends on: methods with the same, in one folder, share it.
_AUTOENCODER = (
    "network",
    "hidden",
    "channels",
    "n_codes",
    "views",
    "n_epochs",
    "batch_size",
    "optimizer",
    "learning_rate",
    "precision",
)


class Reconstruction(nn.Module):
    """Mean squared error of the reconstruction, per value."""

    def __init__(self, scaling: Scaling, net: Autoencoder) -> None:
        super().__init__()
        self.scaling, self.net = scaling, net

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the loss of scaled samples."""
        return {"loss": (self.net(x)[1].float() - x).square().mean()}


class Assignment(nn.Module):
    """KL divergence of the codes' soft assignment to centers from a target, plus the reconstruction's squared error.

    Parameters
    ----------
    net : Autoencoder
    centers : ndarray of float32, shape (k, n_codes)
        Where they start; they are trained too.
    n : int
        Samples.

    Attributes
    ----------
    weights : (float, float)
        Of divergence and reconstruction; a reconstruction of weight 0 is not computed.
    target : Tensor, shape (n, k)
        Rows of probabilities: what the assignment of each sample shall be.
    """

    def __init__(self, net: Autoencoder, centers: FloatArray, n: int) -> None:
        super().__init__()
        self.net = net
        self.centers = nn.Parameter(torch.from_numpy(np.array(centers, np.float32)))
        self.weights = 1.0, 1.0
        self.register_buffer("target", torch.zeros(n, len(centers)))
        self.guard = Guard(1, len(centers), 'Pass init="graph", or a smaller learning rate.')

    def forward(self, x: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Return the loss of scaled samples and its terms; `rows` are the samples' numbers."""
        code = self.net.encoder(x)
        log_assignment = student_t_log_assignment(code, self.centers)
        self.guard(log_assignment[None])
        divergence = target_divergence(log_assignment, self.target[rows])
        weight, reconstruction = self.weights
        if not reconstruction:
            return {"loss": weight * divergence, "divergence": divergence}
        error = (self.net.decoder(code).float() - x).square().mean()
        loss = weight * divergence + reconstruction * error
        return {"loss": loss, "divergence": divergence, "reconstruction": error}


class AutoencoderClusterer(TrainedClusterer):
    """Base of the methods that cluster the codes of an autoencoder.

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
    cluster_centers_ : ndarray of float32, shape (n_clusters_, n_codes)
    """

    _kept = ("cluster_centers_",)
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = TrainedClusterer._parameter_constraints | {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "init": [INIT],
        "graph_steps": [Interval(Integral, 0, None, closed="left")],
        "network": [StrOptions({"auto", "dense", "conv"})],
        "hidden": ["array-like"],
        "channels": ["array-like"],
        "n_codes": [Interval(Integral, 1, None, closed="left")],
        "views": [StrOptions(set(VIEWS)), None],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions({"adam", "sgd"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        init: str = "graph",
        graph_steps: int = 800,
        network: str = "auto",
        hidden: Sequence[int] = (500, 500, 2000),
        channels: Sequence[int] = (16, 32, 64, 128),
        n_codes: int = 10,
        views: str | None = None,
        n_epochs: int = 50,
        batch_size: int = 256,
        optimizer: Optimizer = "adam",
        learning_rate: float = 1e-3,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.graph_steps = graph_steps
        self.network = network
        self.hidden = hidden
        self.channels = channels
        self.n_codes = n_codes
        self.views = views
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.device = device
        self.precision = precision
        self.random_state = random_state

    def _autoencode(self, samples: npt.NDArray[Any], session: Session) -> None:
        """Train the autoencoder on the samples."""
        self._build(samples.shape[1:], Scaling.of(samples), session.seed)
        schedule: Schedule = "one-cycle" if self.optimizer == "adam" else "constant"
        plan = Plan(self.n_epochs, self.learning_rate, self.optimizer, nesterov=False, schedule=schedule)
        view = self._view(self.views)
        batches = session.batches(samples, self.batch_size, lambda x, _: (view(x),))
        stage = session.shared(self._fingerprint(session.seed, samples, "autoencode", _AUTOENCODER))
        train(stage, "autoencode", Reconstruction(self._scaling, self._net), batches, plan)

    def _start_clusters(self, samples: npt.NDArray[Any], session: Session) -> Assignment:
        """Train the autoencoder, put centers among its codes, and let the net learn the graph's groups."""
        self._autoencode(samples, session)
        centers = self._start_centers(self._encode(samples), samples, session)
        self.n_clusters_ = len(centers)
        objective = Assignment(self._net, centers, len(samples))
        if self.init == "graph" and self.graph_steps:
            groups = torch.from_numpy(self._graph_labels(samples, session))
            objective.target.copy_(one_hot(groups, len(centers)))
            view = self._view(self.views)
            batches = session.batches(samples, self.batch_size, lambda x, rows: (view(x), rows), stream=1)
            plan = Plan(-(-self.graph_steps // len(batches)), GRAPH_RATE, schedule="one-cycle")
            train(session, "graph", objective, batches, plan)
        return objective

    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        conv = self.network == "conv" or (self.network == "auto" and len(shape) == 3 and min(shape[1:]) >= 8)
        need_images(shape, network="conv" if conv else None, views=self.views)
        with random_state(seed):
            if conv:
                self._net = conv_autoencoder(shape, tuple(self.channels), self.n_codes)
            else:
                self._net = dense_autoencoder(shape, tuple(self.hidden), self.n_codes)
        self._scaling, self._sample_shape = scaling, shape

    def _view(self, name: str | None) -> Callable[[Tensor], Tensor]:
        """Return what the net sees of samples: scaled, and changed as `name` says."""
        if name is None:
            return self._scaling
        _, height, width = self._sample_shape
        change = VIEWS[name]((height, width))
        return lambda x: change(self._scaling(x))

    def _encode(self, samples: npt.NDArray[Any]) -> FloatArray:
        device = self._scaling.factor.device
        return outputs(lambda x: self._net.encoder(self._scaling(x)), samples, device)

    def reconstruct(self, X: Any) -> FloatArray:
        """Return what the decoder makes of samples' codes, in the samples' own shape and range, float32."""
        samples = self._read_fitted(X)

        def back(x: Tensor) -> Tensor:
            restored: Tensor = self._net(self._scaling(x))[1] / self._scaling.factor + self._scaling.shift
            return restored

        return outputs(back, samples, self._scaling.factor.device)

    @property
    def _n_features_out(self) -> int:
        return self.n_codes
