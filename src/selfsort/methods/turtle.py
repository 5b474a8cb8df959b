"""Labels that linear classifiers of frozen features learn best."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from selfsort.errors import DataError
from selfsort.features.project import unit_rows
from selfsort.methods.base import Work
from selfsort.methods.heads import HeadClusterer
from selfsort.methods.pairs import steps_per_epoch
from selfsort.methods.trained import GRAPH_RATE, INIT, Scaling, TrainedClusterer
from selfsort.nets.heads import SpaceHead
from selfsort.training.batches import mixed
from selfsort.training.guard import Guard
from selfsort.training.loop import train
from selfsort.training.schedule import Plan
from selfsort.training.session import random_state

_BETAS = 0.9, 0.999
_ADVICE = "Pass a larger entropy_weight, or larger batches."


class _Margin(nn.Module):
    """How well fresh linear classifiers of each space learn the head's assignment, and how evenly it uses clusters.

    The classifiers are trained on the assignment for a few steps of Adam and then held: the gradient goes to the
    assignment alone.
    """

    def __init__(self, head: SpaceHead, n_inner: int, inner_rate: float, entropy_weight: float) -> None:
        super().__init__()
        self.head, self.n_inner, self.inner_rate, self.entropy_weight = head, n_inner, inner_rate, entropy_weight
        self.guard = Guard(1, head.n_clusters, _ADVICE)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the loss of scaled features, shape (batch, n_features), and its terms."""
        with torch.autocast(x.device.type, enabled=False):
            spaces = self.head.split(x.float())
            soft = [log_p.exp() for log_p in self.head.log_assignments(spaces)]
            target = torch.stack(soft).mean(0)
            self.guard(target.clamp_min(1e-30).log()[None])
            error = sum(self._error(z, target) for z in spaces)
            means = torch.stack(soft).mean(1)
            entropy = -(means * means.clamp_min(1e-30).log()).sum()
        return {"loss": error - self.entropy_weight * entropy, "error": error, "entropy": entropy / len(spaces)}

    def _error(self, z: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy of a classifier of one space that was trained on the target just now."""
        with torch.no_grad():
            bound = z.shape[1] ** -0.5
            weight = torch.empty(z.shape[1], target.shape[1], device=z.device).uniform_(-bound, bound)
            first, second = torch.zeros_like(weight), torch.zeros_like(weight)
            for step in range(1, self.n_inner + 1):
                gradient = z.T @ ((z @ weight).softmax(1) - target) / len(z)
                first.lerp_(gradient, 1 - _BETAS[0])
                second.lerp_(gradient.square(), 1 - _BETAS[1])
                size = (second / (1 - _BETAS[1] ** step)).sqrt_().add_(1e-8)
                weight -= self.inner_rate / (1 - _BETAS[0] ** step) * first / size
            log_p = (z @ weight).log_softmax(1)
        return -(target * log_p).sum(1).mean()


class TURTLE(HeadClusterer):
    """Labels that linear classifiers of frozen features learn best: those with the widest margins.

    A linear head assigns samples to clusters. In each step new linear classifiers, one for each encoder's features, are
    trained on its assignment for a few steps; the head then moves to what they learned more easily, while all clusters
    are to be used.

    Parameters
    ----------
    n_clusters : int or None
        None: as many as the shared-neighbor graph of the samples finds.
    init : {"graph", "kmeans", "random"}
        What the head learns first: the graph's groups, k-means of the samples, or nothing, as published.
    spaces : sequence of int or None
        How many features each encoder has, where those of several stand side by side; they sum to all of them.
    entropy_weight : float
        Of the entropy of the mean assignment.
    n_inner : int
        Steps in which classifiers are trained.
    inner_rate : float
        Of their Adam. The more they learn, the surer the head becomes.
    start_steps : int
        Steps, rounded up to whole passes, in which the head learns what it starts from.
    n_epochs : int
        Passes over the samples, of at least 50 steps each.
    batch_size : int
        Large, since classifiers are trained on one batch.
    learning_rate : float
        Of the head's Adam, constant.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : {"auto", "32-true", "bf16-mixed", "16-mixed"}
    random_state : int, RandomState or None

    Attributes
    ----------
    best_head_ : int
        0; there is one.

    References
    ----------
    Gadetsky, Jiang & Brbic, "Let Go of Your Labels with Unsupervised Transfer", ICML 2024, arXiv:2406.07236.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + rng.normal(size=(150, 3))
    >>> len(set(TURTLE(3, n_epochs=2, random_state=0).fit(X).labels_))
    3
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = TrainedClusterer._parameter_constraints | {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "init": [INIT],
        "spaces": ["array-like", None],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "n_inner": [Interval(Integral, 1, None, closed="left")],
        "inner_rate": [Interval(Real, 0, None, closed="neither")],
        "start_steps": [Interval(Integral, 0, None, closed="left")],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        init: str = "graph",
        spaces: Sequence[int] | None = None,
        entropy_weight: float = 10.0,
        n_inner: int = 10,
        inner_rate: float = 3e-3,
        start_steps: int = 240,
        n_epochs: int = 24,
        batch_size: int = 2_000,
        learning_rate: float = 1e-3,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.spaces = spaces
        self.entropy_weight = entropy_weight
        self.n_inner = n_inner
        self.inner_rate = inner_rate
        self.start_steps = start_steps
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.precision = precision
        self.random_state = random_state

    def _learn(self, samples: npt.NDArray[Any], work: Work) -> None:
        session = self._session(work, samples)
        widths = self._widths(int(np.prod(samples.shape[1:])))
        start = self._start(_side_by_side(samples.reshape(len(samples), -1), widths), session)
        self.n_clusters_ = self.n_clusters if self.n_clusters is not None else int(start.max()) + 1
        self._build(samples.shape[1:], Scaling.of(samples), mixed(session.seed, 1))
        if self.init != "random" and self.start_steps:
            self._learn_start(self._encode(samples), start, session, GRAPH_RATE)
        objective = _Margin(self._heads, self.n_inner, self.inner_rate, self.entropy_weight)
        n_steps = steps_per_epoch(len(samples), self.batch_size)
        view = self._scaling
        batches = session.batches(samples, self.batch_size, lambda x, _: (view(x).flatten(1),), steps_per_epoch=n_steps)
        train(session, "margin", objective, batches, Plan(self.n_epochs, self.learning_rate))
        self.history_, self.best_head_ = session.history, 0
        self.labels_ = self._soft(samples)[:, 0].argmax(1)

    def _widths(self, n_features: int) -> list[int]:
        widths = [n_features] if self.spaces is None else [int(width) for width in self.spaces]
        if sum(widths) != n_features or min(widths) < 1:
            raise DataError(
                f"spaces={widths} must sum to the number of features: got {n_features}. Pass their lengths."
            )
        return widths

    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        self._encoder, self._scaling, self._sample_shape = nn.Flatten(), scaling, shape
        with random_state(seed):
            self._heads = SpaceHead(self._widths(int(np.prod(shape))), self.n_clusters_)


def _side_by_side(rows: npt.NDArray[Any], widths: list[int]) -> npt.NDArray[np.float32]:
    """Return rows whose inner products are the mean of the cosines in each space."""
    parts = np.split(rows, np.cumsum(widths)[:-1], axis=1)
    return np.concatenate([unit_rows(part) for part in parts], axis=1)
