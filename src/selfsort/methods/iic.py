"""Invariant information clustering."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from selfsort.errors import DataError
from selfsort.features.bottleneck import grouped_information, paired_joint, split_and_merge
from selfsort.losses.invariant import invariant_information
from selfsort.methods.base import Work
from selfsort.methods.heads import HeadClusterer
from selfsort.methods.pairs import CHOICES, Pairs, steps_per_epoch
from selfsort.methods.trained import GRAPH_RATE, INIT, Scaling, TrainedClusterer, new_encoder, outputs
from selfsort.nets.backbones import BACKBONES
from selfsort.nets.heads import Heads
from selfsort.training.batches import mixed
from selfsort.training.guard import Guard
from selfsort.training.loop import train
from selfsort.training.schedule import Plan
from selfsort.training.session import random_state

_N_JUDGED = 10_000  # samples that proposals are judged by
_GAIN = 0.02  # nats by which a proposal must be better
_ADVICE = 'Pass init="graph", larger batches, or views that change less.'
_REGROUPING = 0.7  # share of the training in which there are proposals


class _Information(nn.Module):
    """Minus the information of each head and its cross-entropy with its lesson, or, while it is taught, that alone."""

    def __init__(self, scaling: Scaling, encoder: nn.Module, heads: Heads, fine: Heads | None, n: int) -> None:
        super().__init__()
        self.scaling, self.encoder, self.heads, self.fine = scaling, encoder, heads, fine
        self.register_buffer("lesson", torch.zeros(heads.n_heads, n, dtype=torch.int64))
        self.register_buffer("taught", torch.zeros(heads.n_heads, dtype=torch.bool))
        self.register_buffer("weight", torch.zeros(heads.n_heads))  # of the lesson where there was one
        self.register_buffer("n_regroupings", torch.zeros((), dtype=torch.int64))
        self.guard = Guard(heads.n_heads, heads.n_clusters, _ADVICE)

    def teach(self, lesson: Tensor, taught: Tensor, weight: float) -> None:
        """Teach heads, shape (n_heads,), bool, a lesson, shape (n,) or (n_heads, n); later it has this weight."""
        self.lesson[taught] = lesson.expand_as(self.lesson)[taught]
        self.taught.copy_(taught)
        self.weight.masked_fill_(taught, weight)

    def forward(self, first: Tensor, second: Tensor, rows: Tensor) -> dict[str, Tensor]:
        features = self.encoder(torch.cat([first, second]))
        logits = self.heads(features)
        self.guard(logits.chunk(2, 1)[0])
        information = invariant_information(*logits.chunk(2, 1))
        lesson = self.lesson[:, rows].repeat(1, 2)
        error = cross_entropy(logits.flatten(0, 1), lesson.flatten(), reduction="none").view_as(lesson).mean(1)
        loss = torch.where(self.taught, error, self.weight * error - information).mean()
        terms = {f"head_{i + 1}": value for i, value in enumerate(information)}
        if self.fine is not None:
            terms["fine"] = invariant_information(*self.fine(features).chunk(2, 1)).mean()
            loss = loss - terms["fine"]
        return {"loss": loss} | terms


class IIC(HeadClusterer):
    """Invariant information clustering: two views of a sample shall know as much of each other as clusters can tell.

    Several cluster heads, and as many with more, finer clusters, share one encoder, which is trained to give the
    clusters of two views the most mutual information. It is log k where views always agree and clusters are equally
    large. From random weights heads stick where one true cluster is split and two are joined; so heads first learn the
    groups of the shared-neighbor graph, and are reminded of them. While training goes on, it is tried whether dividing
    a cluster along the fine ones and joining two others gives more information: then the head learns that.

    Parameters
    ----------
    n_clusters : int or None
        None: as many as the shared-neighbor graph of the samples finds.
    init : {"graph", "kmeans", "random"}
        What heads learn first: the graph's groups, k-means of the samples, or nothing, as published.
    backbone : str
        "vgg-f", "airbench", "vgg16", "alexnet", "resnet18", "resnet50", "efficientnet-lite0" (which starts from its
        weights of ImageNet), "mlp"; "auto" is vgg-f for images of 8 x 8 to 32 x 32
        pixels, resnet18 for larger ones, mlp otherwise.
    width : int
        Channels of the encoder's first layer, or block.
    n_heads : int
    n_fine : int or None
        Clusters of each fine head ("overclustering"); None: 5 per cluster, 0: no fine heads.
    views : {"auto", "crops", "strokes", "digits", "simclr", "strong", "weak", "neighbors"}
        See `selfsort.methods.pairs.Pairs`.
    regroup : bool
        Whether clusters are divided and joined where that gives more information
        (`selfsort.features.bottleneck.split_and_merge`). False: as published.
    start_steps : int
        Steps, rounded up to whole passes, in which heads learn what they start from, at a largest rate of 0.003.
    start_weight : float
        Of the cross-entropy with what heads learned first, or were shown last, while information is maximized. Strong
        views blur what tells small groups apart, and information alone then lets them drift; 0: information alone.
    n_epochs : int
        Passes over the samples, of at least 50 steps each.
    batch_size : int
        Pairs per step, several times `n_clusters`.
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
    head_information_ : ndarray of float64, shape (n_heads,)
        Mutual information of each head in the last pass, in nats; log n_clusters at most.
    best_head_ : int
        That of the most information; `labels_` and `predict` are its.
    joint_ : ndarray of float64, shape (n_clusters_, n_clusters_)
        Symmetric joint distribution of the best head's clusters over two views of up to 10,000 samples.
    n_regroupings_ : int
        How often a head was shown better clusters.

    References
    ----------
    Ji et al., "Invariant Information Clustering for Unsupervised Image Classification and Segmentation", ICCV 2019.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + rng.normal(size=(150, 3))
    >>> model = IIC(3, width=4, n_epochs=3, random_state=0).fit(X)
    >>> model.predict_heads(X).shape, len(set(model.labels_))
    ((5, 150), 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = TrainedClusterer._parameter_constraints | {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "init": [INIT],
        "backbone": [StrOptions({"auto", *BACKBONES})],
        "width": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "n_fine": [Interval(Integral, 0, None, closed="left"), None],
        "views": [CHOICES],
        "regroup": ["boolean"],
        "start_steps": [Interval(Integral, 0, None, closed="left")],
        "start_weight": [Interval(Real, 0, None, closed="left")],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
    }

    _kept = ("head_information_", "joint_")

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        init: str = "graph",
        backbone: str = "auto",
        width: int = 32,
        n_heads: int = 5,
        n_fine: int | None = None,
        views: str = "auto",
        regroup: bool = True,
        start_steps: int = 240,
        start_weight: float = 0.1,
        n_epochs: int = 20,
        batch_size: int = 500,
        learning_rate: float = 2e-3,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.backbone = backbone
        self.width = width
        self.n_heads = n_heads
        self.n_fine = n_fine
        self.views = views
        self.regroup = regroup
        self.start_steps = start_steps
        self.start_weight = start_weight
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.precision = precision
        self.random_state = random_state

    def _learn(self, samples: npt.NDArray[Any], work: Work) -> None:
        session = self._session(work, samples)
        # Random heads would only learn to tell changed samples from unchanged ones, which is worth log 2 nats.
        both_changed = self.init == "random"
        pairs = Pairs(self.views, samples, Scaling.of(samples), session, both_changed=both_changed)
        start = self._start(samples, session)
        self.n_clusters_ = self.n_clusters if self.n_clusters is not None else int(start.max()) + 1
        self._build(samples.shape[1:], pairs.scaling, session.seed)
        self._check_batch(len(samples))
        with random_state(mixed(session.seed, 1)):
            fine = self._fine_heads()
        objective = _Information(self._scaling, self._encoder, self._heads, fine, len(samples))
        batches = session.batches(
            samples,
            self.batch_size,
            lambda x, rows: (*pairs(x, rows), rows),
            steps_per_epoch=steps_per_epoch(len(samples), self.batch_size),
        )

        if self.init != "random" and self.start_steps:
            objective.teach(torch.from_numpy(start), torch.ones(self.n_heads, dtype=torch.bool), self.start_weight)
            plan = Plan(-(-self.start_steps // len(batches)), GRAPH_RATE, schedule="one-cycle")
            train(session, "start", objective, batches, plan)

        def teach(epoch: int) -> None:
            objective.taught.fill_(False)
            if fine is not None and self.regroup and 0 < epoch <= _REGROUPING * self.n_epochs:
                with random_state(mixed(session.seed, 2, epoch)):
                    self._teach_better(objective, fine, samples, pairs)

        plan = Plan(self.n_epochs, self.learning_rate, schedule="one-cycle")
        train(session, "pairs", objective, batches, plan, before_epoch=teach)
        self.n_regroupings_ = int(objective.n_regroupings)
        self.history_ = session.history
        last = self.history_[-1]
        self.head_information_ = np.array([last[f"head_{i + 1}"] for i in range(self.n_heads)])
        self.best_head_ = int(self.head_information_.argmax())
        self.labels_ = self._soft(samples)[:, self.best_head_].argmax(1)
        with random_state(mixed(session.seed, 3)):
            views = _two_views(lambda x: self._heads(self._encoder(x)).argmax(-1).mT[None], samples, pairs)
        first, second = views[self.best_head_]
        self.joint_ = paired_joint(first[0], second[0], self.n_clusters_)

    def _fine_heads(self) -> Heads | None:
        n_fine = 5 * self.n_clusters_ if self.n_fine is None else self.n_fine
        if 0 < n_fine < self.n_clusters_:
            raise DataError(
                f"n_fine={n_fine} is less than the number of clusters, {self.n_clusters_}. Pass {self.n_clusters_} or "
                "more, 0 for no fine heads, or leave it out."
            )
        return Heads(self._heads.linear.in_features, self.n_heads, n_fine) if n_fine else None

    def _check_batch(self, n: int) -> None:
        batch = min(n, self.batch_size)
        if batch < 4 * self.n_clusters_:
            warnings.warn(
                f"Batches of {batch} pairs say little about {self.n_clusters_} clusters: information is overestimated "
                f"where a cluster has fewer than about 4 pairs. Pass batch_size={10 * self.n_clusters_} or more, or "
                "more samples.",
                UserWarning,
                stacklevel=4,
            )

    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        with random_state(seed):
            self._encoder, n_features = new_encoder(self.backbone, shape, self.width)
            self._heads = Heads(n_features, self.n_heads, self.n_clusters_)
        self._scaling, self._sample_shape = scaling, shape

    def _teach_better(self, objective: _Information, fine: Heads, samples: npt.NDArray[Any], pairs: Pairs) -> None:
        """Set a lesson for each head of which dividing and joining clusters makes one that knows more of itself."""
        objective.eval()
        k, m = self.n_clusters_, fine.n_clusters

        def hard(x: Tensor) -> Tensor:
            features = self._encoder(x)
            return torch.stack([self._heads(features).argmax(-1), fine(features).argmax(-1)]).mT  # (2, batch, heads)

        proposed = [split_and_merge(*views, k, m, _GAIN) for views in _two_views(hard, samples, pairs)]
        judged = _two_views(hard, samples, pairs)  # other samples and views than proposals were made from
        better = [_gain(table, views) > _GAIN for table, views in zip(proposed, judged, strict=True)]
        if any(better):
            device = self._scaling.factor.device
            own = outputs(lambda x: hard(self._scaling(x)).transpose(0, 1), samples, device).astype(np.int64)
            lessons = [table[own[:, 0, head], own[:, 1, head]] for head, table in enumerate(proposed)]
            objective.teach(
                torch.from_numpy(np.stack(lessons)).to(device), torch.tensor(better, device=device), self.start_weight
            )
            objective.n_regroupings += sum(better)

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, facts = super()._state()
        return arrays, facts | {"n_regroupings_": self.n_regroupings_}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        super()._set_state(arrays, facts)
        self.n_regroupings_ = facts["n_regroupings_"]


def _two_views(
    hard: Callable[[Tensor], Tensor], samples: npt.NDArray[Any], pairs: Pairs
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return what each head says of two views, newly drawn, of up to 10,000 samples.

    `hard` returns numbers of clusters, shape (m, batch, n_heads); each of the two of a head has the shape (m, n).
    """
    device = pairs.scaling.factor.device
    rows = torch.randperm(len(samples))[:_N_JUDGED]
    views = pairs(torch.from_numpy(samples[rows.numpy()]).to(device), rows)
    tags = [outputs(lambda x: hard(x).transpose(0, 1), view.cpu().numpy(), device).astype(np.int64) for view in views]
    return list(zip(*(view.transpose(2, 1, 0) for view in tags), strict=True))


def _gain(table: npt.NDArray[np.int64], views: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]) -> float:
    """Return the nats that two views gain by the new clusters of `selfsort.features.bottleneck.split_and_merge`."""
    k = len(table)
    old = paired_joint(views[0][0], views[1][0], k)
    new = paired_joint(table[tuple(views[0])], table[tuple(views[1])], k)
    return grouped_information(new, np.arange(k), k) - grouped_information(old, np.arange(k), k)
