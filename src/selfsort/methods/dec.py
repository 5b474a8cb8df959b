"""Deep embedded clustering: DEC, and IDEC, which keeps the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from selfsort.features.project import FloatArray
from selfsort.losses.clustering import sharpened_target, student_t_log_assignment
from selfsort.methods.base import Work
from selfsort.methods.pretrain import AutoencoderClusterer
from selfsort.methods.trained import Scaling, need_images
from selfsort.training.loop import train
from selfsort.training.schedule import Optimizer, Plan


class DEC(AutoencoderClusterer):
    """Deep embedded clustering: pull codes towards the centers they are surest about.

    After the autoencoder, codes z and centers mu have the soft assignment q (Student's t). Every `update_interval`
    steps a target p is made of q of all samples, squared and divided by the clusters' sizes, and encoder and centers
    are trained to bring q to p. It ends when less than a share `tol` of the samples changed their cluster since the
    last target.

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
    max_steps : int
        Most steps of the cluster stage, rounded up to whole intervals.
    update_interval : int
        Steps between two targets.
    tol : float
        Share of samples; 0: all steps are taken.
    cluster_optimizer : {"adam", "sgd"}
        SGD has momentum 0.9.
    cluster_learning_rate : float
        The largest, in this stage.
    cluster_views : {"crops", "strokes", "digits", "simclr", "strong", "weak"} or None
        As `views`, for this stage: targets come from the images as they are, and the net learns them from changed ones
        (Guo et al., "Deep Embedded Clustering with Data Augmentation", ACML 2018). Changes should be small.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : {"auto", "32-true", "bf16-mixed", "16-mixed"}
    random_state : int, RandomState or None

    Attributes
    ----------
    labels_, n_clusters_, n_features_in_, image_shape_, paths_, history_, device_, precision_
        See `selfsort.methods.base.SelfsortClusterer` and `selfsort.methods.trained.TrainedClusterer`.
    n_steps_ : int
        Steps of the cluster stage that were taken.
    cluster_centers_ : ndarray of float32, shape (n_clusters_, n_codes)

    References
    ----------
    Xie et al., "Unsupervised Deep Embedding for Clustering Analysis", ICML 2016.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(3) * 10, 50, axis=0) + rng.normal(size=(150, 3))
    >>> model = DEC(3, hidden=(32,), n_codes=2, n_epochs=5, graph_steps=50, max_steps=20, random_state=0).fit(X)
    >>> model.predict_proba(X).shape
    (150, 3)
    """

    #: Weights of divergence and reconstruction.
    _weights: ClassVar[tuple[float, float]] = (1.0, 0.0)
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = AutoencoderClusterer._parameter_constraints | {
        "max_steps": [Interval(Integral, 1, None, closed="left")],
        "update_interval": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, 1, closed="both")],
        "cluster_optimizer": [StrOptions({"adam", "sgd"})],
        "cluster_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "cluster_views": AutoencoderClusterer._parameter_constraints["views"],
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
        max_steps: int = 20_000,
        update_interval: int = 140,
        tol: float = 1e-3,
        cluster_optimizer: Optimizer = "sgd",
        cluster_learning_rate: float = 0.01,
        cluster_views: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            n_clusters,
            init=init,
            graph_steps=graph_steps,
            network=network,
            hidden=hidden,
            channels=channels,
            n_codes=n_codes,
            views=views,
            n_epochs=n_epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            device=device,
            precision=precision,
            random_state=random_state,
        )
        self.max_steps = max_steps
        self.update_interval = update_interval
        self.tol = tol
        self.cluster_optimizer = cluster_optimizer
        self.cluster_learning_rate = cluster_learning_rate
        self.cluster_views = cluster_views

    def _learn(self, samples: npt.NDArray[Any], work: Work) -> None:
        session = self._session(work, samples)
        objective = self._start_clusters(samples, session)
        objective.weights = self._weights
        objective.register_buffer("labels", torch.full((len(samples),), -1))
        n_epochs = -(-self.max_steps // self.update_interval)
        plan = Plan(n_epochs, self.cluster_learning_rate, self.cluster_optimizer, nesterov=False)
        view = self._view(self.cluster_views)
        batches = session.batches(
            samples,
            self.batch_size,
            lambda x, rows: (view(x), rows),
            stream=2,
            steps_per_epoch=min(self.update_interval, self.max_steps),
        )

        def renew_target(epoch: int) -> bool:
            objective.eval()
            with torch.no_grad(), session.fabric.autocast():  # a target needs no more digits than training has
                codes = torch.from_numpy(self._encode(samples)).to(objective.target.device)
                assignment = student_t_log_assignment(codes, objective.centers).exp()
                objective.target.copy_(sharpened_target(assignment))
                labels = assignment.argmax(1)
                changed = float((labels != objective.labels).float().mean())
                objective.labels.copy_(labels)
            return epoch > 0 and changed < self.tol

        train(session, "cluster", objective, batches, plan, before_epoch=renew_target)
        self.n_steps_ = max((row["step"] for row in session.history if row["stage"] == "cluster"), default=0)
        self.cluster_centers_ = objective.centers.detach().float().cpu().numpy()
        self.labels_ = self._assignment(self._encode(samples)).argmax(1)
        self.history_ = session.history

    def _build(self, shape: tuple[int, ...], scaling: Scaling, seed: int = 0) -> None:
        need_images(shape, cluster_views=self.cluster_views)
        super()._build(shape, scaling, seed)

    def _assignment(self, codes: FloatArray) -> FloatArray:
        log_q = student_t_log_assignment(torch.from_numpy(codes), torch.from_numpy(self.cluster_centers_))
        return log_q.exp().numpy()

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Return the likeliest cluster of each sample, shape (n,)."""
        return self.predict_proba(X).argmax(1)

    def predict_proba(self, X: Any) -> FloatArray:
        """Return the soft assignment of each sample, shape (n, n_clusters_), float32; rows sum to 1."""
        return self._assignment(self.transform(X))


class IDEC(DEC):
    """Improved deep embedded clustering: DEC that goes on reconstructing, which keeps the codes from being distorted.

    The loss is 0.1 x KL(p || q) + the reconstruction's mean squared error.

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
    max_steps : int
        Most steps of the cluster stage, rounded up to whole intervals.
    update_interval : int
        Steps between two targets.
    tol : float
        Share of samples; 0: all steps are taken.
    cluster_optimizer : {"adam", "sgd"}
        SGD has momentum 0.9.
    cluster_learning_rate : float
        The largest, in this stage.
    cluster_views : {"crops", "strokes", "digits", "simclr", "strong", "weak"} or None
        As `views`, for this stage: targets come from the images as they are, and the net learns them from changed ones
        (Guo et al., "Deep Embedded Clustering with Data Augmentation", ACML 2018). Changes should be small.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : {"auto", "32-true", "bf16-mixed", "16-mixed"}
    random_state : int, RandomState or None

    Attributes
    ----------
    labels_, n_clusters_, n_features_in_, image_shape_, paths_, history_, device_, precision_
        See `selfsort.methods.base.SelfsortClusterer` and `selfsort.methods.trained.TrainedClusterer`.
    n_steps_ : int
        Steps of the cluster stage that were taken.
    cluster_centers_ : ndarray of float32, shape (n_clusters_, n_codes)

    References
    ----------
    Guo et al., "Improved Deep Embedded Clustering with Local Structure Preservation", IJCAI 2017.
    """

    _weights = (0.1, 1.0)
