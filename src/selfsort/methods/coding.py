"""What the methods share that learn codes first and cluster them afterwards."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from selfsort.features.kmeans import kmeans, nearest_center
from selfsort.features.project import FloatArray
from selfsort.methods.base import Work
from selfsort.methods.pairs import CHOICES, Pairs, steps_per_epoch
from selfsort.methods.trained import INIT, Scaling, TrainedClusterer, outputs
from selfsort.nets.backbones import BACKBONES, layer_outputs
from selfsort.training.loop import train
from selfsort.training.schedule import Plan
from selfsort.training.session import Session, random_state


class Coder(TrainedClusterer):
    """Base of the methods that learn codes, and then cluster the codes by k-means.

    Parameters
    ----------
    n_clusters : int or None
        None: as many as the shared-neighbor graph of the codes finds.
    init : {"graph", "kmeans", "random"}
        Where k-means of the codes starts: at the means of the groups of the codes' graph, at the best of 20 starts, or
        at codes drawn at random.
    backbone : str
        "vgg-f", "airbench", "vgg16", "alexnet", "resnet18", "resnet50", "efficientnet-lite0" (which starts from its
        weights of ImageNet), "mlp"; "auto" is vgg-f for images of 8 x 8
        to 32 x 32 pixels, resnet18 for larger ones, mlp otherwise.
    width : int
        Channels of the encoder's first layer, or block.
    views : {"auto", "crops", "strokes", "digits", "simclr", "strong", "weak", "neighbors"}
        See `selfsort.methods.pairs.Pairs`.
    n_epochs : int
        Passes over the samples, of at least 50 steps each.
    batch_size : int
    learning_rate : float
        The largest, of Adam with a one-cycle schedule.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : {"auto", "32-true", "bf16-mixed", "16-mixed"}
    random_state : int, RandomState or None

    Attributes
    ----------
    cluster_centers_ : ndarray of float32, shape (n_clusters_, length of a code)
    """

    _kept: ClassVar[tuple[str, ...]] = ("cluster_centers_",)
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = TrainedClusterer._parameter_constraints | {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "init": [INIT],
        "backbone": [StrOptions({"auto", *BACKBONES})],
        "width": [Interval(Integral, 1, None, closed="left")],
        "views": [CHOICES],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        init: str = "graph",
        backbone: str = "auto",
        width: int = 32,
        views: str = "auto",
        n_epochs: int = 10,
        batch_size: int = 500,
        learning_rate: float = 1e-3,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.backbone = backbone
        self.width = width
        self.views = views
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.precision = precision
        self.random_state = random_state

    def _learn(self, samples: npt.NDArray[Any], work: Work) -> None:
        session = self._session(work, samples)
        self._learn_codes(samples, session)
        self.history_ = session.history
        codes = self._encode(samples)
        centers = self._start_centers(codes, codes, session)
        self.n_clusters_ = len(centers)
        self.cluster_centers_, self.labels_, *_ = kmeans(codes, len(centers), initial_centers=centers, seed=work.seed)

    @abstractmethod
    def _learn_codes(self, samples: npt.NDArray[Any], session: Session) -> None:
        """Build and train the encoder."""

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Return the nearest center of each sample's code, shape (n,)."""
        return nearest_center(self.transform(X), self.cluster_centers_)[0]

    def layers(self, X: Any) -> list[FloatArray]:
        """Return what each convolution of the encoder says of samples, the first first, shape (n, n_i) each, float32.

        Pooled by means to about 1,024 values, for linear probes; at last the encoder's features, of any length. See
        `selfsort.nets.backbones.layer_outputs`.
        """
        samples = self._read_fitted(X)
        lengths: list[int] = []

        def joined(x: Tensor) -> Tensor:
            found = layer_outputs(self._encoder, self._scaling(x))
            lengths[:] = [values.shape[1] for values in found]
            return torch.cat(found, 1)

        joint = outputs(joined, samples, self._scaling.factor.device)
        return np.split(joint, np.cumsum(lengths)[:-1], axis=1)

    @property
    def _n_features_out(self) -> int:
        return int(self.cluster_centers_.shape[1])


class PairCoder(Coder):
    """Base of the methods that learn codes from pairs of views of a sample; parameters are `Coder`'s."""

    _both_changed: ClassVar[bool] = False  # or is the first view the sample as it is
    growth: float = 0.0  # share of the passes in which views grow

    def _learn_codes(self, samples: npt.NDArray[Any], session: Session) -> None:
        self._train(samples, session)

    def _train(self, samples: npt.NDArray[Any], session: Session) -> nn.Module:
        """Build and train the encoder, and return the objective."""
        n_steps = steps_per_epoch(len(samples), self.batch_size)
        plan = self._plan()
        pairs = Pairs(
            self.views,
            samples,
            Scaling.of(samples),
            session,
            both_changed=self._both_changed,
            neighbors=self._count_neighbors(len(samples)),
            growing=round(self.growth * plan.n_epochs * n_steps),
        )
        self._build(samples.shape[1:], pairs.scaling, session.seed)
        with random_state(session.seed):
            objective = self._objective()
        batches = session.batches(samples, self.batch_size, pairs, steps_per_epoch=n_steps, before_step=pairs.grow)
        train(session, "pairs", objective, batches, plan)
        return objective

    @abstractmethod
    def _objective(self) -> nn.Module:
        """Return what is minimized: called with two views, it holds the scaling and the encoder."""

    def _count_neighbors(self, n: int) -> int | None:
        """Return how many of the nearest others the second view shows one of in the place of each of n samples.

        None: of the sample itself, unless the views are neighbors.
        """
        return None

    def _plan(self) -> Plan:
        return Plan(self.n_epochs, self.learning_rate, schedule="one-cycle")
