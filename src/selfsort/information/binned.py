"""Mutual information by counting: two columns, each cut into bins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import digamma
from scipy.stats import rankdata

from selfsort.errors import DataError
from selfsort.information.columns import FloatArray

#: Bins are halved while the cells that are not empty hold at least so many samples, on average.
PER_CELL = 8.0
#: What is lost in the finest bins, as a share of what the last halving gained: 1/3 where the density is smooth and 1
#: where it jumps, once bins are fine enough; more where they are not.
MOST_TO_COME, LIKELY_TO_COME = 2.0, 0.5


class Binned(NamedTuple):
    """What bins show.

    Attributes
    ----------
    contributions : ndarray of float64, shape (n,)
        Of each sample to the information between the bins, in nats; their mean is the estimate of that.
    gain : float
        How much more they show than bins twice as wide, in nats; 0 if no column had to be cut.
    """

    contributions: FloatArray
    gain: float


def binned_information(x: FloatArray, y: FloatArray) -> Binned:
    """Count how often each pair of bins occurs, in bins that are halved as long as the samples suffice.

    I = H(x) + H(y) - H(x, y), with entropies by Grassberger's estimator, log n - 1/n sum n_i G(n_i): unlike the shares
    of the bins themselves, it hardly takes chance for dependence where cells hold few samples. Bins lose information,
    the less the finer they are.

    Parameters
    ----------
    x, y : ndarray, shape (n, 1)
        A column of few values keeps them as its bins. Others are cut into bins of equally many samples, so the result
        depends on ranks alone.

    Returns
    -------
    Binned

    Raises
    ------
    DataError
        If x or y has more than one column.

    References
    ----------
    Grassberger, "Entropy estimates from insufficient samplings", 2003, arXiv:physics/0307138. Paninski, "Estimation of
    Entropy and Mutual Information", Neural Computation 2003.
    """
    if x.shape[1] > 1 or y.shape[1] > 1:
        raise DataError(
            f"Bins work for one column against one: got {x.shape[1]} and {y.shape[1]}. The cells of a histogram grow "
            "exponentially with the columns; use another estimator, such as auto."
        )
    columns = _Column(x), _Column(y)
    n_bins, coarse, fine = 4, _contributions(columns, 2)[0], _contributions(columns, 4)[0]
    while any(column.is_cut_into(n_bins) for column in columns):
        finer, n_cells = _contributions(columns, 2 * n_bins)
        if len(x) < PER_CELL * n_cells:
            break
        n_bins, coarse, fine = 2 * n_bins, fine, finer
    return Binned(fine, max(float(fine.mean() - coarse.mean()), 0.0))


class _Column:
    def __init__(self, column: FloatArray) -> None:
        values, value = np.unique(column, return_inverse=True)
        self._value, self._n_values = value.reshape(-1).astype(np.int64), len(values)
        self._is_few = self._n_values**2 * PER_CELL <= len(column)
        self._share = (rankdata(column[:, 0]) - 0.5) / len(column)  # equal values share the middle of their ranks

    def is_cut_into(self, n_bins: int) -> bool:
        """Tell whether so many bins hold several values each."""
        return not self._is_few and self._n_values > n_bins

    def bins(self, n_bins: int) -> npt.NDArray[np.int64]:
        """Return the bin of each sample."""
        if not self.is_cut_into(n_bins):
            return self._value
        return np.minimum((self._share * n_bins).astype(np.int64), n_bins - 1)


def _contributions(columns: tuple[_Column, _Column], n_bins: int) -> tuple[FloatArray, int]:
    """Return what each sample adds, and the number of cells that are not empty."""
    rows, others = (column.bins(n_bins) for column in columns)
    cells = rows * (int(others.max()) + 1) + others
    counts = [np.bincount(which) for which in (rows, others, cells)]
    logs = [_expected_log(count)[which] for count, which in zip(counts, (rows, others, cells), strict=True)]
    return np.log(len(rows)) + logs[2] - logs[0] - logs[1], int((counts[2] > 0).sum())


def _expected_log(counts: npt.NDArray[np.int64]) -> FloatArray:
    """Return Grassberger's G(n), for which n G(n) is n log n of the mean, had n been Poisson's."""
    n = np.maximum(counts, 1).astype(np.float64)
    alternating = np.where(counts % 2 == 0, 0.5, -0.5) * (digamma((n + 1) / 2) - digamma(n / 2))
    values: FloatArray = digamma(n) + alternating
    return values
