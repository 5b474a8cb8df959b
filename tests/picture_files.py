"""Picture files made piece by piece, for tests of what is damaged, cut or unusual in them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from selfsort.containers.heif import boxes, find


def scene(width=96, height=64):
    """Return a picture whose every row and column differs from the next."""
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (8, 12, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_chunk(kind, content, crc=None):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc or zlib.crc32(kind + content))


def with_chunks(data, *chunks, at=33):
    """Put chunks into a PNG file: behind its header, or at another place."""
    return data[:at] + b"".join(chunks) + data[at:]


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(data, *segments):
    """Put segments into a JPEG file in the place of those that Pillow wrote for programs."""
    start = 2
    while data[start + 1] in range(0xE0, 0xF0):
        start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[:2] + b"".join(segments) + data[start:]


def riff(chunks):
    body = b"".join(kind + struct.pack("<I", len(c)) + c + bytes(len(c) % 2) for kind, c in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def riff_chunks(data):
    at, found = 12, []
    while at + 8 <= len(data):
        length = struct.unpack("<I", data[at + 4 : at + 8])[0]
        found.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def _box(kind, content):
    return struct.pack(">I", len(content) + 8) + kind + content


def with_properties(data, properties):
    """Let further properties hold for the primary item of a HEIC or AVIF file, as Pillow and pillow-heif write them."""
    meta, listed, held, around, primary = (
        find(data, b"meta", *path) for path in ((), (b"iprp", b"ipco"), (b"iprp", b"ipma"), (b"iprp",), (b"pitm",))
    )
    item = data[primary.start + 4 : primary.start + 6]
    n, content = len(list(boxes(data, listed.start, listed.end))), data[held.start : held.end]
    associations, at = content[:8], 8
    for _ in range(int.from_bytes(content[4:8], "big")):
        found, count = content[at : at + 2], content[at + 2]
        numbers = content[at + 3 : at + 3 + count]
        if found == item:
            numbers += bytes(0x80 | (n + 1 + i) for i in range(len(properties)))
        associations += found + bytes([len(numbers)]) + numbers
        at += 3 + count
    all_properties = data[listed.start : listed.end] + b"".join(_box(kind, c) for kind, c in properties)
    new = _box(b"iprp", _box(b"ipco", all_properties) + _box(b"ipma", associations))
    moved, body = len(new) - (around.end - around.start + 8), data[meta.start : meta.start + 4]
    for box in boxes(data, meta.start + 4, meta.end):
        whole = data[box.start - 8 : box.end]
        body += new if box.kind == b"iprp" else _moved(whole, moved) if box.kind == b"iloc" else whole
    return data[: meta.start - 8] + _box(b"meta", body) + data[meta.end :]


def _moved(box, by):
    """Return a box of places, whose items lie further behind."""
    content = bytearray(box)
    version, offset, length, base = content[8], content[12] >> 4, content[12] & 15, content[13] >> 4
    index, wide, at = content[13] & 15 if version else 0, 4 if version == 2 else 2, 14
    n, at = int.from_bytes(content[at : at + wide], "big"), at + wide
    for _ in range(n):
        at += wide + (2 if version else 0) + 2 + base
        extents, at = int.from_bytes(content[at : at + 2], "big"), at + 2
        for _ in range(extents):
            at += index
            place = int.from_bytes(content[at : at + offset], "big") + by
            content[at : at + offset] = place.to_bytes(offset, "big")
            at += offset + length
    return bytes(content)
