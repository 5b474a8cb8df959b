"""Limits on the pixels, sides and decoding time of one picture, checked from its bytes before decoding.

A file of a few kilobytes can require gigabytes of memory or minutes of work. This module refuses such files.
`is_demanding` marks expensive files, which are decoded in a worker process with limits (`selfsort.isolation`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: A picture with more pixels is refused, whatever its format.
MAX_PIXELS = 250_000_000
#: Decoders allocate some bytes for every row, however short it is.
MAX_SIDE = 1_000_000
#: Pixels times scans of a JPEG: every scan covers all pixels. This many take some 15 seconds.
MAX_SCANNED = 5_000_000_000

#: Pictures above these limits are decoded in a worker process; others take a second or less.
_PIXELS, _SCANNED, _BYTES = 50_000_000, 500_000_000, 64 << 20
#: Python code reads the segments or chunks before the pixels, at some microseconds each. More than this is unusual.
_MANY = 20_000
_GIF_BYTES, _PLAIN_BYTES = 2 << 20, 1 << 20

#: Formats whose headers do not bound the work, because their decoders trust values deeper in the file, or whose
#: decoders write to standard error. They are always decoded in a worker process.
APART = frozenset({"TIFF", "ICO", "AVIF", "HEIF", "JPEG2000"})

_SCAN = b"\xff\xda"
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # markers without a length are skipped
_START_OF_SCAN, _END = 0xDA, 0xD9
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _ORDINARY = {0xC0, 0xC1}, {0xC0, 0xC1, 0xC2}  # C2 is progressive; lossless and arithmetic ones are slow


def why_too_large(width: int, height: int, max_pixels: int = MAX_PIXELS) -> str:
    """Return why a picture of this size is refused; empty if it is not.

    >>> why_too_large(1, 249_000_000)
    'too large: 1×249000000 pixels, a side of more than 1,000,000'
    """
    if width * height > max_pixels:
        return f"too large: {width}×{height} pixels, more than {max_pixels:,}"
    if max(width, height) > MAX_SIDE:
        return f"too large: {width}×{height} pixels, a side of more than {MAX_SIDE:,}"
    return ""


def why_too_slow(name: str, data: bytes, width: int, height: int) -> str:
    """Return why a picture would take too long to decode; empty if it would not.

    Parameters
    ----------
    name : str
        The format, as `selfsort.formats.sniff` names it.
    data : bytes
        The whole file.
    width, height : int
        Size in pixels by its header.
    """
    if not _may_scan_more(name, data, width * height, MAX_SCANNED):  # a fast bound, sufficient for nearly all files
        return ""
    n_scans = count_scans(data)
    if n_scans * width * height <= MAX_SCANNED:
        return ""
    return f"too much work: {n_scans:,} scans of {width}×{height} pixels"


def is_demanding(name: str, data: bytes, width: int, height: int) -> bool:
    """Tell whether an accepted picture may take more than about a second, or much memory.

    Ordinary photographs of up to 50 megapixels do not. See `why_too_slow` for the parameters.
    """
    if width * height > _PIXELS or len(data) > _BYTES:
        return True
    return _may_scan_more(name, data, width * height, _SCANNED)


def is_unusual(name: str, data: bytes) -> bool:
    """Tell whether even reading the header of a file may take long."""
    if name == "JPEG":
        return _head(data)[0]
    if name == "PNG":
        return sum(1 for _ in _chunks(data)) == _MANY
    if name == "GIF":
        return len(data) > _GIF_BYTES
    if name == "PPM":  # Python code reads the text variant
        return data[1:2] in b"123" and len(data) > _PLAIN_BYTES
    return False


def count_scans(data: bytes) -> int:
    """Return the number of scans of a JPEG, without those of pictures embedded in its segments."""
    at, n_scans = 2, 0
    while (found := _MARKER.search(data, at)) is not None:
        at, marker = found.end(), data[found.end() - 1]
        if marker == _END:
            break
        n_scans += marker == _START_OF_SCAN
        at += int.from_bytes(data[at : at + 2], "big")
    return n_scans


def _may_scan_more(name: str, data: bytes, n_pixels: int, bound: int) -> bool:
    """Tell whether the scans of a file may cover more than `bound` pixels in all; False is always right."""
    if name != "JPEG" or len(data) // len(_SCAN) * n_pixels <= bound or not _head(data)[1]:
        return False
    return data.count(_SCAN) * n_pixels > bound


def _head(data: bytes) -> tuple[bool, bool]:
    """Return whether the segments before the pixels of a JPEG are unusual, and whether it may have several scans."""
    at, unusual, n_components, progressive = 2, False, 0, False
    for _ in range(_MANY):
        found = _MARKER.search(data, at)
        if found is None:
            return unusual, False
        at, marker = found.end(), data[found.end() - 1]
        if marker == _END:
            return unusual, False
        if marker == _START_OF_SCAN:
            return unusual, progressive or data[at + 2 : at + 3] != bytes([n_components])
        if marker in _FRAMES:
            unusual |= marker not in _ORDINARY
            progressive |= marker not in _BASELINE
            n_components = data[at + 7] if at + 7 < len(data) else 0
        at += int.from_bytes(data[at : at + 2], "big")
    return True, True


def find_chunk(data: bytes, kind: bytes) -> bytes:
    """Return the content of the first chunk of a kind in a PNG, before or after the pixels; empty if there is none."""
    for at, size in _chunks(data):
        if data[at + 4 : at + 8] == kind:
            return data[at + 8 : at + 8 + size]
        if data[at + 4 : at + 8] == b"IEND":
            break
    return b""


def _chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and content size of each chunk of a PNG, up to a limit."""
    at = 8
    for _ in range(_MANY):
        if at >= len(data):
            return
        size = int.from_bytes(data[at : at + 4], "big")
        yield at, size
        at += size + 12
