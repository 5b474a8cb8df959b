"""GIF: skips the blocks before the first picture that do not affect its pixels."""

from __future__ import annotations

_HEADER, _EXTENSION, _PICTURE, _CONTROL = 13, 0x21, 0x2C, 0xF9


def sound(data: bytes) -> bytes:
    """Return a GIF file without the blocks before its first picture, except the one with its transparent color."""
    if len(data) < _HEADER:
        raise ValueError("no header")
    at = _HEADER + (3 * (2 << (data[10] & 7)) if data[10] & 0x80 else 0)
    kept = [data[:at]]
    while at < len(data) and data[at] != _PICTURE:
        if data[at] != _EXTENSION:
            at += 1
            continue
        label, block = data[at + 1 : at + 2], data[at + 3 : at + 3 + 4]
        is_control = label == bytes([_CONTROL]) and data[at + 2 : at + 3] >= b"\x04" and len(block) == 4
        at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
        if is_control:
            kept[1:] = [bytes([_EXTENSION, _CONTROL, 4]) + block + b"\0"]
    if at >= len(data):
        raise ValueError("no picture")
    return b"".join([*kept, data[at:]])
