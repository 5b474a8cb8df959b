"""Decode the bytes of a picture to upright RGB pixels of one size, or give the reason in one line.

The bytes determine the format, never the file's name. `selfsort.containers.decoders` lists the supported formats.
"""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selfsort import bounds
from selfsort.bounds import MAX_PIXELS
from selfsort.containers import raw
from selfsort.containers.decoders import COMPLETED, SOUND, hush_pillow, opener
from selfsort.formats import sniff, why_not_an_image
from selfsort.isolation import Failed, Processes
from selfsort.pixels import UPRIGHT, Preprocessing, orientation, plain, render, target_size

#: Limits of one picture in a worker process: processor time, and memory for four copies of the largest picture.
DECODE_SECONDS = 20
DECODE_BYTES = 3 << 30

_processes = Processes("selfsort.decoder")
_keys = itertools.count()


class Unreadable(Exception):  # noqa: N818  (a state of one file that becomes a row, not a failure of the run)
    """A file cannot be read as a picture. The message is one line with the reason."""


@dataclass(slots=True)
class Picture:
    """Pixels ready for an encoder, and facts from the file.

    Parameters
    ----------
    pixels : ndarray, shape (size, size, 3), uint8
        Upright RGB, read-only. With ``fit`` not a square, see `Preprocessing` and `decode`.
    width, height : int
        Size of the whole upright picture in pixels.
    format : str
        Such as ``"JPEG"``; empty for arrays.
    cut : float or None
        Share of rows that a truncated file has; the others are gray or black. 1.0: all rows, but not all details. None:
        the file is complete.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str
    cut: float | None = None


class _Demanding(Exception):  # noqa: N818
    """A picture should be decoded in a worker process."""


class PictureFile:
    """The bytes of one picture file, to decode at several sizes; not thread-safe.

    Sizes that need the same decoding scale share the decoded pixels, which are kept as long as this object.

    Parameters
    ----------
    data : bytes
        The whole file.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.key = next(_keys)
        #: Whether to leave a damaged file to a worker process, because repairing it may take long.
        self.is_quick = False
        #: See `Picture.cut`; known after `load`.
        self.cut: float | None = None
        self._mended: bytes | None = None
        self._completed = False
        self._loaded: dict[object, Image.Image] = {}

    def open(self) -> Image.Image:
        """Read the header. Raises `Unreadable` if this is not a picture, and nearly anything if it is damaged."""
        hush_pillow()
        inner = self.inner
        open_it = opener(inner.kind)
        if self._mended is None and inner.kind in SOUND:
            try:
                return open_it(io.BytesIO(inner.data))
            except MemoryError:
                raise
            except Exception as error:  # perhaps only damaged metadata
                if self.is_quick:
                    raise _Demanding from error
                self._mended = SOUND[inner.kind](inner.data)
        return open_it(io.BytesIO(inner.data if self._mended is None else self._mended))

    @cached_property
    def format(self) -> str:
        """Format by the first bytes. Raises `Unreadable` if they are not a picture."""
        name = sniff(self.data)
        if name is None:
            raise Unreadable(why_not_an_image(self.data))
        return name

    @cached_property
    def inner(self) -> raw.Inner:
        """The part to decode: the file, or the embedded JPEG of a raw file. Raises `Unreadable`."""
        name = self.format
        try:
            found = raw.inner(self.data, name) if name == "TIFF" or name in raw.FORMATS else None
        except ValueError as error:
            raise Unreadable(f"raw file ({name}): {error}") from error
        return raw.Inner(name, self.data) if found is None else found

    def load(self, image: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, tuple[float, float, float, float]]:
        """Decode the image from `open`, at least at `size` if the format can scale; return it and the picture's box."""
        # JPEG decodes at 1/2, 1/4 or 1/8 much faster; HEIF may contain a smaller copy. Other formats ignore this.
        drafted = image.draft(None, size)
        scale = (image.size, drafted)
        if scale not in self._loaded:
            self._loaded[scale] = self._load(image, size)
        image = self._loaded[scale]
        return image, drafted[1] if drafted else (0.0, 0.0, *image.size)

    def _load(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        """Decode; a truncated file as far as it goes."""
        kind = self.inner.kind
        try:
            image.load()
            if kind != "JPEG" or self._completed or not _ends_gray(image):
                return image
        except MemoryError:
            raise
        except Exception as error:
            if self._completed or kind not in SOUND:
                raise
            if self.is_quick:
                raise _Demanding from error
        if self.is_quick:
            raise _Demanding
        self._mended, self._completed = SOUND[kind](self.inner.data), True
        if kind in COMPLETED:
            self._mended, self.cut = COMPLETED[kind](self._mended)
        image = self.open()
        image.draft(None, size)
        image.load()
        return image


def decode(
    data: bytes | PictureFile, preprocessing: Preprocessing, *, max_pixels: int = MAX_PIXELS, least: float = 1.0
) -> Picture:
    """Decode the bytes of one picture file.

    Decodes the first frame of an animation. Does not apply color profiles.

    Parameters
    ----------
    data : bytes or PictureFile
        The whole file.
    preprocessing : Preprocessing
    max_pixels : int
        A picture with more pixels by its header is refused before decoding.
    least : float
        Smallest scale at which a JPEG may be decoded, relative to the target size. With ``fit`` it is not enlarged.

    Returns
    -------
    Picture

    Raises
    ------
    Unreadable
        For all damage; the function raises no other exception.
    """
    file = data if isinstance(data, PictureFile) else PictureFile(data)
    try:
        is_apart = file.format in bounds.APART or file.format in raw.FORMATS
        if not is_apart and not bounds.is_unusual(file.format, file.data):
            return decode_here(file, preprocessing, max_pixels, least, quick=True)
    except _Demanding:
        pass
    try:
        return _decode_apart(file, preprocessing, max_pixels, least)
    except OSError:  # this system cannot start processes
        return decode_here(file, preprocessing, max_pixels, least)


def decode_here(
    file: PictureFile, preprocessing: Preprocessing, max_pixels: int, least: float, *, quick: bool = False
) -> Picture:
    """Decode a picture in this thread, see `decode`; with `quick` only if it takes a second or less."""
    name = file.format
    claimed, file.is_quick = "", quick
    try:
        image = file.open()
        width, height = image.size
        claimed = f"{width}×{height}"
        if why := bounds.why_too_large(width, height, max_pixels) or bounds.why_too_slow(
            file.inner.kind, file.inner.data, *image.size
        ):
            raise Unreadable(why)
        if quick and bounds.is_demanding(name, file.data, width, height):
            raise _Demanding
        wide, high = target_size(width, height, preprocessing)
        image, box = file.load(image, (max(1, int(wide * least)), max(1, int(high * least))))
        turned = file.inner.orientation or orientation(image)
        pixels = render(image, box, turned, preprocessing, least if image.size != (width, height) else 1.0)
    except (Unreadable, _Demanding):
        raise
    except MemoryError as error:
        raise Unreadable(f"not enough memory to decode {claimed or 'the picture'}") from error
    except Image.DecompressionBombError as error:  # some plugins have a limit that is lower than ours
        if quick:
            raise _Demanding from error
        raise Unreadable(_one_line(f"too large: {error}")) from error
    except Exception as error:  # plugins raise nearly every exception for damaged bytes
        raise Unreadable(_damage(name, error)) from error
    if file.inner.width and file.inner.height:
        width, height = file.inner.width, file.inner.height
    if turned >= 5:
        width, height = height, width
    return Picture(pixels, width, height, name, file.cut)


def _decode_apart(file: PictureFile, preprocessing: Preprocessing, max_pixels: int, least: float) -> Picture:
    if not Processes.are_possible():
        raise OSError("no processes")
    size, resize, name = preprocessing.size, preprocessing.resize, file.format
    request = {"size": size, "resize": resize, "max_pixels": max_pixels, "least": least}
    try:
        answer = _processes.ask(request, file.data, key=file.key, seconds=DECODE_SECONDS, memory=DECODE_BYTES)
    except Failed as failure:
        reasons = {
            "time": f"took more than {DECODE_SECONDS} s to decode",
            "memory": f"needs more than {DECODE_BYTES >> 30} GB to decode",
            "killed": "not enough memory to decode: the system ended its decoder",
        }
        raise Unreadable(
            reasons.get(failure.why) or _damage(name, EOFError("its decoder broke down")) + _heard(failure.heard)
        ) from None
    facts = answer.facts
    if "unreadable" in facts:
        raise Unreadable(facts["unreadable"] + _heard(answer.heard))
    pixels = np.frombuffer(answer.data, np.uint8).reshape(facts["shape"])
    return Picture(pixels, facts["width"], facts["height"], facts["format"], facts["cut"])


def stop_decoding() -> None:
    """Stop decoding in worker processes. Threads that wait for them get `selfsort.isolation.StoppedError`."""
    _processes.stop()


def _heard(text: str) -> str:
    """Return the first error of a library in brackets, without its warnings."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "warning" not in line.lower()] or lines
    return f" ({_one_line(told[0].removeprefix('tempfile.tif: ').rstrip('.'))})" if told else ""


def from_array(array: NDArray[Any], preprocessing: Preprocessing) -> Picture:
    """Make a picture of pixels of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4: RGB and alpha).

    Pixels are uint8, or floats in [0, 1]. Raises `Unreadable` for anything else.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or 0 in array.shape:
        raise Unreadable(f"not an image: an array of shape {array.shape}")
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # also false for NaN
            raise Unreadable("floating point pixels are not all in [0, 1]")
        array = (array * 255 + 0.5).astype(np.uint8)
    if array.dtype != np.uint8:
        raise Unreadable(f"pixels of type {array.dtype}: uint8 or floats in [0, 1] are needed")
    image = Image.fromarray(np.ascontiguousarray(array))
    pixels = render(image, (0.0, 0.0, *image.size), 1, preprocessing)
    return Picture(pixels, image.width, image.height, "")


def array_from_image(image: Image.Image) -> NDArray[np.uint8]:
    """Return a PIL image of any mode as upright uint8 pixels of its own size, for `from_array`."""
    try:
        image.load()
        flat = plain(image)
        method = UPRIGHT.get(orientation(image))
    except Exception as error:
        raise Unreadable(_damage("image", error)) from error
    if flat.mode == "LA":
        flat = flat.convert("RGBA")
    return np.asarray(flat.transpose(method) if method is not None else flat)


def _ends_gray(image: Image.Image) -> bool:
    """Tell whether the last pixel is the gray with which a JPEG decoder fills missing data."""
    return bool((np.asarray(image.getpixel((image.width - 1, image.height - 1))) == 128).all())


def _damage(name: str, error: Exception) -> str:
    why = str(error) or type(error).__name__
    if why == "not identified by this driver":  # Pillow's message for a truncated or contradictory header
        why = "no usable header"
    return _one_line(f"truncated or damaged {name}: {why}")


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:200].rstrip()
