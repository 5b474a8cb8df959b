"""What more than one layer of an encoder says of pictures, and how much each counts.

The last layer knows best what the encoder was trained to tell apart. Where pictures are of another kind, drawings or
screens or handwriting, the layer before it may know more of what they look like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfsort.features.project import FloatArray, Preparation, prepare, unit_rows
from selfsort.nets.lite0 import LAYERS

#: How long the earlier layer's vectors may be beside the last one's; similarities are weighed by the square.
WEIGHTS = (0.0, 0.5, 1.0)


def margin(n: int) -> float:
    """Return how much more modularity another weight than 0 must show: 0.01, and of fewer than 1,000 pictures more.

    What chance gives grows as pictures get fewer, about as 1 / sqrt(n).
    """
    return 0.01 * max(1.0, (1000 / max(n, 1)) ** 0.5)


class Layers(NamedTuple):
    """Maps the joint features of two layers to unit vectors, as `Preparation` does those of one; call it.

    Attributes
    ----------
    last, earlier : Preparation
    n_last : int
        Features of the last layer, which come first.
    weight : float
        Length of the earlier layer's vectors beside the last one's.
    """

    last: Preparation
    earlier: Preparation
    n_last: int
    weight: float

    def __call__(self, X: npt.ArrayLike) -> FloatArray:
        """Return the prepared rows of `X`, float32, shape (n, n_components of both); of the last alone, of weight 0."""
        X = np.asarray(X)
        last = self.last(X[:, : self.n_last])
        if self.weight == 0:
            return last
        return unit_rows(np.hstack([last, np.float32(self.weight) * self.earlier(X[:, self.n_last :])]))


def prepare_layers(X: npt.ArrayLike, weight: float = 0.0, lengths: Sequence[int] = LAYERS) -> Layers:
    """Learn from the joint features of two layers how to prepare them for the neighbor graph.

    Parameters
    ----------
    X : array-like, shape (n, sum of lengths)
    weight : float
    lengths : sequence of 2 ints
        Features of the last layer, and of the earlier one.
    """
    X, n_last = np.asarray(X), lengths[0]
    return Layers(prepare(X[:, :n_last]), prepare(X[:, n_last:]), n_last, weight)


def prepare_as_run(X: npt.ArrayLike, run: Mapping[str, Any]) -> Preparation | Layers:
    """Learn from the features of a run without a model what the space was that its graph was made in.

    Parameters
    ----------
    X : array-like, shape (n, d)
    run : mapping
        What its ``run.json`` says.
    """
    if "learned" not in run:
        return prepare(X)
    return prepare_layers(X, run["learned"]["weight"], run["learned"]["lengths"])
