"""HEIF and AVIF: nested boxes. One lists the items of a file, another their properties."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor
from typing import NamedTuple

#: Boxes that begin with a version and flags.
_FULL = (b"meta", b"iinf", b"ipma", b"pitm", b"infe")
#: Metadata items: EXIF, and items with a MIME type, such as XMP.
_NOTES = (b"Exif", b"mime")


class Box(NamedTuple):
    """One box: its kind, and where its content starts and ends."""

    kind: bytes
    start: int
    end: int


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yield the boxes between two offsets of a file. A truncated box ends with its parent."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        if size == 0:
            size = end - start
        if size < head:
            return
        yield Box(kind, start + head, min(start + size, end))
        start += size


def find(data: bytes, *path: bytes) -> Box | None:
    """Return the first box at a path of kinds."""
    box = Box(b"", 0, len(data))
    for kind in path:
        start = box.start + (4 if box.kind in _FULL else 0)
        found = next((one for one in boxes(data, start, box.end) if one.kind == kind), None)
        if found is None:
            return None
        box = found
    return box


def sound(data: bytes) -> bytes:
    """Return the file with its metadata items marked as free space, so that offsets of pixels stay valid."""
    out = bytearray(data)
    listed = find(data, b"meta", b"iinf")
    if listed is None:
        raise ValueError("no items")
    start = listed.start + (6 if data[listed.start] == 0 else 8)
    for box in boxes(data, start, listed.end):
        kind = box.start + (10 if data[box.start] >= 3 else 8)
        if box.kind == b"infe" and data[box.start] >= 2 and data[kind : kind + 4] in _NOTES:
            out[kind : kind + 4] = b"free"
    return bytes(out)


def clean_aperture(data: bytes, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the clean aperture of the primary item, before rotation: left, top, right, bottom.

    Parameters
    ----------
    data : bytes
        The whole file.
    size : tuple of int
        Width and height of the coded picture in pixels.

    Returns
    -------
    tuple of int or None
        None: the whole picture, also if the aperture lies outside it.
    """
    primary, listed, held = (
        find(data, b"meta", b"pitm"),
        find(data, b"meta", b"iprp", b"ipco"),
        find(data, b"meta", b"iprp", b"ipma"),
    )
    if primary is None or listed is None or held is None:
        return None
    item = int.from_bytes(data[primary.start + 4 : primary.start + (6 if data[primary.start] == 0 else 8)], "big")
    properties = list(boxes(data, listed.start, listed.end))
    for number in _held(data, held, item):
        if 0 < number <= len(properties) and properties[number - 1].kind == b"clap":
            box = properties[number - 1]
            return _aperture(data[box.start : box.end], size)
    return None


def _held(data: bytes, box: Box, item: int) -> list[int]:
    """Return the numbers, from 1, of the properties of an item."""
    version, wide = data[box.start], data[box.start + 3] & 1
    at = box.start + 8
    for _ in range(int.from_bytes(data[box.start + 4 : at], "big")):
        id_bytes, width = (2 if version < 1 else 4), 2 if wide else 1
        if at + id_bytes >= box.end:
            break
        found, n = int.from_bytes(data[at : at + id_bytes], "big"), data[at + id_bytes]
        at += id_bytes + 1
        if found == item:
            parts = [data[at + i * width : at + (i + 1) * width] for i in range(n)]
            return [int.from_bytes(part, "big") & (0x7FFF if wide else 0x7F) for part in parts]
        at += n * width
    return []


def _aperture(content: bytes, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the rectangle of a clean aperture, whose content has its sides and center as fractions."""
    if len(content) < 32:
        return None
    numbers = [int.from_bytes(content[i : i + 4], "big", signed=i >= 16 and i % 8 == 0) for i in range(0, 32, 4)]
    values = list(zip(numbers[::2], numbers[1::2], strict=True))
    if any(below == 0 for _, below in values):
        return None
    (width, height, across, down) = (above / below for above, below in values)
    left, top = floor(across + (size[0] - width) / 2 + 0.5), floor(down + (size[1] - height) / 2 + 0.5)
    box = left, top, left + floor(width + 0.5), top + floor(height + 0.5)
    fits = 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]
    return box if fits else None
