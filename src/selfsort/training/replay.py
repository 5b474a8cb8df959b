"""Steps on a GPU that are recorded once and replayed: one launch in the place of a thousand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from itertools import chain

import torch
from torch import Tensor, nn

#: Steps before one is recorded, in which cuDNN finds its ways to convolve.
_WARM = 3

Passes = Callable[[tuple[Tensor, ...]], dict[str, Tensor]]


class Replayed:
    """Steps of a module: for each size of batches that comes often, its passes become a CUDA graph.

    Small networks are faster than Python can tell a GPU what to do next. A graph reads weights and buffers where they
    lie, so their values may change between steps; for those that were replaced, it is recorded anew (`look`).

    Parameters
    ----------
    module : nn.Module
        On the GPU. Its gradients are None before each call, and after each are those of the batch alone.
    device : torch.device
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self._module, self._device = module, device
        self._weights = [weight for weight in module.parameters() if weight.requires_grad]
        self._stream = torch.cuda.Stream(device)
        self._n_seen: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, _Graph] = {}
        self._seen = self._places()

    def __call__(self, passes: Passes, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Compute the gradients of a batch, and return its terms, which the next call overwrites.

        Parameters
        ----------
        passes : callable
            Takes a batch, computes gradients, and returns terms. It waits for no value of the GPU, reads nothing but
            the batch, weights, buffers and the GPU's own random state, and does the same each time.
        batch : tuple of Tensor
        """
        size = tuple((x.shape, x.stride(), x.dtype) for x in batch)
        if size not in self._recorded:
            self._n_seen[size] += 1
            if self._n_seen[size] <= _WARM:
                return self._beside(passes, batch)
            self._recorded[size] = _Graph(self._weights, passes, batch, self._stream)
        return self._recorded[size](batch)

    def look(self) -> None:
        """Between epochs: forget what was recorded if weights or buffers are others, or are trained otherwise."""
        places = self._places()
        if places != self._seen:
            self._recorded.clear()
            self._n_seen.clear()
            self._weights = [weight for weight in self._module.parameters() if weight.requires_grad]
            self._seen = places

    def _places(self) -> list[tuple[int, bool]]:
        tensors = chain(self._module.parameters(), self._module.buffers())
        modes = ((0, module.training) for module in self._module.modules())
        return [*((tensor.data_ptr(), tensor.requires_grad) for tensor in tensors), *modes]

    def _beside(self, passes: Passes, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Take a step on the stream that is recorded later, as is to be done before."""
        usual = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            terms = passes(batch)
        usual.wait_stream(self._stream)
        return terms


class _Graph:
    """The passes of batches of one size."""

    def __init__(
        self, weights: list[nn.Parameter], passes: Passes, batch: tuple[Tensor, ...], stream: torch.cuda.Stream
    ) -> None:
        self._weights = weights
        self._batch = tuple(x.clone() for x in batch)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            self._terms = {name: value.detach() for name, value in passes(self._batch).items()}
        self._gradients = [weight.grad for weight in weights]

    def __call__(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        for mine, x in zip(self._batch, batch, strict=True):
            mine.copy_(x)
        self._graph.replay()
        for weight, gradient in zip(self._weights, self._gradients, strict=True):
            weight.grad = gradient
        return self._terms
