"""What training sees: batches whose every step is a function of the seed and the number of the step."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from selfsort.errors import DataError
from selfsort.threads import Threads

_PREFETCH = 4
#: Share of the memory that is free on the device which samples may take.
_SHARE = 0.5


class Samples(Protocol):
    """An array of samples, or what reads like one: a NumPy array, or pictures that are decoded when asked for."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
        """Return the samples of these rows."""


def mixed(seed: int, *numbers: int) -> int:
    """Return a number in [0, 2^63) that depends on all of these and looks like none of them."""
    text = ",".join(map(str, (seed, *numbers)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def on_device(samples: Samples | Tensor, device: torch.device) -> Tensor | Samples:
    """Return the samples as a tensor on the device where they fit, else as they are, to be read batch by batch."""
    if isinstance(samples, Tensor):
        return samples.to(device)
    if isinstance(samples, np.ndarray) and device.type == "cpu":
        return torch.from_numpy(np.ascontiguousarray(samples))
    if int(np.prod(samples.shape)) * np.dtype(samples.dtype).itemsize > _SHARE * _free_bytes(device):
        return samples
    return torch.from_numpy(np.ascontiguousarray(samples[np.arange(len(samples))])).to(device)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on this system
        return 4 << 30


def _set_random_state(seed: int, device: torch.device) -> None:
    """Do what ``torch.manual_seed`` does, which keeps a stack trace per call for each device that is not in use."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


class Batches:
    """An endless stream of shuffled batches: each pass over the samples has its own order, drawn from the seed.

    Parameters
    ----------
    samples : Samples or Tensor, length n
        Kept on the device where they fit, else read beside training by as many threads as there are processors.
    batch_size : int
        At most n.
    seed : int
    view : callable
        Called as ``view(samples, rows)`` with the samples of one batch (on the device, in the type they are stored in)
        and their numbers, shape (batch,), int64; returns what the objective is called with. It may use torch's random
        state, which is set for each step.
    device : torch.device
    steps_per_epoch : int, optional
        n // batch_size if not given.
    before_step : callable, optional
        Called with the number of each step before `view` is, which may look otherwise then.
    rank, world_size : int
        Which part of each batch this process gets, and of how many.
    """

    def __init__(
        self,
        samples: Samples | Tensor,
        batch_size: int,
        seed: int,
        view: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
        *,
        device: torch.device | str = "cpu",
        steps_per_epoch: int | None = None,
        before_step: Callable[[int], None] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise DataError(f"A batch needs at least one sample: got batch_size={batch_size}.")
        self.device = torch.device(device)
        self.samples = on_device(samples, self.device)
        self.n = len(samples)
        self.batch_size = min(batch_size, self.n)
        self.seed, self.view, self.before_step = seed, view, before_step
        self.rank, self.world_size = rank, world_size
        self._steps = steps_per_epoch or max(1, self.n // self.batch_size)
        self._orders: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """Return the number of steps per epoch."""
        return self._steps

    def rows(self, step: int) -> Tensor:
        """Return the numbers of the samples of one step, shape (batch,), int64, on the CPU."""
        first, last = step * self.batch_size, (step + 1) * self.batch_size
        epochs = range(first // self.n, (last - 1) // self.n + 1)
        self._orders = {epoch: self._order(epoch) for epoch in epochs}
        start = first - epochs[0] * self.n
        rows = torch.cat([self._orders[epoch] for epoch in epochs])[start : start + self.batch_size]
        return rows[self.rank :: self.world_size]

    def _order(self, epoch: int) -> Tensor:
        if epoch in self._orders:
            return self._orders[epoch]
        generator = torch.Generator().manual_seed(mixed(self.seed, epoch))
        return torch.randperm(self.n, generator=generator)

    def stream(self, first: int, last: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield the batches of steps `first` to `last` - 1; torch's random state is set anew before each.

        What the step draws later, such as dropout, follows from that state too.
        """
        for step, rows, samples in self._read(first, last):
            _set_random_state(mixed(self.seed, step, self.rank), self.device)
            if self.before_step is not None:
                self.before_step(step)
            yield self.view(samples, rows)

    def _read(self, first: int, last: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        if isinstance(self.samples, Tensor):
            for step in range(first, last):
                rows = self.rows(step).to(self.device, non_blocking=True)
                yield step, rows, self.samples[rows]
            return
        samples = self.samples

        def load(rows: Tensor) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(samples[rows.numpy()]))

        with Threads("batches") as pool:
            waiting: deque[tuple[int, Tensor, Future[Tensor]]] = deque()
            for step in range(first, last + _PREFETCH):
                if step < last:
                    rows = self.rows(step)
                    waiting.append((step, rows, pool.submit(load, rows)))
                if step >= first + _PREFETCH or step >= last:
                    if not waiting:
                        break
                    ready, rows, future = waiting.popleft()
                    yield ready, rows.to(self.device), future.result().to(self.device)
