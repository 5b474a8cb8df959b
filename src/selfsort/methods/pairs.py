"""Pairs: what the methods that learn from two looks at the same thing are shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from selfsort.augment import VIEWS
from selfsort.errors import DataError
from selfsort.features.groups import default_n_neighbors
from selfsort.features.neighbors import Neighbors, nearest_neighbors
from selfsort.features.project import unit_rows
from selfsort.methods.trained import Scaling, need_images
from selfsort.training.batches import on_device
from selfsort.training.session import Session

Pair = tuple[Tensor, Tensor]

_MIN_STEPS = 50
_LEAST_SIDE = 8  # of views that grow
_VALUES = 1 << 28  # similarities in a GPU's memory at a time: 1 GiB
#: What `views` may be.
CHOICES = StrOptions({"auto", "neighbors", *VIEWS})


class Pairs:
    """Draws two views of each sample of a batch.

    The first is the sample as it is, which is also what will be predicted: IIC learns faster so than from two changed
    views (MNIST, 10,000 images). With `both_changed` it is another random view.

    Parameters
    ----------
    views : {"auto", "crops", "strokes", "digits", "simclr", "strong", "weak", "neighbors"}
        A view of the image by `selfsort.augment`, or one of the sample's nearest neighbors. Auto: neighbors for
        vectors, simclr for images in color, crops for others (digits if a side is shorter than 16 pixels).
    samples : ndarray
        Images of shape (n, c, h, w) or vectors of shape (n, d).
    scaling : Scaling
    session : Session
    both_changed : bool
    neighbors : ndarray of int, shape (n, k), or int, optional
        Rows of which one, drawn at random, is what the second view shows in the place of the sample; or so many nearest
        others of each by the samples as they are. With ``views="neighbors"``, which changes nothing else: as many as
        the graph has, unless given.
    growing : int
        Steps before the views of images have their whole size (`grow`).

    Raises
    ------
    DataError
        If vectors are to be augmented as images.
    """

    def __init__(
        self,
        views: str,
        samples: npt.NDArray[Any],
        scaling: Scaling,
        session: Session,
        *,
        both_changed: bool = False,
        neighbors: npt.NDArray[Any] | int | None = None,
        growing: int = 0,
    ) -> None:
        if views == "auto":
            views = fitting_views(samples.shape[1:])
        need_images(samples.shape[1:], views=None if views == "neighbors" else views)
        self.scaling, self.both_changed = scaling, both_changed
        self._augment = self._whole = None if views == "neighbors" else VIEWS[views](samples.shape[2:])
        self._growing, self._sides = growing, samples.shape[2:]
        if views == "neighbors" and neighbors is None:
            neighbors = default_n_neighbors(len(samples))
        if neighbors is not None and not isinstance(neighbors, np.ndarray):
            neighbors = mine(samples, neighbors, session, "neighbors").indices[:, :neighbors]
        self._neighbors: Tensor | None = None
        if neighbors is not None:
            device = session.fabric.device
            self._neighbors = torch.from_numpy(neighbors.astype(np.int64)).to(device)
            self._samples = on_device(samples, device)

    def __call__(self, samples: Tensor, rows: Tensor) -> Pair:
        """Return both views, scaled, shape (batch, ...) each; `rows` are the samples' numbers."""
        first = second = self.scaling(samples)
        if self._neighbors is not None:
            second = self.scaling(self._others(rows.to(self._neighbors.device)).to(samples.device))
        if self._augment is None:
            return first, second
        if not self.both_changed:
            return first, self._augment(second)
        both = self._augment(torch.cat([first, second]))
        return both[: len(first)], both[len(first) :]

    def grow(self, step: int) -> None:
        """Make views as large as they are in this step: half their sides, or the whole.

        Small views cost a net a quarter, and show it much of what large ones will. No side is made shorter than 8
        pixels: where a stride of 2 meets a single pixel, torch 2.13 leaves gradients in bf16 unset on a processor.
        """
        self._augment = self._whole
        if self._whole is not None and step < self._growing:
            height, width = (max(min(side, _LEAST_SIDE), round(side / 2)) for side in self._sides)
            self._augment = replace(self._whole, size=(height, width))

    def _others(self, rows: Tensor) -> Tensor:
        """Return a neighbor of each of these samples."""
        assert self._neighbors is not None
        column = torch.randint(self._neighbors.shape[1], (len(rows),), device=rows.device)
        others = self._neighbors[rows, column]
        if isinstance(self._samples, Tensor):
            return self._samples[others]
        return torch.from_numpy(np.ascontiguousarray(self._samples[others.cpu().numpy()]))


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Return the steps of a pass over n samples; small sets are passed over several times at once."""
    return max(_MIN_STEPS, n // batch_size)


def fitting_views(shape: tuple[int, ...]) -> str:
    """Return the views that suit samples of this shape."""
    if len(shape) == 1:
        return "neighbors"
    if shape[0] > 1:
        return "simclr"
    return "crops" if min(shape[1:]) >= 16 else "digits"


def count_neighbors(name: str, wanted: int | None, usual: int, n: int) -> int:
    """Return how many neighbors are mined of n samples: as many as are wanted, or as usual where there are so many."""
    if wanted is not None and wanted >= n:
        raise DataError(
            f"{name} needs more samples than neighbors: got {n} samples and n_neighbors={wanted}. "
            f"{f'Pass n_neighbors={n - 1} or less, or leave' if n > 1 else 'Leave'} it out."
        )
    return wanted or max(1, min(usual, n - 1))


def mine(samples: npt.NDArray[Any], n_neighbors: int, session: Session, name: str = "mined") -> Neighbors:
    """Return the nearest others of each sample, as many as are wanted and the graph needs; of a single one, itself.

    They are kept under this name for a fit that goes on. Samples of any shape are compared by their cosines.
    """
    n = len(samples)
    if n == 1:
        return Neighbors(np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32), 1.0)

    def compute() -> dict[str, npt.NDArray[Any]]:
        k = min(max(n_neighbors, default_n_neighbors(n)), n - 1)
        rows = unit_rows(samples.reshape(n, -1))
        if session.fabric.device.type == "cuda":
            resident = on_device(rows, session.fabric.device)
            if isinstance(resident, Tensor):
                return _nearest_on(resident, k, session)._asdict()
        return nearest_neighbors(rows, k, seed=session.seed, progress=session.progress)._asdict()

    kept = session.keep(name, compute)
    return Neighbors(kept["indices"], kept["similarities"], float(kept["recall"]))


def _nearest_on(rows: Tensor, k: int, session: Session) -> Neighbors:
    """Return the k nearest others of unit rows by comparing all with all where the rows are, a block at a time."""
    n, device = len(rows), rows.device
    found, similarities = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    for part in torch.arange(n, device=device).split(max(1, _VALUES // n)):
        first, last = int(part[0]), int(part[-1]) + 1
        session.progress("neighbors", first, n)
        values = rows[first:last] @ rows.T
        values[part - first, part] = -torch.inf
        best = values.topk(k)
        found[first:last], similarities[first:last] = best.indices.cpu().numpy(), best.values.cpu().numpy()
    session.progress("neighbors", n, n)
    return Neighbors(found, similarities, 1.0)
