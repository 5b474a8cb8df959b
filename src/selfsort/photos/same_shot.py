"""Whether two pictures are one shot, resized or encoded anew, and which pairs are worth asking for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

#: The least correlation of two thumbnails of one shot, and by how much a tile may stand out that one does not explain.
#: Chosen on one half of the kinds of pictures that ``benchmarks/same_shot.py`` makes.
MIN_CORRELATION, MAX_UNEXPLAINED = 0.97, 0.12
#: From this share of one color on, paper or background leads the correlation, and tiles are looked at.
PLAIN = 0.25
#: Encoding takes detail away everywhere: so many times what it takes from the median tile, but no more than this.
_TAKEN, _MOST_TAKEN = 2.0, 0.15
#: Side of a tile in pixels of a thumbnail: what differs between two letters on one form fills some of them.
_TILE = 14
#: The square of what encoding changes in a thumbnail, of 255: less is no detail.
_NOISE = 100.0
#: Pulls the kernel that makes one thumbnail as sharp as another to 0 where both are flat.
_RIDGE = 50.0
#: Pictures are compared with so many next to them in each order of their hashes.
_WINDOW, _N_ORDERS = 4, 8


def is_same_shot(one: FloatArray, other: FloatArray, plain: float) -> bool:
    """Tell whether two thumbnails are of one shot.

    Where much is plain, paper and header alike make different documents correlate. There the sharper thumbnail is made
    as sharp as the other, by the kernel of 3 x 3 pixels that fits best, and then must explain each tile of it. Pictures
    that are full of detail only correlate if the detail agrees.

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
    """Return the correlation of two thumbnails; 0 if one of them is of one color."""
    a, b = one - one.mean(), other - other.mean()
    length = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    return float(np.vdot(a, b)) / length if length > 0 else 0.0


def unexplained(one: FloatArray, other: FloatArray) -> float:
    """Return the share of detail in the worst tile that is not explained, less what encoding takes from every tile."""
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
    """Yield pairs of rows with hashes that are alike, in n log n steps.

    The hashes are sorted as numbers, each time beginning with another part, and every one is paired with those next to
    it. So many copies of a shot do not hide one another, as they do among few nearest neighbors: each order has them in
    a row, and the first of another encoding follows.

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
    """Return the pixels of each tile less their mean; what is left at the edges belongs to the last tiles."""
    rows, columns = (max(1, side // _TILE) for side in thumbnail.shape)
    height, width = thumbnail.shape[0] // rows, thumbnail.shape[1] // columns
    cut = thumbnail[: rows * height, : columns * width].reshape(rows, height, columns, width)
    tiles = cut.transpose(0, 2, 1, 3).reshape(rows * columns, height * width)
    return np.asarray(tiles - tiles.mean(1, keepdims=True), np.float32)
