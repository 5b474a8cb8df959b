"""How much blur and darkness it takes until a picture is called blurred or dark, and how often others are.

    SELFSORT_DATA=... python benchmarks/flaws.py

Photographs of the photo library of at least 480 pixels are blurred (Gaussian, so many pixels at a longer side of 512;
or moved sideways by so many) and darkened (so many stops less light, as a camera's shutter would). All pictures of both
libraries as they are tell the false alarms; nobody labeled flaws in them.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from choosing import libraries
from record import record
from selfsort.images import Unreadable
from selfsort.photos.looks import SEEMING, SIDE, describe, flaws, look, upright
from selfsort.sources import open_source

PHOTOGRAPHED = ("animal", "building", "food", "landscape", "object", "people", "plant", "vehicle")
LEAST = 480


def blurred(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def moved(n: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(pixels: np.ndarray) -> np.ndarray:
        wide = np.pad(pixels.astype(np.float32), ((0, 0), (n // 2, n // 2), (0, 0)), "edge")
        return np.lib.stride_tricks.sliding_window_view(wide, n, 1).mean(-1).round().astype(np.uint8)

    return change


def darkened(stops: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: (255 * ((pixels / 255) ** 2.2 / 2**stops) ** (1 / 2.2)).astype(np.uint8)


CHANGES = {
    **{f"blurred by {sigma} pixels": blurred(sigma) for sigma in (1, 2, 3, 4, 6)},
    **{f"moved by {n} pixels": moved(n) for n in (9, 25)},
    **{f"{stops} stops darker": darkened(stops) for stops in (2, 3, 4, 5)},
}


def main() -> None:
    photographs = []
    for data, archive, rows in libraries():
        found = dict.fromkeys(SEEMING, 0)
        n = 0
        with open_source(archive) as source:
            for row, item in enumerate(source.items):
                try:
                    content = source.read(row)
                    numbers = look(content)
                except Unreadable:
                    continue
                n += 1
                longest = max(Image.open(io.BytesIO(content)).size)
                for flaw in flaws(numbers, longest):
                    found[flaw] += 1
                if data == "photo library" and rows.get(item.path) in PHOTOGRAPHED and longest >= LEAST:
                    photographs.append(upright(content, SIDE))
        record("flaws", what="as they are", data=data, n=n, **found)
    for what, change in CHANGES.items():
        found = dict.fromkeys(SEEMING, 0)
        for pixels in photographs:
            for flaw in flaws(describe(change(pixels))):
                found[flaw] += 1
        record("flaws", what=what, data="photo library", n=len(photographs), **found)


if __name__ == "__main__":
    main()
