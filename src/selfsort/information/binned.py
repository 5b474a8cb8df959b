"""Mutual information by counting: two columns, each cut into bins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from selfsort.errors import DataError
from selfsort.information.columns import FloatArray, NormalScores


def binned_information(x: FloatArray, y: FloatArray, n_bins: int | None = None) -> tuple[FloatArray, float]:
    """Count how often each pair of bins occurs, and correct for pairs that occur by chance.

    I = H(x) + H(y) - H(x, y), with the entropies of the shares of the bins

    Empty and nearly empty cells make the counts look more dependent than the samples are: without a correction the
    value is too large by about (cells - rows - columns + 1) / 2n, of those that are not empty, which is subtracted
    (Miller & Madow). Cutting into bins, on the other hand, loses information.

    Parameters
    ----------
    x, y : ndarray, shape (n, 1)
        A column of few values keeps them as its bins. Others are cut into bins of equal width on the scale of
        `NormalScores`, so the result depends on ranks alone.
    n_bins : int, optional
        Of each column; the cube root of n if not given, which is 100 for a million samples.

    Returns
    -------
    contributions : ndarray, shape (n,)
        log p(x, y) / (p(x) p(y)) of each sample less the correction, in nats; their mean is the estimate.
    correction : float
        What was subtracted, in nats.

    Raises
    ------
    DataError
        If x or y has more than one column.

    References
    ----------
    Miller, "Note on the bias of information estimates", 1955. Paninski, "Estimation of Entropy and Mutual Information",
    Neural Computation 2003.
    """
    if x.shape[1] > 1 or y.shape[1] > 1:
        raise DataError(
            f"Bins work for one column against one: got {x.shape[1]} and {y.shape[1]}. The cells of a histogram grow "
            "exponentially with the columns; use another estimator, such as auto."
        )
    n = len(x)
    n_bins = n_bins or max(2, round(n ** (1 / 3)))
    rows, columns = _bins(x, n_bins), _bins(y, n_bins)
    n_columns = int(columns.max()) + 1
    cells = rows * n_columns + columns
    counts = [np.bincount(which) for which in (rows, columns, cells)]
    n_used = [int((count > 0).sum()) for count in counts]
    correction = (n_used[2] - n_used[0] - n_used[1] + 1) / (2 * n)
    ratio = n * counts[2][cells] / (counts[0][rows] * counts[1][columns].astype(np.float64))
    return np.log(ratio) - correction, correction


def _bins(column: FloatArray, n_bins: int) -> npt.NDArray[np.int64]:
    """Return the bin of each sample."""
    values, which = np.unique(column, return_inverse=True)
    if len(values) <= n_bins:
        return which.reshape(-1).astype(np.int64)
    scores = NormalScores(column)(column)[:, 0].astype(np.float64)
    share = (scores - scores.min()) / (scores.max() - scores.min())
    return np.minimum((share * n_bins).astype(np.int64), n_bins - 1)
