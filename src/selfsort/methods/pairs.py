"""Pairs: what the methods that learn from two looks at the same thing are shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils._param_validation import StrOptions
from torch import Tensor

from selfsort.augment import VIEWS
from selfsort.features.groups import default_n_neighbors
from selfsort.features.neighbors import nearest_neighbors
from selfsort.features.project import unit_rows
from selfsort.methods.trained import Scaling, need_images
from selfsort.training.session import Session

Pair = tuple[Tensor, Tensor]

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
        Of neighbors, which have one view, the first stays as it is.

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
    ) -> None:
        if views == "auto":
            views = _fitting(samples.shape[1:])
        need_images(samples.shape[1:], views=None if views == "neighbors" else views)
        self.scaling, self.both_changed = scaling, both_changed
        self._augment = None
        if views == "neighbors":
            self._neighbors = torch.from_numpy(_neighbors(samples, session))
            self._samples = samples
        else:
            self._augment = VIEWS[views](samples.shape[2:])

    def __call__(self, samples: Tensor, rows: Tensor) -> Pair:
        """Return both views, scaled, shape (batch, ...) each; `rows` are the samples' numbers."""
        scaled = self.scaling(samples)
        if self._augment is not None:
            return self._augment(scaled) if self.both_changed else scaled, self._augment(scaled)
        rows = rows.cpu()
        column = torch.randint(self._neighbors.shape[1], (len(rows),))
        others = torch.from_numpy(self._samples[self._neighbors[rows, column].numpy()])
        return scaled, self.scaling(others.to(samples.device))


def _fitting(shape: tuple[int, ...]) -> str:
    """Return the views for samples of this shape."""
    if len(shape) == 1:
        return "neighbors"
    if shape[0] > 1:
        return "simclr"
    return "crops" if min(shape[1:]) >= 16 else "digits"


def _neighbors(samples: npt.NDArray[Any], session: Session) -> npt.NDArray[np.int64]:
    """Return the nearest others of each sample, shape (n, k), int64; of a single one, itself."""
    if len(samples) == 1:
        return np.zeros((1, 1), np.int64)

    def compute() -> dict[str, npt.NDArray[Any]]:
        rows = unit_rows(samples.reshape(len(samples), -1))
        k = min(default_n_neighbors(len(rows)), len(rows) - 1)
        return {"indices": nearest_neighbors(rows, k, seed=session.seed, progress=session.progress).indices}

    return session.keep("neighbors", compute)["indices"].astype(np.int64)
