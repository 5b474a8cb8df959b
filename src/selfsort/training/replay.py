"""Steps on a GPU that are recorded once and replayed: one launch in the place of a thousand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

#: Steps before one is recorded, in which cuDNN finds its ways to convolve.
_WARM = 3

Passes = Callable[[tuple[Tensor, ...]], dict[str, Tensor]]


class Replayed:
    """The forward and backward pass of a batch, which becomes a CUDA graph for each size of batches that comes often.

    Small networks are faster than Python can tell a GPU what to do next. Weights and buffers are read where they lie,
    so they may change between steps, but not move.

    Parameters
    ----------
    module : nn.Module
        On the GPU. Its gradients are None before each call, and after each are those of the batch alone.
    passes : callable
        Takes a batch, computes gradients, and returns terms. It waits for no value of the GPU, reads nothing but the
        batch, weights, buffers and the GPU's own random state, and does the same each time.
    """

    def __init__(self, module: nn.Module, passes: Passes) -> None:
        self._weights = [weight for weight in module.parameters() if weight.requires_grad]
        self._passes = passes
        self._n_seen: Counter[object] = Counter()
        self._recorded: dict[object, _Graph] = {}

    def __call__(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Return the terms of a batch; they are overwritten by the next call."""
        size = tuple((x.shape, x.stride(), x.dtype) for x in batch)
        if size in self._recorded:
            return self._recorded[size](batch)
        self._n_seen[size] += 1
        with torch.cuda.device(batch[0].device):
            if self._n_seen[size] <= _WARM:
                return self._beside(batch)
            self._recorded[size] = _Graph(self._weights, self._passes, batch)
        return self._recorded[size](batch)

    def _beside(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Take a step on another stream than usual, as is to be done before one is recorded."""
        stream, usual = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(usual)
        with torch.cuda.stream(stream):
            terms = self._passes(batch)
        usual.wait_stream(stream)
        return terms


class _Graph:
    """The passes of batches of one size."""

    def __init__(self, weights: list[nn.Parameter], passes: Passes, batch: tuple[Tensor, ...]) -> None:
        self._weights = weights
        self._batch = tuple(x.clone() for x in batch)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._terms = {name: value.detach() for name, value in passes(self._batch).items()}
        self._gradients = [weight.grad for weight in weights]

    def __call__(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        for mine, x in zip(self._batch, batch, strict=True):
            mine.copy_(x)
        self._graph.replay()
        for weight, gradient in zip(self._weights, self._gradients, strict=True):
            weight.grad = gradient
        return self._terms
