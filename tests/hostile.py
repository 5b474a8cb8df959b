"""Small files that ask for much: of memory, or of work."""

import io
import struct
import zlib

from PIL import Image


def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *, depth=1, color=0, before=b"", after=b"", n_rows=None):
    """Black, with chunks of any kind before and after the pixels, of which rows may lack."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    row = (width * depth * samples + 7) // 8 + 1
    packer, n = zlib.compressobj(9), max(1, (1 << 20) // row)
    rows = [packer.compress(bytes(row * min(n, height - top))) for top in range(0, n_rows or height, n)]
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    pixels = chunk(b"IDAT", b"".join(rows) + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + pixels + after + chunk(b"IEND", b"")


def progressive(width, height, n_scans):
    """A gray JPEG whose last scan comes so many times more."""
    data = encoded(Image.new("L", (width, height), 128), "JPEG", progressive=True)
    last, end = data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    return data[:end] + data[last:end] * n_scans + data[end:]


def icon(content):
    """An icon that holds one picture, of a size that its directory does not say."""
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(content), 22) + content
