"""The law whose mutual information is known: pairs of Gaussian coordinates, the benchmark of the literature."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from selfsort.errors import DataError

FloatArray = npt.NDArray[np.float64]


def gaussian_sample(n: int, rho: float, dim: int = 1, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Draw samples of x and y, standard Gaussians of which coordinate i of x and i of y have the correlation rho.

    Parameters
    ----------
    n : int
    rho : float
        In (-1, 1).
    dim : int
        Number of coordinates of x, and of y.
    seed : int

    Returns
    -------
    x, y : ndarray of float64, shape (n, dim)

    Raises
    ------
    DataError
        If a number is outside of its range.
    """
    _check(rho, dim)
    if n < 1:
        raise DataError(f"A Gaussian sample needs at least one row: got n={n}.")
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, dim))
    return x, rho * x + math.sqrt(1 - rho * rho) * rng.standard_normal((n, dim))


def gaussian_mutual_information(rho: float, dim: int = 1) -> float:
    """Return the mutual information of x and y of `gaussian_sample`, in nats: -dim / 2 log(1 - rho^2).

    Parameters
    ----------
    rho : float
        In (-1, 1).
    dim : int

    Raises
    ------
    DataError
        If a number is outside of its range.

    Examples
    --------
    >>> round(gaussian_mutual_information(0.5), 5), round(gaussian_mutual_information(0.5, dim=10), 4)
    (0.14384, 1.4384)
    """
    _check(rho, dim)
    return abs(dim / 2 * math.log1p(-rho * rho))


def _check(rho: float, dim: int) -> None:
    if not -1 < rho < 1:  # NaN too
        raise DataError(
            f"The correlation must lie between -1 and 1, both excluded: got rho={rho}. At 1 the mutual information is "
            "infinite; pass 0.99, say."
        )
    if dim < 1:
        raise DataError(f"A Gaussian needs at least one dimension: got dim={dim}.")
