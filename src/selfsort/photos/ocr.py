"""Lines of text in pictures, by the networks of PP-OCR that ship inside the package rapidocr.

The package finds the lines in the first network's map and cuts them out. Its own way to load and run the networks is
not used: it can download, logs, and glues words together.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfsort.errors import DataError
from selfsort.features.onnx_runtime import open_session
from selfsort.images import PictureFile, decode
from selfsort.photos.looks import flatness, upright
from selfsort.pixels import Preprocessing

#: The longer side in pixels at which it is seen whether there may be text.
LOOK = 640
#: Pictures that are so flat (see `selfsort.photos.looks`) are mostly screens and drawings, whose text may be too small
#: to be found there.
FLAT = 0.3
#: So many pixels a picture has at most where text is read, and so many on a side; smaller ones are enlarged.
_AREA, _LONGEST, _ENLARGED = 1_500_000, 4096, 1.5
#: What is so many times longer than wide is not looked at in small first: long screenshots, panoramas.
_STRIP = 4
#: What is read there with more confidence than this is a reason to look closer.
_HINT = 0.2
#: Scores that a part of the map, and a line as a whole, need to be text.
_PART, _LINE = 0.3, 0.5
#: Lines are this many pixels high where they are read, and together so many times longer than high, at most.
_HEIGHT, _LONGEST_LINE, _LENGTHS = 48, 100.0, 4000.0
#: A gap is a space if that is at least so probable. Most likely nothing is in it, by the network alone: it then glues
#: the words of every second line in capitals together.
_SPACE = 0.05
_NAMES = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx")
_MISSING = "Reading text needs more packages. Install: pip install 'selfsort[photos]'"
_lock = threading.Lock()

Bytes = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Line:
    """One line of text.

    Attributes
    ----------
    text : str
    confidence : float
        Mean probability of its characters, 0 to 1.
    corners : ndarray of float32, shape (4, 2)
        x and y in shares of the picture's width and height; from the top left, clockwise.
    height : float
        In shares of the picture's height.
    area : float
        In shares of the picture's area.
    """

    text: str
    confidence: float
    corners: FloatArray
    height: float
    area: float


class _Tools(NamedTuple):
    """What is loaded once: the networks, their alphabet, and what rapidocr and OpenCV bring."""

    detector: Any
    recognizer: Any
    alphabet: list[str]
    boxes: Callable[[FloatArray, tuple[int, int]], tuple[Any, list[float]]]
    cut: Callable[[Bytes, FloatArray], Bytes]
    resize: Callable[..., Any]


def is_installed() -> bool:
    """Tell whether what text is read with is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("rapidocr", "cv2"))


def check_installed() -> None:
    """Raise `DataError` if what text is read with is not installed."""
    _models()


def read_lines(data: bytes | PictureFile) -> list[Line]:
    """Return the lines of text in a picture file, the topmost first; may be called from several threads.

    A small copy is searched first, and only where there may be text, the picture is read at a size at which small
    letters can be told. Of a picture full of text the largest lines are read.

    Parameters
    ----------
    data : bytes or PictureFile

    Returns
    -------
    list of Line

    Raises
    ------
    Unreadable
        If it is no picture.
    DataError
        If what text is read with is not installed.

    References
    ----------
    Liao et al., "Real-time scene text detection with differentiable binarization", 2020. Shi et al., "An end-to-end
    trainable neural network for image-based sequence recognition", 2017.
    """
    tools = _loaded()
    file = data if isinstance(data, PictureFile) else PictureFile(data)
    small = decode(file, Preprocessing(LOOK, "fit"))
    pixels = small.pixels
    if min(pixels.shape[:2]) >= LOOK / _STRIP and flatness(pixels) < FLAT and not _shows_text(tools, pixels):
        return []
    return lines(upright(file, _side(small.width, small.height)))


def lines(pixels: Bytes) -> list[Line]:
    """Return the lines of text in RGB pixels, shape (h, w, 3), as they are; see `read_lines`."""
    tools = _loaded()
    height, width, _ = pixels.shape
    quads, heights, lengths = _largest(_boxes(tools, pixels))
    read = []
    for index in _reading_order(quads, heights):
        text, confidence = _recognized(tools, tools.cut(pixels, quads[index].copy()))
        if text:
            corners = quads[index] / np.array([width, height], np.float32)
            area = float(heights[index] * lengths[index] / width / height)
            read.append(Line(text, confidence, corners, float(heights[index] / height), area))
    return read


def _shows_text(tools: _Tools, pixels: Bytes) -> bool:
    """Tell whether anything in a small copy is like two letters; most of what only looks like lines is not."""
    for quad in _largest(_boxes(tools, pixels))[0]:
        text, confidence = _recognized(tools, tools.cut(pixels, quad.copy()))
        if len(text) > 1 and confidence > _HINT:
            return True
    return False


def _side(width: int, height: int) -> int:
    """Return the longer side at which a picture is read."""
    longest = max(width, height)
    scale = min(math.sqrt(_AREA / (width * height)), _LONGEST / longest, max(_ENLARGED, LOOK / longest))
    return max(32, round(longest * scale))


def _boxes(tools: _Tools, pixels: Bytes) -> FloatArray:
    """Return the corners of what looks like lines of text, from the top left clockwise, shape (n, 4, 2)."""
    height, width = (max(32, round(length / 32) * 32) for length in pixels.shape[:2])
    name = tools.detector.get_inputs()[0].name
    likely = tools.detector.run(None, {name: _batch(tools.resize(pixels, (width, height)))})[0]
    found, _ = tools.boxes(likely, pixels.shape[:2])
    return np.asarray(found, np.float32).reshape(-1, 4, 2)


def _recognized(tools: _Tools, line: Bytes) -> tuple[str, float]:
    """Return the text of one line and its confidence."""
    height, width, _ = line.shape
    wide = max(_HEIGHT, math.ceil(_HEIGHT * width / height))
    name = tools.recognizer.get_inputs()[0].name
    found = tools.recognizer.run(None, {name: _batch(tools.resize(line, (wide, _HEIGHT)))})[0][0]
    return decoded(found, tools.alphabet)


def decoded(probabilities: FloatArray, alphabet: list[str]) -> tuple[str, float]:
    """Return the text of probabilities of shape (steps, characters), where the first is none and the last a space."""
    best = probabilities.argmax(1)
    space = probabilities.shape[1] - 1
    best[(best == 0) & (probabilities[:, space] > _SPACE)] = space
    kept = np.flatnonzero((best != 0) & np.concatenate([[True], best[1:] != best[:-1]]))
    letters = kept[best[kept] != space]
    if not len(letters):
        return "", 0.0
    text = "".join(alphabet[character] for character in best[kept]).strip()
    return text, float(probabilities[letters, best[letters]].mean())


def _batch(pixels: Bytes) -> FloatArray:
    """Return what the networks see: one picture, its colors from -1 to 1, blue first."""
    return np.ascontiguousarray((pixels[:, :, ::-1] / np.float32(127.5) - 1).transpose(2, 0, 1)[None])


def _largest(quads: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the corners of the lines that are read, the highest first, how high they are, and how long.

    Upright ones are lines that were turned.
    """
    sides = np.linalg.norm(quads - np.roll(quads, -1, 1), axis=2)
    across, down = (sides[:, 0] + sides[:, 2]) / 2, (sides[:, 1] + sides[:, 3]) / 2
    heights, lengths = np.maximum(np.minimum(across, down), 1), np.maximum(across, down)
    order = np.argsort(-heights, kind="stable")
    ratios = np.maximum(lengths[order] / heights[order], 1.0)
    order = order[ratios <= _LONGEST_LINE]
    order = order[np.cumsum(ratios[ratios <= _LONGEST_LINE]) <= _LENGTHS]
    return quads[order], heights[order], lengths[order]


def _reading_order(quads: FloatArray, heights: FloatArray) -> list[int]:
    """Return the order from top to bottom, and from left to right where lines stand beside each other."""
    centers = quads.mean(1)
    rows: list[list[int]] = []
    for index in np.argsort(centers[:, 1], kind="stable").tolist():
        last = rows[-1][0] if rows else index
        if rows and centers[index, 1] - centers[last, 1] < min(heights[index], heights[last]) / 2:
            rows[-1].append(index)
        else:
            rows.append([index])
    return [index for row in rows for index in sorted(row, key=lambda one: float(centers[one, 0]))]


def _models() -> list[Path]:
    """Return the files of the two networks."""
    spec = importlib.util.find_spec("rapidocr")
    if not is_installed() or spec is None or not spec.submodule_search_locations:
        raise DataError(_MISSING)
    folder = Path(spec.submodule_search_locations[0]) / "models"
    paths = [folder / name for name in _NAMES]
    lacking = [path.name for path in paths if not path.exists()]
    if lacking:
        raise DataError(
            f"The installed rapidocr does not have the network {lacking[0]}. Install: pip install 'selfsort[photos]'"
        )
    return paths


def _loaded() -> _Tools:
    with _lock:
        return _tools()


@functools.cache
def _tools() -> _Tools:
    detector, recognizer = _models()
    try:
        import cv2
        from rapidocr.ch_ppocr_det.utils import DBPostProcess
        from rapidocr.utils.process_img import get_rotate_crop_image
    except ImportError as error:  # OpenCV may lack a library of the system
        raise DataError(f"{_MISSING} (What is there fails: {error}.)") from error
    searching, reading = (open_session(path, keep_memory=False) for path in (detector, recognizer))
    letters = reading.get_modelmeta().custom_metadata_map["character"].splitlines()
    boxes = DBPostProcess(thresh=_PART, box_thresh=_LINE, unclip_ratio=1.6, use_dilation=True)
    return _Tools(searching, reading, ["", *letters, " "], boxes, get_rotate_crop_image, cv2.resize)
