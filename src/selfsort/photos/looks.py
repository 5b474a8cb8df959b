"""What can be told of a picture from its pixels without knowing what it shows: how sharp, how dark, how flat."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from selfsort.images import PictureFile, decode
from selfsort.pixels import Preprocessing

#: Raise when the same picture would give other numbers.
VERSION = 4
#: The longer side in pixels at which pictures are looked at, or nearly.
SIDE = 512
#: At an eighth of their sides, which is cheapest to decode, pictures of twelve megapixels have 496 to 504: enough.
_LEAST = 0.968
#: Flaws that pixels seem to have, and all: of a file, too.
SEEMING = ("blurred", "dark", "empty")
FLAWS = (*SEEMING, "cut")
#: Below these a picture is called blurred, dark or empty. What blur they catch is in ``benchmarks/flaws.py``.
BLURRED, DARK, EMPTY = 0.1, 0.12, 0.5
#: Luminance, of 255, changes more than this at an edge.
EDGE = 24
Bytes = npt.NDArray[np.uint8]
#: Of the numbers, those that help to tell the kind of a picture, in this order.
KIND_NUMBERS = (
    "aspect",
    "light",
    "contrast",
    "saturation",
    "entropy",
    "sharpness",
    "colors",
    "commonest",
    "flat",
    "straight",
    "white",
    "rows",
    "columns",
)


def look(data: bytes | PictureFile) -> dict[str, Any]:
    """Return the numbers of one picture file, see `describe`. Raises `selfsort.images.Unreadable`.

    Of a file that ends early they include ``cut``: the share of its rows that are there; 1 if it only lacks details.
    """
    picture = decode(data, Preprocessing(SIDE, "fit"), least=_LEAST)
    return describe(picture.pixels) | ({} if picture.cut is None else {"cut": round(picture.cut, 4)})


def upright(data: bytes | PictureFile, side: int, least: float = 1.0) -> npt.NDArray[np.uint8]:
    """Return the pixels of a picture file, upright RGB, shape (h, w, 3).

    Its longer side is `side`, or as little as `least` of that where a JPEG is quicker to read so; see `decode`.
    """
    return decode(data, Preprocessing(side, "fit"), least=least).pixels


def describe(pixels: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Describe pixels in numbers.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w, 3)

    Returns
    -------
    dict
        ``aspect`` (width over height, log 2), ``light`` (mean luminance, 0 to 1), ``contrast`` (its 95th less its 5th
        percentile), ``saturation`` (mean, 0 to 1), ``entropy`` (of luminance in 256 steps, bits), ``sharpness`` (the
        99th percentile of steps between neighboring pixels over the contrast), ``colors`` (how many of 4,096 are used,
        log 10), ``commonest`` (share of the commonest color), ``flat`` (share of pixels just like both neighbors),
        ``straight`` (share of the edges that lie level or upright), ``white`` (share of nearly white pixels), ``rows``
        and ``columns`` (how much the density of edges changes from row to row and from column to column: lines of text,
        panels), ``hash`` (see `perceptual_hash`).
    """
    height, width, _ = pixels.shape
    gray = np.asarray(Image.fromarray(pixels).convert("L"))
    histogram = _histogram(gray)
    low, high = _percentile(histogram, 0.05), _percentile(histogram, 0.95)
    used = histogram[histogram > 0] / gray.size
    signed = gray.astype(np.int16)
    across, down = (np.abs(np.diff(signed, axis=axis)).astype(np.uint8) for axis in (1, 0))
    red, green, blue = np.ascontiguousarray(pixels[::2, ::2].transpose(2, 0, 1))  # colors change little between pixels
    top, bottom = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    steps = (red.astype(np.int64) >> 4 << 8) + (green & 240) + (blue >> 4)
    colors = np.bincount(steps.ravel(), minlength=4096)
    numbers = {
        "aspect": float(np.log2(width / height)),
        "light": float(histogram @ np.arange(256) / gray.size / 255),
        "contrast": (high - low) / 255,
        "saturation": float(((top - bottom) / np.maximum(top, 1)).mean()),
        "entropy": float(-(used * np.log2(used)).sum()),
        "sharpness": _sharpness(across, down, high - low),
        "colors": float(np.log10((colors > 0).sum())),
        "commonest": float(colors.max() / top.size),
        "flat": _flat(across, down),
        "straight": _straight(across, down),
        "white": float((bottom > 240).mean()),
        "rows": _unevenness(across > EDGE, 1),
        "columns": _unevenness(down > EDGE, 0),
    }
    return {name: round(value, 4) for name, value in numbers.items()} | {"hash": perceptual_hash(gray)}


def flatness(pixels: npt.NDArray[np.uint8]) -> float:
    """Return ``flat`` of `describe` alone."""
    signed = np.asarray(Image.fromarray(pixels).convert("L")).astype(np.int16)
    across, down = (np.abs(np.diff(signed, axis=axis)).astype(np.uint8) for axis in (1, 0))
    return _flat(across, down)


def perceptual_hash(gray: npt.NDArray[np.uint8]) -> str:
    """Return 128 bits, hexadecimal: whether each of 8 x 8 patches is lighter than that to its right, and below it.

    Pictures of the same shot, resized or encoded anew, differ in few bits.
    """
    small = np.asarray(Image.fromarray(gray).resize((9, 9), Image.Resampling.BOX))
    right, below = small[:8, 1:] > small[:8, :-1], small[1:, :8] > small[:-1, :8]
    return np.packbits(np.concatenate([right.ravel(), below.ravel()])).tobytes().hex()


def flaws(numbers: dict[str, Any], longest: int = SIDE) -> list[str]:
    """Return what is wrong with a picture: of `FLAWS`.

    Parameters
    ----------
    numbers : dict
        From `look`.
    longest : int
        The longer side of the picture's file in pixels: a smaller one was enlarged to be looked at, and is not to be
        called blurred for that.
    """
    found = ["cut"] if "cut" in numbers else []
    found += ["dark"] if numbers["light"] < DARK and numbers["contrast"] < 2 * DARK else []
    if numbers["entropy"] < EMPTY:
        return [*found, "empty"]
    return [*found, "blurred"] if numbers["sharpness"] < BLURRED * min(1, longest / SIDE) else found


def _histogram(values: Bytes) -> npt.NDArray[np.int64]:
    return np.array(Image.fromarray(values).histogram())


def _percentile(histogram: npt.NDArray[np.int64], share: float) -> int:
    """Return the least value that `share` of all are not above."""
    return int(np.searchsorted(np.cumsum(histogram), share * histogram.sum()))


def _sharpness(across: Bytes, down: Bytes, contrast: int) -> float:
    steps = [_percentile(_histogram(part), 0.99) for part in (across, down) if part.size]
    return min(1.0, max(steps, default=0) / max(contrast, 8))


def _flat(across: Bytes, down: Bytes) -> float:
    a, b = across[:-1], down[:, :-1]
    return float((np.maximum(a, b) < 2).mean()) if a.size and b.size else 1.0


def _straight(across: Bytes, down: Bytes) -> float:
    """Return the share of edges that go level or upright; letters, frames and windows have many."""
    a, b = across[:-1], down[:, :-1]
    if not (a.size and b.size):
        return 0.0
    steep = np.maximum(a, b)
    edge = steep > EDGE
    return float((np.minimum(a, b)[edge] * 10.0 < steep[edge]).mean()) if edge.any() else 0.0


def _unevenness(edges: npt.NDArray[np.bool_], axis: int) -> float:
    """Return the mean change of the share of edges from one line to the next, over its mean."""
    density = edges.mean(axis, dtype=np.float64) if edges.size else np.zeros(1)
    return float(np.abs(np.diff(density)).mean() / (density.mean() + 0.01)) if len(density) > 1 else 0.0
