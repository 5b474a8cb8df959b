"""PNG files whose ancillary chunks are damaged, or that end early, made into files that a decoder takes.

Decoders refuse a picture for a checksum, a length or a size of chunks that say nothing of its pixels. Such chunks are
left out here; each stands or falls alone.
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
#: Chunks of animations refer to one another; a file without any of them shows its first picture.
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
#: Ancillary chunks that are looked at, and their bytes in all. Pillow refuses 64 MiB of text, and more than 1 MiB of
#: what is compressed in one chunk.
_MAX_CHUNKS, _MAX_BYTES = 40, 16 << 20
#: Channels of each color type.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: First column, first row, and steps of the seven passes of Adam7.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_BLOCK = 1 << 20


def sound(data: bytes) -> bytes:
    """Return a PNG file without the ancillary chunks that cannot be read.

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
    """Return a PNG file that ends early with zeros for the pixels it lacks, and the share of pixels that are there.

    Parameters
    ----------
    data : bytes
        From `sound`. It is decompressed piece by piece: twice the size of the compressed pixels is in memory.

    Returns
    -------
    bytes
    float or None
        None: all.

    Raises
    ------
    ValueError
        If the pixels are not cut off but damaged, or there are none.
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
    """Yield kind and whole chunk, the last as far as it goes; behind a wrong length the next pixels are looked for."""
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
    """Tell whether Pillow reads a chunk that stands alone behind the header."""
    with contextlib.suppress(Exception):
        PngImagePlugin.PngImageFile(io.BytesIO(SIGNATURE + header + chunk + _chunk(b"IDAT", b"")))
        return True
    return False


def _length(header: bytes) -> int:
    """Return how many bytes the pixels of a picture have, decompressed: rows with a byte for the filter."""
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _CHANNELS.get(color, 4)
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-max(0, width - left) // across), -(-max(0, height - top) // down)
        total += rows * (1 + -(-columns * bits // 8)) if columns else 0
    return total
