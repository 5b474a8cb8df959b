"""Detect whether two pictures are the same shot, resized or re-encoded, and find candidate pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

#: Minimum correlation of two thumbnails of one shot, and maximum excess of the unexplained share of a tile. Chosen on
#: half of the kinds of pictures that ``benchmarks/same_shot.py`` makes.
MIN_CORRELATION, MAX_UNEXPLAINED = 0.97, 0.12
#: From this share of one color on, paper or background dominates the correlation, so tiles are compared.
PLAIN = 0.25
#: Allowance for detail lost to encoding: a multiple of the loss in the median tile, and its upper limit.
_TAKEN, _MOST_TAKEN = 2.0, 0.15
#: Side of a tile in pixels of a thumbnail. The differing text of two letters on one form fills some tiles.
_TILE = 14
#: Squared change of a thumbnail by encoding, in levels of 255. Less variance is not detail.
_NOISE = 100.0
#: Ridge penalty of the kernel that matches the sharpness of two thumbnails.
_RIDGE = 50.0
#: Number of neighbors to compare in each sort order of the hashes, and number of orders.
_WINDOW, _N_ORDERS = 4, 8


def is_same_shot(one: FloatArray, other: FloatArray, plain: float) -> bool:
    """Tell whether two thumbnails show the same shot.

    Pictures full of detail correlate only if the detail agrees. But different documents with the same paper and header
    correlate, too. So in mostly plain pictures, a least-squares kernel of 3 x 3 pixels blurs the sharper thumbnail to
    match the other. The result must explain each tile of the other.

    Parameters
    ----------
    one, other : ndarray of float32, shape (h, w)
        Luminance of thumbnails of one size, 0 to 255.
    plain : float
        The larger share of one color in the two pictures, ``commonest`` of `selfsort.photos.looks.describe`.
    """
    if correlation(one, other) < MIN_CORRELATION:
        return False
    return plain < PLAIN or unexplained(one, other) <= MAX_UNEXPLAINED


def correlation(one: FloatArray, other: FloatArray) -> float:
    """Return the correlation of two thumbnails; 0 if one of them has a single color."""
    a, b = one - one.mean(), other - other.mean()
    length = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(np.vdot(a, b)) / length if length > 0 else 0.0


def unexplained(one: FloatArray, other: FloatArray) -> float:
    """Return the unexplained share of detail in the worst tile, minus the allowance for encoding."""
    sharp, soft = (one, other) if _steps(one) >= _steps(other) else (other, one)
    height, width = sharp.shape[0] - 2, sharp.shape[1] - 2
    shifted = [sharp[y : y + height, x : x + width].ravel() for y in range(3) for x in range(3)]
    columns = np.stack([*shifted, np.ones(height * width, np.float32)], 1)
    target = soft[1:-1, 1:-1]
    moments = (columns.T @ columns).astype(np.float64)
    moments[np.diag_indices(len(moments) - 1)] += _RIDGE
    kernel = np.linalg.solve(moments, (columns.T @ target.ravel()).astype(np.float64))
    made = (columns @ kernel.astype(np.float32)).reshape(target.shape)
    a, b = _tiles(target), _tiles(made)
    left = ((a - b) ** 2).mean(1)
    shares = left / (((a**2).mean(1) + (b**2).mean(1)) / 2 + _NOISE)
    return float(shares.max() - min(_TAKEN * np.median(shares), _MOST_TAKEN))


def alike_by_hash(bits: npt.NDArray[np.uint8]) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield pairs of rows with similar hashes, in O(n log n) time.

    The hashes are sorted as numbers several times, each time rotated to begin with another part. Every hash is paired
    with its neighbors in each order. Many copies of a shot do not hide other encodings, as they do among few nearest
    neighbors: in each order the copies are adjacent, followed by the next encoding.

    Parameters
    ----------
    bits : ndarray of uint8, shape (n, n_bits)
        0 or 1.
    """
    step = max(1, bits.shape[1] // _N_ORDERS)
    for start in range(0, bits.shape[1], step):
        numbers = np.packbits(np.roll(bits, -start, axis=1), axis=1)
        order = np.lexsort(numbers.T[::-1])
        for distance in range(1, min(_WINDOW + 1, len(order))):
            yield order[:-distance], order[distance:]


def _steps(thumbnail: FloatArray) -> float:
    return float((np.diff(thumbnail, axis=0) ** 2).mean() + (np.diff(thumbnail, axis=1) ** 2).mean())


def _tiles(thumbnail: FloatArray) -> FloatArray:
    """Return the pixels of each tile minus their mean."""
    rows, columns = (max(1, side // _TILE) for side in thumbnail.shape)
    height, width = thumbnail.shape[0] // rows, thumbnail.shape[1] // columns
    cut = thumbnail[: rows * height, : columns * width].reshape(rows, height, columns, width)
    tiles = cut.transpose(0, 2, 1, 3).reshape(rows * columns, height * width)
    return np.asarray(tiles - tiles.mean(1, keepdims=True), np.float32)
