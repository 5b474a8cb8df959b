"""Semantic clustering by adopting nearest neighbors."""

from __future__ import annotations

import warnings
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from selfsort.errors import DataError
from selfsort.features.project import FloatArray, Preparation, unit_rows, whitened
from selfsort.methods.base import Work
from selfsort.methods.heads import HeadClusterer
from selfsort.methods.pairs import CHOICES, Pairs, count_neighbors, fitting_views, mine, steps_per_epoch
from selfsort.methods.pretext import contrast_plan, learn_to_contrast, need_growing, take_encoder
from selfsort.methods.saving import ARRAYS, CONFIG, load_model
from selfsort.methods.scan_stages import Consistency, SelfLabels, log_shares, prototypes
from selfsort.methods.trained import GRAPH_RATE, INIT, Scaling, TrainedClusterer, need_images, new_encoder, outputs
from selfsort.nets.backbones import BACKBONES, Backbone
from selfsort.nets.heads import Heads
from selfsort.training.batches import Batches, mixed
from selfsort.training.guard import Guard
from selfsort.training.loop import train
from selfsort.training.schedule import OPTIMIZERS, Optimizer, Plan
from selfsort.training.session import Session, random_state

_N_NEIGHBORS = 20
_WHITENING = 0.25  # power of the deviation that an encoder's directions are divided by
#: What the contrastive stage depends on.
_PRETEXT = (
    "backbone",
    "width",
    "pretext_epochs",
    "pretext_optimizer",
    "pretext_learning_rate",
    "pretext_weight_decay",
    "pretext_growth",
    "pretext_ema",
    "temperature",
    "batch_size",
    "precision",
)
#: What self-labeling alone depends on: with other values of these, and without its checkpoint, a fit in the same folder
#: goes on from SCAN's stage.
_OF_LABELS = ("label_epochs", "threshold", "sure_share", "label_entropy_weight", "ema")


class SCAN(HeadClusterer):
    """Semantic clustering by adopting nearest neighbors: what is near in good features shall share a cluster.

    First features are learned without clusters (SimCLR), unless they are given; then each sample's nearest neighbors
    are found; then several heads learn to give neighbors one cluster while all clusters are used; at last, clusters
    that heads are sure of teach them what changed views of the same images are. From random weights heads differ from
    run to run; so they first learn the groups of the features' shared-neighbor graph.

    Parameters
    ----------
    n_clusters : int or None
        None: as many as the shared-neighbor graph of the features finds.
    init : {"graph", "kmeans", "random"}
        What heads learn first: the graph's groups, k-means of the features, or nothing, as published.
    pretext : path or None
        A run folder whose encoder is taken, such as one of `SimCLR`; None: one is learned.
    backbone : str
        As for `SimCLR`, or "none", which "auto" is for features: they are clustered as they are. With a `pretext` its
        backbone and width count.
    width : int
        Channels of the encoder's first layer, or block.
    pretext_epochs : int
        Passes in which features are learned; 0: the encoder starts from random weights.
    pretext_optimizer : {"adam", "adamw", "lars", "muon", "sgd"}
    pretext_learning_rate : float
    pretext_weight_decay : float or None
    pretext_growth : float
    pretext_ema : float or None
        See `SimCLR`, whose other defaults are used.
    temperature : float
        Of that stage: what similarities are divided by.
    n_neighbors : int or None
        That are mined for each sample; None: 20, or all others of fewer.
    neighbors_of : {"features", "projections"}
        Whose neighbors: the encoder's features, or the projections behind them, as published.
    views : {"auto", "crops", "strokes", "digits", "simclr", "strong", "weak", "neighbors"}
        How samples and neighbors are changed. Auto: strong for images in color, crops for others (digits if a side is
        shorter than 16 pixels), not at all ("neighbors") for features.
    train_encoder : bool
        Whether the encoder is trained with the heads, or frozen.
    n_heads : int
        Linear layers on the same features, trained together.
    prior : {"auto", "start", "equal"}
        How large clusters are asked to be: as the groups that `init` names (equally where it names none), or equally,
        as published. Auto is "start" for features and "equal" for images, of which the first groups are uncertain.
    entropy_weight : float
        Of the divergence from those sizes, before self-labeling; 0 lets every sample fall into one cluster.
    start_steps : int
        Steps, rounded up to whole passes, in which heads learn what they start from.
    n_epochs : int
        Passes over the samples, of at least 50 steps each.
    label_epochs : int
        Passes of self-labeling after them.
    threshold : float
        Probability from which a cluster is sure.
    sure_share : float
        Share of each cluster's samples in a batch, the surest, that count as sure whatever the threshold; published: 0.
    label_entropy_weight : float
        Of the divergence from the sizes in self-labeling; published: 0.
    ema : float or None
        Decay per step of an average of the weights in self-labeling, which is kept at its end.
    batch_size : int
        Pairs per step, several times `n_clusters`.
    learning_rate : float
        The largest, of Adam with a one-cycle schedule.
    rescue : bool
        Whether training goes back to where heads were last healthy, with twice the entropy weight (or 1, if that is
        more), if one collapses.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : {"auto", "32-true", "bf16-mixed", "16-mixed"}
    random_state : int, RandomState or None

    Attributes
    ----------
    labels_, n_clusters_, n_features_in_, image_shape_, paths_, history_, device_, precision_
        See `selfsort.methods.base.SelfsortClusterer` and `selfsort.methods.trained.TrainedClusterer`.
    head_loss_ : ndarray of float64, shape (n_heads,)
        SCAN's loss of each head in the last pass; with equal sizes, below 0 where it is healthy.
    best_head_ : int
        That of the least loss among those that are not collapsed; `labels_` and `predict` are its.
    mined_neighbors_ : ndarray of int32, shape (n, n_neighbors)
        Of each sample, the nearest first.
    mined_recall_ : float
        Share of the true nearest that are among them; 1 where they were searched exactly.
    prototypes_ : ndarray of int64, shape (n_clusters_,)
        The sample that is nearest to the mean features of a cluster's surest tenth; -1 where a cluster has none.
    prototype_confidence_ : ndarray of float32, shape (n_clusters_,)
        Mean probability of the cluster among its samples; 0 where it has none.
    n_rescues_ : int
        How often training went back.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020, arXiv:2005.12320.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + rng.normal(size=(150, 3))
    >>> model = SCAN(3, n_epochs=2, random_state=0).fit(X)
    >>> model.predict_heads(X).shape, len(set(model.labels_))
    ((5, 150), 3)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = TrainedClusterer._parameter_constraints | {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "init": [INIT],
        "pretext": [None, str, Path],
        "backbone": [StrOptions({"auto", "none", *BACKBONES})],
        "width": [Interval(Integral, 1, None, closed="left")],
        "pretext_epochs": [Interval(Integral, 0, None, closed="left")],
        "pretext_optimizer": [StrOptions(set(OPTIMIZERS))],
        "pretext_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "pretext_weight_decay": [Interval(Real, 0, None, closed="left"), None],
        "pretext_growth": [Interval(Real, 0, 1, closed="left")],
        "pretext_ema": [Interval(Real, 0, 1, closed="left"), None],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "neighbors_of": [StrOptions({"features", "projections"})],
        "views": [CHOICES],
        "train_encoder": ["boolean"],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "prior": [StrOptions({"auto", "equal", "start"})],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "start_steps": [Interval(Integral, 0, None, closed="left")],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "label_epochs": [Interval(Integral, 0, None, closed="left")],
        "threshold": [Interval(Real, 0, 1, closed="left")],
        "sure_share": [Interval(Real, 0, 1, closed="both")],
        "label_entropy_weight": [Interval(Real, 0, None, closed="left")],
        "ema": [Interval(Real, 0, 1, closed="left"), None],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "rescue": ["boolean"],
    }

    _kept = ("head_loss_", "mined_neighbors_", "prototypes_", "prototype_confidence_")

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        init: str = "graph",
        pretext: str | Path | None = None,
        backbone: str = "auto",
        width: int = 32,
        pretext_epochs: int = 20,
        pretext_optimizer: Optimizer = "adam",
        pretext_learning_rate: float = 3e-3,
        pretext_weight_decay: float | None = None,
        pretext_growth: float = 0.0,
        pretext_ema: float | None = None,
        temperature: float = 0.2,
        n_neighbors: int | None = None,
        neighbors_of: str = "features",
        views: str = "auto",
        train_encoder: bool = True,
        n_heads: int = 5,
        prior: str = "auto",
        entropy_weight: float = 5.0,
        start_steps: int = 240,
        n_epochs: int = 10,
        label_epochs: int = 5,
        threshold: float = 0.99,
        sure_share: float = 0.5,
        label_entropy_weight: float = 1.0,
        ema: float | None = None,
        batch_size: int = 500,
        learning_rate: float = 3e-4,
        rescue: bool = False,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.pretext = pretext
        self.backbone = backbone
        self.width = width
        self.pretext_epochs = pretext_epochs
        self.pretext_optimizer = pretext_optimizer
        self.pretext_learning_rate = pretext_learning_rate
        self.pretext_weight_decay = pretext_weight_decay
        self.pretext_growth = pretext_growth
        self.pretext_ema = pretext_ema
        self.temperature = temperature
        self.n_neighbors = n_neighbors
        self.neighbors_of = neighbors_of
        self.views = views
        self.train_encoder = train_encoder
        self.n_heads = n_heads
        self.prior = prior
        self.entropy_weight = entropy_weight
        self.start_steps = start_steps
        self.n_epochs = n_epochs
        self.label_epochs = label_epochs
        self.threshold = threshold
        self.sure_share = sure_share
        self.label_entropy_weight = label_entropy_weight
        self.ema = ema
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.rescue = rescue
        self.device = device
        self.precision = precision
        self.random_state = random_state

    def _learn(self, samples: npt.NDArray[Any], work: Work) -> None:
        whole = self._session(work, samples)
        names = [name for name in self.get_params() if name not in _OF_LABELS]
        session = whole.shared(self._fingerprint(work.seed, samples, "scan", names))
        n_neighbors = count_neighbors("SCAN", self.n_neighbors, _N_NEIGHBORS, len(samples))
        self._views(samples.shape[1:])  # said before work starts, if it cannot work
        projector = self._start_encoder(samples, session)
        features = self._encode(samples)
        rows = self._evened(self._mined_of(features, projector))
        neighbors = mine(rows, n_neighbors, session)
        self.mined_neighbors_, self.mined_recall_ = neighbors.indices[:, :n_neighbors], neighbors.recall
        start = self._start(rows, session, neighbors)
        by_start = self.init != "random"
        self.n_clusters_ = self.n_clusters if self.n_clusters is not None else int(start.max()) + 1
        with random_state(mixed(session.seed, 1)):
            self._heads = Heads(self._n_features, self.n_heads, self.n_clusters_)
        if by_start and self.start_steps:
            self._learn_start(features, start, session, GRAPH_RATE)
        sized_as_start = by_start and (self.prior == "start" or (self.prior == "auto" and samples.ndim == 2))
        log_prior = log_shares(start, self.n_clusters_) if sized_as_start else None
        guard = self._cluster(samples, log_prior, session)
        if self.label_epochs and len(samples) > 1:  # of one, batch normalization has nothing to go by
            self._label(samples, log_prior, whole)
        self._choose_head(session.history, "scan", guard)
        features = self._encode(samples)
        soft = self._soft_of(features)[:, self.best_head_]
        self.labels_ = soft.argmax(1)
        self.prototypes_, self.prototype_confidence_ = prototypes(self.labels_, soft, unit_rows(features))

    def _validate_params(self) -> None:
        super()._validate_params()
        if self.pretext is not None and not all((Path(self.pretext) / name).is_file() for name in (CONFIG, ARRAYS)):
            raise DataError(
                f"pretext={str(self.pretext)!r} holds no model. Give a run folder of `selfsort fit simclr`."
            )

    def _start_encoder(self, samples: npt.NDArray[Any], session: Session) -> nn.Module | None:
        """Make the encoder, and learn it or take a learned one; return what projects its features, if anything does."""
        shape, device = samples.shape[1:], session.fabric.device
        if self.pretext is not None:
            learned = take_encoder(self.pretext, shape, Scaling.of(samples), self._preparation is not None)
            self._origin = learned.backbone, learned.width
            self._encoder, self._n_features = learned.encoder.module.to(device), learned.encoder.n_features
            self._scaling, self._sample_shape = learned.scaling.to(device), shape
            return None if learned.projector is None else learned.projector.to(device)
        backbone = "none" if self.backbone == "auto" and len(shape) == 1 else self.backbone
        self._origin = backbone, self.width
        self._build_encoder(shape, Scaling.of(samples).to(device), session.seed)
        self._encoder.to(device)
        if backbone == "none" or not self.pretext_epochs:
            return None
        need_growing(backbone, shape, pretext_growth=self.pretext_growth)
        plan = contrast_plan(
            self.pretext_optimizer, self.pretext_learning_rate, self.pretext_epochs, self.pretext_weight_decay
        )
        growing = round(self.pretext_growth * plan.n_epochs * steps_per_epoch(len(samples), self.batch_size))
        pairs = Pairs("auto", samples, self._scaling, session, both_changed=True, growing=growing)
        batches = self._batches(samples, pairs, session)
        shared = session.shared(self._fingerprint(session.seed, samples, "contrast", _PRETEXT))
        encoder = Backbone(self._encoder, self._n_features)
        ema, temperature = self.pretext_ema, self.temperature
        return learn_to_contrast(
            shared, "pretext", encoder, self._scaling, batches, plan, temperature=temperature, ema=ema
        )

    def _prepare(self, features: FloatArray) -> Preparation:
        if self.pretext is not None and (known := load_model(self.pretext)._preparation) is not None:
            return known
        return super()._prepare(features)

    def _mined_of(self, features: FloatArray, projector: nn.Module | None) -> FloatArray:
        """Return what neighbors are searched by."""
        if self.neighbors_of == "features":
            return features
        if projector is None:
            raise DataError('There are no projections to mine neighbors of. Pass neighbors_of="features".')
        return outputs(projector, features, self._scaling.factor.device)

    def _evened(self, features: FloatArray) -> FloatArray:
        """Return unit rows whose inner products tell neighbors: in those of an encoder, few directions would decide."""
        if self._origin[0] == "none":
            return unit_rows(features)
        return whitened(features, features.shape[1], _WHITENING)

    def _cluster(self, samples: npt.NDArray[Any], log_prior: Tensor | None, session: Session) -> Guard:
        objective = Consistency(
            self._scaling, self._encoder, self._heads, self._frozen, self.entropy_weight, log_prior, self.rescue
        )
        pairs = self._pairs(samples, session, both_changed=True, neighbors=self.mined_neighbors_)
        batches = self._batches(samples, pairs, session)
        train(session, "scan", objective, batches, self._plan(self.n_epochs), before_epoch=objective.look)
        objective.look(self.n_epochs)
        self.n_rescues_ = int(objective.n_rescues)
        return objective.guard

    def _label(self, samples: npt.NDArray[Any], log_prior: Tensor | None, session: Session) -> None:
        usage = next(row["usage"] for row in reversed(session.history) if row["stage"] == "scan")
        objective = SelfLabels(
            self._scaling,
            self._encoder,
            self._heads,
            self._frozen,
            usage,
            threshold=self.threshold,
            share=self.sure_share,
            entropy_weight=self.label_entropy_weight,
            log_prior=log_prior,
        )
        mined = self._views(samples.shape[1:]) == "neighbors"  # then they are the only other view
        neighbors = self.mined_neighbors_ if mined else None
        pairs = self._pairs(samples, session, both_changed=False, neighbors=neighbors)
        batches = self._batches(samples, pairs, session)
        plan = replace(self._plan(self.label_epochs), ema=self.ema)
        train(session, "label", objective, batches, plan, before_epoch=objective.look)
        if objective.ended >= 0 or objective.look(self.label_epochs):
            objective.go_back()  # also from an average of what came after
            warnings.warn(
                f"Self-labeling ended after {int(objective.ended)} passes: the next one gave up clusters. "
                "Train longer before it, or pass a larger label_entropy_weight.",
                UserWarning,
                stacklevel=4,
            )

    @property
    def _frozen(self) -> bool:
        return not self.train_encoder or self._origin[0] == "none"

    def _pairs(self, samples: npt.NDArray[Any], session: Session, **options: Any) -> Pairs:
        return Pairs(self._views(samples.shape[1:]), samples, self._scaling, session, **options)

    def _views(self, shape: tuple[int, ...]) -> str:
        """Return how samples of this shape are changed in the stages with clusters."""
        if self.views == "auto":
            views = fitting_views(shape)
            return "strong" if views == "simclr" else views
        need_images(shape, views=None if self.views == "neighbors" else self.views)
        return self.views

    def _batches(self, samples: npt.NDArray[Any], pairs: Pairs, session: Session) -> Batches:
        n_steps = steps_per_epoch(len(samples), self.batch_size)
        return session.batches(samples, self.batch_size, pairs, steps_per_epoch=n_steps, before_step=pairs.grow)

    def _plan(self, n_epochs: int) -> Plan:
        return Plan(n_epochs, self.learning_rate, schedule="one-cycle", replay=True)

    def _build_encoder(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        with random_state(seed):
            self._encoder, self._n_features = new_encoder(self._origin[0], shape, self._origin[1])
        self._encoder.eval()
        self._scaling, self._sample_shape = scaling, shape

    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        self._build_encoder(shape, scaling, seed)
        with random_state(seed):
            self._heads = Heads(self._n_features, self.n_heads, self.n_clusters_)

    def _inputs(self) -> list[str]:
        import xxhash

        return [] if self.pretext is None else [xxhash.xxh3_128_hexdigest((Path(self.pretext) / ARRAYS).read_bytes())]

    def _state(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        arrays, facts = super()._state()
        return arrays, facts | {"origin": list(self._origin), "n_rescues_": self.n_rescues_}

    def _set_state(self, arrays: dict[str, npt.NDArray[Any]], facts: dict[str, Any]) -> None:
        backbone, width = facts["origin"]
        self._origin = backbone, width
        super()._set_state(arrays, facts)
        self.n_rescues_ = facts["n_rescues_"]
