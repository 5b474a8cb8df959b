"""What is estimated from: two tables of numbers with a row per sample, checked and brought into one scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from selfsort.errors import DataError

FloatArray = npt.NDArray[np.float64]
MIN_SAMPLES = 100


def checked(x: Any, y: Any) -> tuple[FloatArray, FloatArray]:
    """Return x and y as columns of float64.

    Parameters
    ----------
    x, y : array-like of shape (n,) or (n, d)
        At least `MIN_SAMPLES` rows; row i of both belongs to one sample.

    Raises
    ------
    DataError
        If they are not numbers, differ in length, are too short, hold what is not finite, or have a constant column.
    """
    first, second = as_columns(x, "x"), as_columns(y, "y")
    if len(first) != len(second):
        raise DataError(
            f"x and y need one row per sample each: got {len(first):,} and {len(second):,} rows. Pass the same samples."
        )
    if len(first) < MIN_SAMPLES:
        raise DataError(
            f"Mutual information needs at least {MIN_SAMPLES} samples: got {len(first)}. With fewer, an estimate says "
            "nothing; pass more."
        )
    for name, columns in (("x", first), ("y", second)):
        constant = np.flatnonzero(columns.min(0) == columns.max(0))
        if len(constant):
            raise DataError(
                f"Column {constant[0]} of {name} is constant ({columns[0, constant[0]]:g}) and tells nothing. "
                "Leave it out."
            )
    return first, second


def as_columns(values: Any, name: str) -> FloatArray:
    """Return one table as columns of float64, shape (n, d); raise `DataError` if it is not finite numbers."""
    array = np.asarray(values)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(f"{name} must have the shape (n,) or (n, d): got {np.shape(values)}. Pass one row per sample.")
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{name} must hold real numbers: got values of type {array.dtype}. Turn categories into columns of 0 and 1."
        )
    columns = np.ascontiguousarray(array, np.float64)
    wrong = np.argwhere(~np.isfinite(columns))
    if len(wrong):
        row, column = wrong[0]
        raise DataError(
            f"{name} must be finite: got {columns[row, column]} in row {row}, column {column} "
            f"({len(wrong):,} such values). Leave out those rows, or fill them in."
        )
    return columns


class NormalScores:
    """Each column by its ranks, put on the scale of a standard Gaussian.

    Mutual information stays what it was when a column goes through a strictly increasing function, and so nothing is
    assumed about the laws of the columns; but no outlier and no unit disturbs what looks at the scores. Only the ranks
    *within* a column are used: how columns depend on one another is left as it is.

    Parameters
    ----------
    columns : ndarray, shape (n, d)
        Samples to learn the ranks from. Others take their place among these; what lies outside takes the outermost,
        which can lose information and never makes any.
    """

    def __init__(self, columns: FloatArray) -> None:
        self._knots = []
        for column in columns.T:
            values, counts = np.unique(column, return_counts=True)
            middle = (np.cumsum(counts) - counts / 2) / len(column)  # equal values share the middle of their ranks
            self._knots.append((values, ndtri(middle)))

    def __call__(self, columns: FloatArray) -> npt.NDArray[np.float32]:
        """Return the scores of samples, shape (n, d)."""
        scores = [np.interp(column, *knots) for column, knots in zip(columns.T, self._knots, strict=True)]
        return np.stack(scores, 1).astype(np.float32)
