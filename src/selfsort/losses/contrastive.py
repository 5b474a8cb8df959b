"""Losses that tell one image from all others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize

_VALUES = 1 << 24  # similarities that are in memory at a time: 64 MiB


def nt_xent(
    first: Tensor, second: Tensor, temperature: float = 0.1, keys: tuple[Tensor, Tensor] | None = None
) -> dict[str, Tensor]:
    """Return NT-Xent, the loss of SimCLR: how surely each view finds the other view of its image among all views.

    loss = -mean_i log ( e^(s_ip / T) / sum_(j != i) e^(s_ij / T) )

    over the 2b views of b images, with the cosine similarity s and i's other view p. It is exact for a batch of any
    size: the 2b x 2b similarities, and with them the gradient, are computed a block of rows at a time in the forward
    pass, and no block is kept. Always in float32: at T = 0.1 bfloat16 would be off by 0.03 nats in each logit.

    Parameters
    ----------
    first, second : Tensor, shape (batch, d), float
        Projections of two views, of any length; row i of both belongs to one image. At least two images.
    temperature : float
        T, above 0.
    keys : (Tensor, Tensor), shape (batch, d) each, optional
        What another network, such as an average of this one, says of the first and of the second views: then s_ij is
        the similarity of view i with key j.

    Returns
    -------
    dict of scalar Tensors
        ``loss`` (in nats, >= 0; log(2b - 1) where nothing is learned) and ``found``, the share of views whose most
        similar other view is that of their own image, without gradient. The gradient cannot be differentiated again.

    References
    ----------
    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, arXiv:2002.05709,
    equation 1.

    Examples
    --------
    >>> parts = nt_xent(torch.eye(4), torch.eye(4), temperature=0.05)
    >>> bool(parts["loss"] < 1e-6), parts["found"].item()
    (True, 1.0)
    >>> round(nt_xent(torch.ones(4, 2), torch.ones(4, 2))["loss"].item(), 4)  # log 7
    1.9459
    """
    with torch.autocast(first.device.type, enabled=False):
        views = normalize(torch.cat([first, second]).float(), dim=1)
        others = views if keys is None else normalize(torch.cat(keys).float(), dim=1)
        loss, found = _Blockwise.apply(views, others, temperature)
    return {"loss": loss, "found": found}


class _Blockwise(torch.autograd.Function):
    """The loss of unit rows and their keys, of which row i and key i + n / 2 belong together."""

    @staticmethod
    def forward(ctx: Any, views: Tensor, keys: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        n = len(views)
        partner = torch.arange(n, device=views.device).roll(n // 2)
        of_views, of_keys = (
            torch.zeros_like(part) if needed else None
            for part, needed in zip((views, keys), ctx.needs_input_grad[:2], strict=True)
        )
        loss, found = views.new_zeros(()), views.new_zeros(())
        for rows in torch.arange(n, device=views.device).split(max(1, _VALUES // n)):
            itself, other = rows[:, None], partner[rows, None]
            logits = (views[rows] @ keys.T / temperature).scatter_(1, itself, -torch.inf)
            own = logits.gather(1, other)[:, 0]
            log_sum = logits.logsumexp(1)
            loss += (log_sum - own).sum()
            found += (own >= logits.amax(1)).sum()
            if of_views is None and of_keys is None:
                continue
            share = logits.sub_(log_sum[:, None]).exp_()
            share.scatter_add_(1, other, torch.full_like(share[:, :1], -1))
            if of_views is not None:
                of_views[rows] = share @ keys
            if of_keys is not None:
                of_keys += share.T @ views[rows]
        ctx.save_for_backward(*(None if part is None else part / (n * temperature) for part in (of_views, of_keys)))
        ctx.mark_non_differentiable(found)
        return loss / n, found / n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_loss: Tensor, of_found: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        of_views, of_keys = (None if part is None else of_loss * part for part in ctx.saved_tensors)
        return of_views, of_keys, None
