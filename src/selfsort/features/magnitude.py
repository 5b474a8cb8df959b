"""Check that float32, in which all features are compared, can distinguish samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from selfsort.errors import DataError

#: Limits of the largest magnitude, between which squares and their sums over ten billion values fit float32.
SMALLEST, LARGEST = 1e-12, 1e12
#: Maximum rounding error, as a share of the largest deviation of a column.
_ROUNDING = 0.02
#: Deviations below this share of the largest magnitude are rounding errors of float64.
_NOISE = 1e-13
_CHUNK = 4096


def check_magnitude(X: npt.ArrayLike, *, tell_apart: bool = True) -> None:
    """Raise `DataError` if float32 cannot compare samples by their distances or angles.

    Parameters
    ----------
    X : array-like, shape (n, ...)
        Finite numbers in their original dtype: float32 no longer shows what it lost.
    tell_apart : bool
        Whether the samples must differ by more than rounding. False for new samples, which may all be equal.

    Raises
    ------
    DataError
        If the largest magnitude is not between `SMALLEST` and `LARGEST` (all zeros are fine), or the samples are so far
        from 0 that rounding hides their differences.
    """
    values = np.asarray(X)
    values = values.astype(np.float64) if values.dtype.kind == "O" else values
    if values.size == 0 or values.dtype.kind not in "iuf" or values.dtype.itemsize < 4:
        return
    largest = max(abs(float(values.max())), abs(float(values.min())))
    if largest and not SMALLEST <= largest <= LARGEST:
        row = int(np.abs(values.reshape(len(values), -1)).max(1).argmax())
        raise DataError(
            f"Samples must be of a size that float32 can square: the largest is {largest:.3g}, in sample {row}. "
            f"It must lie between {SMALLEST:g} and {LARGEST:g}. Divide all by {largest:.1g}, or remove what is wrong."
        )
    if tell_apart and len(values) > 1 and values.dtype != np.float32:
        _check_rounding(values.reshape(len(values), -1), largest)


def _check_rounding(rows: npt.NDArray[Any], largest: float) -> None:
    moved = 0.0
    total, squares = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    first = rows[0].astype(np.float64)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK].astype(np.float64)
        moved = max(moved, float(np.abs(part - part.astype(np.float32)).max()))
        part -= first  # subtract first: squares of values far from 0 would hide differences
        total += part.sum(0)
        squares += (part**2).sum(0)
    spread = float(np.sqrt(np.maximum(squares / len(rows) - (total / len(rows)) ** 2, 0)).max())
    if spread > _NOISE * largest and moved > _ROUNDING * spread:
        raise DataError(
            f"Samples must differ by more than float32 rounds: columns deviate by {spread:.3g} at most, and values as "
            f"large as {largest:.3g} are rounded by {moved:.1g}. Subtract each column's mean first."
        )
