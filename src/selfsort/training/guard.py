"""What keeps a collapse from going unnoticed: how the clusters of each head are used, epoch by epoch."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn

from selfsort.errors import CollapseWarning
from selfsort.metrics import MAX_SHARE, MIN_ENTROPY

#: Epochs in a row in which a head is collapsed before there is an alarm: one may pass, as the first ones often do.
PATIENCE = 2
#: Samples per cluster that tell whether a cluster has none.
ENOUGH = 10


class Guard(nn.Module):
    """Counts which clusters an epoch's samples went to, for heads that an objective shows it.

    It is part of the objective, so what it counted is in every checkpoint; `selfsort.training.loop.train` closes it at
    the end of each epoch, adds what it found to the epoch's row, and warns.

    Parameters
    ----------
    n_heads, n_clusters : int
    advice : str
        What to do about a collapse, in a sentence.

    Attributes
    ----------
    n_bad : Tensor, shape (n_heads,), int64
        For how many epochs in a row each head has been collapsed: a cluster is the likeliest of no sample, or of more
        than `MAX_SHARE` of all, or the entropy of the mean assignment is below `MIN_ENTROPY` log n_clusters.
    usage : Tensor, shape (n_heads,)
        That entropy in the last epoch, as a share of log n_clusters; NaN before.
    """

    def __init__(self, n_heads: int, n_clusters: int, advice: str) -> None:
        super().__init__()
        self.n_clusters, self.advice = n_clusters, advice
        self.register_buffer("total", torch.zeros(n_heads, n_clusters))
        self.register_buffer("counts", torch.zeros(n_heads, n_clusters))
        self.register_buffer("sure", torch.zeros(n_heads))
        self.register_buffer("alarms", torch.zeros(n_heads, 3))  # the last: epoch, clusters used, largest share
        self.register_buffer("n_bad", torch.zeros(n_heads, dtype=torch.int64))
        self.register_buffer("usage", torch.full((n_heads,), torch.nan))

    @torch.no_grad()
    def forward(self, logits: Tensor) -> None:
        """Count the samples of one batch by their logits, shape (n_heads, batch, n_clusters)."""
        p = logits.detach().float().softmax(-1)
        surest, cluster = p.max(-1)
        self.total += p.sum(1)
        self.sure += surest.sum(1)
        self.counts.scatter_add_(1, cluster, torch.ones_like(surest))

    def reset(self) -> None:
        """Forget everything: another stage begins."""
        for buffer in self.buffers():
            buffer.zero_()
        self.usage.fill_(torch.nan)

    @torch.no_grad()
    def close(self, epoch: int) -> dict[str, float]:
        """End epoch number `epoch`, counted from 1.

        Heads are judged by `ENOUGH` samples per cluster or more; those of fewer are carried on to the next epoch.

        Returns
        -------
        dict of float
            Of the worst head each: ``usage``, the entropy of the mean assignment as a share of log n_clusters,
            ``largest_share`` of all samples in one cluster, ``n_used`` clusters; and the mean ``confidence`` of all
            heads.
        """
        n = self.counts.sum(1, keepdim=True)
        mean = self.total / n.clamp_min(1)
        usage = -(mean * mean.clamp_min(1e-30).log()).sum(1) / math.log(max(2, self.n_clusters))
        self.usage.copy_(usage)
        largest, used = (self.counts / n.clamp_min(1)).amax(1), (self.counts > 0).sum(1)
        row = {
            "usage": float(usage.min()),
            "largest_share": float(largest.max()),
            "n_used": float(used.min()),
            "confidence": float((self.sure / n[:, 0].clamp_min(1)).mean()),
        }
        if float(n.min()) >= ENOUGH * self.n_clusters:
            bad = (used < self.n_clusters) | (largest > MAX_SHARE) | (usage < MIN_ENTROPY)
            self.n_bad.copy_(torch.where(bad & (self.n_clusters > 1), self.n_bad + 1, 0))
            now = torch.stack([torch.full_like(largest, epoch), used.to(largest), largest], 1)
            self.alarms.copy_(torch.where((self.n_bad == PATIENCE)[:, None], now, self.alarms))
            for sums in (self.total, self.counts, self.sure):
                sums.zero_()
        return row

    def alarm(self) -> bool:
        """Tell whether a head has been collapsed for `PATIENCE` epochs."""
        return bool((self.n_bad >= PATIENCE).any())

    def warn(self, stage: str, epoch: int | None = None) -> None:
        """Warn of the alarms of one epoch of a stage; of the last of each head if none is given, as after a resume."""
        epochs = self.alarms[:, 0].unique().int().tolist() if epoch is None else [epoch]
        for last in epochs:
            heads = (self.alarms[:, 0] == last).nonzero()[:, 0].tolist()
            if heads and last:
                self._warn(stage, last, heads)

    def _warn(self, stage: str, epoch: int, heads: list[int]) -> None:
        which = "Head " if len(heads) == 1 else "Heads "
        which += ", ".join(str(head + 1) for head in heads)
        used, largest = min((float(used), -float(share)) for _, used, share in self.alarms[heads])
        warnings.warn(
            f"{which} of {len(self.n_bad)} collapsed in passes {epoch - PATIENCE + 1} to {epoch} of {stage!r}: of "
            f"{self.n_clusters} clusters {int(used)} are used, and the largest holds {-largest:.0%} of the samples. "
            f"{self.advice}",
            CollapseWarning,
            stacklevel=4,
        )
