"""Representations by mutual information neural estimation, and their clusters."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from selfsort.losses.information import donsker_varadhan, jensen_shannon, nwj
from selfsort.methods.base import Work
from selfsort.methods.coding import PairCoder
from selfsort.methods.pairs import count_neighbors
from selfsort.methods.trained import Scaling, new_encoder
from selfsort.training.session import random_state

_N_SHIFTS = 8  # random partners of each code in a step


class _Statistics(nn.Module):
    """MINE's statistics network T: one hidden layer that sees two codes."""

    def __init__(self, n_codes: int, units: int) -> None:
        super().__init__()
        self.first = nn.Linear(n_codes, units)
        self.second = nn.Linear(n_codes, units, bias=False)
        self.last = nn.Linear(units, 1)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of true pairs, shape (batch,), and of random ones, shape (m,)."""
        a, b = self.first(first), self.second(second)
        joint = self.last((a + b).relu()).float()
        shifts = range(1, 1 + min(_N_SHIFTS, max(1, len(a) - 1)))
        product = torch.cat([self.last((a + b.roll(shift, 0)).relu()) for shift in shifts]).float()
        return joint[:, 0], product[:, 0]


class _Information(nn.Module):
    """Minus the bound of the information that the codes of two views share."""

    log_average: Tensor

    def __init__(self, scaling: Scaling, encoder: nn.Module, critic: _Statistics, bound: str) -> None:
        super().__init__()
        self.scaling, self.encoder, self.critic, self.bound = scaling, encoder, critic, bound
        self.register_buffer("log_average", torch.tensor(float("nan")))

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        joint, product = self.critic(*self.encoder(torch.cat([first, second])).chunk(2))
        if self.bound == "dv":
            terms = donsker_varadhan(joint, product, None if self.log_average.isnan() else self.log_average)
            self.log_average.copy_(terms.pop("log_average"))
            return terms
        return {"nwj": nwj, "jsd": jensen_shannon}[self.bound](joint, product)


class MINE(PairCoder):
    """Learn codes of which two views of a sample share as much information as possible, then cluster the codes.

    The information is estimated from below by a second network T, that tells the codes of two views of one sample from
    those of two samples. Both networks are trained to raise the bound.

    Parameters
    ----------
    n_clusters : int or None
        None: as many as the shared-neighbor graph of the codes finds.
    init : {"graph", "kmeans", "random"}
        Where k-means of the codes starts: at the means of the groups of the codes' graph, at the best of 20 starts, or
        at codes drawn at random.
    backbone : str
        "vgg-f", "airbench", "vgg16", "alexnet", "resnet18", "resnet50", "efficientnet-lite0" (which starts from its
        weights of ImageNet), "mlp"; "auto" is vgg-f for images of 8 x 8 to 32 x 32
        pixels, resnet18 for larger ones, mlp otherwise.
    width : int
        Channels of the encoder's first layer, or block.
    n_codes : int
        Length of a code.
    units : int
        Of T's hidden layer.
    bound : {"dv", "nwj", "jsd"}
        Donsker-Varadhan's with the corrected gradient, as published; Nguyen, Wainwright & Jordan's; or the
        Jensen-Shannon divergence, which is no estimate of information but the steadiest to train.
    views : {"auto", "crops", "strokes", "digits", "simclr", "strong", "weak", "neighbors"}
        See `selfsort.methods.pairs.Pairs`.
    n_neighbors : int or None
        Of which one, drawn at random, is what the second view shows: the nearest others by pixels, or by the vectors
        that are clustered. What codes then share is what neighbors share, which is the class where they are mostly of
        one. None: of images, the second view is of the sample itself, as published; of vectors, and with
        ``views="neighbors"``, of as many as the graph has.
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
    labels_, n_clusters_, n_features_in_, image_shape_, paths_, history_, device_, precision_
        See `selfsort.methods.base.SelfsortClusterer` and `selfsort.methods.trained.TrainedClusterer`.
    cluster_centers_ : ndarray of float32, shape (n_clusters_, n_codes)
    information_ : float
        Mean of the bound over the last pass, in nats, on the samples that were trained on. With "jsd": the divergence.

    References
    ----------
    Belghazi et al., "Mutual Information Neural Estimation", ICML 2018, arXiv:1801.04062.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + rng.normal(size=(150, 3))
    >>> model = MINE(3, width=4, n_codes=2, units=32, n_epochs=2, random_state=0).fit(X)
    >>> model.transform(X).shape, len(set(model.labels_))
    ((150, 2), 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = PairCoder._parameter_constraints | {
        "n_codes": [Interval(Integral, 1, None, closed="left")],
        "units": [Interval(Integral, 1, None, closed="left")],
        "bound": [StrOptions({"dv", "nwj", "jsd"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        init: str = "graph",
        backbone: str = "auto",
        width: int = 32,
        n_codes: int = 10,
        units: int = 1024,
        bound: str = "dv",
        views: str = "auto",
        n_neighbors: int | None = None,
        n_epochs: int = 10,
        batch_size: int = 500,
        learning_rate: float = 1e-3,
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
        self.n_codes = n_codes
        self.units = units
        self.bound = bound
        self.n_neighbors = n_neighbors

    def _learn(self, samples: npt.NDArray[Any], work: Work) -> None:
        super()._learn(samples, work)
        self.information_ = self.history_[-1]["divergence" if self.bound == "jsd" else "information"]

    def _objective(self) -> nn.Module:
        return _Information(self._scaling, self._encoder, _Statistics(self.n_codes, self.units), self.bound)

    def _count_neighbors(self, n: int) -> int | None:
        return count_neighbors("MINE", self.n_neighbors, 0, n) if self.n_neighbors is not None else None

    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        with random_state(seed):
            backbone, n_features = new_encoder(self.backbone, shape, self.width)
            # codes of one size: T sees differences at once, and the bound gains nothing from growing codes
            last = (nn.Linear(n_features, self.n_codes), nn.BatchNorm1d(self.n_codes, affine=False))
            self._encoder = nn.Sequential(backbone, *last)
        self._scaling, self._sample_shape = scaling, shape

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, facts = super()._state()
        return arrays, facts | {"information_": self.information_}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        super()._set_state(arrays, facts)
        self.information_ = facts["information_"]
