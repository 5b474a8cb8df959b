"""What pictures are and show, beside what they look like: their kinds, and the broadest terms for what is in them.

Two photographs that look alike may be of a cannon and of a sheep. The encoder's classifier was taught what belongs
together by people, which no distance between its features tells; so links between pictures that show different things
are weakened, and corrections teach by what is shown as well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from selfsort.features.graph import spread
from selfsort.features.project import unit_rows
from selfsort.photos import objects

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

#: How much neighbors say about a picture's kind and what it shows, and how much the probabilities of kinds are
#: sharpened before they are compared.
_SHARE, _POWER = 0.3, 4
#: How much the kinds' agreement weakens links; the objects' counts once.
_KINDS_WEAKEN = 2
#: What kinds and objects weigh beside what a picture looks like, where people's corrections teach.
_OF_KINDS, _OF_OBJECTS = 1.0, 1.0
_EDGES = 200_000


class Meaning(NamedTuple):
    """What n pictures are and show.

    Attributes
    ----------
    kinds : ndarray of float32, shape (n, k)
        How probable each of `selfsort.photos.kind.kinds` is.
    shown : ndarray of float32, shape (n, b)
        How probable each of `selfsort.photos.objects.broadest` is.
    """

    kinds: FloatArray
    shown: FloatArray

    def settle(self, graph: sparse.csr_matrix) -> tuple[sparse.csr_matrix, IntArray]:
        """Let neighbors settle what each picture is and shows, and weaken links where that differs.

        Parameters
        ----------
        graph : csr_matrix, shape (n, n)

        Returns
        -------
        graph : csr_matrix, shape (n, n)
            Each weight times the Bhattacharyya coefficient of what the two show, and times the squared one of the
            sharpened probabilities of what they are.
        kinds : ndarray of int64, shape (n,)
        """
        n_kinds = self.kinds.shape[1]
        settled = np.maximum(spread(graph, np.hstack(self), _SHARE), 1e-9)
        kinds, shown = settled[:, :n_kinds], settled[:, n_kinds:]
        graph = _weakened(graph, kinds**_POWER, _KINDS_WEAKEN)
        return _weakened(graph, shown, 1), kinds.argmax(1)

    def beside(self, vectors: npt.NDArray[Any]) -> FloatArray:
        """Return vectors, shape (n, d), scaled to length 1, and behind them what pictures are and show."""
        return np.hstack([unit_rows(vectors), _OF_KINDS * self.kinds, _OF_OBJECTS * np.sqrt(self.shown)])


def shown(features: npt.NDArray[Any], longest: npt.NDArray[np.int64]) -> FloatArray:
    """Return how probable each of `selfsort.photos.objects.broadest` is, float32, shape (n, b).

    Parameters
    ----------
    features : ndarray, shape (n, 1280) or with more columns, which are left out
        Of the default encoder.
    longest : ndarray of int, shape (n,)
        Longer side of each picture in pixels. Of icons (`selfsort.photos.objects.LEAST_SIDE`) all are as probable.
    """
    found = objects.broad(features)
    found[longest < objects.LEAST_SIDE] = 1 / found.shape[1]
    return found


def _weakened(graph: sparse.csr_matrix, values: FloatArray, power: float) -> sparse.csr_matrix:
    """Return the graph, each weight times a power of the Bhattacharyya coefficient of two rows of positive values."""
    root = np.sqrt(values / values.sum(1, keepdims=True))
    edges = graph.tocoo()
    agreement = np.ones(edges.nnz, np.float32)
    for start in range(0, edges.nnz, _EDGES):
        part = slice(start, start + _EDGES)
        agreement[part] = (root[edges.row[part]] * root[edges.col[part]]).sum(1)
    weights = (edges.data * agreement**power).astype(np.float32)
    return sparse.csr_matrix((weights, (edges.row, edges.col)), shape=graph.shape)
