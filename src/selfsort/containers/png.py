"""Repair PNG files with damaged ancillary chunks or a missing end, so that a decoder accepts them.

Decoders refuse a picture because of a wrong checksum, length or size of an ancillary chunk. This module drops such
chunks, each independently of the others.
"""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator

from PIL import PngImagePlugin

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
#: Chunks of animations refer to one another. Without all of them, a file shows its first picture.
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
#: Maximum number of ancillary chunks to examine, and their total bytes. Pillow refuses 64 MiB of text, and more than
#: 1 MiB of compressed text in one chunk.
_MAX_CHUNKS, _MAX_BYTES = 40, 16 << 20
#: Number of channels of each color type.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: First column, first row, and steps of the seven passes of Adam7.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_BLOCK = 1 << 20


def sound(data: bytes) -> bytes:
    """Return a PNG file without unreadable ancillary chunks.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    ValueError
        If it has no header or no pixels.
    """
    parts: dict[bytes, list[bytes]] = {kind: [] for kind in _CRITICAL}
    before, behind = list[bytes](), list[bytes]()
    n_seen = n_bytes = 0
    for kind, chunk in _chunks(data):
        if kind in parts:
            parts[kind].append(chunk)
        elif kind not in _ANIMATION and parts[b"IHDR"] and n_seen < _MAX_CHUNKS and n_bytes + len(chunk) < _MAX_BYTES:
            n_seen, n_bytes = n_seen + 1, n_bytes + len(chunk)
            if _is_sound(parts[b"IHDR"][0], chunk):
                (behind if parts[b"PLTE"] else before).append(chunk)
    if not parts[b"IHDR"] or not parts[b"IDAT"]:
        raise ValueError("no pixels")
    header, palette, pixels = parts[b"IHDR"][:1], parts[b"PLTE"][:1], parts[b"IDAT"]
    return SIGNATURE + b"".join([*header, *before, *palette, *behind, *pixels, _chunk(b"IEND", b"")])


def completed(data: bytes) -> tuple[bytes, float | None]:
    """Complete a truncated PNG file with zeros, and return it with the share of pixels that are there.

    Parameters
    ----------
    data : bytes
        A file from `sound`. It is decompressed in pieces; memory use is twice the size of the compressed pixels.

    Returns
    -------
    bytes
    float or None
        None: the file is complete.

    Raises
    ------
    ValueError
        If the pixels are damaged rather than truncated, or there are none.
    """
    chunks = list(_chunks(data))
    header = next(chunk for kind, chunk in chunks if kind == b"IHDR")[8:21]
    whole = _length(header)
    inflate, deflate = zlib.decompressobj(), zlib.compressobj(1)
    out, n = list[bytes](), 0
    try:
        for kind, chunk in chunks:
            rest = chunk[8:-4] if kind == b"IDAT" else b""
            while rest and n < whole and not inflate.eof:
                block = inflate.decompress(rest, min(_BLOCK, whole - n))
                n, rest = n + len(block), inflate.unconsumed_tail
                out.append(deflate.compress(block))
    except zlib.error as error:
        raise ValueError(f"damaged pixels: {error}") from error
    if n * int.from_bytes(header[4:8], "big") < whole:
        raise ValueError("none of its rows is there")
    for start in range(n, whole, _BLOCK):
        out.append(deflate.compress(bytes(min(_BLOCK, whole - start))))
    out.append(deflate.flush())
    kept = [_chunk(kind, chunk[8:-4]) for kind, chunk in chunks if kind not in (b"IDAT", b"IEND")]
    pixels = _chunk(b"IDAT", b"".join(out))
    return SIGNATURE + b"".join([*kept, pixels, _chunk(b"IEND", b"")]), n / whole if n < whole else None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and bytes of each chunk; the last may be truncated. After a wrong length, find the next pixels."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if not (kind.isalpha() and kind.isascii()) or (end > len(data) and kind != b"IDAT"):
            at = data.find(b"IDAT", at + 5) - 4
            if at < 0:
                return
            continue
        yield kind, data[at:end] if end <= len(data) else _chunk(kind, data[at + 8 :])
        at = end


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _is_sound(header: bytes, chunk: bytes) -> bool:
    """Tell whether Pillow can read a chunk alone after the header."""
    with contextlib.suppress(Exception):
        PngImagePlugin.PngImageFile(io.BytesIO(SIGNATURE + header + chunk + _chunk(b"IDAT", b"")))
        return True
    return False


def _length(header: bytes) -> int:
    """Return the size in bytes of the decompressed pixels, with one filter byte per row."""
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS.get(color, 4)
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-max(0, width - left) // across), -(-max(0, height - top) // down)
        total += rows * (1 + -(-columns * bits // 8)) if columns else 0
    return total
