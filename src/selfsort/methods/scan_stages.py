"""What SCAN trains, stage by stage."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from selfsort.features.project import FloatArray
from selfsort.losses.consistency import confident_cross_entropy, mean_entropy, scan_loss
from selfsort.nets.heads import Heads
from selfsort.training.guard import Guard

_ADVICE = "Pass a larger entropy_weight, larger batches, or rescue=True."
_RESCUED = "Training goes back to where heads were healthy, and asks for twice the entropy if it goes on."
_SUREST = 0.1  # share of a cluster that its prototype is the middle of
_LEAST_USAGE = 0.98  # share of the entropy before self-labeling that is left in each pass of it, else it ends
_LEAST = 0.2  # of the mean size is added to each that clusters are asked to have, so that no small one is given up
_OF_LABELS = "Pass fewer label_epochs, or a larger label_entropy_weight."


class _Clusters(nn.Module):
    """What the stages that train clusters are made of; a frozen encoder stays as it is."""

    def __init__(
        self, scaling: nn.Module, encoder: nn.Module, heads: Heads, frozen: bool, advice: str = _ADVICE
    ) -> None:
        super().__init__()
        self.scaling, self.encoder, self.heads, self.frozen = scaling, encoder, heads, frozen
        self.guard = Guard(heads.n_heads, heads.n_clusters, advice)
        self.healthy: nn.Module | None = None
        encoder.requires_grad_(not frozen)

    @property
    def _live(self) -> nn.ModuleDict:
        return nn.ModuleDict({"heads": self.heads} if self.frozen else {"encoder": self.encoder, "heads": self.heads})

    def _remember(self) -> None:
        assert self.healthy is not None
        self.healthy.load_state_dict(self._live.state_dict())

    def go_back(self) -> None:
        """Become what was remembered last."""
        assert self.healthy is not None
        self._live.load_state_dict(self.healthy.state_dict())
        self.guard.n_bad.zero_()

    def train(self, mode: bool = True) -> _Clusters:
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self


class Consistency(_Clusters):
    """SCAN's loss of samples and their neighbors; it can go back to where heads were last healthy."""

    def __init__(
        self,
        scaling: nn.Module,
        encoder: nn.Module,
        heads: Heads,
        frozen: bool,
        entropy_weight: float,
        log_prior: Tensor | None,
        rescue: bool,
    ) -> None:
        super().__init__(scaling, encoder, heads, frozen, _RESCUED if rescue else _ADVICE)
        self.register_buffer("entropy_weight", torch.tensor(float(entropy_weight)))
        self.register_buffer("log_prior", log_prior)
        self.register_buffer("n_rescues", torch.zeros((), dtype=torch.int64))
        if rescue:
            self.healthy = copy.deepcopy(self._live).requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """Return the loss of samples and a neighbor of each, its terms, and the loss of each head."""
        logits = self.heads(self.encoder(torch.cat([first, second])))
        anchors, neighbors = logits.chunk(2, 1)
        self.guard(anchors)
        parts = scan_loss(anchors, neighbors, self.entropy_weight, self.log_prior)
        terms = {name: value.mean() for name, value in parts.items()}
        return terms | {f"head_{i + 1}": value.detach() for i, value in enumerate(parts["loss"])}

    def look(self, epoch: int) -> nn.Module | None:
        """Between epochs: remember heads that are healthy, and go back to them when others are not."""
        if self.healthy is None:
            return None
        if self.guard.alarm():
            self.go_back()
            self.entropy_weight.copy_(2 * self.entropy_weight.clamp_min(0.5))
            self.n_rescues += 1
            return self._live
        if not self.guard.n_bad.any():
            self._remember()
        return None


class SelfLabels(_Clusters):
    """Cross-entropy of changed samples with the clusters that the unchanged ones are sure of; and all are to be used.

    `usage` is the entropy of the mean assignment before it, as a share of log n_clusters.
    """

    def __init__(
        self,
        scaling: nn.Module,
        encoder: nn.Module,
        heads: Heads,
        frozen: bool,
        usage: float,
        *,
        threshold: float,
        share: float,
        entropy_weight: float,
        log_prior: Tensor | None,
    ) -> None:
        super().__init__(scaling, encoder, heads, frozen, _OF_LABELS)
        self.usage, self.threshold, self.share, self.entropy_weight = usage, threshold, share, entropy_weight
        self.register_buffer("log_prior", log_prior)
        self.healthy = copy.deepcopy(self._live).requires_grad_(False)
        self.register_buffer("ended", torch.tensor(-1))  # after so many passes, where it was ended

    def forward(self, weak: Tensor, strong: Tensor) -> dict[str, Tensor]:
        """Return the loss of changed samples and its terms, and the share of those that are sure."""
        with torch.no_grad():
            known = self.heads(self.encoder(weak))
        self.guard(known)
        said = self.heads(self.encoder(strong))
        parts = confident_cross_entropy(known, said, self.threshold, self.share)
        usage = mean_entropy(said.float().log_softmax(-1), self.log_prior)
        loss = parts["loss"] + self.entropy_weight * usage["penalty"]
        terms = {"loss": loss, "error": parts["loss"], "entropy": usage["entropy"], "sure": parts["sure"]}
        return {name: value.mean() for name, value in terms.items()}

    def look(self, epoch: int) -> bool:
        """Between epochs: remember heads that use all clusters as before; where one is given up, go back and end.

        A cluster that wins few samples teaches few, and loses these to others: the entropy of the mean assignment
        falls, and at last the cluster is empty.
        """
        if self.guard.n_bad.any() or (self.guard.usage < _LEAST_USAGE * self.usage).any():
            self.go_back()
            self.ended.fill_(epoch - 1)
            return True
        self._remember()
        return False


def log_shares(groups: npt.NDArray[np.int64], n_clusters: int) -> Tensor:
    """Return the logarithms of the shares that clusters are to have which start as groups, shape (n_clusters,)."""
    sizes = torch.from_numpy(np.bincount(groups, minlength=n_clusters) + _LEAST * len(groups) / n_clusters)
    return (sizes / sizes.sum()).log().float()


def prototypes(
    labels: npt.NDArray[np.int64], soft: FloatArray, rows: FloatArray
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the sample in the middle of each cluster's surest tenth, and how sure its samples are.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
    soft : ndarray of float32, shape (n, n_clusters)
        Probabilities.
    rows : ndarray of float32, shape (n, d)
        Unit vectors.

    Returns
    -------
    prototypes : ndarray of int64, shape (n_clusters,)
        -1 where a cluster has no sample.
    confidence : ndarray of float32, shape (n_clusters,)
        Mean of the largest probabilities; 0 where it has none.
    """
    surest, n_clusters = soft.max(1), soft.shape[1]
    found, confidence = np.full(n_clusters, -1, np.int64), np.zeros(n_clusters, np.float32)
    for cluster in range(n_clusters):
        members = np.flatnonzero(labels == cluster)
        if len(members):
            n_sure = max(1, round(_SUREST * len(members)))
            sure = members[np.argsort(-surest[members], kind="stable")[:n_sure]]
            found[cluster] = sure[(rows[sure] @ rows[sure].mean(0)).argmax()]
            confidence[cluster] = surest[members].mean()
    return found, confidence
