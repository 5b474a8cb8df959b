"""Pictures that are in memory already."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selfsort.errors import DataError
from selfsort.images import array_from_image
from selfsort.sources.base import Item, Limits, Source


class ArraySource(Source):
    """Pictures that are in memory already, named by their number."""

    kind = "array"

    def __init__(self, data: Any, limits: Limits) -> None:
        if isinstance(data, np.ndarray):
            _check_stack(data)
        else:
            for number, entry in enumerate(data):
                _check_entry(number, entry)
        digits = len(str(len(data) - 1))
        self._data = data
        super().__init__("", [Item(f"{i:0{digits}d}", _n_bytes(entry), None) for i, entry in enumerate(data)], limits)

    def load(self, index: int) -> NDArray[Any]:
        """Return the pixels of one picture."""
        entry = self._data[index]
        return entry if isinstance(entry, np.ndarray) else array_from_image(entry)

    def read(self, index: int) -> bytes:
        """Return bytes that differ where the pictures do: type, shape and pixels."""
        return self._read(index)

    def _read(self, index: int) -> bytes:
        pixels = self.load(index)
        return f"{pixels.dtype.str}{pixels.shape}".encode() + pixels.tobytes()


def _check_stack(data: NDArray[Any]) -> None:
    wanted = "Pass uint8 or floats in [0, 1] of shape (n, h, w), (n, h, w, 1), (n, h, w, 3) or (n, h, w, 4)."
    if data.ndim == 4 and data.shape[1] in (1, 3, 4) and data.shape[3] not in (1, 3, 4):
        raise DataError(f"The channels must come last: got shape {data.shape}. Pass array.transpose(0, 2, 3, 1).")
    if data.ndim == 3 and data.shape[2] in (1, 3, 4):
        raise DataError(f"An array of shape {data.shape} looks like a single picture. Pass array[None] for one.")
    if 0 in data.shape or not (data.ndim == 3 or (data.ndim == 4 and data.shape[3] in (1, 3, 4))):
        raise DataError(f"An array of shape {data.shape} does not hold pictures. {wanted}")
    _check_values("The array", data)


def _check_entry(number: int, entry: Any) -> None:
    if isinstance(entry, Image.Image):
        return
    if not isinstance(entry, np.ndarray):
        raise DataError(
            f"Entry {number} is a {type(entry).__name__}. Pass paths only, or NumPy arrays and PIL images only."
        )
    if 0 in entry.shape or not (entry.ndim == 2 or (entry.ndim == 3 and entry.shape[2] in (1, 3, 4))):
        raise DataError(f"Entry {number} has shape {entry.shape}. Pass (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).")
    _check_values(f"Entry {number}", entry)


def _check_values(what: str, array: NDArray[Any]) -> None:
    if array.dtype == np.uint8:
        return
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"{what} has type {array.dtype}. Pass uint8, or floats in [0, 1].")
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):  # also true for NaN
        raise DataError(f"{what} has floats from {low:g} to {high:g}. Scale them to [0, 1], or pass uint8.")


def _n_bytes(entry: Any) -> int:
    return int(entry.nbytes) if isinstance(entry, np.ndarray) else entry.width * entry.height * len(entry.getbands())
