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
from selfsort.features.kmeans import kmeans
from selfsort.features.project import FloatArray, unit_rows
from selfsort.methods.base import Work
from selfsort.methods.heads import HeadClusterer
from selfsort.methods.pairs import steps_per_epoch
from selfsort.methods.trained import GRAPH_RATE, INIT, Scaling, TrainedClusterer
from selfsort.nets.heads import SpaceHeads
from selfsort.training.batches import mixed
from selfsort.training.guard import Guard
from selfsort.training.loop import train
from selfsort.training.schedule import Plan
from selfsort.training.session import random_state

_BETAS = 0.9, 0.999
_ADVICE = "Pass a larger entropy_weight, or larger batches."


class _Even(nn.Module):
    """Brings the features of each encoder to a deviation of 1, so that none is louder; (n, ...) to (n, n_features)."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("factor", torch.ones(n_features))

    @torch.no_grad()
    def learn(self, scaled: Tensor, widths: Sequence[int]) -> None:
        """Take the deviations of samples whose mean is 0, shape (n, n_features)."""
        deviations = [part.square().mean().sqrt() for part in scaled.split(list(widths), dim=1)]
        each = [1 / deviation if deviation > 0 else torch.ones(()) for deviation in deviations]
        self.factor.copy_(torch.cat([torch.full((w,), float(f)) for w, f in zip(widths, each, strict=True)]))

    def forward(self, scaled: Tensor) -> Tensor:
        """Return the features."""
        return scaled.flatten(1) * self.factor


class _Margin(nn.Module):
    """How well fresh linear classifiers of each space learn each head's assignment, and how evenly it uses clusters.

    The classifiers are trained on the assignment for a few steps of Adam and then held: the gradient goes to the
    assignment alone.
    """

    def __init__(
        self, scaling: nn.Module, heads: SpaceHeads, n_inner: int, inner_rate: float, entropy_weight: float
    ) -> None:
        super().__init__()
        self.scaling = scaling  # and what else the batches pass, so it goes where they are made
        self.heads, self.n_inner, self.inner_rate, self.entropy_weight = heads, n_inner, inner_rate, entropy_weight
        self.guard = Guard(heads.n_heads, heads.n_clusters, _ADVICE)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the loss of scaled features, shape (batch, n_features), its terms, and the loss of each head."""
        with torch.autocast(x.device.type, enabled=False):
            spaces = self.heads.split(x.float())
            soft = torch.stack([log_p.exp() for log_p in self.heads.log_assignments(spaces)])
            target = soft.mean(0)
            self.guard(target.clamp_min(1e-30).log().transpose(0, 1))
            error = torch.stack([self._error(z, target) for z in spaces]).sum(0)
            means = soft.mean(1)
            entropy = -(means * means.clamp_min(1e-30).log()).sum((0, 2))
        loss = error - self.entropy_weight * entropy
        terms = {"loss": loss.mean(), "error": error.mean(), "entropy": entropy.mean() / len(spaces)}
        return terms | {f"head_{i + 1}": value.detach() for i, value in enumerate(loss)}

    def _error(self, z: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy of classifiers of one space that were trained on the target just now, (n_heads,)."""
        _, n_heads, n_clusters = target.shape
        held = target.detach()
        with torch.no_grad():
            bound = z.shape[1] ** -0.5
            weight = torch.empty(z.shape[1], n_heads * n_clusters, device=z.device).uniform_(-bound, bound)
            first, second = torch.zeros_like(weight), torch.zeros_like(weight)
            for step in range(1, self.n_inner + 1):
                off = (z @ weight).unflatten(1, (n_heads, n_clusters)).softmax(-1).sub_(held).flatten(1)
                gradient = (z.T @ off).div_(len(z))
                first.lerp_(gradient, 1 - _BETAS[0])
                second.lerp_(gradient.square(), 1 - _BETAS[1])
                size = (second / (1 - _BETAS[1] ** step)).sqrt_().add_(1e-8)
                weight -= self.inner_rate / (1 - _BETAS[0] ** step) * first / size
            log_p = (z @ weight).unflatten(1, (n_heads, n_clusters)).log_softmax(-1)
        return -(target * log_p).sum(-1).mean(0)


class TURTLE(HeadClusterer):
    """Labels that linear classifiers of frozen features learn best: those with the widest margins.

    Linear heads assign samples to clusters. In each step new linear classifiers, one for each head and encoder's
    features, are trained on its assignment for a few steps; the head then moves to what they learned more easily, while
    all clusters are to be used. Heads from random starts differ; what they say together is better than what most say
    alone: the clusters are those that k-means finds in the heads' assignments, and a sample belongs to the one that the
    heads' clusters, by what they share with it, have most of.

    Parameters
    ----------
    n_clusters : int or None
        None: as many as the shared-neighbor graph of the samples finds.
    init : {"graph", "kmeans", "random"}
        What the head learns first: the graph's groups, k-means of the samples, or nothing, as published.
    spaces : sequence of int or None
        How many features each encoder has, where those of several stand side by side; they sum to all of them.
    n_heads : int
        Trained together, from other weights and on the same batches.
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
    labels_, n_clusters_, n_features_in_, image_shape_, paths_, history_, device_, precision_
        See `selfsort.methods.base.SelfsortClusterer` and `selfsort.methods.trained.TrainedClusterer`.
    head_loss_ : ndarray of float64, shape (n_heads,)
        Of each head in the last pass.
    best_head_ : int
        That of the least; `labels_` and `predict` are of all heads.
    share_ : ndarray of float32, shape (n_heads, n_clusters_, n_clusters_)
        Share of each head's cluster that is in each of the clusters; rows sum to 1.

    References
    ----------
    Gadetsky, Jiang & Brbic, "Let Go of Your Labels with Unsupervised Transfer", ICML 2024, arXiv:2406.07236.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + rng.normal(size=(150, 3))
    >>> model = TURTLE(3, n_epochs=2, random_state=0).fit(X)
    >>> len(set(model.labels_)), model.predict_heads(X).shape
    (3, (8, 150))
    """

    _kept = ("head_loss_", "share_")
    _encoder: _Even
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = TrainedClusterer._parameter_constraints | {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "init": [INIT],
        "spaces": ["array-like", None],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
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
        n_heads: int = 8,
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
        self.n_heads = n_heads
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
        widths = self._widths(int(np.prod(samples.shape[1:])))
        session = self._session(work, samples)
        start = self._start(_side_by_side(samples.reshape(len(samples), -1), widths), session)
        self.n_clusters_ = self.n_clusters if self.n_clusters is not None else int(start.max()) + 1
        self._build(samples.shape[1:], Scaling.of(samples), mixed(session.seed, 1))
        self._encoder.learn(self._scaling(torch.from_numpy(samples)).flatten(1), widths)
        if self.init != "random" and self.start_steps:
            self._learn_start(self._encode(samples), start, session, GRAPH_RATE)
        objective = _Margin(
            nn.Sequential(self._scaling, self._encoder), self._heads, self.n_inner, self.inner_rate, self.entropy_weight
        )
        n_steps = steps_per_epoch(len(samples), self.batch_size)
        view = objective.scaling
        batches = session.batches(samples, self.batch_size, lambda x, _: (view(x),), steps_per_epoch=n_steps)
        train(session, "margin", objective, batches, Plan(self.n_epochs, self.learning_rate))
        self._choose_head(session.history, "margin", objective.guard)
        soft = self._soft(samples)
        self.share_ = _shares(soft, session.seed)
        self.labels_ = self._joined(soft).argmax(1)

    def _joined(self, soft: FloatArray) -> FloatArray:
        """Return the soft assignment of all heads together, shape (n, n_clusters_)."""
        joined: FloatArray = np.einsum("nhc,hck->nk", soft, self.share_, optimize=True) / len(self.share_)
        return joined

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the soft assignment of each sample by all heads, shape (n, n_clusters_), float32."""
        return self._joined(self._soft(self._read_fitted(X)))

    def _widths(self, n_features: int) -> list[int]:
        given = [n_features] if self.spaces is None else list(self.spaces)
        whole = [int(width) for width in given if isinstance(width, Integral) and width > 0]
        if len(whole) < len(given) or sum(whole) != n_features:
            raise DataError(
                f"spaces={given} must be whole numbers that sum to the number of features: got {n_features} features. "
                "Pass how many each encoder has."
            )
        return whole

    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        self._encoder, self._scaling, self._sample_shape = _Even(int(np.prod(shape))), scaling, shape
        with random_state(seed):
            self._heads = SpaceHeads(self._widths(int(np.prod(shape))), self.n_heads, self.n_clusters_)


def _side_by_side(rows: npt.NDArray[Any], widths: list[int]) -> npt.NDArray[np.float32]:
    """Return rows whose inner products are the mean of the cosines in each space."""
    parts = np.split(rows, np.cumsum(widths)[:-1], axis=1)
    return np.concatenate([unit_rows(part) for part in parts], axis=1)


def _shares(soft: FloatArray, seed: int) -> FloatArray:
    """Find clusters in the assignments of several heads, (n, n_heads, k), and what share of them heads' clusters have.

    Of one head, its own.
    """
    n, n_heads, k = soft.shape
    if n_heads == 1:
        return np.eye(k, dtype=np.float32)[None]
    found = kmeans(np.sqrt(soft.reshape(n, -1)), k, n_init=20, seed=seed).labels
    shares = np.einsum("nhc,nk->hck", soft, np.eye(k, dtype=np.float32)[found], optimize=True)
    return np.asarray(shares / np.maximum(shares.sum(2, keepdims=True), 1e-12), np.float32)
