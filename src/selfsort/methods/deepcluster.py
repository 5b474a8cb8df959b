"""Features learned from their own clusters."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import normalized_mutual_info_score
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from selfsort.errors import DataError
from selfsort.features.kmeans import kmeans
from selfsort.features.project import FloatArray, unit_rows, whitened
from selfsort.methods.base import graph_start
from selfsort.methods.coding import Coder
from selfsort.methods.pairs import Pairs, steps_per_epoch
from selfsort.methods.trained import Scaling, need_images, new_encoder, outputs
from selfsort.nets.sobel import Sobel
from selfsort.training.batches import mixed, on_device
from selfsort.training.loop import train
from selfsort.training.schedule import ONE_CYCLE, OPTIMIZERS, Optimizer, Plan
from selfsort.training.session import Session, random_state

#: Pseudo-labels of k-means, or a tenth of the samples if that is fewer; and the most groups of a graph.
_N_PSEUDO, _MOST = 100, 256


class _PseudoLabels(nn.Module):
    """Cross-entropy with labels that are made anew, and a classifier that then begins anew.

    Attributes
    ----------
    labels : Tensor, shape (n,), int64
    agreement : Tensor, shape ()
        Normalized mutual information of these labels with those before; 0 for the first.
    """

    def __init__(self, scaling: nn.Module, encoder: nn.Module, n_features: int, n_labels: int, n: int) -> None:
        super().__init__()
        self.scaling, self.encoder = scaling, encoder
        self.classifier = nn.Linear(n_features, n_labels)
        self.register_buffer("labels", torch.full((n,), -1))
        self.register_buffer("agreement", torch.zeros(()))
        self.register_buffer("n_used", torch.zeros(()))
        self.register_buffer("order", torch.arange(n))
        self.register_buffer("ends", torch.zeros(n_labels, dtype=torch.int64))

    def renew(self, labels: npt.NDArray[np.int64], seed: int) -> nn.Module:
        """Take new labels; return the classifier, which starts anew."""
        before = self.labels.cpu().numpy()
        if before[0] >= 0:
            self.agreement.fill_(normalized_mutual_info_score(before, labels))
        new = torch.from_numpy(labels)
        sizes = torch.bincount(new, minlength=len(self.ends))
        self.labels.copy_(new)
        self.order.copy_(new.argsort(stable=True))
        self.ends.copy_(sizes.cumsum(0))
        self.n_used.fill_(float((sizes > 0).sum()))
        with random_state(seed):
            nn.init.normal_(self.classifier.weight, 0.0, 0.01)
            nn.init.zeros_(self.classifier.bias)
        return self.classifier

    def draw(self, n: int) -> Tensor:
        """Draw samples' numbers so that every cluster is as likely, whatever its size, shape (n,)."""
        starts = torch.cat([self.ends.new_zeros(1), self.ends[:-1]])
        filled = (self.ends > starts).nonzero()[:, 0]
        cluster = filled[torch.randint(len(filled), (n,), device=filled.device)]
        first, size = starts[cluster], (self.ends - starts)[cluster]
        place = (torch.rand(n, device=filled.device) * size).long().clamp_max(size - 1)
        return self.order[first + place]

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the loss, how many labels are found, and how the labels are."""
        logits = self.classifier(self.encoder(x)).float()
        found = (logits.detach().argmax(1) == target).float().mean()
        return {
            "loss": cross_entropy(logits, target),
            "found": found,
            "agreement": self.agreement,
            "n_pseudo": self.n_used,
        }


class DeepCluster(Coder):
    """DeepCluster: cluster the features of a network, train the network to predict the clusters, and so on.

    Before each pass the features of all samples, whitened, are clustered, by k-means into many more clusters than there
    are classes; in the pass the network learns to tell the clusters apart in changed views of the samples, by a
    classifier that begins anew. Samples are drawn so that all clusters are seen equally often: else one that grows
    would be a good guess for everything. The features are then clustered once more.

    Parameters
    ----------
    n_clusters : int or None
        Of the features at the end. None: as many as their shared-neighbor graph finds.
    init : {"graph", "kmeans", "random"}
        Where k-means of the features starts at the end: at the means of the groups of their graph, at the best of 20
        starts, or at features drawn at random.
    pseudo_labels : {"kmeans", "graph"}
        What is learned in each pass: k-means of the features, as published, or the groups of their graph.
    n_pseudo : int or None
        How many clusters are learned. None: 100, or a tenth of fewer samples; of a graph, as many as it finds.
    n_components : int
        Principal components of the features that are clustered.
    sobel : bool
        Whether the network sees edges in the place of colors, as published.
    backbone : str
        As for `SimCLR`; published are "alexnet" and "vgg16".
    width : int
        Channels of the encoder's first layer, or block.
    views : {"auto", "crops", "strokes", "digits", "simclr", "strong", "weak", "neighbors"}
        See `selfsort.methods.pairs.Pairs`. Features are clustered as they are without changes.
    n_epochs : int
        Passes over the samples, of at least 50 steps each, each with its own labels.
    batch_size : int
    optimizer : {"adam", "adamw", "lars", "muon", "sgd"}
        SGD has a constant rate and a weight decay of 1e-5, as published; so has LARS. The others have a
        one-cycle schedule.
    learning_rate : float
        The largest.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : {"auto", "32-true", "bf16-mixed", "16-mixed"}
    random_state : int, RandomState or None

    Attributes
    ----------
    labels_, n_clusters_, n_features_in_, image_shape_, paths_, history_, device_, precision_
        See `selfsort.methods.base.SelfsortClusterer` and `selfsort.methods.trained.TrainedClusterer`.
    cluster_centers_ : ndarray of float32, shape (n_clusters_, n_features)
    pseudo_labels_ : ndarray of int64, shape (n,)
        What was learned in the last pass.
    agreement_ : ndarray of float64, shape (n_epochs - 1,)
        Normalized mutual information of the labels of each pass with those of the pass before.

    References
    ----------
    Caron et al., "Deep Clustering for Unsupervised Learning of Visual Features", ECCV 2018, arXiv:1807.05520.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + rng.normal(size=(150, 3))
    >>> model = DeepCluster(3, n_pseudo=6, width=4, n_epochs=2, random_state=0).fit(X)
    >>> model.transform(X).shape, len(set(model.pseudo_labels_)), len(model.agreement_)
    ((150, 32), 6, 1)
    """

    _kept = ("cluster_centers_", "pseudo_labels_", "agreement_")
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = Coder._parameter_constraints | {
        "pseudo_labels": [StrOptions({"kmeans", "graph"})],
        "n_pseudo": [Interval(Integral, 1, None, closed="left"), None],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "sobel": ["boolean"],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
    }

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        init: str = "graph",
        pseudo_labels: str = "kmeans",
        n_pseudo: int | None = None,
        n_components: int = 256,
        sobel: bool = False,
        backbone: str = "auto",
        width: int = 32,
        views: str = "auto",
        n_epochs: int = 20,
        batch_size: int = 256,
        optimizer: Optimizer = "sgd",
        learning_rate: float = 0.05,
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
        self.pseudo_labels = pseudo_labels
        self.n_pseudo = n_pseudo
        self.n_components = n_components
        self.sobel = sobel
        self.optimizer = optimizer

    def _learn_codes(self, samples: npt.NDArray[Any], session: Session) -> None:
        n, device = len(samples), session.fabric.device
        if self.n_pseudo is not None and self.n_pseudo > n:
            raise DataError(
                f"DeepCluster needs at least one sample per pseudo-label: got n_samples={n} and "
                f"n_pseudo={self.n_pseudo}. Pass n_pseudo={n} or less."
            )
        pairs = Pairs(self.views, samples, Scaling.of(samples), session)
        self._build(samples.shape[1:], pairs.scaling, session.seed)
        n_labels = self.n_pseudo or (
            min(_MOST, n) if self.pseudo_labels == "graph" else min(n, _N_PSEUDO, max(2, n // 10))
        )
        with random_state(session.seed):
            objective = _PseudoLabels(self._scaling, self._encoder, self._n_features, n_labels, n)
        everything = on_device(samples, device)

        def view(_: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            drawn = objective.draw(max(2, len(rows)))  # which batch normalization needs
            if isinstance(everything, Tensor):
                drawn_samples = everything[drawn]
            else:  # they do not fit on the device
                drawn_samples = torch.from_numpy(everything[drawn.cpu().numpy()]).to(device)
            return pairs(drawn_samples, drawn)[1], objective.labels[drawn]

        def renew(epoch: int) -> nn.Module:
            objective.eval()
            with session.fabric.autocast():
                codes = outputs(lambda x: self._encoder(self._scaling(x)), samples, device)
            seed = mixed(session.seed, epoch, 3)
            return objective.renew(self._cluster(whitened(codes, self.n_components), n_labels, seed, device), seed)

        batches = session.batches(
            torch.arange(n), self.batch_size, view, steps_per_epoch=steps_per_epoch(n, self.batch_size)
        )
        train(session, "labels", objective, batches, self._plan(), before_epoch=renew)
        self.pseudo_labels_ = objective.labels.cpu().numpy()
        self.agreement_ = np.array([row["agreement"] for row in session.history if row["stage"] == "labels"][1:])

    def _cluster(self, rows: FloatArray, n_labels: int, seed: int, device: torch.device) -> npt.NDArray[np.int64]:
        """Return a pseudo-label of each row."""
        seed %= 2**31
        if self.pseudo_labels == "kmeans":
            # Apple's devices have no float64, which the sums are in
            where = str(device) if device.type == "cuda" else "cpu"
            return kmeans(rows, n_labels, n_init=1, seed=seed, device=where).labels
        labels = graph_start(rows, self.n_pseudo, seed=seed).grouping.labels
        return labels if labels.max() < n_labels else graph_start(rows, n_labels, seed=seed).grouping.labels

    def _plan(self) -> Plan:
        if self.optimizer in ONE_CYCLE:
            return Plan(self.n_epochs, self.learning_rate, self.optimizer, weight_decay=1e-5, schedule="one-cycle")
        return Plan(self.n_epochs, self.learning_rate, self.optimizer, nesterov=False, weight_decay=1e-5)

    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        need_images(shape, sobel="true" if self.sobel else None)
        if self.sobel and self.backbone == "efficientnet-lite0":
            raise DataError("efficientnet-lite0 knows colors, not edges. Pass sobel=False, or another backbone.")
        seen = (2, *shape[1:]) if self.sobel else shape
        with random_state(seed):
            encoder, self._n_features = new_encoder(self.backbone, seen, self.width)
        self._encoder = nn.Sequential(Sobel(), encoder) if self.sobel else encoder
        self._scaling, self._sample_shape = scaling, shape

    def _encode(self, samples: npt.NDArray[Any]) -> FloatArray:
        return unit_rows(super()._encode(samples))
