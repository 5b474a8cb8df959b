"""Contact sheets: pictures beside pictures, without any drawing."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

_CELL, _GAP, _AFTER_ANCHOR = 72, 4, 20  # pixels
#: As many rows, and neighbors in each, as are easy to take in.
MAX_ANCHORS, MAX_NEIGHBORS = 8, 10


def neighbors_png(
    thumbnails: Sequence[bytes | None], anchors: npt.NDArray[np.integer], neighbors: npt.NDArray[np.integer]
) -> bytes:
    """Show pictures, each with its nearest others beside it, the nearest first.

    Parameters
    ----------
    thumbnails : sequence of bytes or None
        JPEG files, one per picture; None leaves its place empty.
    anchors : ndarray of int, shape (m,)
        The first `MAX_ANCHORS` are shown.
    neighbors : ndarray of int, shape (m, k)
        Of each anchor; the first `MAX_NEIGHBORS` are shown, -1 leaves the place empty.

    Returns
    -------
    bytes
        A PNG file on white.
    """
    anchors, neighbors = anchors[:MAX_ANCHORS], neighbors[:MAX_ANCHORS, :MAX_NEIGHBORS]
    step = _CELL + _GAP
    width = _CELL + _AFTER_ANCHOR + step * neighbors.shape[1] - _GAP
    sheet = Image.new("RGB", (width, step * len(anchors) - _GAP), "white")
    for row, (anchor, others) in enumerate(zip(anchors.tolist(), neighbors.tolist(), strict=True)):
        lefts = [0, *(_CELL + _AFTER_ANCHOR + step * column for column in range(len(others)))]
        for left, picture in zip(lefts, [anchor, *others], strict=True):
            data = thumbnails[picture] if picture >= 0 else None
            if data is not None:
                cell = _fitted(data)
                sheet.paste(cell, (left + (_CELL - cell.width) // 2, row * step + (_CELL - cell.height) // 2))
    file = io.BytesIO()
    sheet.save(file, format="png", optimize=True)
    return file.getvalue()


def _fitted(thumbnail: bytes) -> Image.Image:
    with Image.open(io.BytesIO(thumbnail)) as image:
        scale = _CELL / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
