"""Repair JPEG files with damaged segments or a missing end, so that a decoder accepts them.

Metadata before the pixels may be truncated or wrong, and the end may be missing. `completed` measures how much of a
truncated picture is there by decoding it twice.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import JpegImagePlugin

_START, END = b"\xff\xd8", b"\xff\xd9"
_SCAN = 0xDA
#: Application segments and comments. A decoder needs only Adobe's, which gives the color transform.
_ANCILLARY = frozenset([*range(0xE0, 0xF0), 0xFE])
#: Markers without a length.
_BARE = frozenset([0x01, *range(0xD0, 0xD9)])
#: Maximum number of ancillary segments to examine.
_MAX_SEGMENTS = 1024
#: A picture of one pixel, to try a segment on.
_TINY = b"\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0"
#: Entropy-coded data that decodes differently from the zeros with which a decoder fills missing data. It has no 0xFF,
#: which begins markers. It is repeated after each restart marker.
_CODES = bytes(random.Random(0).choices(range(255), k=512))
_NOISE = _CODES + b"".join(bytes([0xFF, 0xD0 + i]) + _CODES for i in range(8))


def sound(data: bytes) -> bytes:
    """Return a JPEG file without the segments before its pixels that cannot be read.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ValueError
        If it has no pixels.
    """
    kept, n_seen = [_START], 0
    for marker, start, end in _segments(data):
        if marker == _SCAN:
            return b"".join([*kept, data[start:]])
        n_seen += marker in _ANCILLARY
        if marker not in _ANCILLARY or (n_seen <= _MAX_SEGMENTS and _is_sound(data[start:end])):
            kept.append(data[start:end])
    raise ValueError("no pixels")


def size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels of a decodable JPEG (8 bits, not lossless), else None."""
    if not data.startswith(_START + b"\xff"):
        return None
    for marker, start, end in _segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = data[start + 4 : end]
            usable = marker <= 0xC2 and len(frame) >= 6 and frame[0] == 8 and frame[5] in (1, 3, 4)
            height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
            return (width, height) if usable and width and height else None
    return None


def completed(data: bytes) -> tuple[bytes, float | None]:
    """Return a JPEG file with an end, and the share of its rows that are there.

    A decoder fills missing data with zeros, which are gray. So the file is decoded twice: as it is, and with other data
    appended. Rows that differ were missing. If rows may be missing, decoding at an eighth of the sides suffices, where
    one row stands for the eight rows of a block.

    Parameters
    ----------
    data : bytes
        A file whose size has been checked.

    Returns
    -------
    bytes
    float or None
        None: complete. 1.0: all rows, but not all details of a progressive JPEG.

    Raises
    ------
    ValueError
        If it has no pixels, or not a single row of them.
    """
    start = _scan(data)
    if start is None:
        raise ValueError("no pixels")
    end = data.find(END, start)
    body = data[: end if end >= 0 else len(data)].rstrip(b"\xff")  # a trailing 0xFF would begin a marker
    has_rows, is_full = _scanned(body)
    there, other = (_shown(part + END, whole=has_rows) for part in (body, body + _NOISE))
    differing = np.flatnonzero((there != other).reshape(len(there), -1).any(1))
    if has_rows or not len(differing):
        return body + END, None if is_full and not len(differing) else 1.0
    if differing[0] == 0:
        raise ValueError("none of its rows is there")
    return body + END, float(differing[0]) / len(there)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of every segment up to the header of the first scan."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker in (0, 0xFF) or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == END[1]:
            return
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        yield marker, at, end
        if marker == _SCAN:
            return
        at = end


def _scan(data: bytes) -> int | None:
    """Return the offset of the entropy-coded data of the first scan."""
    return next((end for marker, _, end in _segments(data) if marker == _SCAN), None)


def _is_sound(segment: bytes) -> bool:
    """Tell whether Pillow can read a segment by itself."""
    with contextlib.suppress(Exception):
        JpegImagePlugin.JpegImageFile(io.BytesIO(_START + segment + _TINY))
        return True
    return False


def _shown(data: bytes, *, whole: bool) -> npt.NDArray[np.uint8]:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    if not whole:
        image.draft(None, (1, 1))
    image.load()
    return np.asarray(image)


def _scanned(data: bytes) -> tuple[bool, bool]:
    """Tell from the headers of its scans what a file contains.

    Returns
    -------
    bool
        Whether some scans contain only details, as in a progressive JPEG after the scans of all rows.
    bool
        Whether every coefficient of every component is complete to its last bit.
    """
    has_details = False
    wanted: set[int] = set()
    bits: dict[tuple[int, int], int] = {}
    for match in re.finditer(rb"\xff([\xc0-\xc2\xda])", data):
        at = match.start() + 4
        if match[1] != b"\xda" and not wanted:
            wanted = set(data[at + 6 : at + 6 + 3 * data[at + 5] : 3])
        elif match[1] == b"\xda" and wanted:
            n = data[at]
            first, last, depth = data[at + 1 + 2 * n : at + 4 + 2 * n].ljust(3, b"\xff")
            has_details |= 0 < first <= 63
            for component in data[at + 1 : at + 1 + 2 * n : 2]:
                bits |= {(component, k): depth & 15 for k in range(first, min(last, 63) + 1)}
    return has_details, all(bits.get((component, k)) == 0 for component in wanted for k in range(64))
