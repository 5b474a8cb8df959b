"""Teacher and student heads on frozen features."""

from __future__ import annotations

import copy
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from selfsort.features.project import unit_rows
from selfsort.losses.clustering import temi_loss
from selfsort.methods.base import Work
from selfsort.methods.heads import HeadClusterer
from selfsort.methods.pairs import Pairs, count_neighbors, mine, steps_per_epoch
from selfsort.methods.trained import GRAPH_RATE, INIT, Scaling, TrainedClusterer
from selfsort.nets.heads import DeepHeads
from selfsort.training.batches import mixed
from selfsort.training.guard import Guard
from selfsort.training.loop import train
from selfsort.training.schedule import Plan
from selfsort.training.session import random_state

_N_NEIGHBORS = 50
_PRIOR_DECAY = 0.9
_ADVICE = "Pass a smaller beta, or larger batches."


class _Pointwise(nn.Module):
    """TEMI's loss of a student, whose teacher is its running average."""

    def __init__(self, scaling: nn.Module, heads: DeepHeads, beta: float, decay: float, prior_decay: float) -> None:
        super().__init__()
        self.scaling = scaling  # of the views, so it goes where they are made
        self.student, self.teacher = heads, copy.deepcopy(heads).requires_grad_(False)
        self.beta, self.decay, self.prior_decay = beta, decay, prior_decay
        self.register_buffer("prior", torch.full((heads.n_heads, heads.n_clusters), 1 / heads.n_clusters))
        self.guard = Guard(heads.n_heads, heads.n_clusters, _ADVICE)

    @torch.no_grad()
    def _follow(self) -> None:
        torch._foreach_lerp_(list(self.teacher.parameters()), list(self.student.parameters()), 1 - self.decay)

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """Return the loss of samples and a neighbor of each, and that of each head."""
        self._follow()
        both = torch.cat([first, second])
        with torch.no_grad():
            known = self.teacher(both)
            self.guard(known)
            self.prior.lerp_(known.softmax(-1).mean(1), 1 - self.prior_decay)
        loss = temi_loss(self.student(both).chunk(2, 1), known.chunk(2, 1), self.prior.log(), self.beta)
        return {"loss": loss.mean()} | {f"head_{i + 1}": value.detach() for i, value in enumerate(loss)}


class TEMI(HeadClusterer):
    """Teacher and student heads on frozen features: what is near shall share more clusters than chance has it.

    Several small networks learn, each from its own running average, to give a sample and one of its nearest neighbors a
    cluster that both have more of than samples have on average. Neighbors of which the teachers think that they belong
    together count more.

    Parameters
    ----------
    n_clusters : int or None
        None: as many as the shared-neighbor graph of the samples finds.
    init : {"graph", "kmeans", "random"}
        What heads learn first: the graph's groups, k-means of the samples, or nothing, as published.
    n_neighbors : int or None
        None: 50, or all others of fewer.
    n_heads : int
        16 as published.
    hidden, n_codes : int
        Units of the layers of a head; 512 and 256 as published.
    temperature : float
        What cosines with the clusters' directions are divided by.
    beta : float
        Below 1, so that clusters stay of about equal size; 1 lets all samples fall into one.
    decay : float
        Per step, of the average that is the teacher.
    start_steps : int
        Steps, rounded up to whole passes, in which heads learn what they start from.
    n_epochs : int
        Passes over the samples, of at least 50 steps each; 100 as published.
    batch_size : int
    learning_rate : float
        Of AdamW, with weight decay 0.0001, along a cosine.
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
        That of the least loss; `labels_` and `predict` are its.
    mined_neighbors_ : ndarray of int32, shape (n, n_neighbors)
        Of each sample, the nearest first.

    mined_recall_ : float
        Share of the true nearest that are among them; 1 where they were searched exactly.

    References
    ----------
    Adaloglou et al., "Exploring the Limits of Deep Image Clustering using Pretrained Models", BMVC 2023.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + rng.normal(size=(150, 3))
    >>> model = TEMI(3, n_heads=2, hidden=16, n_codes=8, n_epochs=2, random_state=0).fit(X)
    >>> model.predict_heads(X).shape, len(set(model.labels_))
    ((2, 150), 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = TrainedClusterer._parameter_constraints | {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "init": [INIT],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "n_codes": [Interval(Integral, 1, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "beta": [Interval(Real, 0, 1, closed="right")],
        "decay": [Interval(Real, 0, 1, closed="left")],
        "start_steps": [Interval(Integral, 0, None, closed="left")],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
    }

    _kept = ("head_loss_", "mined_neighbors_")

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        init: str = "graph",
        n_neighbors: int | None = None,
        n_heads: int = 4,
        hidden: int = 256,
        n_codes: int = 128,
        temperature: float = 0.1,
        beta: float = 0.6,
        decay: float = 0.996,
        start_steps: int = 240,
        n_epochs: int = 20,
        batch_size: int = 512,
        learning_rate: float = 2e-4,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_neighbors = n_neighbors
        self.n_heads = n_heads
        self.hidden = hidden
        self.n_codes = n_codes
        self.temperature = temperature
        self.beta = beta
        self.decay = decay
        self.start_steps = start_steps
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.precision = precision
        self.random_state = random_state

    def _learn(self, samples: npt.NDArray[Any], work: Work) -> None:
        session = self._session(work, samples)
        n_neighbors = count_neighbors("TEMI", self.n_neighbors, _N_NEIGHBORS, len(samples))
        rows = unit_rows(samples.reshape(len(samples), -1))
        neighbors = mine(rows, n_neighbors, session)
        self.mined_neighbors_, self.mined_recall_ = neighbors.indices[:, :n_neighbors], neighbors.recall
        start = self._start(rows, session, neighbors)
        self.n_clusters_ = self.n_clusters if self.n_clusters is not None else int(start.max()) + 1
        self._build(samples.shape[1:], Scaling.of(samples), mixed(session.seed, 1))
        if self.init != "random" and self.start_steps:
            self._learn_start(self._encode(samples), start, session, GRAPH_RATE)
        objective = _Pointwise(self._scaling, self._heads, self.beta, self.decay, _PRIOR_DECAY)
        pairs = Pairs("neighbors", samples, self._scaling, session, neighbors=self.mined_neighbors_)

        def flat(x: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
            return tuple(view.flatten(1) for view in pairs(x, rows))

        n_steps = steps_per_epoch(len(samples), self.batch_size)
        batches = session.batches(samples, self.batch_size, flat, steps_per_epoch=n_steps)
        plan = Plan(self.n_epochs, self.learning_rate, "adamw", weight_decay=1e-4, schedule="cosine")
        train(session, "pairs", objective, batches, plan)
        self._heads = objective.teacher
        self._choose_head(session.history, "pairs", objective.guard)
        self.labels_ = self._soft(samples)[:, self.best_head_].argmax(1)

    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        self._encoder, self._scaling, self._sample_shape = nn.Flatten(), scaling, shape
        with random_state(seed):
            self._heads = DeepHeads(
                int(np.prod(shape)),
                self.n_heads,
                self.n_clusters_,
                hidden=self.hidden,
                n_codes=self.n_codes,
                temperature=self.temperature,
            )
