"""What the first bytes of a file announce: which picture format, or what else it is."""

from __future__ import annotations

import codecs
import re

from selfsort.containers.raw import raw_format

#: How the status of a file begins that is something else.
NOT_AN_IMAGE = "not an image"

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_FOREIGN = (
    (b"%PDF", "PDF"),
    (b"PK\3\4", "zip archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"8BPS", "Photoshop"),
    (b"%!PS", "PostScript"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL, which is not read"),
    (b"\xff\x0a", "JPEG XL, which is not read"),
    (b"\x1aE\xdf\xa3", "video"),
    (b"ID3", "sound"),
    (b"SQLite format 3", "database"),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = set(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())


def sniff(data: bytes) -> str | None:
    """Return the name of the picture format that the first bytes of a file announce, or None.

    >>> sniff(b"GIF89a..."), sniff(b"hello")
    ('GIF', None)
    """
    if raw := raw_format(data):
        return raw
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        end = min(int.from_bytes(data[:4], "big"), len(data), 256)
        brands = {data[8:12]} | {data[i : i + 4] for i in range(16, end - 3, 4)}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        return "HEIF" if brands & _HEIF_BRANDS else None
    if data[:2] == b"BM" and data[15:18] == b"\0\0\0":  # two letters alone would take in any text that starts with BM
        return "BMP"
    return "PPM" if re.match(rb"P[1-6]\s", data) else None


def why_not_an_image(data: bytes) -> str:
    """Return the status of a file whose bytes announce no picture format."""
    if not data:
        return "empty file"
    for magic, name in _FOREIGN:
        if data.startswith(magic):
            return f"{NOT_AN_IMAGE} ({name})"
    if data[4:8] == b"ftyp":
        return f"{NOT_AN_IMAGE} (video)"
    head = data[:512]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # incremental: the cut may go through a character
    except UnicodeDecodeError:
        return NOT_AN_IMAGE
    return NOT_AN_IMAGE if any(byte < 9 or 13 < byte < 27 for byte in head) else f"{NOT_AN_IMAGE} (text)"
