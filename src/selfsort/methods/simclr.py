"""Features by SimCLR, and their clusters."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils._param_validation import Interval, StrOptions

from selfsort.errors import DataError
from selfsort.features.project import FloatArray, unit_rows
from selfsort.methods.base import Work
from selfsort.methods.coding import PairCoder
from selfsort.methods.pretext import HIDDEN, N_PROJECTED, Contrast, contrast_plan, make_projector, need_growing
from selfsort.methods.trained import Scaling, new_encoder, outputs
from selfsort.training.schedule import OPTIMIZERS, Optimizer, Plan
from selfsort.training.session import Session, random_state


class SimCLR(PairCoder):
    """Learn features in which two views of an image are near and other images are far, then cluster the features.

    A network is trained to find, among all views of a batch, the one that shows the same image. What it is asked about
    are projections, by two more layers; what it is kept for are the features before them, scaled to length 1.

    Parameters
    ----------
    n_clusters : int or None
        None: as many as the shared-neighbor graph of the features finds.
    init : {"graph", "kmeans", "random"}
        Where k-means of the features starts: at the means of the groups of their graph, at the best of 20 starts, or at
        features drawn at random.
    backbone : str
        "vgg-f", "airbench", "vgg16", "alexnet", "resnet18", "resnet50", "efficientnet-lite0" (which starts from its
        weights of ImageNet), "mlp"; "auto" is vgg-f for images of 8 x 8 to 32 x 32
        pixels, resnet18 for larger ones, mlp otherwise.
    width : int
        Channels of the encoder's first layer, or block.
    n_projected : int
        Length of a projection.
    temperature : float
        What similarities are divided by: the lower, the more the nearest other images count.
    views : {"auto", "crops", "strokes", "digits", "simclr", "strong", "weak", "neighbors"}
        See `selfsort.methods.pairs.Pairs`.
    n_epochs : int
        Passes over the samples, of at least 50 steps each.
    batch_size : int
    optimizer : {"adam", "adamw", "lars", "muon", "sgd"}
        Adam, AdamW and Muon (for few passes, with a rate of about 0.02) have a one-cycle schedule,
        SGD (published for small images, with a rate of 0.4) and LARS (for batches of thousands) a cosine.
    learning_rate : float
        The largest.
    weight_decay : float or None
        None: 0 for Adam, 0.0001 for AdamW and SGD, 0.000001 for LARS, 0.05 for Muon.
    growth : float
        Share of the passes, below 1, in which views of images have half the sides of the images, but of 8 pixels or
        more: a quarter of the arithmetic. The rest has whole ones. Needs an encoder such as "resnet18" or "airbench".
    ema : float or None
        Decay per step of an average of the network's weights. The network then learns to predict the average's
        projections, by two more layers as in MoCo v3, projections come from 2,048 normalized units, and the average is
        what is kept. None: the network learns from its own projections.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : {"auto", "32-true", "bf16-mixed", "16-mixed"}
    random_state : int, RandomState or None

    Attributes
    ----------
    labels_, n_clusters_, n_features_in_, image_shape_, paths_, history_, device_, precision_
        See `selfsort.methods.base.SelfsortClusterer` and `selfsort.methods.trained.TrainedClusterer`.
    cluster_centers_ : ndarray of float32, shape (n_clusters_, n_features)
    found_ : float
        Share of views whose image was found in the last pass.

    References
    ----------
    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, arXiv:2002.05709.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + rng.normal(size=(150, 3))
    >>> model = SimCLR(3, width=4, n_projected=8, n_epochs=1, random_state=0).fit(X)
    >>> model.transform(X).shape, len(set(model.labels_))
    ((150, 32), 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = PairCoder._parameter_constraints | {
        "n_projected": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "weight_decay": [Interval(Real, 0, None, closed="left"), None],
        "growth": [Interval(Real, 0, 1, closed="left")],
        "ema": [Interval(Real, 0, 1, closed="left"), None],
    }
    _both_changed: ClassVar[bool] = True

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        init: str = "graph",
        backbone: str = "auto",
        width: int = 32,
        n_projected: int = N_PROJECTED,
        temperature: float = 0.2,
        views: str = "auto",
        n_epochs: int = 20,
        batch_size: int = 500,
        optimizer: Optimizer = "adam",
        learning_rate: float = 3e-3,
        weight_decay: float | None = None,
        growth: float = 0.0,
        ema: float | None = None,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            n_clusters,
            init=init,
            backbone=backbone,
            width=width,
            views=views,
            n_epochs=n_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            device=device,
            precision=precision,
            random_state=random_state,
        )
        self.n_projected = n_projected
        self.temperature = temperature
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.growth = growth
        self.ema = ema

    def _learn(self, samples: npt.NDArray[Any], work: Work) -> None:
        super()._learn(samples, work)
        self.found_ = self.history_[-1]["found"]

    def _learn_codes(self, samples: npt.NDArray[Any], session: Session) -> None:
        if self.growth and self.views == "neighbors":
            raise DataError(f"growth={self.growth} needs views that change images: got views='neighbors'. Pass others.")
        need_growing(self.backbone, samples.shape[1:], growth=self.growth)
        objective = self._train(samples, session)
        assert isinstance(objective, Contrast)
        objective.settle()

    def _objective(self) -> Contrast:
        return Contrast(self._scaling, self._encoder, self._projector, self.temperature, self.ema)

    def _plan(self) -> Plan:
        return contrast_plan(self.optimizer, self.learning_rate, self.n_epochs, self.weight_decay)

    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        with random_state(seed):
            self._encoder, n_features = new_encoder(self.backbone, shape, self.width)
            self._projector = make_projector(n_features, self.n_projected, None if self.ema is None else HIDDEN)
        self._scaling, self._sample_shape = scaling, shape

    def project(self, X: Any) -> FloatArray:
        """Return the projections of samples, shape (n, n_projected), float32, scaled to length 1."""
        samples = self._read_fitted(X)
        device = self._scaling.factor.device
        return unit_rows(outputs(lambda x: self._projector(self._encoder(self._scaling(x))), samples, device))

    def _encode(self, samples: npt.NDArray[Any]) -> FloatArray:
        return unit_rows(super()._encode(samples))

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, facts = super()._state()
        return arrays, facts | {"found_": self.found_}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        super()._set_state(arrays, facts)
        self.found_ = facts["found_"]
