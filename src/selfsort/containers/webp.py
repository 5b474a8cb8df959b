"""WebP: a RIFF file of chunks with pixels and metadata."""

from __future__ import annotations

import struct

_PIXELS = (b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L")
#: Metadata chunks, and their flags in the first chunk. Color profiles are dropped.
_NOTES = {b"EXIF": 0x08, b"XMP ": 0x04}
_PROFILE = 0x20


def sound(data: bytes) -> bytes:
    """Return a WebP file without unknown chunks and truncated metadata, and with a correct size field."""
    kept: list[tuple[bytes, bytes]] = []
    at, flags = 12, 0
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        whole = at + 8 + length <= len(data)
        if kind in _PIXELS or (kind in _NOTES and whole):
            kept.append((kind, data[at + 8 : at + 8 + length]))
            flags |= _NOTES.get(kind, 0)
        at += 8 + length + length % 2
    body = b"WEBP"
    for kind, content in kept:
        if kind == b"VP8X" and content:
            content = bytes([content[0] & ~(_PROFILE | sum(_NOTES.values())) | flags]) + content[1:]
        body += kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body
