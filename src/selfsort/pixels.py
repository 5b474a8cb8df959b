"""Convert a picture opened by Pillow to upright RGB pixels of one size."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selfsort.errors import DataError

# Background of transparent pictures: light gray keeps both a white logo and black line art visible.
BACKDROP = (208, 208, 208)

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_HOLDS_ORIENTATION = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")

Resize = Literal["squash", "crop", "fit"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes pixels of one size.

    Parameters
    ----------
    size : int
        Side of the square in pixels; with ``fit`` the longer side.
    resize : {"squash", "crop", "fit"}
        ``squash`` scales both sides to `size`, whatever the aspect ratio; ``crop`` scales the short side to `size` and
        keeps the center; ``fit`` scales the long side to `size` and keeps all of it, so the result is not square and
        does not suit encoders.
    """

    size: int = 224
    resize: Resize = "squash"

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 4096:
            raise DataError(f"The picture size must be from 1 to 4096 pixels: got {self.size}.")
        if self.resize not in get_args(Resize):
            raise DataError(f"resize must be one of {', '.join(get_args(Resize))}: got {self.resize!r}.")

    @property
    def key(self) -> str:
        """Stable cache key. Change its last part when the same settings give different pixels."""
        return f"{self.resize}-{self.size}-bicubic-3"


def target_size(width: float, height: float, preprocessing: Preprocessing) -> tuple[int, int]:
    """Return the size to which the whole picture is scaled, or for ``crop`` its central square."""
    size = preprocessing.size
    if preprocessing.resize == "fit":
        longest = max(width, height)
        return max(1, round(size * width / longest)), max(1, round(size * height / longest))
    return size, size


def render(
    image: Image.Image,
    box: tuple[float, float, float, float],
    orientation: int,
    preprocessing: Preprocessing,
    least: float = 1.0,
) -> NDArray[np.uint8]:
    """Scale, flatten and rotate a loaded image. Rotating after scaling is cheaper."""
    target = target_size(box[2], box[3], preprocessing)
    if preprocessing.resize == "crop":
        width, height = box[2], box[3]
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    elif preprocessing.resize == "fit" and least * max(target) <= max(image.size) <= max(target):
        target, box = image.size, (0.0, 0.0, *image.size)
    small = plain(image).resize(target, Image.Resampling.BICUBIC, box=box, reducing_gap=1.2)
    if small.mode in ("LA", "RGBA"):
        small = Image.alpha_composite(Image.new("RGBA", target, (*BACKDROP, 255)), small.convert("RGBA"))
    if small.mode != "RGB":
        small = small.convert("RGB")
    method = UPRIGHT.get(orientation)
    if method is not None:
        small = small.transpose(method)
    return np.asarray(small)


def plain(image: Image.Image) -> Image.Image:
    """Convert an image to mode L, RGB, LA or RGBA, whose values can be averaged."""
    mode = image.mode
    if mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if mode in ("I", "F") or mode.startswith("I;"):
        return _eight_bits(image)
    if mode == "LAB":
        return image.getchannel("L")  # lightness suffices for this very rare mode
    if mode == "1":
        return image.convert("L")
    if not image.has_transparency_data:
        return image.convert("RGB")
    clear = image if mode in ("LA", "RGBA") else image.convert("LA" if mode in ("L", "La") else "RGBA")
    lowest, highest = clear.getchannel("A").getextrema()
    # all opaque: half the work; all transparent: a writer's bug, and the colors are intact
    if lowest == 255 or highest == 0:
        return clear.convert("L" if clear.mode == "LA" else "RGB")
    return clear


_ROWS = 256


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and floating gray to 8 bits.

    Cameras and microscopes store 10, 12 or 14 bits in 16, so the range is the smallest number of bits that holds the
    maximum. Signed, wider and floating values have no defined range: they are stretched from minimum to maximum.
    """
    values = np.asarray(image)
    small = np.empty(values.shape, np.uint8)
    rows = [slice(top, top + _ROWS) for top in range(0, len(values), _ROWS)]  # few rows at a time, to limit memory
    low, high = _range(values, rows)
    if values.dtype.kind in "iu" and low >= 0 and high < 65536:
        bits = next(bits for bits in (8, 10, 12, 14, 16) if high < 1 << bits)
        low, high = 0, (1 << bits) - 1
    scale = 255.0 / max(float(high) - float(low), 1e-12)
    for part in rows:
        finite = values[part]
        if values.dtype.kind == "f":
            finite = np.nan_to_num(finite, nan=low, posinf=high, neginf=low)
        small[part] = ((finite.astype(np.float32) - np.float32(low)) * scale + 0.5).clip(0, 255)
    return Image.fromarray(small)


def _range(values: NDArray[Any], rows: list[slice]) -> tuple[Any, Any]:
    """Return the minimum and maximum of the finite values."""
    if values.dtype.kind != "f":
        return values.min(), values.max()
    finite = [part[np.isfinite(part)] for part in (values[some] for some in rows)]
    extremes = [(part.min(), part.max()) for part in finite if part.size]
    return (min(low for low, _ in extremes), max(high for _, high in extremes)) if extremes else (0, 1)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8. Call after `load`: only then PNG knows it, and TIFF is already upright."""
    if image.format != "TIFF" and not any(key in image.info for key in _HOLDS_ORIENTATION):
        return 1
    try:
        exif = image.getexif()
        if image.format == "AVIF":  # Pillow copies the container's to EXIF; `getexif` uses XMP, which is void
            exif = Image.Exif()
            exif.load(image.info.get("exif", b""))
        value = exif.get(0x0112, 1)
    except Exception:  # damaged metadata must not cost the picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def thumbnail(pixels: NDArray[np.uint8], size: int = 112, quality: int = 75) -> bytes:
    """Return `Picture.pixels` squashed to `size` × `size`, as the bytes of a JPEG."""
    out = io.BytesIO()
    # average whole pixels first: from 224 to 112 this suffices, at half the cost
    small = Image.fromarray(pixels).resize((size, size), Image.Resampling.HAMMING, reducing_gap=1.0)
    small.save(out, "JPEG", quality=quality, subsampling="4:2:0")
    return out.getvalue()
